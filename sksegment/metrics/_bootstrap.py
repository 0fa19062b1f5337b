"""The bootstrap over images: how much a score would vary with other images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_integer, check_number
from sksegment._inputs.random import as_random_state, own_random_state
from sksegment.metrics._confusion_matrix import ConfusionAccumulator, positions, ratio

# Numbers drawn at a time: 32 MiB of them.
BLOCK_DRAWS = 2**22

# The true and the predicted labels of one image, and their table of counts.
Part = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


class ImageConfusionAccumulator(ConfusionAccumulator):
    """Count pixels by true and predicted label, and keep the counts of each image.

    Parameters
    ----------
    labels : array-like of shape (n_classes,) or None
        The labels of the matrix, in order; None collects those that occur.
    ignore_label : object
        Pixels with this true label are dropped; None drops none.
    """

    def __init__(self, labels: Any, ignore_label: Any) -> None:
        super().__init__(labels, ignore_label)
        self._parts: list[Part] = []

    def _add_cells(self, cells: tuple[NDArray[Any], ...], part: NDArray[Any]) -> None:
        # By label, not by position: the labels of later images shift positions.
        rows, columns = (self.confusion.labels[cell.ravel()] for cell in cells)
        self._parts.append((rows, columns, part))
        super()._add_cells(cells, part)

    def margins(self) -> NDArray[np.float64]:
        """Return hits, true and predicted pixels, (3, n_images, n_classes).

        All scores of the report follow from these three, so no array of shape
        (n_images, n_classes, n_classes) has to be in memory. Images without a pixel
        that counts are left out: they contribute nothing.
        """
        matrices = (self._matrix(part) for part in self._parts if part[2].any())
        found = [(m.diagonal(), m.sum(axis=1), m.sum(axis=0)) for m in matrices]
        shape = len(found), 3, len(self.confusion.labels)
        return np.array(found, np.float64).reshape(shape).swapaxes(0, 1)

    def _matrix(self, part: Part) -> NDArray[Any]:
        """Return the confusion matrix of one image."""
        rows, columns, counts = part
        labels = self.confusion.labels
        matrix = np.zeros((len(labels), len(labels)), counts.dtype)
        places = (positions(values, labels, "", 0) for values in (rows, columns))
        matrix[np.ix_(*places)] = counts
        return matrix


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
        self, margins: NDArray[np.float64], included: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.float64]]:
        """Return percentile intervals [1]_ of all scores, by their names.

        Parameters
        ----------
        margins : ndarray of shape (3, n_images, n_classes)
            Hits, true and predicted pixels of each image.
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
        n_images = margins.shape[1]
        if n_images < 2:
            raise ValueError(
                f"confidence_level={self.confidence_level!r} resamples images; got "
                f"{n_images} with a pixel that counts, expected at least 2."
            )
        drawn = self._draws(n_images)
        hits, true, predicted = np.concatenate(
            [times @ margins for times in drawn], axis=1
        )
        scores = _scores(hits, true, predicted, included)
        return {name: self._interval(values) for name, values in scores.items()}

    def _draws(self, n_images: int) -> Iterator[NDArray[np.float64]]:
        """Yield how often each resample (a row) draws each image, in blocks of rows."""
        rng = own_random_state(self.random_state)
        equal = np.full(n_images, 1.0 / n_images)
        step = max(1, BLOCK_DRAWS // n_images)
        for start in range(0, int(self.n_resamples), step):
            n_rows = min(step, int(self.n_resamples) - start)
            yield rng.multinomial(n_images, equal, n_rows).astype(np.float64)

    def _interval(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the percentiles of (n_resamples[, n_classes]) scores."""
        tail = (1.0 - float(self.confidence_level)) / 2.0
        undefined = np.isnan(values).all(axis=0)
        # numpy warns about columns that are all NaN.
        defined = np.where(undefined, 0.0, values)
        ends = np.nanquantile(defined, [tail, 1.0 - tail], axis=0)
        return np.where(undefined, np.nan, ends)


def _scores(
    hits: NDArray[np.float64],
    true: NDArray[np.float64],
    predicted: NDArray[np.float64],
    included: NDArray[np.bool_],
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of the report for each resample (a row of the arguments)."""
    iou = ratio(hits, true + predicted - hits)
    return {
        "iou": iou,
        "pixel_accuracy": ratio(hits.sum(axis=1), true.sum(axis=1)),
        "mean_accuracy": _mean(ratio(hits, true), included),
        "mean_iou": _mean(iou, included),
        "frequency_weighted_iou": _mean(iou, included * true),
        "mean_dice": _mean(ratio(2 * hits, true + predicted), included),
    }


def _mean(
    scores: NDArray[np.float64], weights: NDArray[np.float64] | NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Average over the classes that have a score."""
    counted = np.where(np.isnan(scores), 0.0, weights)
    return ratio((np.nan_to_num(scores) * counted).sum(axis=1), counted.sum(axis=1))
