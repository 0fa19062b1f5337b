"""What a score is: what is counted in each image, and what becomes of the counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from inspect import Parameter, signature
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.labels import unique_labels
from sksegment.metrics._accumulator import Accumulator, accumulate_all
from sksegment.metrics._averaging import Averaging, excluded_labels, included_classes
from sksegment.metrics._formulas import Formula
from sksegment.metrics._image_sample import AveragedSample, ImageSample, PooledSample

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

# What a scorer finds out itself, and passes to score functions that take it.
FROM_ESTIMATOR = ("labels", "ignore_label", "sample_weight")
AVERAGING = {field.name for field in fields(Averaging)}


class ClassAccumulator(Accumulator, Protocol):
    """An accumulator that counts something of each class."""

    @property
    def labels(self) -> NDArray[Any]:
        """The labels of the classes."""

    @property
    def weights(self) -> list[float]:
        """The weight of each image."""

    def class_counts(self) -> NDArray[Any]:
        """Return counts, (n_counts, n_classes), perhaps with an axis of images."""


@dataclass(frozen=True)
class Score:
    """A score that follows from counts of the classes of each image.

    Parameters
    ----------
    accumulator : callable
        Called with labels, ignored label, whether images are kept apart, and the
        settings of the score; returns an empty accumulator.
    formula : callable
        Makes scores of counts.
    average : str, default="macro"
        How classes are averaged if the score function leaves no choice.
    of_probabilities : bool, default=False
        Whether it takes probabilities, whose labels must be known from the start.
    """

    accumulator: Callable[..., ClassAccumulator]
    formula: Formula
    average: str = "macro"
    of_probabilities: bool = False

    def of(
        self,
        y_true: Any,
        predictions: Any,
        labels: Any,
        ignore_label: Any,
        sample_weight: Any,
        **arguments: Any,
    ) -> Any:
        """Score all images."""
        if "exclude" in arguments:  # an iterator can be read only once
            arguments["exclude"] = excluded_labels(arguments["exclude"])
        masks = as_masks(y_true, "y_true")
        labels = self.known_labels(masks, labels, ignore_label)
        if labels is None and self.of_probabilities:  # no pixel has one
            averaging, _ = self._split(arguments)
            return averaging.finished(np.array(np.nan))
        accumulator = self.start(labels, ignore_label, **arguments)
        accumulate_all(accumulator, masks, predictions, sample_weight)
        return self.finish(accumulator, **arguments)

    def known_labels(self, masks: ImageList, labels: Any, ignore_label: Any) -> Any:
        """Return the labels, found in the masks if they must be known; None if none."""
        if labels is not None or not self.of_probabilities:
            return labels
        found = unique_labels(masks, ignore_label)
        return found if len(found) else None

    def start(
        self,
        labels: Any,
        ignore_label: Any,
        *,
        by_image: bool | None = None,
        **arguments: Any,
    ) -> ClassAccumulator:
        """Return an empty accumulator; reject wrong arguments before any is read."""
        averaging, settings = self._split(arguments)
        by_image = averaging.over == "images" if by_image is None else by_image
        accumulator = self.accumulator(
            labels, ignore_label, by_image=by_image, **settings
        )
        if labels is not None:
            included_classes(accumulator.labels, averaging.exclude)
        return accumulator

    def finish(self, accumulator: ClassAccumulator, **arguments: Any) -> Any:
        """Return the score of all that has been counted."""
        averaging, _ = self._split(arguments)
        scores = averaging.of_classes(
            self.formula, accumulator.class_counts(), accumulator.labels
        )
        if averaging.over == "images":
            scores = averaging.of_images(scores, np.array(accumulator.weights))
        return averaging.finished(scores)

    def sample(self, accumulator: ClassAccumulator, **arguments: Any) -> ImageSample:
        """Return the images that have been counted, one by one."""
        averaging, _ = self._split(arguments)
        counts, labels = accumulator.class_counts(), accumulator.labels
        if averaging.over == "pixels":
            return PooledSample(self.formula, averaging, labels, counts)
        values = averaging.of_classes(self.formula, counts, labels)
        return AveragedSample(values, np.array(accumulator.weights))

    def _split(self, arguments: dict[str, Any]) -> tuple[Averaging, dict[str, Any]]:
        """Tell how to average from what to count."""
        how = {key: arguments[key] for key in arguments if key in AVERAGING}
        rest = {key: arguments[key] for key in arguments if key not in AVERAGING}
        return Averaging(**{"average": self.average, **how}), rest


SCORES: dict[Callable[..., Any], Score] = {}


def computed_by(score: Score) -> Callable[[AnyFunction], AnyFunction]:
    """Register by which `Score` the decorated function is computed.

    Scorers then add up one chunk of predictions after another, and `image_scores`,
    `compare_scores` and the report know how to count.
    """

    def register(function: AnyFunction) -> AnyFunction:
        """Note how the function is computed, and return it unchanged."""
        SCORES[function] = score
        return function

    return register


def unwrapped(function: Any, **keywords: Any) -> tuple[Any, dict[str, Any]]:
    """Return a function without `functools.partial`, and its keywords."""
    while isinstance(function, partial) and not function.args:
        function, keywords = function.func, {**function.keywords, **keywords}
    return function, keywords


def takes_probabilities(function: Any) -> bool:
    """Tell whether a score function is known to take probabilities."""
    score = SCORES.get(unwrapped(function)[0])
    return score is not None and score.of_probabilities


def takes(function: Callable[..., Any], name: str) -> bool:
    """Tell whether a function has a parameter of that name."""
    parameters = signature(function).parameters
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    return takes_any or name in parameters


def other_arguments(
    function: Callable[..., Any], keywords: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a score, besides those that an estimator has."""
    bound = signature(function).bind(None, None, **keywords)
    bound.apply_defaults()
    return {
        key: value for key, value in bound.kwargs.items() if key not in FROM_ESTIMATOR
    }
