"""The accuracy of pixels, and its mean over the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sksegment.metrics._formulas import accuracy
from sksegment.metrics._image_counts import count_pixels
from sksegment.metrics._score import Score, computed_by

_PIXEL_ACCURACY = Score(count_pixels, accuracy, average="micro")


@computed_by(_PIXEL_ACCURACY)
def pixel_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    over: str = "pixels",
    sample_weight: Any = None,
) -> float:
    """Fraction of the pixels of all images that are labelled correctly.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; others raise. By default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    over : {"pixels", "images"}, default="pixels"
        Pool the pixels of all images, or average the scores of single images, as in
        `iou_score`.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float
        Between 0 and 1; NaN, with a warning, if no pixel counts.

    Raises
    ------
    ValueError
        As in `pixel_confusion_matrix`.

    See Also
    --------
    mean_accuracy_score : The same weight for each class.
    iou_score : Counts what is found too much as well.
    pixel_accuracy_scorer : For `scoring=`.

    Examples
    --------
    >>> from sksegment.metrics import pixel_accuracy_score
    >>> pixel_accuracy_score([[[0, 1, 1, 1]]], [[[0, 0, 1, 1]]])
    0.75
    """
    return _PIXEL_ACCURACY.of(
        y_true, y_pred, labels, ignore_label, sample_weight, over=over
    )


_MEAN_ACCURACY = Score(count_pixels, accuracy)


@computed_by(_MEAN_ACCURACY)
def mean_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    over: str = "pixels",
    sample_weight: Any = None,
) -> float:
    """Mean over the classes in `y_true` of the fraction of pixels found (recall).

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
    absent : float, default=nan
        The value if no class is left to average. A class without true pixels never
        enters the mean.
    exclude : sequence of label, default=()
        Classes to leave out of the mean.
    over : {"pixels", "images"}, default="pixels"
        Pool the pixels of all images, or average the scores of single images, as in
        `iou_score`.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As in `iou_score`.

    See Also
    --------
    pixel_accuracy_score : The same weight for each pixel.
    iou_score : Counts what is found too much as well.

    Examples
    --------
    >>> from sksegment.metrics import mean_accuracy_score
    >>> mean_accuracy_score([[[0, 1, 1, 1, 1]]], [[[0, 0, 0, 1, 1]]])
    0.75
    """
    return _MEAN_ACCURACY.of(
        y_true,
        y_pred,
        labels,
        ignore_label,
        sample_weight,
        absent=absent,
        exclude=exclude,
        over=over,
    )
