"""The confusion matrix of all pixels of all images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.labels import (
    MAX_LABELS,
    LabelEncoder,
    format_labels,
    is_ignored,
    label_array,
    merge_labels,
    unique_labels,
)
from sksegment.metrics._accumulator import (
    BLOCK_PIXELS,
    Weight,
    accumulate_all,
    check_size,
    row_blocks,
)
from sksegment.metrics._counting import BYTE_SPAN, faster_count, pair_codes

# Pixels counted at a time: enough that adding up the cells costs less than counting.
COUNTED_PIXELS = 4 * BLOCK_PIXELS
# Up to here, every integer is exact as a float.
MAX_EXACT = 2**53


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix and the labels of its rows and columns.

    Parameters
    ----------
    labels : ndarray of shape (n_classes,)
        The labels, in the order of rows and columns.
    counts : ndarray of shape (n_classes, n_classes)
        Pixels (int64), or sums of weights (float64), by true label and prediction.
    """

    labels: NDArray[Any]
    counts: NDArray[Any]


class ConfusionAccumulator:
    """Count pixels by true and predicted label, one pair of masks at a time.

    Parameters
    ----------
    labels : array-like of shape (n_classes,) or None
        The labels of the matrix, in order; None collects those that occur.
    ignore_label : object
        Pixels with this true label are dropped; None drops none.
    """

    def __init__(self, labels: Any, ignore_label: Any) -> None:
        self._collects = labels is None
        known = np.array([]) if labels is None else as_labels(labels, ignore_label)
        empty = np.zeros((len(known), len(known)), np.int64)
        self._ignore_label = ignore_label
        self.confusion = Confusion(known, empty)

    @property
    def labels(self) -> NDArray[Any]:
        """The labels of the classes."""
        return self.confusion.labels

    @property
    def weights(self) -> list[float]:
        """The weights of images that are kept apart: there are none."""
        return []

    def class_counts(self) -> NDArray[Any]:
        """Return pixels in both masks, true and predicted ones, (3, n_classes)."""
        counts = self.confusion.counts
        return np.stack([counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)])

    def items(self, predictions: Any) -> ImageList:
        """Return the predicted masks, checked."""
        return as_masks(predictions, "y_pred")

    def add(
        self, mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
    ) -> None:
        """Count the pixels of image `index`."""
        check_size(mask, prediction.shape, "y_pred", index)
        check_kinds(mask, prediction, f"y_true and y_pred of image {index}")
        values, seen, counts = _tabulate(mask, prediction, weight, index)
        kept = ~is_ignored(values, self._ignore_label)
        rows, columns = kept & seen.any(axis=1), seen[kept].any(axis=0)
        check_not_ignored(values[columns], self._ignore_label, index)
        if self._collects:
            self._collect(values[rows | columns], index)
        labels = self.confusion.labels
        cells = np.ix_(
            positions(values[rows], labels, "y_true", index),
            positions(values[columns], labels, "y_pred", index),
        )
        self._add_cells(cells, counts[np.ix_(rows, columns)], weight)

    def _add_cells(
        self, cells: tuple[NDArray[Any], ...], part: NDArray[Any], weight: Weight
    ) -> None:
        """Add the counts of one image, whose pixels have been weighted."""
        labels, counts = self.confusion.labels, self.confusion.counts
        counts = counts.astype(np.result_type(counts, part), copy=False)
        counts[cells] += part
        self.confusion = Confusion(labels, counts)

    def _collect(self, values: NDArray[Any], index: int) -> None:
        """Grow the matrix by the labels that it does not have yet."""
        labels, counts = self.confusion.labels, self.confusion.counts
        if not len(labels):
            labels = values[:0]  # now that the kind of the labels is known
        check_kinds(values, labels, f"image {index} and the images before it")
        grown = merge_labels([labels, values])
        if len(grown) == len(labels):
            return
        old = np.searchsorted(grown, labels)
        larger = np.zeros((len(grown), len(grown)), counts.dtype)
        larger[np.ix_(old, old)] = counts
        self.confusion = Confusion(grown, larger)


def check_not_ignored(predicted: NDArray[Any], ignore_label: Any, index: int) -> None:
    """Reject the ignored label among those predicted on pixels that count."""
    if is_ignored(predicted, ignore_label).any():
        raise ValueError(
            f"y_pred of image {index} holds ignore_label={ignore_label!r} where y_true "
            f"does not; expected a class on every pixel that counts. If a segmenter "
            f"with nodata= predicted it where there is no data, give y_true that label "
            f"there, too; its score method and the scorers do so."
        )


def as_labels(labels: Any, ignore_label: Any) -> NDArray[Any]:
    """Return `labels` as an array, or say what is wrong with them."""
    array = label_array(labels, "labels")
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"labels={labels!r} has shape {array.shape}; expected a list of at least "
            f"one label."
        )
    if len(np.unique(array)) != len(array):
        raise ValueError(f"labels={labels!r} holds a label twice; expected each once.")
    if is_ignored(array, ignore_label).any():
        raise ValueError(
            f"ignore_label={ignore_label!r} is one of labels={format_labels(array)}; "
            f"expected a label that is not a class. Leave it out of labels, or use "
            f"exclude= to leave a class out of an average."
        )
    return array


def positions(
    values: NDArray[Any], labels: NDArray[Any], argument: str, index: int
) -> NDArray[np.intp]:
    """Return where each of `values` is in `labels`, or say which is not there."""
    if not len(values):
        return np.array([], np.intp)
    if np.array_equal(values, labels):
        return np.arange(len(labels))
    order = np.argsort(labels)
    unknown = np.ones(len(values), np.bool_)
    found = np.zeros(len(values), np.intp)
    if _is_text(values) == _is_text(labels):
        rank = np.searchsorted(labels, values, sorter=order)
        found = order[rank.clip(max=len(labels) - 1)]
        unknown = labels[found] != values
    if unknown.any():
        raise ValueError(
            f"{argument} of image {index} holds the label "
            f"{format_labels(values[unknown])}, expected {format_labels(labels)}. Name "
            f"every label of the task with labels= (to score an estimator: with its "
            f"classes=), or mark a label that is not a class with ignore_label=."
        )
    return found


def _tabulate(
    mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    """Count one pair of masks: the values, their pixels, and the weighted pixels."""
    values, blocks = _byte_blocks(mask, prediction) or _coded_blocks(
        mask, prediction, index
    )
    size = len(values)
    seen = np.zeros(size * size, np.int64)
    heavy = None if weight is None or weight.ndim == 0 else np.zeros(size * size)
    count = None
    for rows, true, predicted in blocks:
        if count is None:  # the first block stands for the others
            count = faster_count(true, predicted)
        seen += count(true, predicted, size)
        if heavy is not None and weight is not None:
            codes = pair_codes(true, predicted, size)
            part = weight[rows].ravel()
            heavy += np.bincount(codes, weights=part, minlength=size * size)
    square = seen.reshape(size, size)
    if heavy is not None:
        return values, square, heavy.reshape(size, size)
    return values, square, square if weight is None else square * weight


# Rows, and the codes of their pixels in both masks.
Blocks = Iterator[tuple[slice, NDArray[Any], NDArray[Any]]]


def _byte_blocks(
    mask: NDArray[Any], prediction: NDArray[Any]
) -> tuple[NDArray[Any], Blocks] | None:
    """Return values and codes of masks with a small span; None for others."""
    if _is_text(mask):
        return None
    high = int(max(mask.max(), prediction.max()))
    low = 0
    if not (high < BYTE_SPAN and _are_never_negative(mask, prediction)):
        low = int(min(mask.min(), prediction.min()))
        low = 0 if low >= 0 and high < BYTE_SPAN else low
    if high - low >= BYTE_SPAN or max(-low, high) > MAX_EXACT:
        return None
    dtype = np.result_type(mask, prediction)
    if dtype.kind == "f" and "f" not in mask.dtype.kind + prediction.dtype.kind:
        dtype = np.dtype(np.int64)  # numpy would combine int64 and uint64 to float64
    values = np.arange(low, high + 1).astype(dtype)

    def blocks() -> Blocks:
        for rows in row_blocks(mask.shape, COUNTED_PIXELS):
            true = _as_bytes(mask[rows], low).ravel()
            yield rows, true, _as_bytes(prediction[rows], low).ravel()

    return values, blocks()


def _are_never_negative(*masks: NDArray[Any]) -> bool:
    return all(mask.dtype.kind in ("b", "u") for mask in masks)


def _as_bytes(block: NDArray[Any], low: int) -> NDArray[np.uint8]:
    if low == 0:
        if block.dtype.kind == "b":  # views can have other bytes than 0 and 1
            return (block.view(np.uint8) != 0).view(np.uint8)
        if block.dtype.itemsize == 1:
            return block.view(np.uint8)
        return block.astype(np.uint8)
    # int8 minus a negative int8 would overflow.
    wide: NDArray[np.int64] = np.subtract(block, low, dtype=np.int64, casting="unsafe")
    return wide.astype(np.uint8)


def _coded_blocks(
    mask: NDArray[Any], prediction: NDArray[Any], index: int
) -> tuple[NDArray[Any], Blocks]:
    """Return values and codes of masks with any values, strings among them."""
    small = row_blocks(mask.shape)
    values = unique_labels(
        (part[rows] for rows in small for part in (mask, prediction)), None
    )
    check_number_of_labels(values, index)
    encoder = LabelEncoder(values)

    def blocks() -> Blocks:
        for rows in row_blocks(mask.shape, COUNTED_PIXELS):
            true = encoder.encode(mask[rows]).ravel()
            yield rows, true, encoder.encode(prediction[rows]).ravel()

    return values, blocks()


def check_number_of_labels(values: NDArray[Any], index: int) -> None:
    """Reject so many labels that they cannot be classes, nor their table be held."""
    if len(values) > MAX_LABELS:
        raise ValueError(
            f"y_true and y_pred of image {index} hold {len(values)} different labels; "
            f"expected at most {MAX_LABELS}. Are they instance numbers, not classes?"
        )


def check_kinds(first: NDArray[Any], second: NDArray[Any], where: str) -> None:
    """Reject strings beside numbers."""
    if _is_text(first) != _is_text(second):
        raise ValueError(
            f"Mix of label types: {where} hold strings and numbers; expected one kind."
        )


def _is_text(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "US"


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

    See Also
    --------
    sksegment.display.ConfusionDisplay : Draws it.
    segmentation_report : The scores that follow from it.

    Examples
    --------
    >>> from sksegment.metrics import pixel_confusion_matrix
    >>> y_true = [[[0, 0, 1], [1, 1, 255]]]
    >>> y_pred = [[[0, 1, 1], [1, 1, 0]]]
    >>> pixel_confusion_matrix(y_true, y_pred, ignore_label=255)
    array([[1, 1],
           [0, 3]])
    """
    accumulator = ConfusionAccumulator(labels, ignore_label)
    return accumulate_all(accumulator, y_true, y_pred, sample_weight).confusion.counts
