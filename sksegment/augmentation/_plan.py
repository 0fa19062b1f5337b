"""The plan of an augmentation: which steps, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class Augmenter(Protocol):
    """What a plan requires of its steps: a movement, or a change of color."""

    is_geometric: bool

    def _draw_matrix(
        self, rng: Generator, height: int, width: int
    ) -> NDArray[np.float64]: ...

    def _draw_colors(
        self, image: Tensor, low: Tensor, high: Tensor, rng: Generator
    ) -> Tensor: ...


class PlannedStep(NamedTuple):
    """An augmenter of a plan, and its own seed, if it has one."""

    augmenter: Augmenter
    seed: int | None


class AugmentedImages:
    """Images and the augmentations that `FCNSegmenter.fit` will apply to them.

    Reading it as an array or a sequence raises `TypeError`: whoever did that would
    continue with the bare images and drop the plan.

    Parameters
    ----------
    images : array-like
        The images as the user gave them; they are not copied.
    steps : tuple of PlannedStep
        What is to be done to them, in this order.

    See Also
    --------
    RandomFlip : One of the augmenters whose `fit_transform` makes them.
    sksegment.FCNSegmenter : Carries out the plan in `fit`.

    Examples
    --------
    >>> from sksegment.augmentation import RandomFlip, RandomRotation
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> flipped = RandomFlip().fit_transform(X)
    >>> RandomRotation(15).fit_transform(flipped)
    <2 images to be augmented by RandomFlip(), RandomRotation()>
    """

    def __init__(self, images: Any, steps: tuple[PlannedStep, ...]) -> None:
        self.images = images
        self.steps = steps

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        names = ", ".join(repr(step.augmenter) for step in self.steps)
        return f"<{len(self)} images to be augmented by {names}>"

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "The step after an augmenter reads the images, which would drop the "
            "augmentation. Augmenters come last in a Pipeline, directly before "
            "FCNSegmenter: move other transformers in front of them, and put the "
            "Pipeline into what divides the images, as in "
            "TemperatureScaling(make_pipeline(RandomFlip(), FCNSegmenter()))."
        )

    def __iter__(self) -> NoReturn:
        self.__array__()

    def __getitem__(self, index: Any) -> NoReturn:
        self.__array__()


def without_plan(X: Any) -> tuple[Any, Sequence[PlannedStep]]:
    """Return the images, and the augmentations that earlier steps have planned."""
    if not isinstance(X, AugmentedImages):
        return X, ()
    # Rejects borders that contradict each other before training begins.
    common_fill([step.augmenter for step in X.steps if step.augmenter.is_geometric])
    return X.images, X.steps


def common_fill(augmenters: Sequence[Any]) -> float | None:
    """Return the number that steps with one resampling paint outside, or None.

    A number wins over "reflect": whoever asks one step for painted borders does not
    want mirrored ones from another.
    """
    fills = {getattr(augmenter, "fill", "reflect") for augmenter in augmenters}
    numbers = sorted(float(fill) for fill in fills if fill != "reflect")
    if len(numbers) > 1:
        raise ValueError(
            f"The geometric steps of a Pipeline share one resampling, but have fill= "
            f"{numbers}; expected the same number in all of them."
        )
    return numbers[0] if numbers else None
