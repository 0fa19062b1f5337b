"""Checks of single values: what passes, and what errors say."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sksegment._inputs.checks import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
    height_and_width,
)


@pytest.mark.parametrize("value", [1, 5, np.uint8(5), np.int64(1)])
def test_integers_of_all_kinds_pass(value: Any) -> None:
    check_integer("n", value, 1, 5)


@pytest.mark.parametrize(
    "value, error",
    [
        (0, ValueError),
        (6, ValueError),
        (np.int8(-3), ValueError),
        (10**30, ValueError),
        (2.0, TypeError),
        ("2", TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        (None, TypeError),
        (np.array([2]), TypeError),
    ],
)
def test_integers_out_of_range_are_refused(value: Any, error: type) -> None:
    with pytest.raises(error, match=r"^n is .*; expected an integer of at least 1 and"):
        check_integer("n", value, 1, 5)


@pytest.mark.parametrize(
    "value", [0, 0.5, 1, np.float16(0.5), np.uint8(1), Fraction(1, 3), -0.0]
)
def test_numbers_of_all_kinds_pass(value: Any) -> None:
    check_number("p", value, 0, 1)


@pytest.mark.parametrize(
    "closed, n_allowed", [("both", 2), ("left", 1), ("neither", 0)]
)
def test_ends_belong_to_the_range_or_not(closed: str, n_allowed: int) -> None:
    for n, end in enumerate([0, 1]):
        if n < n_allowed:
            check_number("p", end, 0, 1, closed=closed)
        else:
            with pytest.raises(ValueError, match=r"^p is "):
                check_number("p", end, 0, 1, closed=closed)
    check_number("p", 0.5, 0, 1, closed=closed)


@pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf, 10**400, -0.1])
def test_a_range_without_end_holds_finite_numbers(value: Any) -> None:
    check_number("rate", 1e300, 0)
    with pytest.raises(ValueError, match=r"a finite number of at least 0\.$"):
        check_number("rate", value, 0)


@pytest.mark.parametrize("value", [True, np.False_, "1", None, 1j, [1]])
def test_values_that_are_no_number_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^rate is .*; .* number above 0\.$"):
        check_number("rate", value, 0, closed="neither")


@pytest.mark.parametrize("value", [0, 1, "True", None])
def test_only_booleans_are_true_or_false(value: Any) -> None:
    check_boolean("shuffle", np.True_)
    with pytest.raises(TypeError, match=r"^shuffle is .*; expected True or"):
        check_boolean("shuffle", value)


@pytest.mark.parametrize("value", ["sum", 0, np.array(["add", "concat"]), ["add"]])
def test_choices_are_listed(value: Any) -> None:
    check_choice("skip", None, (None, "add"))
    with pytest.raises(ValueError, match=r"^skip is .* one of None, 'add'\.$"):
        check_choice("skip", value, (None, "add"))


@pytest.mark.parametrize(
    "value, expected",
    [(3, (3, 3)), ((3, 4), (3, 4)), ([np.uint8(3), 4], (3, 4))],
)
def test_one_side_is_that_of_a_square(value: Any, expected: tuple[int, int]) -> None:
    sides = height_and_width("size", value, 3)
    assert sides == expected
    assert all(type(side) is int for side in sides)


@pytest.mark.parametrize(
    "value, error",
    [
        (2, ValueError),
        ((3, 2), ValueError),
        ((3, 3, 3), TypeError),
        (3.0, TypeError),
        ((3, True), TypeError),
        (True, TypeError),
        ("33", TypeError),
        (None, TypeError),
    ],
)
def test_invalid_heights_and_widths_are_refused(
    value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"^size is .*\(height, width\)"):
        height_and_width("size", value, 3)
