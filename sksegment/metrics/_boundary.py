"""Scores of the boundaries of the classes, rather than of their areas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.checks import check_number, is_integer
from sksegment.metrics._edges import (
    NO_CLASS,
    class_bands,
    class_edges,
    edge_distances,
    pixel_sides,
)
from sksegment.metrics._formulas import boundary_f1, iou, surface_dice
from sksegment.metrics._pair_accumulator import PairAccumulator
from sksegment.metrics._score import Score, computed_by

Weights = NDArray[np.float64] | None


def _count_bands(
    true: NDArray[Any],
    predicted: NDArray[Any],
    n_classes: int,
    weights: Weights,
    width: float,
) -> NDArray[Any]:
    """Count the pixels in both bands, in the true one, and in the predicted one."""
    n_pixels = max(1, round(_in_pixels(width, true.shape)))
    bands = class_bands(true, n_pixels), class_bands(predicted, n_pixels)
    both = np.where(bands[0] == bands[1], bands[0], NO_CLASS)
    return np.stack([_class_sums(part, n_classes, weights) for part in (both, *bands)])


def _count_edges(
    true: NDArray[Any],
    predicted: NDArray[Any],
    n_classes: int,
    weights: Weights,
    tolerance: float,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> NDArray[Any]:
    """Count true edges near others, all of both masks, and predicted near others."""
    edges = class_edges(true), class_edges(predicted)
    near = [_near(*pair, tolerance, spacing) for pair in (edges, edges[::-1])]
    parts = near[0], *edges, near[1]
    return np.stack([_class_sums(part, n_classes, weights) for part in parts])


def _count_edges_of_image(
    true: NDArray[Any],
    predicted: NDArray[Any],
    n_classes: int,
    weights: Weights,
    tolerance: float,
) -> NDArray[Any]:
    """Count edges with a tolerance that may be a fraction of the diagonal."""
    reach = _in_pixels(tolerance, true.shape)
    return _count_edges(true, predicted, n_classes, weights, reach)


def _in_pixels(extent: float, shape: tuple[int, ...]) -> float:
    """Return pixels for pixels, and for a fraction of the diagonal of an image."""
    return extent * math.hypot(*shape) if 0 < extent < 1 else extent


def _near(
    edges: NDArray[Any],
    others: NDArray[Any],
    tolerance: float,
    spacing: tuple[float, float],
) -> NDArray[Any]:
    """Keep the codes of edge pixels that the other mask has an edge near."""
    near = np.full_like(edges, NO_CLASS)
    distances = edge_distances(edges, others, spacing, tolerance)
    on_edge = edges != NO_CLASS
    near[on_edge] = np.where(np.isfinite(distances), edges[on_edge], NO_CLASS)
    return near


def _class_sums(codes: NDArray[Any], n_classes: int, weights: Weights) -> NDArray[Any]:
    """Add up the pixels, or their weights, of each class."""
    counted = codes != NO_CLASS
    heavy = None if weights is None else weights[counted]
    return np.bincount(codes[counted], heavy, minlength=n_classes)


def _band_accumulator(
    labels: Any, ignore_label: Any, *, by_image: bool, width: Any
) -> PairAccumulator:
    if not (is_integer(width) and width >= 1):
        _check_fraction("width", width, "an integer of at least 1")
    count = partial(_count_bands, width=width)
    return PairAccumulator(labels, ignore_label, count, by_image=by_image)


def _edge_accumulator(
    labels: Any, ignore_label: Any, *, by_image: bool, tolerance: Any
) -> PairAccumulator:
    check_number("tolerance", tolerance, 0)
    count = partial(_count_edges_of_image, tolerance=tolerance)
    return PairAccumulator(labels, ignore_label, count, by_image=by_image)


def _surface_accumulator(
    labels: Any, ignore_label: Any, *, by_image: bool, tolerance: Any, spacing: Any
) -> PairAccumulator:
    check_number("tolerance", tolerance, 0)
    count = partial(_count_edges, tolerance=tolerance, spacing=pixel_sides(spacing))
    return PairAccumulator(labels, ignore_label, count, by_image=by_image)


def _check_fraction(name: str, value: Any, pixels: str) -> None:
    """Reject what is neither a fraction of the diagonal nor a number of pixels."""
    try:
        check_number(name, value, 0, 1, closed="neither")
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{name} is {value!r}; expected {pixels}, in pixels, or a fraction of the "
            f"diagonal of the image, above 0 and below 1."
        ) from error


_BOUNDARY_IOU = Score(_band_accumulator, iou)


@computed_by(_BOUNDARY_IOU)
def boundary_iou_score(
    y_true: Any,
    y_pred: Any,
    *,
    width: float = 0.02,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    over: str = "pixels",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Intersection over union of the bands along the inside of the boundaries.

    The area of a large object hides errors at its boundary; this score does not. The
    band of a class holds its pixels with a pixel outside the class at most `width` rows
    and columns away: the mask less its erosion by a square, as in the code of [1]_.
    What lies outside the image is outside the class.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    width : int or float, default=0.02
        The width of the band: an integer in pixels, or a fraction of the diagonal of
        each image, rounded to a pixel or more.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count. They have no class in either mask,
        like what lies outside the image.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        As in `iou_score`; "weighted" weights a class by its true pixels in the band.
    absent : float, default=nan
        The score of a class that is in neither mask, as in `iou_score`. A class that
        is in one of them only scores 0.
    exclude : sequence of label, default=()
        Classes to leave out of the average.
    over : {"pixels", "images"}, default="pixels"
        Add up the pixels in the band of all images, or average the
        scores of single images, as in `iou_score`.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float or ndarray of shape (n_classes,)
        The score, or one score per class with `average=None`.

    Raises
    ------
    ValueError, TypeError
        As in `iou_score`; if `width` is neither an integer of at least 1 nor a fraction
        between 0 and 1.

    See Also
    --------
    iou_score : The same of whole areas, which this becomes as `width` grows.
    boundary_f1_score : Shares of the boundaries that are found.

    References
    ----------
    .. [1] B. Cheng, R. Girshick, P. Dollár, A. C. Berg, A. Kirillov, "Boundary IoU:
       Improving Object-Centric Image Segmentation Evaluation", CVPR 2021.

    Examples
    --------
    A square of 20 x 20 pixels, predicted one column too far to the right. Of the 114
    pixels on either of the two outlines, 38 are on both:

    >>> import numpy as np
    >>> from sksegment.metrics import boundary_iou_score, iou_score
    >>> y_true = np.zeros((1, 40, 40), int)
    >>> y_true[0, 10:30, 10:30] = 1
    >>> y_pred = np.roll(y_true, 1, axis=2)
    >>> round(iou_score(y_true, y_pred, exclude=(0,)), 3)
    0.905
    >>> round(boundary_iou_score(y_true, y_pred, width=1, exclude=(0,)), 3)
    0.333
    """
    return _BOUNDARY_IOU.of(
        y_true,
        y_pred,
        labels,
        ignore_label,
        sample_weight,
        width=width,
        average=average,
        absent=absent,
        exclude=exclude,
        over=over,
    )


_BOUNDARY_F1 = Score(_edge_accumulator, boundary_f1)


@computed_by(_BOUNDARY_F1)
def boundary_f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    tolerance: float = 0.0075,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    over: str = "pixels",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Harmonic mean of the shares of true and of predicted boundaries that match.

    An edge pixel belongs to a class and shares a side with a pixel that does not, or
    lies at the border of the image. It matches if the other mask has an edge pixel of
    the same class within `tolerance` [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    tolerance : float, default=0.0075
        The largest distance, between the centers of pixels, of edges that match: in
        pixels, or below 1 as a fraction of the diagonal of each image. 0 asks for the
        very pixel.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count. They have no class in either mask,
        like what lies outside the image.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        As in `iou_score`; "weighted" weights a class by its true edge pixels.
    absent : float, default=nan
        The score of a class that is in neither mask, as in `iou_score`. A class that
        is in one of them only scores 0.
    exclude : sequence of label, default=()
        Classes to leave out of the average.
    over : {"pixels", "images"}, default="pixels"
        Add up the edge pixels of all images, or average the
        scores of single images, as in `iou_score`.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float or ndarray of shape (n_classes,)
        The score, or one score per class with `average=None`.

    Raises
    ------
    ValueError, TypeError
        As in `iou_score`; if `tolerance` is not a number of at least 0.

    See Also
    --------
    surface_dice_score : The share of both boundaries together, in units of length.
    boundary_iou_score : Intersection over union of bands along the boundaries.

    References
    ----------
    .. [1] G. Csurka, D. Larlus, F. Perronnin, "What is a good evaluation measure for
       semantic segmentation?", BMVC 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.metrics import boundary_f1_score
    >>> y_true = np.zeros((1, 40, 40), int)
    >>> y_true[0, 10:30, 10:30] = 1
    >>> y_pred = np.roll(y_true, 2, axis=2)
    >>> boundary_f1_score(y_true, y_pred, tolerance=2)
    1.0
    >>> round(boundary_f1_score(y_true, y_pred, tolerance=1, exclude=(0,)), 3)
    0.526
    """
    return _BOUNDARY_F1.of(
        y_true,
        y_pred,
        labels,
        ignore_label,
        sample_weight,
        tolerance=tolerance,
        average=average,
        absent=absent,
        exclude=exclude,
        over=over,
    )


_SURFACE_DICE = Score(_surface_accumulator, surface_dice)


@computed_by(_SURFACE_DICE)
def surface_dice_score(
    y_true: Any,
    y_pred: Any,
    *,
    tolerance: float = 1.0,
    spacing: float | Sequence[float] = 1.0,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    over: str = "pixels",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Share of the boundaries of both masks that match (normalized surface Dice).

    Edge pixels and matches are those of `boundary_f1_score`. Each edge pixel counts
    once; in [1]_, it counts by the length of the boundary that it stands for.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    tolerance : float, default=1.0
        The largest distance, between the centers of pixels, of edges that match, in the
        unit of `spacing`.
    spacing : float or sequence of 2 floats, default=1.0
        The side of a pixel, or its height and its width.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count. They have no class in either mask,
        like what lies outside the image.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        As in `iou_score`; "weighted" weights a class by its true edge pixels.
    absent : float, default=nan
        The score of a class that is in neither mask, as in `iou_score`. A class that
        is in one of them only scores 0.
    exclude : sequence of label, default=()
        Classes to leave out of the average.
    over : {"pixels", "images"}, default="pixels"
        Add up the edge pixels of all images, or average the
        scores of single images, as in `iou_score`.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float or ndarray of shape (n_classes,)
        The score, or one score per class with `average=None`.

    Raises
    ------
    ValueError, TypeError
        As in `iou_score`; if `tolerance` is not a number of at least 0, or `spacing`
        does not hold one or two positive numbers.

    See Also
    --------
    boundary_f1_score : The harmonic mean instead, in pixels or shares of the diagonal.
    hausdorff_distance : How far the boundaries are apart.

    References
    ----------
    .. [1] S. Nikolov et al., "Clinically Applicable Segmentation of Head and Neck
       Anatomy for Radiotherapy", Journal of Medical Internet Research 23(7), 2021.

    Examples
    --------
    Pixels of 0.5 mm, and boundaries that may be 1 mm off:

    >>> import numpy as np
    >>> from sksegment.metrics import surface_dice_score
    >>> y_true = np.zeros((1, 40, 40), int)
    >>> y_true[0, 10:30, 10:30] = 1
    >>> y_pred = np.roll(y_true, 2, axis=2)
    >>> surface_dice_score(y_true, y_pred, tolerance=1.0, spacing=0.5)
    1.0
    """
    return _SURFACE_DICE.of(
        y_true,
        y_pred,
        labels,
        ignore_label,
        sample_weight,
        tolerance=tolerance,
        spacing=spacing,
        average=average,
        absent=absent,
        exclude=exclude,
        over=over,
    )
