"""What the user passes as images or masks: one array, or items of a container."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.addresses import NUL
from sksegment._inputs.containers import as_array, check_ordered, has_no_order
from sksegment._inputs.image import check_text, from_torch, show_palette
from sksegment._inputs.image_files import is_path

MARK_IGNORED = (
    "Fill it with filled(value), and mark such pixels in y with ignore_label=."
)


def array_or_items(data: Any, argument: str) -> NDArray[Any] | list[Any]:
    """Return one array, or a list of arrays or paths, whatever `data` came as.

    Parameters
    ----------
    data : object
        What was passed as images or masks.
    argument : str
        What the user calls it; "X" stands for images.

    Raises
    ------
    ValueError, TypeError
        If it can be neither images nor masks.
    """
    check_ordered(argument, data, MARK_IGNORED)
    items = as_items(data, argument)
    if items is None:
        return _checked_array(from_torch(data, argument), argument)
    if not items:
        raise ValueError(f"Found array with 0 sample(s) in {argument}: it is empty.")
    return _list_of_items(items, argument)


def as_items(data: Any, argument: str) -> list[Any] | None:
    """Return the elements of a list of images or paths; None for one array."""
    if hasattr(data, "iloc") and getattr(data, "ndim", 0) == 2:
        raise TypeError(
            f"{argument} is a DataFrame; expected images or paths. Pass one column, as "
            f"in {argument}['path']."
        )
    if is_path(data):
        raise TypeError(
            f"{argument} is one path, {str(data)!r}; expected an array, or a list of "
            f"arrays or paths."
        )
    if has_no_order(data):
        raise not_images_error(data, argument)
    if hasattr(data, "to_numpy") and len(getattr(data, "shape", ())) == 1:
        return list(data)  # a pandas Series or Index: positions count, not labels
    if isinstance(data, np.ndarray) and data.dtype.kind in "OSTU":
        return _listed_objects(data, argument)
    if isinstance(data, (list, tuple)):
        is_nested = len(data) > 0 and isinstance(data[0], (list, tuple))
        if is_nested:
            _check_no_pairs(data, argument)
        return None if is_nested and _is_rectangular(data) else list(data)
    return _read_by_position(data, argument) if _is_indexable(data) else None


def _listed_objects(data: NDArray[Any], argument: str) -> list[Any] | None:
    """Return the elements of an array of paths or arrays; None for one of labels."""
    if data.ndim == 1:
        return list(data) if data.dtype.kind == "O" else data.tolist()
    is_text = data.size > 0 and is_path(data.flat[0])
    if is_text and data.ndim == 2:
        raise ValueError(
            f"{argument} has shape {data.shape} and holds {str(data.flat[0])!r}; "
            f"expected paths along one axis, as in {argument}[:, 0], or (n, height, "
            f"width)."
        )
    return None


def _is_indexable(data: Any) -> bool:
    """Tell whether an object of another library has items, but is no array."""
    by_position = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    is_array = hasattr(data, "__array__") or hasattr(data, "__array_interface__")
    return by_position and not is_array and not isinstance(data, memoryview)


def _read_by_position(data: Any, argument: str) -> list[Any]:
    """Return the items of a dataset of torch, or of another sequence."""
    try:
        return [data[index] for index in range(len(data))]
    except (TypeError, LookupError) as error:
        raise TypeError(
            f"{argument} is a {type(data).__name__}, whose items cannot be read by "
            f"position ({error!r}); expected an array, or a list of arrays or paths."
        ) from error


def _is_rectangular(nested: Sequence[Any]) -> bool:
    try:
        return np.asarray(nested).ndim > 2
    except ValueError:
        return False


def _list_of_items(items: list[Any], argument: str) -> list[Any]:
    paths = [is_path(item) for item in items]
    if all(paths):
        _check_no_nul(items, argument)
        return items
    _check_no_missing(items, argument)
    if any(paths):
        raise TypeError(
            f"{argument} mixes paths and arrays: position {paths.index(True)} holds a "
            f"path, position {paths.index(False)} none. Expected one kind: read the "
            f"files first, or save the arrays."
        )
    _check_no_pairs(items, argument)
    _check_no_bytes(items, argument)
    kind = "image" if argument == "X" else "mask"
    items = [from_torch(item, f"{kind} {index}") for index, item in enumerate(items)]
    if argument == "X":
        items = [show_palette(item) for item in items]
    if any(map(_has_axes, items)):
        return items
    if argument != "X":
        raise ValueError(
            f"{argument} has one value per image; expected (n, height, width), one "
            f"label per pixel."
        )
    # A flat list of numbers, or 1-D objects: let check_array name what it is.
    return [_checked_array(np.asarray(items), argument)]


def _check_no_nul(paths: list[Any], argument: str) -> None:
    for index, path in enumerate(paths):
        if NUL in os.fsdecode(path):
            raise ValueError(
                f"{argument} holds a path with a NUL character, {os.fspath(path)!r} at "
                f"position {index}; expected the path of a file."
            )


def _check_no_missing(items: list[Any], argument: str) -> None:
    """Reject what tables hold where a path is missing: None, NaN, NA or NaT."""
    for index, item in enumerate(items):
        is_nan = isinstance(item, (float, np.floating)) and np.isnan(item)
        if item is None or is_nan or type(item).__name__ in ("NAType", "NaTType"):
            raise TypeError(
                f"{argument} has nothing at position {index} but {item!r}; expected an "
                f"array or a path there. Leave such rows out, of X and y alike."
            )


def _check_no_pairs(items: Sequence[Any], argument: str) -> None:
    """Reject pairs of image and mask, as datasets of torch yield them."""
    for index, item in enumerate(items):
        if not isinstance(item, (list, tuple)):
            continue
        shapes = [np.shape(part) for part in item if _is_picture(part)]
        if any(map(is_path, item)) or _are_several(item, shapes):
            kinds = ", ".join(type(part).__name__ for part in item[:3])
            raise TypeError(
                f"{argument}[{index}] is a {type(item).__name__} of {len(item)} "
                f"({kinds}); expected one array or path. Pass images and masks apart: "
                f"X = [image for image, mask in pairs], y = [mask for image, mask in "
                f"pairs]."
            )


def _is_picture(part: Any) -> bool:
    return len(getattr(part, "shape", ())) > 1 or hasattr(part, "getbands")


def _are_several(item: Sequence[Any], shapes: list[tuple[int, ...]]) -> bool:
    """Tell whether a sequence holds pictures, not the rows of one."""
    is_mixed = len(set(shapes)) > 1 or 0 < len(shapes) < len(item)
    return is_mixed or (bool(shapes) and isinstance(item, tuple))


def _check_no_bytes(items: list[Any], argument: str) -> None:
    for index, item in enumerate(items):
        if isinstance(item, bytes):
            raise TypeError(
                f"{argument} holds bytes, {item!r} at position {index}; expected "
                f"arrays, or paths as str or path-like: os.fsdecode makes a str of one."
            )


def _has_axes(item: Any) -> bool:
    # Lists are not converted to find out: ragged ones would raise without a name.
    return isinstance(item, (list, tuple)) or np.ndim(item) > 0


def _checked_array(data: Any, argument: str) -> NDArray[Any]:
    """Return one array of numbers (or, for y, of labels)."""
    # Imported here: it takes a second, which computing scores alone does not need.
    from sklearn.utils import check_array

    found = as_array(data, argument, MARK_IGNORED)
    _check_kind(found.dtype, argument)
    check_text(found, data, argument)
    try:
        array: NDArray[Any] = check_array(
            # Of a list, scikit-learn leaves objects what they are.
            data if found.dtype == object else found,
            # Masks may be strings, which "numeric" would reject.
            dtype="numeric" if argument == "X" else None,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name=argument,
        )
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument} cannot be taken as an array: {error}") from error
    if array.ndim == 0 and array.dtype == object:
        raise not_images_error(data, argument)
    return array


def _check_kind(dtype: np.dtype[Any], argument: str) -> None:
    """Reject what check_array rejects without a name, or by printing all values."""
    if dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {argument} has dtype {dtype}; expected real "
            f"numbers. Pass the real part, or the modulus (np.abs)."
        )
    if argument == "X" and dtype.kind in "STUV":
        raise ValueError(
            f"{argument} has dtype {dtype}; expected real numbers, not strings or "
            f"records. Pass paths as a list of them."
        )


def not_images_error(data: Any, argument: str) -> TypeError:
    """Return the error for data that can be neither images nor masks."""
    return TypeError(
        f"{argument} is a {type(data).__name__}; expected an array, or a list of "
        f"arrays or paths."
    )
