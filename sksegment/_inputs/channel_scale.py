"""The scale of each channel: mean, standard deviation and range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows are summed up in blocks of about this many values: half a megabyte as float64,
# which stays in the cache from one sum to the next.
BLOCK_VALUES = 2**16
# The square of a smaller number loses digits, or becomes 0.
SMALLEST_STD = 1e-150
# Images whose values are larger or smaller than in training by this factor are in other
# units: 8 bits and 0..1 differ by a factor of 255, 16 and 8 bits by one of 257.
FOREIGN = 50


@dataclass(frozen=True)
class Scale:
    """How each channel is standardised, and the range of its training values.

    Parameters
    ----------
    mean, std : ndarray of shape (n_channels,)
        What is subtracted from the images, and what they are divided by.
    low, high : ndarray of shape (n_channels,)
        Smallest and largest value of the pixels of the training images that count.
    nodata : float or int, default=None
        The value that marks a pixel without data, which the network sees as the mean.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    nodata: float | None = None

    def apply(self, values: NDArray[Any] | float) -> NDArray[np.float64]:
        """Standardise values whose last axis is the channels."""
        return np.asarray((values - self.mean) / self.std)

    def magnitude(self) -> float:
        """Return the largest absolute value of the range."""
        return float(np.abs([self.low, self.high]).max())

    def has_other_units(self, largest: float) -> bool:
        """Tell whether images up to an absolute value are in other units."""
        own = self.magnitude()
        if not (own and largest):
            return False
        return not 1 / FOREIGN < largest / own < FOREIGN

    def widened(self, other: Scale) -> Scale:
        """Return this scale with a range that includes that of another."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return replace(self, low=low, high=high)

    def limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values beyond which images are clipped.

        They lie one width of the training range outside it: a hot pixel or a mark of
        missing values (-9999) must not drown all else that a kernel sees.
        """
        with np.errstate(over="ignore"):
            width = self.high - self.low
            return self.low - width, self.high + width


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
        share = other.n_pixels / max(1, n_pixels)
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
        # The squares of smaller numbers underflow.
        tiny = std < SMALLEST_STD
        std[tiny] = (self.high - self.low)[tiny]
        # Compared by range: the squares of a constant channel may round above zero.
        std[self.low == self.high] = 1.0
        return Scale(self.mean, std, self.low, self.high)


def channel_sums(
    image: NDArray[Any], counted: NDArray[np.bool_] | None = None
) -> ChannelSums:
    """Return the moments of one image of shape (height, width, n_channels).

    With `counted`, of shape (height, width), those of the pixels where it is true.
    """
    rows = max(1, BLOCK_VALUES // (image.shape[1] * image.shape[2]))
    parts = [slice(start, start + rows) for start in range(0, len(image), rows)]
    if counted is None:
        blocks = [image[part].reshape(-1, image.shape[-1]) for part in parts]
    else:
        blocks = [image[part][counted[part]] for part in parts]
    return reduce(add, map(_block_sums, blocks))


def _block_sums(pixels: NDArray[Any]) -> ChannelSums:
    # A plane for each channel: numpy sums long rows many times faster than columns, and
    # with smaller errors.
    planes = pixels.T.astype(np.float64, order="C")
    n_pixels = planes.shape[1]
    mean = planes.sum(axis=1) / max(1, n_pixels)
    low = planes.min(axis=1, initial=np.inf)
    high = planes.max(axis=1, initial=-np.inf)
    planes -= mean[:, np.newaxis]
    squares = np.einsum("ij,ij->i", planes, planes)
    return ChannelSums(n_pixels, mean, squares, low, high)
