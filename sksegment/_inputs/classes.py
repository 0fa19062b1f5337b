"""Which label values are the classes of a task, and how many pixels each has."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import (
    MAX_FOUND_CLASSES,
    USUAL_VOIDS,
    LabelCounts,
    LabelEncoder,
    check_one_kind,
    check_one_label,
    format_labels,
    is_ignored,
    label_array,
    label_kind,
    merge_labels,
)
from sksegment._inputs.mixed_scales import masks_of_255

# Most tasks have fewer classes.
MANY_CLASSES = 64


def check_classes(classes: Any, ignore_label: Any) -> NDArray[Any] | None:
    """Return the classes that the user names, sorted."""
    if classes is None:
        return None
    named = label_array(classes, "classes")
    if named.ndim != 1 or named.dtype.kind not in "buifUS" or not len(named):
        raise ValueError(
            f"classes is {classes!r}; expected a list of the label values of the task."
        )
    if named.dtype.kind == "f" and not _are_whole(named):
        raise ValueError(
            f"classes is {classes!r}; expected whole numbers, as masks hold no others."
        )
    if len(np.unique(named)) < len(named):
        raise ValueError(f"classes is {classes!r}; expected each label value once.")
    if is_ignored(named, ignore_label).any():
        raise ValueError(
            f"ignore_label={ignore_label!r} is also one of classes={classes!r}; "
            f"expected a label that is not a class."
        )
    return np.unique(named)


def check_passed_classes(classes: Any, ignore_label: Any) -> NDArray[Any] | None:
    """Return the classes that a call passes, sorted, without the ignored label.

    Tools that train step by step pass the label values of all masks.
    """
    if classes is None:
        return None
    named = label_array(classes, "classes")
    if named.ndim == 1:
        named = named[~is_ignored(named, ignore_label)]
    return check_classes(named, ignore_label)


def _are_whole(labels: NDArray[Any]) -> bool:
    return bool(np.all(np.isfinite(labels) & (labels == np.floor(labels))))


def check_kind_of_ignored(ignore_label: Any, labels: list[NDArray[Any]]) -> None:
    """Reject text as the ignored label of numeric masks: it could never occur."""
    check_one_label(ignore_label)
    if ignore_label is None:
        return
    kind = label_kind(np.asarray(ignore_label).dtype)
    if kind not in {label_kind(found.dtype) for found in labels}:
        raise TypeError(
            f"ignore_label is {ignore_label!r}, but the labels of y are "
            f"{format_labels(labels[0])}; expected a value of their kind."
        )


def encoder_of_masks(
    labels: list[NDArray[Any]],
    name: Callable[[int], str],
    classes: NDArray[Any] | None,
    ignore_label: Any,
) -> LabelEncoder:
    """Return an encoder of the classes that masks hold, or of those that are named.

    Parameters
    ----------
    labels : list of ndarray
        The label values of each mask.
    name : callable
        Names a mask by its index, for a message.
    classes : ndarray or None
        The classes of the task; None for those that are found.
    ignore_label : object
        The label value that is not a class.

    Raises
    ------
    ValueError, TypeError
        If a label is unknown, or the labels cannot be classes.
    """
    check_kind_of_ignored(ignore_label, labels)
    if classes is not None:
        encoder = LabelEncoder(_in_dtype_of_masks(classes, labels), ignore_label)
        for index, found in enumerate(labels):
            encoder.encode(found, name(index))
        return encoder
    check_one_kind(labels)
    found = merge_labels(labels)
    found = found[~is_ignored(found, ignore_label)]
    if not len(found):
        raise ValueError(nothing_labelled_message(ignore_label))
    if len(found) > MAX_FOUND_CLASSES:
        raise ValueError(
            f"y holds {len(found)} different labels ({format_labels(found)}): they "
            f"look like instance ids, or a mask that was interpolated or saved as "
            f"JPEG. If they are classes, name them with classes=."
        )
    if not _warn_of_two_scales(labels, name, ignore_label):
        _warn_of_void(found, ignore_label)
    _warn_of_many(found)
    _warn_of_one_class(found)
    return LabelEncoder(found, ignore_label)


def _in_dtype_of_masks(
    classes: NDArray[Any], labels: list[NDArray[Any]]
) -> NDArray[Any]:
    """Give integer classes the dtype of the masks, if that holds them all.

    A list of classes is int64; uint8 masks should come back as uint8.
    """
    dtype = np.result_type(*(found.dtype for found in labels))
    if classes.dtype.kind not in "iu" or dtype.kind not in "iu":
        return classes
    cast = classes.astype(dtype)
    return cast if np.array_equal(cast, classes) else classes


def nothing_labelled_message(ignore_label: Any) -> str:
    """Say that training has nothing to learn from."""
    ignored = (
        ""
        if ignore_label is None
        else f"are ignored (ignore_label={ignore_label!r}, which pixels that nodata "
        f"marks have, too) or "
    )
    return (
        f"No pixel of y takes part: all {ignored}have weight 0; expected at least one "
        f"labelled pixel."
    )


def _warn_of_two_scales(
    labels: list[NDArray[Any]], name: Callable[[int], str], ignore_label: Any
) -> bool:
    """Warn about masks of 0 and 255 among masks of 0 and 1; tell whether there are."""
    large = masks_of_255([found[~is_ignored(found, ignore_label)] for found in labels])
    if large:
        warnings.warn(
            f"{len(large)} of {len(labels)} masks hold 0 and 255 ({name(large[0])}), "
            f"the others 0 and 1: 1 and 255 become two classes. If they mean the same, "
            f"pass mask > 0; if 255 marks pixels without a class, pass "
            f"ignore_label=255; if they are two classes, name all labels with classes= "
            f"to silence this warning.",
            UserWarning,
            stacklevel=2,
        )
    return bool(large)


def _warn_of_void(classes: NDArray[Any], ignore_label: Any) -> None:
    """Warn about a label that usually means "no class" and is about to become one."""
    # Two labels are a genuine binary mask, 0/255 above all.
    if ignore_label is not None or len(classes) < 3 or classes.dtype.kind in "US":
        return
    for void in USUAL_VOIDS:
        if np.any(classes == void):
            warnings.warn(
                f"The label {void} of y becomes one of {len(classes)} classes. If it "
                f"marks pixels without a class, pass ignore_label={void}; if it is a "
                f"class, name all labels with classes= to silence this warning.",
                UserWarning,
                stacklevel=2,
            )


def _warn_of_many(classes: NDArray[Any]) -> None:
    """Warn about so many labels that they may not be intended as classes."""
    if len(classes) > MANY_CLASSES:
        warnings.warn(
            f"Each of the {len(classes)} labels of y becomes a class. Masks that were "
            f"interpolated or saved as JPEG have as many, and so have instance ids; "
            f"sksegment.datasets.check_masks(X, y) finds out. If all are classes, name "
            f"them with classes= to silence this warning.",
            UserWarning,
            stacklevel=2,
        )


def _warn_of_one_class(classes: NDArray[Any]) -> None:
    """Warn about masks from which nothing can be learned: every score will be 1."""
    if len(classes) == 1:
        warnings.warn(
            f"All labelled pixels of y have the label {format_labels(classes)}: one "
            f"class leaves nothing to tell apart. Check the export of the masks, or "
            f"name all labels with classes= if the others are missing here.",
            UserWarning,
            stacklevel=2,
        )


def pixels_of_classes(
    counts: list[LabelCounts], encoder: LabelEncoder
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted pixels per image and class, and labelled pixels per image."""
    pixels = np.zeros((len(counts), len(encoder.classes)))
    n_labelled = np.zeros(len(counts))
    for index, count in enumerate(counts):
        codes = encoder.encode(count.labels)
        kept = codes >= 0
        pixels[index, codes[kept]] = count.weights[kept]
        n_labelled[index] = count.pixels[kept].sum()
    return pixels, n_labelled
