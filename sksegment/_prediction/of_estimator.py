"""How the probabilities of any fitted segmenter are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList
from sksegment._inputs.members import no_members_error
from sksegment._inputs.pipelines import changing_steps, final_estimator
from sksegment._prediction.tilewise import PartPredictor


def predictor_of_estimator(estimator: Any) -> PartPredictor:
    """Return a predictor for a fitted segmenter, Pipeline or search object.

    The segmenters of this package are predicted in exact tiles, alone or at the end of
    a Pipeline of augmenters, which do nothing at prediction. All others see whole
    images: it is not known what they look at.
    """
    fitted = final_estimator(estimator)
    if hasattr(fitted, "_predictor") and not changing_steps(estimator):
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
    contained : callable, default=list
        Puts images into the container that the estimator is given.
    """

    estimator: Any
    contained: Callable[[Sequence[NDArray[Any]]], Any] = list
    margin: int | None = None
    stride: int = 1

    def given(self, images: ImageList) -> EstimatorPredictor:
        """Return a predictor that hands images on in the container of these."""
        return replace(self, contained=images.contained)

    def check_images(
        self, images: Iterable[NDArray[Any]], name: Callable[[int], str]
    ) -> Iterator[NDArray[Any]]:
        """Yield the images as they are; the estimator checks them."""
        return iter(images)

    def parts(self, parts: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the probabilities of whole images, one at a time."""
        for image in parts:
            X = self.contained([image])
            yield np.asarray(self.estimator.predict_proba(X)[0])

    def members(self) -> tuple[Sequence[PartPredictor], NDArray[np.float64]]:
        """Raise: nothing is known of its members."""
        raise no_members_error(self.estimator)
