"""The formulas of the scores, and the table of those that the report shows.

A formula takes counts of shape (n_counts, ..., n_classes), and returns scores of shape
(..., n_classes), NaN where there is nothing to divide by. The second of the counts is
always what is true of a class, by which "weighted" averages weight it. The same formula
then serves the pooled counts, those of single images, and those of bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Formula = Callable[[NDArray[Any]], NDArray[np.float64]]

# Where counts have what is true of a class.
TRUE = 1


def ratio(
    numerator: NDArray[Any], denominator: NDArray[Any], absent: float = np.nan
) -> NDArray[np.float64]:
    """Divide, with `absent` where there is nothing to divide by."""
    quotient = np.full(np.shape(numerator), absent, dtype=np.float64)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def iou(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the pixels in both masks by those in either."""
    both, true, predicted = counts
    return ratio(both, true + predicted - both)


def dice(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the pixels in both masks by the mean of their areas."""
    both, true, predicted = counts
    return ratio(2 * both, true + predicted)


def accuracy(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the pixels that were found by those that are true."""
    both, true, _ = counts
    return ratio(both, true)


def precision(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the pixels that were predicted correctly by those that were predicted."""
    both, _, predicted = counts
    return ratio(both, predicted)


def surface_dice(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the edges near each other by all edges, of both masks."""
    found, true, predicted, right = counts
    return ratio(found + right, true + predicted)


def boundary_f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Average, harmonically, the shares of either mask's edges that are near others."""
    found, true, predicted, right = counts
    recall, precise = ratio(found, true, 0.0), ratio(right, predicted, 0.0)
    harmonic = ratio(2 * recall * precise, recall + precise, 0.0)
    return np.where(true + predicted > 0, harmonic, np.nan)


def log_loss(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the sum of the losses by that of the weights."""
    losses, weights = counts
    return ratio(losses, weights)


def calibration_gap(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Subtract, in each bin, the mean confidence from the share that is correct."""
    correct, weights, confidence = counts
    return np.abs(ratio(correct - confidence, weights))


class Mean(NamedTuple):
    """A mean of the report: of which score, and how the classes are averaged.

    `excludes` tells whether it leaves out the classes that the user excludes.
    """

    formula: Formula
    average: str
    excludes: bool = True


# The rows of the report, in its order: a new score is one more line.
CLASS_SCORES: dict[str, Formula] = {
    "iou": iou,
    "dice": dice,
    "accuracy": accuracy,
    "precision": precision,
}
MEAN_SCORES: dict[str, Mean] = {
    "pixel_accuracy": Mean(accuracy, "micro", excludes=False),
    "mean_accuracy": Mean(accuracy, "macro"),
    "mean_iou": Mean(iou, "macro"),
    "frequency_weighted_iou": Mean(iou, "weighted"),
    "mean_dice": Mean(dice, "macro"),
}
