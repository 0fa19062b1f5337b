"""How the probabilities of any fitted segmenter are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.pipelines import final_estimator
from sksegment._prediction.tilewise import PartPredictor


def predictor_of_estimator(estimator: Any) -> PartPredictor:
    """Return a predictor for a fitted segmenter, Pipeline or search object.

    The segmenters of this package are predicted in exact tiles, alone or at the end of
    a Pipeline of augmenters, which do nothing at prediction. All others see whole
    images: it is not known what they look at.
    """
    fitted = final_estimator(estimator)
    if hasattr(fitted, "_predictor") and _leaves_images_alone(estimator):
        predictor: PartPredictor = fitted._predictor()
        return predictor
    return EstimatorPredictor(estimator)


@dataclass(frozen=True)
class EstimatorPredictor:
    """Calls `predict_proba` of an estimator of which nothing else is known.

    Parameters
    ----------
    estimator : object
        A fitted segmenter.
    """

    estimator: Any
    margin: int | None = None
    stride: int = 1

    def check_images(
        self, images: Iterable[NDArray[Any]], name: Callable[[int], str]
    ) -> Iterator[NDArray[Any]]:
        """Yield the images as they are; the estimator checks them."""
        return iter(images)

    def parts(self, parts: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the probabilities of whole images, one at a time."""
        for image in parts:
            yield np.asarray(self.estimator.predict_proba([image])[0])

    def members(self) -> tuple[Sequence[PartPredictor], NDArray[np.float64]]:
        """Raise: nothing is known of its members."""
        raise TypeError(
            f"The estimator is a {type(self.estimator).__name__}, which has neither "
            f"members nor views to disagree; expected a VotingSegmenter or an "
            f"FCNSegmenter, or method='entropy' or 'margin'."
        )


def _leaves_images_alone(estimator: Any) -> bool:
    """Tell whether all steps before the last do nothing at prediction."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    steps = getattr(estimator, "steps", None)
    if not isinstance(steps, list):
        return True
    *before, (_, last) = steps
    return all(map(_does_nothing, before)) and _leaves_images_alone(last)


def _does_nothing(step: tuple[str, Any]) -> bool:
    # Augmenters are told by their method: this floor does not know the classes.
    return step[1] in (None, "passthrough") or hasattr(step[1], "augment")
