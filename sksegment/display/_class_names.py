"""The names of the classes in a legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.containers import check_ordered
from sksegment._inputs.labels import label_array, unique_labels

Names = Sequence[str] | Mapping[Any, str] | None


def _as_names(class_names: Any) -> Names:
    """Return names as a dict or a list, whatever sequence they came as."""
    if class_names is None or isinstance(class_names, Mapping):
        return class_names
    if isinstance(class_names, str) or not np.iterable(class_names):
        raise TypeError(
            f"class_names is {class_names!r}; expected a list of names, or a dict of "
            f"label to name."
        )
    check_ordered("class_names", class_names)
    return list(class_names)


def _names_by_label(classes: NDArray[Any], class_names: Names) -> list[str]:
    """Return the name of each class, in the order of `classes`."""
    labels = classes.tolist()
    if class_names is None:
        return [str(label) for label in labels]
    if isinstance(class_names, Mapping):
        return [str(class_names.get(label, label)) for label in labels]
    if len(class_names) != len(labels):
        raise ValueError(
            f"class_names has {len(class_names)} names, but there are {len(labels)} "
            f"classes: {labels}. Expected one name per class: pass classes= with all "
            f"label values that the names stand for, or class_names as a dict of label "
            f"to name."
        )
    return [str(name) for name in class_names]


def _found_classes(
    masks: Iterable[NDArray[Any]], ignore_label: Any, class_names: Names
) -> NDArray[Any]:
    """Return the labels in the masks; 0, 1, ... where a list names class ids."""
    found = unique_labels(masks, ignore_label)
    if not len(found):
        raise ValueError(
            f"All pixels of the masks to draw are ignore_label={ignore_label!r}; "
            f"expected a pixel with a class, or classes= with all label values."
        )
    is_list = class_names is not None and not isinstance(class_names, Mapping)
    if not is_list or found.dtype.kind not in "ui":
        return found
    n_names = len(class_names or ())
    is_ids = found[0] >= 0 and found[-1] < n_names
    return np.arange(n_names) if is_ids else found


def _sorted_classes(
    classes: ArrayLike, class_names: Names
) -> tuple[NDArray[Any], Names]:
    """Return the classes sorted, as `LabelEncoder` expects them, and names to match."""
    array = label_array(classes, "classes")
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "buifUS":
        raise ValueError(
            f"classes has shape {array.shape} and dtype {array.dtype}; expected a list "
            f"of label values."
        )
    if len(np.unique(array)) != len(array):
        raise ValueError(f"classes holds a label twice: {array.tolist()}.")
    if class_names is None or isinstance(class_names, Mapping):
        return np.sort(array), class_names
    order = np.argsort(array)
    names = _names_by_label(array, class_names)
    return array[order], [names[i] for i in order]
