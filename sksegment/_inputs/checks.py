"""Checks of single values that a user passes: what each may be, and what it was.

Numbers of both Python and numpy are accepted as numbers; booleans are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from inspect import signature
from numbers import Integral, Real
from typing import Any
from unicodedata import is_normalized

import numpy as np

# How many names, images or values a message lists.
LISTED = 5


def is_integer(value: Any) -> bool:
    """Tell whether a value is an integer of any kind, but not a boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether a value is a real number of some kind, and not a boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_integer(name: str, value: Any, low: int, high: float = math.inf) -> None:
    """Reject anything but an integer from `low` to `high`, both included.

    Examples
    --------
    >>> from sksegment._inputs.checks import check_integer
    >>> check_integer("width", 16, 1)
    >>> check_integer("width", 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: width is 0; expected an integer of at least 1.
    """
    expected = f"expected an integer {_limits(low, high)}."
    if not is_integer(value):
        raise TypeError(f"{name} is {value!r}; {expected}")
    if not low <= int(value) <= high:
        raise ValueError(f"{name} is {value!r}; {expected}")


def check_number(
    name: str,
    value: Any,
    low: float,
    high: float = math.inf,
    *,
    closed: str = "both",
) -> None:
    """Reject anything but a finite number from `low` to `high`.

    `closed` says which of the two are included: "both", "left" (only `low`) or
    "neither".

    Examples
    --------
    >>> from sksegment._inputs.checks import check_number
    >>> check_number("tol", 0, 0)
    >>> check_number("dropout", 1.0, 0, 1, closed="left")
    Traceback (most recent call last):
    ...
    ValueError: dropout is 1.0; expected a finite number of at least 0 and below 1.
    """
    expected = f"expected a finite number {_limits(low, high, closed)}."
    if not is_number(value):
        raise TypeError(f"{name} is {value!r}; {expected}")
    number = as_float(value)
    above = low < number if closed == "neither" else low <= number
    below = number <= high if closed == "both" else number < high
    if not (above and below and math.isfinite(number)):
        raise ValueError(f"{name} is {value!r}; {expected}")


def check_boolean(name: str, value: Any) -> None:
    """Reject anything but True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}; expected True or False.")


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Reject anything but one of `choices`, which are strings or None."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise ValueError(
            f"{name} is {value!r}; expected one of {format_choices(choices)}."
        )


def height_and_width(name: str, value: Any, low: int = 1) -> tuple[int, int]:
    """Return one side of a square, or a pair of sides, as a pair.

    Raises
    ------
    ValueError, TypeError
        If it is neither an integer of at least `low` nor a pair of them.

    Examples
    --------
    >>> from sksegment._inputs.checks import height_and_width
    >>> height_and_width("size", 64), height_and_width("size", (48, 64))
    ((64, 64), (48, 64))
    """
    sides = (value, value) if is_integer(value) else value
    expected = (
        f"expected an integer of at least {low}, in pixels, or a pair of them: "
        f"(height, width)."
    )
    is_pair = isinstance(sides, (tuple, list)) and len(sides) == 2
    if not is_pair or not all(is_integer(side) for side in sides):
        raise TypeError(f"{name} is {value!r}; {expected}")
    if min(sides) < low:
        raise ValueError(f"{name} is {value!r}; {expected}")
    return int(sides[0]), int(sides[1])


def accepts_arguments(function: Callable[..., Any], *arguments: Any) -> bool:
    """Tell whether a function can be called with these arguments.

    Examples
    --------
    >>> from sksegment._inputs.checks import accepts_arguments
    >>> accepts_arguments(lambda n_channels, n_classes: None, 3, 21)
    True
    >>> accepts_arguments(lambda n_channels: None, 3, 21)
    False
    """
    try:
        signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # some C functions have no signature
        return True
    return True


def format_choices(choices: Collection[Any]) -> str:
    """Return choices as an error message lists them."""
    return ", ".join(repr(choice) for choice in choices)


def format_some(items: Sequence[Any], limit: int = LISTED) -> str:
    """Return the first few items as a message lists them, and how many there are more.

    Examples
    --------
    >>> from sksegment._inputs.checks import format_some
    >>> format_some(["a", "b", "c", "d", "e"], limit=2)
    "'a', 'b' and 3 more"
    """
    shown = ", ".join(map(_shown, items[:limit]))
    rest = len(items) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown


def _shown(item: Any) -> str:
    """Write an item; text that is decomposed in ASCII, as it would look composed."""
    is_composed = not isinstance(item, str) or is_normalized("NFC", item)
    return repr(item) if is_composed else ascii(item)


def as_float(value: Any) -> float:
    """Return a number as a float; infinity if it is larger than any float."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _limits(low: float, high: float, closed: str = "both") -> str:
    lower = "above" if closed == "neither" else "of at least"
    upper = "at most" if closed == "both" else "below"
    limits = [(lower, low), (upper, high)]
    return " and ".join(f"{word} {end}" for word, end in limits if math.isfinite(end))
