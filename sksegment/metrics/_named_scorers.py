"""The scorers that searches need most often, ready to be passed on."""

from __future__ import annotations

from typing import Any

from sksegment.metrics._accuracy import pixel_accuracy_score
from sksegment.metrics._log_loss import pixel_log_loss
from sksegment.metrics._overlap import dice_score, iou_score
from sksegment.metrics._scorers import SegmentationScorer

DOCSTRING = """{summary}

    Pass it as `scoring=`, or call it. It predicts the images, and takes the labels and
    the `ignore_label` from the fitted estimator, through Pipelines and searches.

    Parameters
    ----------
    estimator : object
        A fitted segmenter, or a Pipeline or search object that ends in one.
    X : array-like of shape (n, height, width[, n_channels]), or sequence
        Images, or their paths.
    y : array-like of shape (n, height, width), or sequence
        Their masks, or their paths.
    sample_weight : array-like of shape (n,) or (n, height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float
        The score; greater is better.

    Raises
    ------
    ValueError, TypeError
        If `X` and `y` do not match, or a label of `y` is none of the estimator's.
    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    {function} : The score itself, for masks that were predicted already.
    make_segmentation_scorer : Makes scorers of other scores, or with other settings.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.metrics import {name}
    >>> X, y = make_shapes(n_samples=4, size=16, n_classes=2, random_state=0)
    >>> segmenter = FCNSegmenter(depth=1, width=4, max_epochs=2, random_state=0)
    >>> cross_val_score(segmenter, X, y, cv=2, scoring={name}).shape
    (2,)
    """


def _named(
    name: str, func: Any, response_method: str, sign: int, summary: str
) -> SegmentationScorer:
    scorer = SegmentationScorer(func, response_method, sign, {}, name)
    scorer.__doc__ = DOCSTRING.format(
        summary=summary, function=func.__name__, name=name
    )
    return scorer


iou_scorer = _named(
    "iou_scorer", iou_score, "predict", 1, "The mean IoU of an estimator's masks."
)
dice_scorer = _named(
    "dice_scorer", dice_score, "predict", 1, "The mean Dice score of predicted masks."
)
pixel_accuracy_scorer = _named(
    "pixel_accuracy_scorer",
    pixel_accuracy_score,
    "predict",
    1,
    "The share of pixels that an estimator labels correctly.",
)
neg_pixel_log_loss_scorer = _named(
    "neg_pixel_log_loss_scorer",
    pixel_log_loss,
    "predict_proba",
    -1,
    "The log loss of predicted probabilities, negative so that greater is better.",
)
