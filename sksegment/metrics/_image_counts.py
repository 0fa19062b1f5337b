"""What is counted of the classes of each image, whose labels come up one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import merge_labels
from sksegment.metrics._accumulator import Weight
from sksegment.metrics._confusion_matrix import (
    ConfusionAccumulator,
    as_labels,
    check_kinds,
    positions,
)


class ImageCounts:
    """Counts of the classes of each image.

    Parameters
    ----------
    labels : array-like of shape (n_classes,) or None
        The labels of the classes, in order; None collects those that occur.
    ignore_label : object
        The label that is no class; it must not be one of `labels`.
    """

    def __init__(self, labels: Any, ignore_label: Any) -> None:
        self.named = None if labels is None else as_labels(labels, ignore_label)
        self._found = np.array([])
        self._parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self.weights: list[float] = []

    @property
    def labels(self) -> NDArray[Any]:
        """The labels of the classes, in order."""
        return self._found if self.named is None else self.named

    def add(self, values: NDArray[Any], counts: NDArray[Any], weight: Weight) -> None:
        """Add the counts, of shape (n_counts, n_values), of the next image."""
        self._collect(values)
        self._parts.append((values, counts))
        self.weights.append(weight_of_image(weight))

    def _collect(self, values: NDArray[Any]) -> None:
        if not len(values):
            return
        if not len(self._found):
            self._found = values[:0]  # now that the kind of the labels is known
        index = len(self._parts)
        check_kinds(values, self._found, f"image {index} and the images before it")
        self._found = merge_labels([self._found, values])

    def table(self, fill: float = 0.0) -> NDArray[np.float64]:
        """Return all counts, (n_counts, n_images, n_classes).

        Classes that an image does not have get `fill`.
        """
        n_counts = len(self._parts[0][1])
        shape = n_counts, len(self._parts), len(self.labels)
        table = np.full(shape, fill, np.float64)
        for index, (values, counts) in enumerate(self._parts):
            table[:, index, positions(values, self.labels, "", index)] = counts
        return table


def weight_of_image(weight: Weight) -> float:
    """Return the weight of an image as a whole, 1 if its pixels have some."""
    return 1.0 if weight is None or weight.ndim else float(weight)


class ImageConfusionAccumulator(ConfusionAccumulator):
    """Count pixels by true and predicted label, and keep the counts of each image.

    All scores follow from the three numbers of each class that are kept, so no array of
    shape (n_images, n_classes, n_classes) has to be in memory.

    Parameters
    ----------
    labels : array-like of shape (n_classes,) or None
        The labels of the matrix, in order; None collects those that occur.
    ignore_label : object
        Pixels with this true label are dropped; None drops none.
    """

    def __init__(self, labels: Any, ignore_label: Any) -> None:
        super().__init__(labels, ignore_label)
        self._images = ImageCounts(labels, ignore_label)

    @property
    def weights(self) -> list[float]:
        """The weight of each image."""
        return self._images.weights

    def class_counts(self) -> NDArray[np.float64]:
        """Return the three numbers of each class in each image."""
        return self._images.table()

    def _add_cells(
        self, cells: tuple[NDArray[Any], ...], part: NDArray[Any], weight: Weight
    ) -> None:
        super()._add_cells(cells, part, weight)
        rows, columns = (cell.ravel() for cell in cells)
        counts = np.zeros((3, len(self.labels)), part.dtype)
        both, *places = np.intersect1d(rows, columns, return_indices=True)
        counts[0, both] = part[tuple(places)]
        counts[1, rows], counts[2, columns] = part.sum(axis=1), part.sum(axis=0)
        kept = np.union1d(rows, columns)
        self._images.add(self.labels[kept], counts[:, kept], weight)


def count_pixels(
    labels: Any, ignore_label: Any, *, by_image: bool
) -> ConfusionAccumulator:
    """Return an empty accumulator, of all images together or of each of them."""
    kind = ImageConfusionAccumulator if by_image else ConfusionAccumulator
    return kind(labels, ignore_label)
