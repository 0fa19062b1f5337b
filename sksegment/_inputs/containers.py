"""Containers: what the user passes must have an order, and no holes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILL_IT = "Fill it first, with its method filled(value)."
TAKE_A_LIST = "expected an array or a list."


def check_ordered(name: str, data: Any, cure: str = FILL_IT) -> None:
    """Reject containers without an order, and masked arrays, however deep they lie.

    numpy and Python would go on in silence: with the keys of a dict, with a set in the
    order of its hashes, and with what lies under the mask of a masked array.

    Parameters
    ----------
    name : str
        What the user calls the data.
    data : object
        What was passed. Lists, tuples and one-dimensional arrays are looked into.
    cure : str, default=FILL_IT
        What to do about a masked array.

    Raises
    ------
    TypeError
        Naming the container, and the position if it lies in another.

    Examples
    --------
    >>> from sksegment._inputs.containers import check_ordered
    >>> check_ordered("sample_weight", [1.0, 2.0])
    >>> check_ordered("sample_weight", {0: 1.0, 1: 2.0})
    Traceback (most recent call last):
    ...
    TypeError: sample_weight is a dict, whose items have no positions; expected an \
array or a list.
    """
    if hasattr(data, "tocoo"):
        raise TypeError(
            f"{name} is a {type(data).__name__}, which is sparse; expected a dense "
            f"array, such as its toarray() gives."
        )
    if has_no_order(data):
        raise TypeError(
            f"{name} is a {type(data).__name__}, whose items have no positions; "
            f"{TAKE_A_LIST}"
        )
    check_not_masked(name, data, cure)
    for index, item in _containers_in(data):
        check_ordered(f"{name}[{index}]", item, cure)


def check_not_masked(name: str, data: Any, cure: str = FILL_IT) -> None:
    """Reject a masked array."""
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; expected a plain "
            f"array. {cure}"
        )


def has_no_order(data: Any) -> bool:
    """Tell whether a container holds its items by key, or in no order at all.

    Groups of HDF5 and zarr files are such, but pandas objects are not: they convert
    themselves to arrays.

    Examples
    --------
    >>> from sksegment._inputs.containers import has_no_order
    >>> has_no_order({"a": 1}), has_no_order({1, 2}), has_no_order([1, 2])
    (True, True, False)
    """
    if hasattr(data, "__array__"):
        return False
    by_key = hasattr(data, "keys") and hasattr(data, "__getitem__")
    return by_key or isinstance(data, (Mapping, Set))


def _containers_in(data: Any) -> Iterator[tuple[int, Any]]:
    """Yield the items of a list that may be containers, with their positions."""
    # Other axes are those of one image, whose pixels are looked at elsewhere.
    is_objects = isinstance(data, np.ndarray) and data.dtype == object
    is_objects = is_objects and data.ndim == 1
    if is_objects or isinstance(data, (list, tuple)):
        for index, item in enumerate(data):
            # A sparse image in a list is refused as an image.
            if not isinstance(item, (int, float, str)) and not hasattr(item, "tocoo"):
                yield index, item


def converted(data: Any) -> NDArray[Any]:
    """Return what numpy makes of data; a masked array stays one.

    dask drops the mask when numpy asks for an array, and keeps it when it computes.
    """
    is_dask = hasattr(data, "__dask_graph__") and hasattr(data, "compute")
    return np.asanyarray(data.compute() if is_dask else data)


def as_array(data: Any, name: str, cure: str = FILL_IT) -> NDArray[Any]:
    """Return what numpy makes of data, in errors that name it.

    Raises
    ------
    ValueError, TypeError
        If it is no array, or a masked one: lazy arrays show that here only.
    """
    try:
        array = converted(data)
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular array: {error}") from error
    except (TypeError, RuntimeError, LookupError, AttributeError) as error:
        raise TypeError(
            f"{name} is a {type(data).__name__}, which numpy cannot take as an array: "
            f"{error}"
        ) from error
    check_not_masked(name, array, cure)
    return np.asarray(array)
