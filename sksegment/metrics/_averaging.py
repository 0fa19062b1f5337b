"""Averages of a score: over the classes that have one, and over images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_choice, is_number
from sksegment._inputs.containers import check_ordered
from sksegment.metrics._formulas import MEAN_SCORES, TRUE, Formula, ratio

AVERAGES = ("macro", "micro", "weighted", None)
OVER = ("pixels", "images")


@dataclass(frozen=True)
class Averaging:
    """How the scores of classes and of images become one.

    Parameters
    ----------
    average : {"macro", "micro", "weighted"} or None, default="macro"
        How classes are averaged.
    absent : float, default=nan
        What stands in for a score where there is none.
    exclude : sequence of label, default=()
        Classes to leave out.
    over : {"pixels", "images"}, default="pixels"
        Whether the counts of all images are added up, or the scores averaged.
    """

    average: str | None = "macro"
    absent: float = np.nan
    exclude: Sequence[Any] = ()
    over: str = "pixels"

    def __post_init__(self) -> None:
        """Reject wrong parameters before any pixel is counted."""
        if self.average not in AVERAGES:
            raise ValueError(
                f"average is {self.average!r}; expected one of {AVERAGES}."
            )
        if not is_number(self.absent):
            raise TypeError(f"absent is {self.absent!r}; expected a number, or NaN.")
        # An iterator could be read only once.
        object.__setattr__(self, "exclude", excluded_labels(self.exclude))
        check_choice("over", self.over, OVER)

    def of_classes(
        self, formula: Formula, counts: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return the average of each set of counts; with `average=None`, each class."""
        included = included_classes(labels, self.exclude)
        scores = average_classes(formula, counts, self.average, included)
        return np.where(np.isnan(scores), self.absent, scores)

    def of_images(
        self, scores: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the mean of the scores of images (the first axis) that have one."""
        mean = weighted_mean(np.moveaxis(scores, 0, -1), weights)
        return np.where(np.isnan(mean), self.absent, mean)

    def finished(self, score: NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Return a score as the user gets it; warn if it is undefined."""
        if score.ndim:
            return score
        if np.isnan(score) and np.isnan(self.absent):
            warn_of_undefined(
                "no pixel counts, or no class is left to average", stacklevel=6
            )
        return float(score)


def average_classes(
    formula: Formula,
    counts: NDArray[Any],
    average: str | None,
    included: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Average a formula over the classes (the last axis) that are included.

    Classes without a score are left out; where none is left, the average is NaN.
    """
    if average is None:
        return formula(counts)
    if average == "micro":
        return formula(counts[..., included].sum(axis=-1))
    weights = counts[TRUE] if average == "weighted" else 1.0
    return weighted_mean(formula(counts), weights * included)


def mean_scores(
    counts: NDArray[Any], included: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Return the means of the report, by their names."""
    every = np.ones_like(included)
    return {
        name: average_classes(
            mean.formula, counts, mean.average, included if mean.excludes else every
        )
        for name, mean in MEAN_SCORES.items()
    }


def weighted_mean(
    values: NDArray[np.float64], weights: NDArray[Any]
) -> NDArray[np.float64]:
    """Average, over the last axis, the values that are not NaN."""
    counted = np.where(np.isnan(values), 0.0, weights)
    total = (np.nan_to_num(values) * counted).sum(axis=-1)
    return ratio(total, counted.sum(axis=-1))


def included_classes(labels: NDArray[Any], exclude: Sequence[Any]) -> NDArray[np.bool_]:
    """Tell which classes an average is over."""
    included = np.ones(len(labels), np.bool_)
    for label in excluded_labels(exclude):
        known = labels == label
        if not np.any(known):
            raise ValueError(
                f"exclude holds {label!r}, which is not one of the labels "
                f"{labels.tolist()}. Name all classes with labels=."
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
    check_ordered("exclude", exclude)
    return tuple(exclude)


def warn_of_undefined(trouble: str, stacklevel: int) -> None:
    """Warn that a score is NaN."""
    from sklearn.exceptions import UndefinedMetricWarning

    warnings.warn(
        f"The score is undefined and set to NaN: {trouble}.",
        UndefinedMetricWarning,
        stacklevel=stacklevel,
    )
