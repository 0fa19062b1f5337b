"""The bootstrap over images: how much a score would vary with other images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_integer, check_number
from sksegment._inputs.random import as_random_state, own_random_state
from sksegment.metrics._averaging import mean_scores
from sksegment.metrics._formulas import iou

# Numbers drawn at a time: 32 MiB of them.
BLOCK_DRAWS = 2**22


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are computed.

    Parameters
    ----------
    confidence_level : float
        The share of the resampled scores that an interval holds.
    n_resamples : int
        How often images are drawn.
    random_state : int, RandomState instance or None
        Fixes the draws.
    """

    confidence_level: float
    n_resamples: int
    random_state: Any

    def __post_init__(self) -> None:
        """Reject parameters out of range before anything is counted."""
        check_number("confidence_level", self.confidence_level, 0, 1, closed="neither")
        check_integer("n_resamples", self.n_resamples, 1)
        as_random_state(self.random_state)

    def intervals(
        self, counts: NDArray[np.float64], included: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.float64]]:
        """Return percentile intervals [1]_ of all scores, by their names.

        Parameters
        ----------
        counts : ndarray of shape (3, n_images, n_classes)
            Pixels in both masks, true and predicted ones, of each image.
        included : ndarray of shape (n_classes,)
            The classes that the means are over.

        Returns
        -------
        dict of ndarray
            "iou" of shape (2, n_classes), and the means of the report, of shape (2,);
            NaN where a score was undefined in every resample.

        Raises
        ------
        ValueError
            If there are fewer than two images.

        References
        ----------
        .. [1] B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman
           & Hall, 1993, section 13.3.
        """
        n_images = counts.shape[1]
        if n_images < 2:
            raise ValueError(
                f"confidence_level={self.confidence_level!r} resamples images; got "
                f"{n_images} with a pixel that counts, expected at least 2, or "
                f"confidence_level=None."
            )
        rng = own_random_state(self.random_state)
        drawn = draw_images(rng, n_images, int(self.n_resamples))
        resampled = np.concatenate([times @ counts for times in drawn], axis=1)
        scores = {"iou": iou(resampled), **mean_scores(resampled, included)}
        return {name: self._interval(values) for name, values in scores.items()}

    def _interval(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the percentiles of (n_resamples[, n_classes]) scores."""
        tail = (1.0 - float(self.confidence_level)) / 2.0
        undefined = np.isnan(values).all(axis=0)
        # numpy warns about columns that are all NaN.
        defined = np.where(undefined, 0.0, values)
        ends = np.nanquantile(defined, [tail, 1.0 - tail], axis=0)
        return np.where(undefined, np.nan, ends)


def draw_images(
    rng: np.random.RandomState, n_images: int, n_resamples: int
) -> Iterator[NDArray[np.float64]]:
    """Yield how often each resample (a row) draws each image, in blocks of rows."""
    equal = np.full(n_images, 1.0 / n_images)
    for start, stop in row_ranges(n_resamples, n_images):
        yield rng.multinomial(n_images, equal, stop - start).astype(np.float64)


def row_ranges(n_rows: int, n_columns: int) -> Iterator[tuple[int, int]]:
    """Yield where blocks of about `BLOCK_DRAWS` numbers start and stop."""
    step = max(1, BLOCK_DRAWS // n_columns)
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)
