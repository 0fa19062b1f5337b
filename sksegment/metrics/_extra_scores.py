"""Further scores of classes in a report, computed in the same pass over the masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList, as_masks
from sksegment.metrics._accumulator import Accumulator, Weight
from sksegment.metrics._score import (
    FROM_ESTIMATOR,
    SCORES,
    other_arguments,
    unwrapped,
)


class Together:
    """Several accumulators as one, so that each mask is read only once.

    Parameters
    ----------
    accumulators : sequence of Accumulator
        Each of them is shown every image.
    """

    def __init__(self, accumulators: Sequence[Accumulator]) -> None:
        self._accumulators = accumulators

    def items(self, predictions: Any) -> ImageList:
        """Return the predicted masks, checked."""
        return as_masks(predictions, "y_pred")

    def add(
        self, mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
    ) -> None:
        """Add image `index` to all of them."""
        for accumulator in self._accumulators:
            accumulator.add(mask, prediction, weight, index)


def _check_left_to_report(function: Callable[..., Any], keywords: Any) -> None:
    """Reject bound arguments that the report has for all of its columns."""
    for name in FROM_ESTIMATOR:
        if keywords.get(name) is not None:
            raise ValueError(
                f"extra_scores holds {function!r}, which binds {name}; expected it as "
                f"an argument of the report, whose columns all look at the same pixels."
            )


class ExtraScore:
    """A score function as a column of the report.

    Parameters
    ----------
    function : callable
        A score function of `sksegment.metrics` that averages classes.
    labels : array-like of shape (n_classes,) or None
        The labels of the classes; None collects those that occur.
    ignore_label : object
        Pixels with this true label do not count.
    """

    def __init__(
        self, function: Callable[..., Any], labels: Any, ignore_label: Any
    ) -> None:
        plain, keywords = unwrapped(function)
        if plain not in SCORES or "average" not in other_arguments(plain, keywords):
            raise ValueError(
                f"extra_scores holds {function!r}; expected score functions of "
                f"sksegment.metrics that have a parameter average, such as "
                f"boundary_f1_score."
            )
        _check_left_to_report(function, keywords)
        self.name = plain.__name__.removesuffix("_score")
        self._score = SCORES[plain]
        self._arguments = other_arguments(plain, keywords)
        self.accumulator = self._score.start(labels, ignore_label, **self._arguments)

    def add_to(
        self, report: dict[str, Any], names: Sequence[str], exclude: Sequence[Any]
    ) -> None:
        """Put the score of each class, and their mean, into the report."""
        arguments = {**self._arguments, "exclude": exclude}
        classes = {**arguments, "average": None}
        scores = self._score.finish(self.accumulator, **classes)
        for name, value in zip(names, scores.tolist(), strict=True):
            report[name][self.name] = value
        mean = self._score.finish(self.accumulator, **arguments)
        report[f"mean_{self.name}"] = mean
        missing = getattr(self.accumulator, "n_undefined", None)
        if missing is not None:
            report[f"n_undefined_{self.name}"] = missing
