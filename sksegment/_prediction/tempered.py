"""Probabilities divided by a temperature on the scale of their logarithms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList
from sksegment._prediction.tilewise import PartPredictor


def apply_temperature(probabilities: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Return the softmax of log-probabilities over a temperature, on the first axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment._prediction.tempered import apply_temperature
    >>> apply_temperature(np.array([0.9, 0.1]), 2.0)
    array([0.75, 0.25])
    """
    smallest = np.finfo(probabilities.dtype).tiny
    scores = np.log(np.maximum(probabilities, smallest))
    scores -= scores.max(axis=0)
    scores /= scores.dtype.type(temperature)
    np.exp(scores, out=scores)
    return np.asarray(scores / scores.sum(axis=0))


@dataclass(frozen=True)
class TemperedPredictor:
    """A predictor whose probabilities are made softer or sharper.

    Parameters
    ----------
    predictor : PartPredictor
        What predicts.
    temperature : float
        Above 1 makes the probabilities softer.
    """

    predictor: PartPredictor
    temperature: float

    @property
    def margin(self) -> int | None:
        """That of the predictor."""
        return self.predictor.margin

    @property
    def stride(self) -> int:
        """That of the predictor."""
        return self.predictor.stride

    def given(self, images: ImageList) -> TemperedPredictor:
        """Return the predictor for images in this form."""
        return replace(self, predictor=self.predictor.given(images))

    def check_images(
        self, images: Iterable[NDArray[Any]], name: Callable[[int], str]
    ) -> Iterator[NDArray[Any]]:
        """Yield images that the predictor has checked."""
        return self.predictor.check_images(images, name)

    def parts(self, parts: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the tempered probabilities of each part."""
        for probabilities in self.predictor.parts(parts):
            yield apply_temperature(probabilities, self.temperature)

    def members(self) -> tuple[Sequence[PartPredictor], NDArray[np.float64]]:
        """Return the members of the predictor and their weights."""
        return self.predictor.members()
