"""The scale of each channel: mean, standard deviation and range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows are summed up in blocks of about this many values, so that a huge image needs
# little memory beside it.
BLOCK_VALUES = 2**20


@dataclass(frozen=True)
class Scale:
    """What standardisation takes from each channel, and the range it came from.

    Parameters
    ----------
    mean, std : ndarray of shape (n_channels,)
        What is taken from the images, and what they are divided by.
    low, high : ndarray of shape (n_channels,)
        Smallest and largest value of the training images.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def apply(self, values: NDArray[Any] | float) -> NDArray[np.float64]:
        """Standardise values whose last axis is the channels."""
        return np.asarray((values - self.mean) / self.std)


@dataclass(frozen=True)
class ChannelSums:
    """Moments of the pixels seen so far, which add up over images.

    Parameters
    ----------
    n_pixels : int
        Number of pixels.
    mean, squares : ndarray of shape (n_channels,)
        Their mean, and the sum of squared distances from it.
    low, high : ndarray of shape (n_channels,)
        Smallest and largest value.
    """

    n_pixels: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __add__(self, other: ChannelSums) -> ChannelSums:
        """Join two sets of pixels (Chan, Golub and LeVeque, 1983)."""
        n_pixels = self.n_pixels + other.n_pixels
        distance = other.mean - self.mean
        share = other.n_pixels / n_pixels
        return ChannelSums(
            n_pixels,
            self.mean + distance * share,
            self.squares + other.squares + distance**2 * self.n_pixels * share,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def scale(self) -> Scale:
        """Return the scale of the channels; a constant one is divided by 1."""
        std = np.sqrt(self.squares / self.n_pixels)
        # Compared by range: the squares of a constant channel may round above zero.
        std[self.low == self.high] = 1.0
        return Scale(self.mean, std, self.low, self.high)


def channel_sums(image: NDArray[Any]) -> ChannelSums:
    """Return the moments of one image of shape (height, width, n_channels)."""
    rows = max(1, BLOCK_VALUES // (image.shape[1] * image.shape[2]))
    blocks = [
        _block_sums(image[start : start + rows]) for start in range(0, len(image), rows)
    ]
    total = blocks[0]
    for block in blocks[1:]:
        total = total + block
    return total


def _block_sums(block: NDArray[Any]) -> ChannelSums:
    # In one memory order for all layouts: numpy adds up along the memory.
    pixels = block.reshape(-1, block.shape[-1]).astype(np.float64, order="C")
    mean = pixels.mean(axis=0)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    pixels -= mean
    squares = np.einsum("ij,ij->j", pixels, pixels)
    return ChannelSums(len(pixels), mean, squares, low, high)
