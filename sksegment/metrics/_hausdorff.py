"""The Hausdorff distance: how far the boundaries of two masks are apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.checks import check_choice, check_number
from sksegment.metrics._accumulator import Weight
from sksegment.metrics._edges import (
    NO_CLASS,
    class_edges,
    edge_distances,
    pixel_sides,
)
from sksegment.metrics._image_sample import ImageSample
from sksegment.metrics._pair_accumulator import PairAccumulator
from sksegment.metrics._score import Score, computed_by

Sides = tuple[float, float]


def _class_distances(
    true: NDArray[Any], predicted: NDArray[Any], spacing: Sides
) -> Iterator[tuple[int, list[NDArray[np.float64]]]]:
    """Yield each class in both masks with the distances of the edges of either."""
    edges = class_edges(true), class_edges(predicted)
    codes = [part[part != NO_CLASS] for part in edges]
    distances = [edge_distances(*pair, spacing) for pair in (edges, edges[::-1])]
    for code in np.intersect1d(*codes):
        pairs = zip(codes, distances, strict=True)
        yield int(code), [lengths[found == code] for found, lengths in pairs]


def _measure(
    true: NDArray[Any],
    predicted: NDArray[Any],
    n_classes: int,
    _: Any,
    percentile: float,
    spacing: Sides,
) -> NDArray[np.float64]:
    """Return the distance of each class in one image, NaN if it has none."""
    measured = np.full((1, n_classes), np.nan)
    for code, directed in _class_distances(true, predicted, spacing):
        ends = [np.percentile(lengths, percentile) for lengths in directed]
        measured[0, code] = max(ends)
    return measured


class ImageDistances(PairAccumulator):
    """The Hausdorff distance of each class in each image."""

    def __init__(
        self, labels: Any, ignore_label: Any, percentile: float, spacing: Sides
    ) -> None:
        count = partial(self._measure, percentile=percentile, spacing=spacing)
        super().__init__(labels, ignore_label, count, by_image=True, fill=np.nan)
        self.n_undefined = 0

    def _measure(self, *masks: Any, **settings: Any) -> NDArray[np.float64]:
        measured = _measure(*masks, **settings)
        self.n_undefined += int(np.isnan(measured).sum())
        return measured

    def add(
        self, mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
    ) -> None:
        """Add image `index`."""
        if weight is not None and weight.ndim:
            raise ValueError(
                "sample_weight holds weights of pixels; expected one weight per image: "
                "a distance is not a sum over pixels. Mark pixels that should not "
                "count with ignore_label=."
            )
        super().add(mask, prediction, weight, index)


class PooledDistances(PairAccumulator):
    """The Hausdorff distance of each class over the edges of all images.

    Each distance is kept with the number of times it occurs: there are few different
    ones, as pixels lie on a grid.
    """

    def __init__(
        self, labels: Any, ignore_label: Any, percentile: float, spacing: Sides
    ) -> None:
        super().__init__(labels, ignore_label, _nothing, by_image=False)
        self._percentile = percentile
        self._spacing = spacing
        self._lengths: dict[Any, tuple[Counter[float], Counter[float]]] = {}

    def _add_codes(
        self,
        values: NDArray[Any],
        true: NDArray[Any],
        predicted: NDArray[Any],
        weight: Weight,
    ) -> None:
        if weight is not None:
            raise ValueError(
                "sample_weight was given with over='pixels'; expected over='images', "
                "whose mean takes one weight per image: a percentile takes none."
            )
        super()._add_codes(values, true, predicted, weight)
        for code, directed in _class_distances(true, predicted, self._spacing):
            label = values[code].item()
            known = self._lengths.setdefault(label, (Counter(), Counter()))
            for counter, lengths in zip(known, directed, strict=True):
                found, times = np.unique(lengths, return_counts=True)
                counter.update(dict(zip(found.tolist(), times.tolist(), strict=True)))

    def class_counts(self) -> NDArray[np.float64]:
        """Return the distance of each class, NaN if it has none."""
        measured = np.full((1, len(self.labels)), np.nan)
        for position, label in enumerate(self.labels.tolist()):
            if label in self._lengths:
                ends = [
                    percentile_of(counter, self._percentile)
                    for counter in self._lengths[label]
                ]
                measured[0, position] = max(ends)
        return measured


def _nothing(
    true: NDArray[Any], predicted: NDArray[Any], n_classes: int, weights: Any
) -> NDArray[np.float64]:
    return np.zeros((1, n_classes))


def percentile_of(counter: Counter[float], percentile: float) -> float:
    """Return what `np.percentile` returns of the values, each as often as it occurs."""
    values = np.array(sorted(counter))
    last = np.cumsum([counter[value] for value in values.tolist()]) - 1
    position = percentile / 100 * last[-1]
    below, above = np.searchsorted(last, [np.floor(position), np.ceil(position)])
    low, high = float(values[below]), float(values[above])
    return low + position % 1 * (high - low)


def _distance_accumulator(
    labels: Any, ignore_label: Any, *, by_image: bool, percentile: Any, spacing: Any
) -> PairAccumulator:
    check_number("percentile", percentile, 0, 100)
    kind = ImageDistances if by_image else PooledDistances
    return kind(labels, ignore_label, percentile, pixel_sides(spacing))


def _as_is(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the distances, which are what was counted."""
    return np.asarray(counts[0], np.float64)


class DistanceScore(Score):
    """A distance: it has averages over classes and images, and no sums of counts."""

    def start(self, labels: Any, ignore_label: Any, **arguments: Any) -> Any:
        """Return an empty accumulator; reject wrong arguments before any is read."""
        check_choice("average", arguments.get("average", "macro"), ("macro", None))
        return super().start(labels, ignore_label, **arguments)

    def sample(self, accumulator: Any, **arguments: Any) -> ImageSample:
        """Return the images, whose distances have a mean."""
        if arguments.get("over", "images") != "images":
            raise ValueError(
                "over is 'pixels'; expected 'images': the images of a sample have a "
                "mean distance, but not one that follows from those of each image."
            )
        return super().sample(accumulator, **arguments)


_HAUSDORFF = DistanceScore(_distance_accumulator, _as_is)


@computed_by(_HAUSDORFF)
def hausdorff_distance(
    y_true: Any,
    y_pred: Any,
    *,
    percentile: float = 95,
    spacing: float | Sequence[float] = 1.0,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    average: str | None = "macro",
    absent: float = np.nan,
    exclude: Sequence[Any] = (),
    over: str = "images",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Distance between the boundaries of true and predicted classes, 0 at best.

    Each edge pixel of a class has a distance to the nearest edge pixel of that class in
    the other mask. Of these, a percentile is taken for each of the two masks, and the
    larger of the two is the distance of the class [1]_. An edge pixel belongs to a
    class and shares a side with a pixel that does not, or lies at the border of the
    image.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks.
    percentile : float, default=95
        Between 0 and 100. The maximum, 100, is the Hausdorff distance itself, which a
        single wrong pixel can decide; 95 is known as HD95.
    spacing : float or sequence of 2 floats, default=1.0
        The side of a pixel, or its height and its width; distances are in its unit.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count. They have no class in either mask,
        like what lies outside the image.
    average : {"macro"} or None, default="macro"
        "macro" is the mean over the classes, None averages nothing.
    absent : float, default=nan
        The distance of a class that is missing in one of the two masks of an image, or
        in both. NaN leaves it out of the means.
    exclude : sequence of label, default=()
        Classes to leave out of the mean.
    over : {"pixels", "images"}, default="images"
        Average the distances of single images, which is what is usually published, or
        take the percentile over the edges of all images that have the class in both
        masks.
    sample_weight : array-like of shape (n,), default=None
        Weights of the images in the mean over images.

    Returns
    -------
    float or ndarray of shape (n_classes,)
        The distance, or one distance per class with `average=None`.

    Raises
    ------
    ValueError, TypeError
        As in `iou_score`; if `percentile` is not between 0 and 100, `spacing` does not
        hold one or two positive numbers, or `sample_weight` has weights of pixels.

    Warns
    -----
    UndefinedMetricWarning
        If no class of any image has a distance and `absent` is NaN.

    See Also
    --------
    surface_dice_score : The share of the boundaries within a tolerance.
    make_segmentation_scorer : With `greater_is_better=False`, for `scoring=`.

    References
    ----------
    .. [1] A. A. Taha, A. Hanbury, "Metrics for evaluating 3D medical image
       segmentation: analysis, selection, and tool", BMC Medical Imaging 15, 2015.

    Examples
    --------
    A square of pixels of 0.5 mm, predicted 3 pixels too far to the right:

    >>> import numpy as np
    >>> from sksegment.metrics import hausdorff_distance
    >>> y_true = np.zeros((1, 40, 40), int)
    >>> y_true[0, 10:30, 10:30] = 1
    >>> y_pred = np.roll(y_true, 3, axis=2)
    >>> hausdorff_distance(y_true, y_pred, spacing=0.5, exclude=(0,))
    1.5
    """
    return _HAUSDORFF.of(
        y_true,
        y_pred,
        labels,
        ignore_label,
        sample_weight,
        percentile=percentile,
        spacing=spacing,
        average=average,
        absent=absent,
        exclude=exclude,
        over=over,
    )
