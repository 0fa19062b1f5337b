"""Intersection over union, and the Dice score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment.metrics._formulas import dice, iou
from sksegment.metrics._image_counts import count_pixels
from sksegment.metrics._score import Score, computed_by

_IOU = Score(count_pixels, iou)


@computed_by(_IOU)
def iou_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    over: str = "pixels",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Intersection over union (Jaccard index), by default of all pixels together.

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
        enters a mean over classes, but is returned as the mean where no class is left.
    exclude : sequence of label, default=()
        Classes to leave out of the average, such as the background. They stay in the
        matrix: pixels wrongly given to them, or taken from them, still count.
    over : {"pixels", "images"}, default="pixels"
        "pixels" adds up the pixels of all images, so that each has the same weight
        whatever its image. "images" is the mean of the scores of single images, usual
        in medicine, in which each class is averaged over the images that have it. Those
        without a score are left out, unless `absent` is a number: that then stands in
        for their score.
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

    See Also
    --------
    dice_score : The same counts, for which small overlaps are worth more.
    boundary_iou_score : The same along the boundaries alone.
    segmentation_report : All scores of each class in one table.
    iou_scorer : For `scoring=`.

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
    return _IOU.of(
        y_true,
        y_pred,
        labels,
        ignore_label,
        sample_weight,
        average=average,
        absent=absent,
        exclude=exclude,
        over=over,
    )


_DICE = Score(count_pixels, dice)


@computed_by(_DICE)
def dice_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    over: str = "pixels",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Dice coefficient (F1 score), by default of all pixels of all images together.

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
    over : {"pixels", "images"}, default="pixels"
        Pool the pixels of all images, or average the scores of single images, as in
        `iou_score`.
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

    See Also
    --------
    iou_score : The same counts; lower, and never of another order for one class.
    surface_dice_score : The same along the boundaries alone.
    dice_scorer : For `scoring=`.

    Examples
    --------
    >>> from sksegment.metrics import dice_score
    >>> dice_score([[[0, 1, 1, 1]]], [[[0, 0, 1, 1]]], average=None)
    array([0.66666667, 0.8       ])
    """
    return _DICE.of(
        y_true,
        y_pred,
        labels,
        ignore_label,
        sample_weight,
        average=average,
        absent=absent,
        exclude=exclude,
        over=over,
    )
