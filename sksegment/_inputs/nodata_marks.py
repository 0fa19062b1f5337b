"""Finding values that probably mark pixels without data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A first and a second look take every n-th row and column, so that about this many
# pixels are left. Nearly all images have no mark, and the first look tells most.
SAMPLES = 2**8, 2**14
# A mark lies outside the range of all other values by this many times its width. Black
# borders and saturated pixels of photos do not.
FAR = 3
# Images of fewer other values are drawings, and any of their values may be far away.
MIN_VALUES = 8
# It covers a rectangle of at least this many pixels, filled to this share, or this
# share of an edge of the image.
MIN_PIXELS, FILLED, EDGE = 16, 0.95, 0.25


def likely_mark(image: NDArray[Any], counted: NDArray[np.bool_] | None) -> Any:
    """Return a value that probably marks pixels without data, if there is one.

    It lies far outside all other values, and covers a rectangle or a part of the edge
    of the image, as missing data do, and hot pixels and stars do not.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image.
    counted : ndarray of shape (height, width), dtype bool, or None
        The pixels that take part in training; None for all.

    Returns
    -------
    number of numpy or None
        The value in the dtype of the image.
    """
    few, some = (_sample(image, size) for size in SAMPLES)
    for value in (some.min(), some.max()):
        looks_far = all(_is_far(look, value) for look in (few, some, image))
        if looks_far and _has_shades(some, value):
            found = (image == value).any(axis=-1)
            if counted is not None:
                found &= counted
            if _is_rectangle(found) or _is_at_edge(found):
                return value
    return None


def _sample(image: NDArray[Any], size: int) -> NDArray[Any]:
    step = max(1, int((image.shape[0] * image.shape[1] / size) ** 0.5))
    return image[::step, ::step]


def _has_shades(image: NDArray[Any], value: Any) -> bool:
    return len(np.unique(image[image != value])) >= MIN_VALUES


def _is_far(image: NDArray[Any], value: Any) -> bool:
    """Tell whether a value lies far outside the range of all others, if there are any.

    What is far in an image is far in each part of it.
    """
    others = image[image != value]
    if not others.size:
        return True
    low, high = float(others.min()), float(others.max())
    distance = max(low - float(value), float(value) - high)
    return distance > FAR * (high - low)


def _is_rectangle(found: NDArray[np.bool_]) -> bool:
    rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
    if found.sum() < MIN_PIXELS or min(len(rows), len(columns)) < 2:
        return False
    box = found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return bool(box.mean() >= FILLED)


def _is_at_edge(found: NDArray[np.bool_]) -> bool:
    edges = (found[0], found[-1], found[:, 0], found[:, -1])
    return bool(
        found.sum() >= MIN_PIXELS and max(edge.mean() for edge in edges) >= EDGE
    )


def warn_of_marks(
    marks: Mapping[int, Any], n_images: int, name: Callable[[int], str]
) -> None:
    """Warn once about values that probably mark pixels without data.

    Parameters
    ----------
    marks : mapping of int to number of numpy
        The value, by the index of its image.
    n_images : int
        All images.
    name : callable
        Names an image.
    """
    if not marks:
        return
    index, value = next(iter(marks.items()))
    text = f"{value!s}".removesuffix(".0")  # all digits that its dtype needs
    warnings.warn(
        f"In {len(marks)} of {n_images} images a value far outside all others covers a "
        f"rectangle or part of the edge: {text} in {name(index)}. It is taken for "
        f"brightness, and spoils the scale of the channels. If it marks pixels without "
        f"data, pass nodata={text}, with ignore_label= or nodata_label= for what "
        f"is predicted there.",
        UserWarning,
        stacklevel=2,
    )
