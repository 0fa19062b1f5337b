"""Several predictors as one: the mean of their probabilities, or their disagreement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList
from sksegment._inputs.probabilities import mean_probabilities
from sksegment._prediction.tilewise import PartPredictor

Combine = Callable[[Sequence[NDArray[Any]], NDArray[np.float64]], NDArray[Any]]


@dataclass(frozen=True)
class AveragedPredictor:
    """The mean of several predictors, of which one image or part is held at a time.

    Parameters
    ----------
    predictors : sequence of PartPredictor
        What is averaged.
    weights : ndarray of shape (n_predictors,)
        How much each counts; they sum to 1.
    combine : callable, default=mean_probabilities
        Makes one answer of the members' probabilities and the weights.
    """

    predictors: Sequence[PartPredictor]
    weights: NDArray[np.float64]
    combine: Combine = mean_probabilities

    @property
    def margin(self) -> int | None:
        """The largest margin; None if some member looks at the whole image."""
        margins = [predictor.margin for predictor in self.predictors]
        return None if None in margins else max(filter(None, margins), default=0)

    @property
    def stride(self) -> int:
        """The grid that fits all members."""
        return lcm(*(predictor.stride for predictor in self.predictors))

    def given(self, images: ImageList) -> AveragedPredictor:
        """Return the predictor with members for images in this form."""
        members = [predictor.given(images) for predictor in self.predictors]
        return replace(self, predictors=members)

    def check_images(
        self, images: Iterable[NDArray[Any]], name: Callable[[int], str]
    ) -> Iterator[NDArray[Any]]:
        """Yield images that all members have checked."""
        for predictor in self.predictors:
            images = predictor.check_images(images, name)
        return iter(images)

    def parts(self, parts: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield what is made of the members' probabilities of each part."""
        streams = [predictor.parts(parts) for predictor in self.predictors]
        for members in zip(*streams, strict=True):
            yield self.combine(members, self.weights)

    def members(self) -> tuple[Sequence[PartPredictor], NDArray[np.float64]]:
        """Return the members and their weights."""
        return self.predictors, self.weights
