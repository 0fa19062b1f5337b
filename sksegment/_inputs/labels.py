"""Label values: what the user writes in a mask <-> the classes 0..K-1 of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import format_some
from sksegment._inputs.containers import as_array, check_ordered

# The code of an ignored pixel. Negative, so that it can never be taken for a class.
IGNORED = -1
# In training, that of a pixel without data: not even an unlabelled one.
NO_DATA = -2
# Labels that usually mark pixels without a class.
USUAL_VOIDS = (255, -1)
# More labels than this, in all masks together, are not classes but instance ids or an
# interpolated mask.
MAX_FOUND_CLASSES = 256
# Where labels are counted, more of them than this are hardly classes, and the tables of
# the counts would not fit into memory.
MAX_LABELS = 4096

# Integer label values inside a span of this size are translated by a table (a gather),
# others by binary search: 65536 covers all 8- and 16-bit masks.
TABLE_SPAN = 65_536
MAX_INT64, MAX_UINT64 = 2**63 - 1, 2**64 - 1
# Pixels that are counted at a time.
BLOCK_PIXELS = 2**20


@dataclass(frozen=True)
class LabelEncoder:
    """Translate label values to class codes and back, with one ignored value.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The label values of the classes, sorted and distinct.
    ignore_label : object, default=None
        The label value that is not a class.
    argument : str, default="classes"
        What the user calls the classes.
    """

    classes: NDArray[Any]
    ignore_label: Any = None
    argument: str = "classes"

    def encode(self, mask: NDArray[Any], name: str = "the mask") -> NDArray[np.int32]:
        """Return the class code of each pixel, `IGNORED` where it has none.

        Raises
        ------
        ValueError
            If the mask holds a value that is neither a class nor the ignored label.
        """
        ignored = is_ignored(mask, self.ignore_label)
        codes, known = self._look_up(mask)
        if not np.all(known | ignored):
            self._raise_unknown(mask[~(known | ignored)], name)
        codes[ignored] = IGNORED
        return codes

    def decode(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Return the label values of class codes, in the dtype of `classes`."""
        return self.classes[codes]

    def _look_up(
        self, mask: NDArray[Any]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        classes = self.classes
        if not len(classes):  # every pixel is ignored, or unknown
            return np.zeros(mask.shape, np.int32), np.zeros(mask.shape, np.bool_)
        if _both_integers(mask, classes):
            low, high = int(classes[0]), int(classes[-1])
            if high - low < TABLE_SPAN and high <= MAX_INT64:
                return _table_look_up(mask, classes, low, high)
            return _search_integers(mask, classes, low, high)
        if (mask.dtype.kind in "US") != (classes.dtype.kind in "US"):
            return np.zeros(mask.shape, np.int32), np.zeros(mask.shape, np.bool_)
        codes = np.searchsorted(classes, mask).clip(max=len(classes) - 1)
        return codes.astype(np.int32), classes[codes] == mask

    def _raise_unknown(self, values: NDArray[Any], name: str) -> None:
        unknown = np.unique(values)
        raise ValueError(
            f"{name} holds the label {format_labels(unknown)}, expected the classes "
            f"{format_labels(self.classes)}{self._ignored_text()}. Name every label "
            f"of the task with {self.argument}=, or mark a label that is not a class "
            f"with ignore_label=."
        )

    def _ignored_text(self) -> str:
        if self.ignore_label is None:
            return ""
        return f" or the ignored label {self.ignore_label!r}"


def unique_labels(masks: Iterable[NDArray[Any]], ignore_label: Any) -> NDArray[Any]:
    """Return the sorted label values of all masks, the ignored one left out."""
    found = [distinct_labels(mask) for mask in masks]
    labels = merge_labels(found) if found else np.array([])
    return labels[~is_ignored(labels, ignore_label)]


def label_array(labels: Any, argument: str) -> NDArray[Any]:
    """Return labels that the user lists as an array, of strings or of numbers.

    pandas stores strings as objects; numpy turns integers beyond int64 into floats.

    Raises
    ------
    TypeError
        If the labels have no order, or numpy would turn one into another, such as 0
        beside "void" into "0".
    """
    check_ordered(argument, labels)
    array = as_array(labels, argument)
    if array.dtype.kind in "OT":
        array = as_array(array.tolist(), argument)
    array = _as_integers(array, labels)
    if array.ndim == 1 and array.dtype.kind in "buifUS":
        _check_none_changed(labels, array, argument)
    return array


def _as_integers(array: NDArray[Any], labels: Any) -> NDArray[Any]:
    """Undo numpy's conversion of integers that no int64 holds to floats."""
    if array.ndim != 1 or array.dtype.kind != "f" or not len(array):
        return array
    are_integers = all(isinstance(label, Integral) for label in labels)
    fits_uint64 = are_integers and array.min() >= 0
    return np.array([*labels], np.uint64) if fits_uint64 else array


def _check_none_changed(labels: Any, array: NDArray[Any], argument: str) -> None:
    for given, kept in zip(labels, array.tolist(), strict=True):
        is_text = isinstance(given, (str, bytes))
        same_kind = is_text == isinstance(kept, (str, bytes))
        is_nan = given != given
        if not same_kind or (given != kept and not is_nan):
            raise TypeError(
                f"{argument} mixes labels of several kinds: {given!r} would become "
                f"{kept!r}; expected all numbers, or all strings."
            )


def merge_labels(found: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the sorted distinct labels of several arrays.

    Whole numbers stay whole: numpy would combine int64 and uint64 to float64.

    Raises
    ------
    ValueError
        If no dtype of whole numbers holds them all.
    """
    labels = np.unique(np.concatenate(found))
    is_float = labels.dtype.kind == "f" and len(labels) > 0
    if not is_float or any(part.dtype.kind == "f" for part in found):
        return labels
    whole = sorted({label for part in found for label in part.tolist()})
    cure = f"masks without negative labels, or without any above {MAX_INT64}"
    return np.array(whole, dtype=whole_dtype(whole[0], whole[-1], cure))


def whole_dtype(low: int, high: int, cure: str) -> np.dtype[Any]:
    """Return a dtype of whole numbers that holds labels from `low` to `high`.

    Parameters
    ----------
    low, high : int
        The smallest label and the largest.
    cure : str
        What is expected instead, if there is no such dtype.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> whole_dtype(-1, 255, "other labels"), whole_dtype(0, 2**63, "other labels")
    (dtype('int64'), dtype('uint64'))
    """
    if low >= -MAX_INT64 - 1 and high <= MAX_INT64:
        return np.dtype(np.int64)
    if low >= 0 and high <= MAX_UINT64:
        return np.dtype(np.uint64)
    raise ValueError(
        f"The labels {low} and {high} fit into no dtype together; expected {cure}."
    )


def distinct_labels(mask: NDArray[Any]) -> NDArray[Any]:
    """Return the sorted distinct values of one mask."""
    if mask.dtype == np.bool_ or mask.dtype == np.uint8:
        values = mask.ravel().view(np.uint8)
        # Block by block: bincount makes numbers of 8 bytes of what it is given.
        blocks = range(0, len(values), BLOCK_PIXELS)
        counts = [
            np.bincount(values[start : start + BLOCK_PIXELS], minlength=256)
            for start in blocks
        ]
        return np.flatnonzero(np.sum(counts, axis=0)).astype(mask.dtype)
    return np.unique(mask)


class LabelCounts(NamedTuple):
    """How often each label occurs in a mask.

    Parameters
    ----------
    labels : ndarray of shape (n_labels,)
        The distinct values, sorted.
    pixels : ndarray of shape (n_labels,)
        Their pixels of positive weight.
    weights : ndarray of shape (n_labels,)
        The sum of the weights of those pixels.
    """

    labels: NDArray[Any]
    pixels: NDArray[np.float64]
    weights: NDArray[np.float64]


def count_labels(mask: NDArray[Any], weight: NDArray[np.float64] | None) -> LabelCounts:
    """Count the labels of one mask, whose weight is one number, or one per pixel."""
    if mask.dtype == np.bool_ or mask.dtype == np.uint8:
        labels, codes = distinct_labels(mask), mask.astype(np.intp).ravel()
        present = labels.astype(np.intp)
    else:
        labels, inverse = np.unique(mask, return_inverse=True)
        codes, present = inverse.astype(np.intp).ravel(), np.arange(len(labels))

    def total(weights: NDArray[Any] | None) -> NDArray[np.float64]:
        sums = np.bincount(codes, weights, minlength=present[-1] + 1)
        return sums[present].astype(np.float64)

    if weight is None or weight.ndim == 0:
        pixels, share = total(None), 1.0 if weight is None else float(weight)
        return LabelCounts(labels, pixels * (share > 0), pixels * share)
    return LabelCounts(labels, total(weight.ravel() > 0), total(weight.ravel()))


def is_ignored(values: NDArray[Any], ignore_label: Any) -> NDArray[np.bool_]:
    """Tell where `values` equals the ignored label; nowhere if there is none.

    Raises
    ------
    TypeError
        If the ignored label is not one value.
    """
    check_one_label(ignore_label)
    kinds = {np.asarray(ignore_label).dtype.kind, values.dtype.kind}
    # numpy cannot compare text with numbers, nor strings with bytes.
    if ignore_label is None or (len(kinds) > 1 and kinds & {"U", "S"}):
        return np.zeros(values.shape, dtype=np.bool_)
    if values.dtype == np.bool_:  # compared with large integers, booleans overflow
        values = values.view(np.uint8)
    return np.asarray(values == ignore_label)


def check_one_label(ignore_label: Any) -> None:
    """Reject several ignored labels: numpy would compare them one by one."""
    if np.ndim(ignore_label):
        raise TypeError(
            f"ignore_label is {ignore_label!r}; expected one label value, or None."
        )


def label_kind(dtype: np.dtype[Any]) -> str:
    """Return the kind of labels of a dtype: labels of two kinds are never equal."""
    return {"U": "strings", "S": "bytes"}.get(dtype.kind, "numbers")


def labels_in_json(labels: NDArray[Any]) -> list[Any]:
    """Return labels as JSON can hold them, bytes as text.

    Examples
    --------
    >>> labels_in_json(np.array([b"sky", b"road"]))
    ['sky', 'road']
    """
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "backslashreplace")
    return list(labels.tolist())


def check_one_kind(labels: Iterable[NDArray[Any]]) -> None:
    """Reject masks of several kinds of labels."""
    kinds = sorted({label_kind(found.dtype) for found in labels}, reverse=True)
    if len(kinds) > 1:
        raise TypeError(
            f"y mixes masks of {' and of '.join(kinds)}; expected one kind."
        )


def format_labels(labels: NDArray[Any], limit: int = 8) -> str:
    """Write labels for a message, at most `limit` of them."""
    return format_some(labels.tolist(), limit)


def _both_integers(mask: NDArray[Any], classes: NDArray[Any]) -> bool:
    return mask.dtype.kind in "bui" and classes.dtype.kind in "bui"


def _table_look_up(
    mask: NDArray[Any], classes: NDArray[Any], low: int, high: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    table = np.full(high - low + 1, IGNORED, dtype=np.int32)
    table[classes.astype(np.int64) - low] = np.arange(len(classes), dtype=np.int32)
    if mask.dtype == np.uint8 and 0 <= low <= high < 256:
        # No index can be outside: several times as fast.
        codes = np.full(256, IGNORED, dtype=np.int32)
        codes[low : high + 1] = table
        return (found := codes[mask]), found != IGNORED
    inside = (mask >= low) & (mask <= high)
    offset = mask.astype(np.int64) - low
    offset[~inside] = 0
    codes = table[offset]
    return codes, inside & (codes != IGNORED)


def _search_integers(
    mask: NDArray[Any], classes: NDArray[Any], low: int, high: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    inside = (mask >= low) & (mask <= high)
    # Inside, all values fit the dtype of the classes. Left to itself, numpy compares
    # int64 and uint64 as float64, which holds no more than 53 bits of them.
    values = mask.astype(classes.dtype)
    values[~inside] = classes[0]
    codes = np.searchsorted(classes, values)
    return codes.astype(np.int32), inside & (classes[codes] == values)
