"""Pairs of masks as class codes, counted image by image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.labels import (
    LabelEncoder,
    is_ignored,
    merge_labels,
    unique_labels,
)
from sksegment.metrics._accumulator import Weight, check_size
from sksegment.metrics._confusion_matrix import (
    check_kinds,
    check_not_ignored,
    check_number_of_labels,
    positions,
)
from sksegment.metrics._edges import NO_CLASS
from sksegment.metrics._image_counts import ImageCounts

# Takes the codes of both masks, the number of classes, and the weight of each pixel, if
# any; returns counts of shape (n_counts, n_classes).
Count = Callable[
    [NDArray[Any], NDArray[Any], int, NDArray[np.float64] | None], NDArray[Any]
]


class PairAccumulator:
    """Count something of the masks of each image that takes whole masks.

    Ignored pixels have no class in either mask, like what lies outside the image.

    Parameters
    ----------
    labels : array-like of shape (n_classes,) or None
        The labels of the classes, in order; None collects those that occur.
    ignore_label : object
        Pixels with this true label have no class.
    count : callable
        Counts one pair.
    by_image : bool
        Whether the counts of images are kept apart.
    fill : float, default=0.0
        What stands for the classes that an image does not have.
    """

    def __init__(
        self,
        labels: Any,
        ignore_label: Any,
        count: Count,
        *,
        by_image: bool,
        fill: float = 0.0,
    ) -> None:
        self._ignore_label = ignore_label
        self._count = count
        self._by_image = by_image
        self._fill = fill
        self._counts = ImageCounts(labels, ignore_label)

    @property
    def labels(self) -> NDArray[Any]:
        """The labels of the classes."""
        return self._counts.labels

    @property
    def weights(self) -> list[float]:
        """The weight of each image."""
        return self._counts.weights

    def class_counts(self) -> NDArray[Any]:
        """Return the counts of each class, and of each image if they are apart."""
        table = self._counts.table(self._fill)
        return table if self._by_image else np.asarray(table.sum(axis=1))

    def items(self, predictions: Any) -> ImageList:
        """Return the predicted masks, checked."""
        return as_masks(predictions, "y_pred")

    def add(
        self, mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
    ) -> None:
        """Count image `index`."""
        check_size(mask, prediction.shape, "y_pred", index)
        check_kinds(mask, prediction, f"y_true and y_pred of image {index}")
        values, true, predicted = self._encode(mask, prediction, index)
        self._add_codes(values, true, predicted, weight)

    def _add_codes(
        self,
        values: NDArray[Any],
        true: NDArray[Any],
        predicted: NDArray[Any],
        weight: Weight,
    ) -> None:
        spread = None if weight is None else np.broadcast_to(weight, true.shape)
        counts = self._count(true, predicted, len(values), spread)
        self._counts.add(values, counts, weight)

    def _encode(
        self, mask: NDArray[Any], prediction: NDArray[Any], index: int
    ) -> tuple[NDArray[Any], NDArray[np.int16], NDArray[np.int16]]:
        """Return the labels of an image, and both masks as positions among them."""
        counted = ~is_ignored(mask, self._ignore_label)
        pixels = mask[counted], prediction[counted]
        found = [unique_labels([part], None) for part in pixels]
        self._check_labels(found[0], found[1], index)
        values = merge_labels(found)
        true, predicted = (_codes(part, counted, values) for part in pixels)
        return values, true, predicted

    def _check_labels(
        self, true: NDArray[Any], predicted: NDArray[Any], index: int
    ) -> None:
        check_not_ignored(predicted, self._ignore_label, index)
        check_number_of_labels(merge_labels([true, predicted]), index)
        if self._counts.named is not None:
            positions(true, self._counts.named, "y_true", index)
            positions(predicted, self._counts.named, "y_pred", index)


def _codes(
    pixels: NDArray[Any], counted: NDArray[np.bool_], values: NDArray[Any]
) -> NDArray[np.int16]:
    """Return the positions of the pixels that count among `values`, as a mask."""
    codes = np.full(counted.shape, NO_CLASS, np.int16)
    if len(values):
        codes[counted] = LabelEncoder(values).encode(pixels)
    return codes
