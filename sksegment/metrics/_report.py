"""The report on all classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.checks import check_integer
from sksegment._inputs.containers import check_ordered
from sksegment.metrics._accumulator import accumulate_all
from sksegment.metrics._averaging import (
    excluded_labels,
    included_classes,
    mean_scores,
    warn_of_undefined,
)
from sksegment.metrics._bootstrap import Bootstrap
from sksegment.metrics._extra_scores import ExtraScore, Together
from sksegment.metrics._formulas import CLASS_SCORES, MEAN_SCORES, TRUE, iou
from sksegment.metrics._image_counts import count_pixels
from sksegment.metrics._report_table import SegmentationReport

RESERVED = (
    *MEAN_SCORES,
    *(f"{score}_interval" for score in MEAN_SCORES),
    "confidence_level",
    "n_classes_averaged",
    "n_images_resampled",
)


def report_names(
    labels: Sequence[Any], target_names: Sequence[str] | None
) -> list[str]:
    """Return one distinct name per class."""
    if target_names is None:
        return _label_names(labels)
    check_ordered("target_names", target_names)
    names = [str(name) for name in target_names]
    if _are_positions(labels, names):
        names = [names[label] for label in labels]
    if len(names) != len(labels):
        raise ValueError(
            f"target_names has {len(names)} names for {len(labels)} labels; expected "
            f"one name per label. Name the labels, in the same order, with labels=."
        )
    clash = {name for name in names if names.count(name) > 1 or name in RESERVED}
    if clash:
        raise ValueError(
            f"target_names holds {sorted(clash)}, twice or as the name of a score; "
            f"expected names that tell the classes apart."
        )
    return names


def _are_positions(labels: Sequence[Any], names: Sequence[str]) -> bool:
    """Tell whether there are names of more classes, numbered from 0, than occur."""
    if len(names) <= len(labels):
        return False
    return all(type(label) is int and 0 <= label < len(names) for label in labels)


def _label_names(labels: Sequence[Any]) -> list[str]:
    names = [str(label) for label in labels]
    clash = sorted(set(names) & set(RESERVED))
    if clash:
        raise ValueError(
            f"labels holds {clash}, which the report uses as names of its own; "
            f"expected other names of the classes: pass target_names=."
        )
    return names


def segmentation_report(
    y_true: Any,
    y_pred: Any,
    *,
    labels: ArrayLike | None = None,
    target_names: Sequence[str] | None = None,
    ignore_label: Any = None,
    exclude: Sequence[Any] = (),
    extra_scores: Sequence[Callable[..., Any]] = (),
    sample_weight: Any = None,
    digits: int = 3,
    output_dict: bool = False,
    confidence_level: float | None = None,
    n_resamples: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> SegmentationReport | dict[str, Any]:
    """Scores of every class, and the four scores of Long et al. below them.

    These four are the pixel accuracy, the mean accuracy, the mean IoU and the frequency
    weighted IoU [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    target_names : sequence of str, default=None
        A name for each label, in the order of `labels`. More names than labels are
        taken as those of the labels 0, 1, 2, ...: all classes of a data set may be
        named although only some occur.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    exclude : sequence of label, default=()
        Classes to leave out of the means. They are still listed.
    extra_scores : sequence of callable, default=()
        Further scores of classes, one column and one mean each, such as
        `[boundary_f1_score, hausdorff_distance]`. They are functions of
        `sksegment.metrics` with a parameter `average`; :func:`functools.partial` binds
        their arguments, but for `labels`, `ignore_label` and `sample_weight`, which all
        columns share.
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
        The table, which a notebook shows as one, with the methods ``to_dict()`` and
        ``to_frame()`` (of pandas); or a dict with one dict per class ("iou", "dice",
        "accuracy", "precision", "pixels") under its label as a string or its target
        name, and
        "pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou",
        "mean_dice" and "n_classes_averaged", the number of classes in the mean IoU.
        With a `confidence_level`, each class has an "iou_interval" and each mean an
        entry such as "mean_iou_interval", tuples (low, high). The dict then also has
        "confidence_level" and "n_images_resampled", the number of images with a pixel
        that counts. Extra scores stand under the name of the function without "_score",
        such as "boundary_f1" and "mean_boundary_f1"; with distances come entries such
        as "n_undefined_hausdorff_distance", the number of pairs of an image and one of
        its classes that only one of the two masks has: they have no distance, and are
        left out of the means.

    Raises
    ------
    ValueError, TypeError
        As in `iou_score`; if `target_names` does not match `labels`, or a label without
        a target name is the name of a score; if `digits` is not an integer of at least
        0; if `confidence_level` is given and is not between 0 and 1, or fewer than two
        images have a pixel that counts.

    See Also
    --------
    image_scores : The scores of each image.
    compare_scores : Whether one prediction is better than another.
    sksegment.display.ScoreDisplay : Draws the scores with their intervals.

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
    accumulator = count_pixels(labels, ignore_label, by_image=bootstrap is not None)
    if labels is not None:
        included_classes(accumulator.labels, exclude)  # rejects unknown labels
    extra = [ExtraScore(function, labels, ignore_label) for function in extra_scores]
    together = Together([accumulator, *(score.accumulator for score in extra)])
    accumulate_all(together, y_true, y_pred, sample_weight)
    counts, labels = accumulator.class_counts(), accumulator.labels
    names = report_names(labels.tolist(), target_names)
    included = included_classes(labels, exclude)
    report = _scores(counts.sum(axis=1) if bootstrap else counts, names, included)
    for score in extra:
        score.add_to(report, names, exclude)
    if bootstrap:
        _add_intervals(report, names, bootstrap, counts, included)
    return report if output_dict else SegmentationReport(report, names, digits)


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
    counts: NDArray[Any],
    included: NDArray[np.bool_],
) -> None:
    """Put the interval of each score beside it."""
    # An image without a pixel that counts contributes nothing.
    counts = counts[:, counts.any(axis=(0, 2))]
    intervals = bootstrap.intervals(counts, included)
    for name, ends in zip(names, intervals.pop("iou").T.tolist(), strict=True):
        report[name]["iou_interval"] = tuple(ends)
    for score, ends in intervals.items():
        report[f"{score}_interval"] = tuple(ends.tolist())
    report["confidence_level"] = float(bootstrap.confidence_level)
    report["n_images_resampled"] = counts.shape[1]


def _scores(
    counts: NDArray[Any], names: list[str], included: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the scores of each class, and the means, of pooled counts."""
    columns = {column: formula(counts) for column, formula in CLASS_SCORES.items()}
    columns["pixels"] = counts[TRUE]
    report: dict[str, Any] = {
        name: {column: values[row].item() for column, values in columns.items()}
        for row, name in enumerate(names)
    }
    means = mean_scores(counts, included)
    if any(np.isnan(mean) for mean in means.values()):
        warn_of_undefined("no pixel counts, or no class is left to average", 4)
    counted = included & ~np.isnan(iou(counts))
    return {
        **report,
        **{name: float(mean) for name, mean in means.items()},
        "n_classes_averaged": int(counted.sum()),
    }
