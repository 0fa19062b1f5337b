"""Scores of segmentations, all from one confusion matrix over all pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._averages import (
    averaged,
    check_averaging,
    divide,
    excluded_labels,
    included_classes,
)
from sksegment._bootstrap import Bootstrap, ImageConfusionTally
from sksegment._checks import check_integer
from sksegment._confusion import Confusion, ConfusionTally, ratio
from sksegment._images import as_masks
from sksegment._labels import unique_labels
from sksegment._log_loss import LogLossTally
from sksegment._report import report_names, report_text
from sksegment._scorers import SegmentationScorer, make_segmentation_scorer
from sksegment._tally import streamed, tally_all

__all__ = [
    "dice_score",
    "dice_scorer",
    "iou_score",
    "iou_scorer",
    "make_segmentation_scorer",
    "mean_accuracy_score",
    "neg_pixel_log_loss_scorer",
    "pixel_accuracy_score",
    "pixel_accuracy_scorer",
    "pixel_confusion_matrix",
    "pixel_log_loss",
    "segmentation_report",
]


def __dir__() -> list[str]:
    return __all__


def pixel_confusion_matrix(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    sample_weight: Any = None,
) -> NDArray[Any]:
    """Count the pixels of all images by their true and their predicted label.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks. The masks of a sequence may have different sizes.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks, as large as the true ones.
    labels : array-like of shape (n_classes,), default=None
        The labels of rows and columns, in that order. By default, all labels that occur
        on the pixels that count, sorted.
    ignore_label : object, default=None
        The true label of pixels that do not count, whatever is predicted there.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    ndarray of shape (n_classes, n_classes)
        Entry `i, j` is the number of pixels (int64), or the sum of their weights
        (float64), with true label `i` that were predicted as `j`.

    Raises
    ------
    ValueError
        If a pixel that counts has a label outside `labels`, or is predicted as
        `ignore_label`; if the numbers or the sizes of the images differ.

    Examples
    --------
    >>> from sksegment.metrics import pixel_confusion_matrix
    >>> y_true = [[[0, 0, 1], [1, 1, 255]]]
    >>> y_pred = [[[0, 1, 1], [1, 1, 0]]]
    >>> pixel_confusion_matrix(y_true, y_pred, ignore_label=255)
    array([[1, 1],
           [0, 3]])
    """
    return _confusion(y_true, y_pred, labels, ignore_label, sample_weight).counts


def _confusion(
    y_true: Any, y_pred: Any, labels: Any, ignore_label: Any, sample_weight: Any
) -> Confusion:
    tally = ConfusionTally(labels, ignore_label)
    return tally_all(tally, y_true, y_pred, sample_weight).confusion


def _iou(tally: ConfusionTally, **averaging: Any) -> float | NDArray[np.float64]:
    confusion = tally.confusion
    return averaged(confusion, confusion.hits, confusion.union, **averaging)


@streamed(ConfusionTally, _iou)
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
    tally = ConfusionTally(labels, ignore_label)
    tally_all(tally, y_true, y_pred, sample_weight)
    return _iou(tally, average=average, absent=absent, exclude=exclude)


def _dice(tally: ConfusionTally, **averaging: Any) -> float | NDArray[np.float64]:
    confusion = tally.confusion
    total = confusion.true + confusion.predicted
    return averaged(confusion, 2 * confusion.hits, total, **averaging)


@streamed(ConfusionTally, _dice)
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
    tally = ConfusionTally(labels, ignore_label)
    tally_all(tally, y_true, y_pred, sample_weight)
    return _dice(tally, average=average, absent=absent, exclude=exclude)


def _pixel_accuracy(tally: ConfusionTally) -> float:
    counts = tally.confusion.counts
    return divide(counts.trace(), counts.sum(), "no pixel counts")


@streamed(ConfusionTally, _pixel_accuracy)
def pixel_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
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

    Examples
    --------
    >>> from sksegment.metrics import pixel_accuracy_score
    >>> pixel_accuracy_score([[[0, 1, 1, 1]]], [[[0, 0, 1, 1]]])
    0.75
    """
    tally = ConfusionTally(labels, ignore_label)
    return _pixel_accuracy(tally_all(tally, y_true, y_pred, sample_weight))


def _mean_accuracy(
    tally: ConfusionTally, *, absent: float, exclude: Sequence[Any]
) -> Any:
    confusion = tally.confusion
    return averaged(
        confusion,
        confusion.hits,
        confusion.true,
        average="macro",
        absent=absent,
        exclude=exclude,
    )


@streamed(ConfusionTally, _mean_accuracy)
def mean_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
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

    Examples
    --------
    >>> from sksegment.metrics import mean_accuracy_score
    >>> mean_accuracy_score([[[0, 1, 1, 1, 1]]], [[[0, 0, 0, 1, 1]]])
    0.75
    """
    tally = ConfusionTally(labels, ignore_label)
    tally_all(tally, y_true, y_pred, sample_weight)
    return float(_mean_accuracy(tally, absent=absent, exclude=exclude))


def _log_loss(tally: LogLossTally) -> float:
    return divide(tally.loss, tally.weight, "no pixel counts")


@streamed(LogLossTally, _log_loss)
def pixel_log_loss(
    y_true: Any,
    y_proba: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    sample_weight: Any = None,
) -> float:
    """Cross-entropy: mean over all pixels of -log of the true class's probability.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_proba : array-like of shape (n, n_classes, height, width) or sequence of \
            array-like of shape (n_classes, height, width)
        Probabilities, as `predict_proba` returns them.
    labels : array-like of shape (n_classes,), default=None
        The class of each entry of the class axis, in order: the estimator's
        `classes_`. By default the labels in `y_true`, sorted.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float
        The loss, 0 at best; NaN, with a warning, if no pixel counts.

    Raises
    ------
    ValueError
        If the number of classes in `y_proba` is not that of the labels, or if `y_proba`
        does not hold probabilities or does not match `y_true`.

    Notes
    -----
    Probabilities are clipped to `[eps, 1 - eps]` with the machine epsilon of their
    dtype, as in :func:`sklearn.metrics.log_loss`.

    Examples
    --------
    >>> from sksegment.metrics import pixel_log_loss
    >>> y_true = [[[0, 1]]]
    >>> y_proba = [[[[0.5, 0.75]], [[0.5, 0.25]]]]
    >>> round(pixel_log_loss(y_true, y_proba), 4)
    1.0397
    """
    masks = as_masks(y_true, "y_true")
    if labels is None:
        labels = unique_labels(masks, ignore_label)
        if not len(labels):
            return divide(0.0, 0.0, "no pixel counts")
    tally = LogLossTally(labels, ignore_label)
    return _log_loss(tally_all(tally, masks, y_proba, sample_weight))


def segmentation_report(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    target_names: Sequence[str] | None = None,
    ignore_label: Any = None,
    exclude: Sequence[Any] = (),
    sample_weight: Any = None,
    digits: int = 3,
    output_dict: bool = False,
    confidence_level: float | None = None,
    n_resamples: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> str | dict[str, Any]:
    """Scores of every class, and the four scores of Long et al. [1]_ below them.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    target_names : sequence of str, default=None
        A name for each label, in the order of `labels`.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    exclude : sequence of label, default=()
        Classes to leave out of the means. They are still listed.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.
    digits : int, default=3
        Decimal places in the table.
    output_dict : bool, default=False
        Return a dict instead of a table.
    confidence_level : float, default=None
        With a number between 0 and 1, such as 0.95, the report has an interval for the
        IoU of each class and for each mean: the percentiles of `n_resamples` scores,
        each over as many images as there are, drawn with replacement [2]_. The
        intervals show how the scores would vary with other images of the same kind, not
        with another training run. Resamples without a class leave it out of their
        means.
    n_resamples : int, default=1000
        How many times images are drawn.
    random_state : int, RandomState instance or None, default=0
        Fixes the draws. None draws anew on each call; numpy's global generator is
        neither read nor advanced.

    Returns
    -------
    str or dict
        The table, or a dict with one dict per class ("iou", "dice", "accuracy",
        "precision", "pixels") under its label as a string or its target name, and
        "pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou",
        "mean_dice" and "n_classes_averaged", the number of classes in the mean IoU.
        With a `confidence_level`, each class has an "iou_interval" and each mean an
        entry such as "mean_iou_interval", tuples (low, high). The dict then also has
        "confidence_level" and "n_images_resampled", the number of images with a pixel
        that counts.

    Raises
    ------
    ValueError, TypeError
        As in `iou_score`; if `target_names` does not match `labels`, or a label without
        a target name is the name of a score; if `digits` is not an integer of at least
        0; if `confidence_level` is given and is not between 0 and 1, or fewer than two
        images have a pixel that counts.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for
       Semantic Segmentation", CVPR 2015, section 5.
    .. [2] B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman &
       Hall, 1993, section 13.3.

    Examples
    --------
    >>> from sksegment.metrics import segmentation_report
    >>> y_true = [[[0, 0, 1], [1, 1, 1]]]
    >>> y_pred = [[[0, 1, 1], [1, 1, 1]]]
    >>> print(segmentation_report(y_true, y_pred, target_names=["sky", "road"]))
                                  iou       dice   accuracy  precision     pixels
    <BLANKLINE>
                       sky      0.500      0.667      0.500      1.000          2
                      road      0.800      0.889      1.000      0.800          4
    <BLANKLINE>
            pixel accuracy      0.833
             mean accuracy      0.750
                  mean iou      0.650
    frequency weighted iou      0.700
                 mean dice      0.778
    <BLANKLINE>
    classes averaged: 2 of 2
    <BLANKLINE>

    Intervals over images; two images say little:

    >>> report = segmentation_report(
    ...     y_true * 2,
    ...     y_pred + y_true,
    ...     labels=[0, 1],
    ...     output_dict=True,
    ...     confidence_level=0.9,
    ... )
    >>> report["mean_iou_interval"]
    (0.65, 1.0)
    """
    # Parameters first: counting pixels may take minutes.
    check_integer("digits", digits, 0)
    exclude = excluded_labels(exclude)
    bootstrap = _bootstrap(confidence_level, n_resamples, random_state)
    tally = (ImageConfusionTally if bootstrap else ConfusionTally)(labels, ignore_label)
    if labels is not None:
        included_classes(tally.confusion, exclude)  # rejects unknown labels
    tally_all(tally, y_true, y_pred, sample_weight)
    names = report_names(tally.confusion.labels.tolist(), target_names)
    report = _class_scores(tally.confusion, names) | _summary(tally, exclude)
    if bootstrap and isinstance(tally, ImageConfusionTally):
        _add_intervals(report, names, bootstrap, tally, exclude)
    return report if output_dict else report_text(report, names, digits)


def _bootstrap(
    confidence_level: Any, n_resamples: Any, random_state: Any
) -> Bootstrap | None:
    if confidence_level is None:
        return None
    return Bootstrap(confidence_level, n_resamples, random_state)


def _add_intervals(
    report: dict[str, Any],
    names: list[str],
    bootstrap: Bootstrap,
    tally: ImageConfusionTally,
    exclude: Sequence[Any],
) -> None:
    """Put the interval of each score beside it."""
    margins = tally.margins()
    included = included_classes(tally.confusion, exclude)
    intervals = bootstrap.intervals(margins, included)
    for name, ends in zip(names, intervals.pop("iou").T.tolist(), strict=True):
        report[name]["iou_interval"] = tuple(ends)
    for score, ends in intervals.items():
        report[f"{score}_interval"] = tuple(ends.tolist())
    report["confidence_level"] = float(bootstrap.confidence_level)
    report["n_images_resampled"] = margins.shape[1]


def _class_scores(confusion: Confusion, names: list[str]) -> dict[str, Any]:
    hits, true, predicted = confusion.hits, confusion.true, confusion.predicted
    columns = {
        "iou": ratio(hits, confusion.union),
        "dice": ratio(2 * hits, true + predicted),
        "accuracy": ratio(hits, true),
        "precision": ratio(hits, predicted),
        "pixels": true,
    }
    return {
        name: {column: values[row].item() for column, values in columns.items()}
        for row, name in enumerate(names)
    }


def _summary(tally: ConfusionTally, exclude: Sequence[Any]) -> dict[str, Any]:
    macro = {"average": "macro", "absent": np.nan, "exclude": exclude}
    confusion = tally.confusion
    counted = included_classes(confusion, exclude) & (confusion.union > 0)
    return {
        "pixel_accuracy": _pixel_accuracy(tally),
        "mean_accuracy": _mean_accuracy(tally, absent=np.nan, exclude=exclude),
        "mean_iou": _iou(tally, **macro),
        "frequency_weighted_iou": _iou(tally, **{**macro, "average": "weighted"}),
        "mean_dice": _dice(tally, **macro),
        "n_classes_averaged": int(counted.sum()),
    }


def _named(name: str, func: Any, response_method: str, sign: int) -> SegmentationScorer:
    scorer = SegmentationScorer(func, response_method, sign, {}, name)
    worth = "" if sign > 0 else " with a negative sign: greater is better"
    scorer.__doc__ = (
        f"`{func.__name__}` as a scorer{worth}.\n\n"
        f"Pass it as `scoring=`, or call it as "
        f"`{name}(estimator, X, y, sample_weight=None)`. "
        f"Labels and `ignore_label` come from the estimator."
    )
    return scorer


iou_scorer = _named("iou_scorer", iou_score, "predict", 1)
dice_scorer = _named("dice_scorer", dice_score, "predict", 1)
pixel_accuracy_scorer = _named(
    "pixel_accuracy_scorer", pixel_accuracy_score, "predict", 1
)
neg_pixel_log_loss_scorer = _named(
    "neg_pixel_log_loss_scorer", pixel_log_loss, "predict_proba", -1
)
