"""Intersection over union, and the Dice score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment.metrics._accumulator import accumulate_all, streamed_by
from sksegment.metrics._averaging import average_ratio, check_averaging, excluded_labels
from sksegment.metrics._confusion_matrix import ConfusionAccumulator


def _iou(
    accumulator: ConfusionAccumulator, **averaging: Any
) -> float | NDArray[np.float64]:
    confusion = accumulator.confusion
    return average_ratio(confusion, confusion.hits, confusion.union, **averaging)


@streamed_by(ConfusionAccumulator, _iou)
def iou_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Intersection over union (Jaccard index), pooled over all pixels of all images.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro" is the mean over the classes (mean IoU), "weighted" weights them by
        their number of true pixels (frequency weighted IU), "micro" divides the sum
        of the intersections by the sum of the unions, and None averages nothing.
    absent : float, default=nan
        The score of a class that is neither in `y_true` nor in `y_pred`. It never
        enters a mean, but is returned as the mean where no class is left to average.
    exclude : sequence of label, default=()
        Classes to leave out of the average, such as the background. They stay in the
        matrix: pixels wrongly given to them, or taken from them, still count.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float or ndarray of shape (n_classes,)
        The score, or one score per class with `average=None`.

    Raises
    ------
    ValueError
        As in `pixel_confusion_matrix`; if `average` is unknown or `exclude` holds a
        label that is not a class.

    Warns
    -----
    UndefinedMetricWarning
        If no class is left to average and `absent` is NaN.

    Notes
    -----
    A class that is predicted but absent from `y_true` scores 0.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for
       Semantic Segmentation", CVPR 2015, section 5.

    Examples
    --------
    >>> from sksegment.metrics import iou_score
    >>> y_true = [[[0, 0, 1], [1, 1, 1]]]
    >>> y_pred = [[[0, 1, 1], [1, 1, 1]]]
    >>> iou_score(y_true, y_pred, average=None)
    array([0.5, 0.8])
    >>> iou_score(y_true, y_pred, exclude=(0,))
    0.8
    """
    check_averaging(average, absent)
    exclude = excluded_labels(exclude)
    accumulator = ConfusionAccumulator(labels, ignore_label)
    accumulate_all(accumulator, y_true, y_pred, sample_weight)
    return _iou(accumulator, average=average, absent=absent, exclude=exclude)


def _dice(
    accumulator: ConfusionAccumulator, **averaging: Any
) -> float | NDArray[np.float64]:
    confusion = accumulator.confusion
    total = confusion.true + confusion.predicted
    return average_ratio(confusion, 2 * confusion.hits, total, **averaging)


@streamed_by(ConfusionAccumulator, _dice)
def dice_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Dice coefficient (F1 score), pooled over all pixels of all images.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        As in `iou_score`.
    absent : float, default=nan
        The score of a class that does not occur, as in `iou_score`.
    exclude : sequence of label, default=()
        Classes to leave out of the average.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float or ndarray of shape (n_classes,)
        Twice the intersection over the sum of both areas.

    Raises
    ------
    ValueError
        As in `iou_score`.

    Examples
    --------
    >>> from sksegment.metrics import dice_score
    >>> dice_score([[[0, 1, 1, 1]]], [[[0, 0, 1, 1]]], average=None)
    array([0.66666667, 0.8       ])
    """
    check_averaging(average, absent)
    exclude = excluded_labels(exclude)
    accumulator = ConfusionAccumulator(labels, ignore_label)
    accumulate_all(accumulator, y_true, y_pred, sample_weight)
    return _dice(accumulator, average=average, absent=absent, exclude=exclude)
