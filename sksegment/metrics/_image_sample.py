"""Images from which samples are drawn and scored, for bootstrap and permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sksegment.metrics._averaging import Averaging, weighted_mean
from sksegment.metrics._formulas import Formula


class ImageSample(Protocol):
    """Images of which the score of any sample can be told."""

    def scores(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each sample, a row of how often it holds each image."""

    def take(self, images: NDArray[np.intp]) -> Self:
        """Return some of the images."""

    def defined(self) -> NDArray[np.bool_]:
        """Tell which images have a score."""


@dataclass(frozen=True)
class PooledSample:
    """Images whose counts are added up before a score is made of them."""

    formula: Formula
    averaging: Averaging
    labels: NDArray[Any]
    counts: NDArray[Any]

    def scores(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each sample."""
        return self.averaging.of_classes(self.formula, times @ self.counts, self.labels)

    def take(self, images: NDArray[np.intp]) -> PooledSample:
        """Return some of the images."""
        counts = self.counts[:, images]
        return PooledSample(self.formula, self.averaging, self.labels, counts)

    def defined(self) -> NDArray[np.bool_]:
        """Tell which images have anything to count."""
        return np.asarray((self.counts != 0).any(axis=(0, 2)))


@dataclass(frozen=True)
class AveragedSample:
    """Images each of which has a score, and a weight in their mean."""

    values: NDArray[np.float64]
    weights: NDArray[np.float64]

    def scores(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of each sample."""
        return weighted_mean(self.values, times * self.weights)

    def take(self, images: NDArray[np.intp]) -> AveragedSample:
        """Return some of the images."""
        return AveragedSample(self.values[images], self.weights[images])

    def defined(self) -> NDArray[np.bool_]:
        """Tell which images have a score that counts."""
        return ~np.isnan(self.values) & (self.weights > 0)
