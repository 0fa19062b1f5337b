"""Some items of any container, by position."""

from __future__ import annotations

from typing import Any

from sksegment._inputs.containers import has_no_order
from sksegment._inputs.image_files import is_path
from sksegment._inputs.items import not_images_error


def n_items(data: Any, argument: str) -> int:
    """Return how many images or masks there are, without reading them.

    Parameters
    ----------
    data : object
        What was passed.
    argument : str
        What the user calls it.

    Raises
    ------
    TypeError
        If it has no positions.
    """
    if is_path(data) or has_no_order(data):
        raise not_images_error(data, argument)
    shape = getattr(data, "shape", None)  # arrays of zarr have no length
    try:
        return int(len(data) if shape is None else shape[0])
    except (TypeError, IndexError) as error:
        raise not_images_error(data, argument) from error


def items_at(data: Any, rows: slice) -> Any:
    """Return consecutive items, in the kind of their container where that knows slices.

    Parameters
    ----------
    data : object
        An array, a list, a Series, or a dataset of torch.
    rows : slice
        Of step 1, within the container.

    Examples
    --------
    >>> items_at((4, 5, 6), slice(1, 3))
    (5, 6)
    """
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    if hasattr(data, "shape") or isinstance(data, (list, tuple)):
        return data[rows]
    return [data[index] for index in range(rows.start, rows.stop)]


def first_items(data: Any, n: int, argument: str) -> Any:
    """Return the first `n` items, or all if there are fewer."""
    return items_at(data, slice(0, min(n, n_items(data, argument))))
