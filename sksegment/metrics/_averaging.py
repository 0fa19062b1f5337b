"""Averages of a score over the classes that have one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import is_number
from sksegment.metrics._confusion_matrix import Confusion, ratio

AVERAGES = ("macro", "micro", "weighted", None)


def average_ratio(
    confusion: Confusion,
    numerator: NDArray[Any],
    denominator: NDArray[Any],
    *,
    average: str | None,
    absent: float,
    exclude: Sequence[Any],
) -> float | NDArray[np.float64]:
    """Average a ratio over the classes that have one and are not excluded."""
    check_averaging(average, absent)
    included = included_classes(confusion, exclude) & (denominator > 0)
    if average is None:
        return ratio(numerator, denominator, absent)
    if average == "micro":
        parts, weights = numerator[included], denominator[included]
    else:
        true = confusion.true if average == "weighted" else np.ones(len(included))
        weights = true[included]
        parts = ratio(numerator, denominator)[included] * weights
    return divide(parts.sum(), weights.sum(), "no class is left to average", absent)


def check_averaging(average: Any, absent: Any) -> None:
    """Reject wrong parameters of an average before any pixel is counted."""
    if average not in AVERAGES:
        raise ValueError(f"average is {average!r}; expected one of {AVERAGES}.")
    if not is_number(absent):
        raise TypeError(f"absent is {absent!r}; expected a number, or NaN.")


def included_classes(confusion: Confusion, exclude: Sequence[Any]) -> NDArray[np.bool_]:
    """Tell which classes an average is over."""
    included = np.ones(len(confusion.labels), np.bool_)
    for label in excluded_labels(exclude):
        known = confusion.labels == label
        if not np.any(known):
            raise ValueError(
                f"exclude holds {label!r}, which is not one of the labels "
                f"{confusion.labels.tolist()}. Name all classes with labels=."
            )
        included &= ~known
    return included


def excluded_labels(exclude: Any) -> tuple[Any, ...]:
    """Return the labels to exclude, or say what is wrong with them."""
    if isinstance(exclude, str) or not np.iterable(exclude):
        raise TypeError(
            f"exclude is {exclude!r}; expected a sequence of labels, such as "
            f"exclude=(0,)."
        )
    return tuple(exclude)


def divide(
    numerator: float, denominator: float, trouble: str, absent: float = np.nan
) -> float:
    """Divide two sums; where there is nothing to divide by, return `absent`."""
    if denominator > 0:
        return float(numerator / denominator)
    if np.isnan(absent):
        from sklearn.exceptions import UndefinedMetricWarning

        warnings.warn(
            f"The score is undefined and set to NaN: {trouble}.",
            UndefinedMetricWarning,
            stacklevel=4,
        )
    return float(absent)
