"""The plan of an augmentation: which steps, and how they are carried out on a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sksegment._batch import Batch
from sksegment._scale import Scale
from sksegment._streams import AUGMENT, stream

if TYPE_CHECKING:
    from torch import Tensor


class Augmenter(Protocol):
    """What a plan requires of its steps: a movement, or a change of colour."""

    is_geometric: bool

    def _draw_matrix(
        self, rng: Generator, height: int, width: int
    ) -> NDArray[np.float64]: ...

    def _draw_colours(
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
            "FCNSegmenter: move other transformers in front of them."
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


def augment_batch(
    steps: Sequence[PlannedStep],
    batch: Batch,
    keys: Sequence[tuple[int, ...]],
    seed: int,
    scale: Scale,
) -> Batch:
    """Carry out a plan: one resampling first, then the changes of colour in order.

    Parameters
    ----------
    steps : sequence of PlannedStep
        The plan.
    batch : Batch
        What is to be augmented; left as it is.
    keys : sequence of tuple of int
        What distinguishes the draw of each image: epoch, index of the image, ...
    seed : int
        The seed of the steps without their own.
    scale : Scale
        How the images were standardised.

    Returns
    -------
    Batch
        New tensors of the same shapes.
    """
    rngs = [
        [_generator(step, position, key, seed) for key in keys]
        for position, step in enumerate(steps)
    ]
    drawn = list(zip((step.augmenter for step in steps), rngs, strict=True))
    batch = _move([pair for pair in drawn if pair[0].is_geometric], batch, scale)
    colouring = [pair for pair in drawn if not pair[0].is_geometric]
    return _recolour(colouring, batch, scale) if colouring else batch


def _generator(
    step: PlannedStep, position: int, key: tuple[int, ...], seed: int
) -> Generator:
    own_seed = seed if step.seed is None else step.seed
    return stream(AUGMENT, own_seed, position, *key)


def _move(
    drawn: Sequence[tuple[Any, Sequence[Generator]]], batch: Batch, scale: Scale
) -> Batch:
    """Compose all movements of an image into one matrix, and warp once."""
    if not drawn:
        return batch
    # Imported here: making the steps of a Pipeline does not need torch.
    import torch

    from sksegment._warp import warp

    height, width = batch.images.shape[-2:]
    matrices = np.stack([np.eye(3)] * len(batch.images))
    for augmenter, rngs in drawn:
        # The first step moves the image first, so positions pass through it last.
        matrices @= np.stack(
            [augmenter._draw_matrix(rng, height, width) for rng in rngs]
        )
    fill = common_fill([augmenter for augmenter, _ in drawn])
    colour = None if fill is None else tensor_like(batch.images, scale.apply(fill))
    # On the CPU, where they are read to see whether an image is moved at all.
    rows = torch.from_numpy(matrices[:, :2]).to(batch.images.dtype)
    return Batch(*warp(batch.images, batch.codes, batch.weights, rows, colour))


def tensor_like(images: Tensor, values: NDArray[Any]) -> Tensor:
    """Return values in the dtype of images, and on their device."""
    import torch

    from sksegment._devices import sent

    return sent(torch.from_numpy(values).to(images.dtype), images.device)


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


def _recolour(
    drawn: Sequence[tuple[Any, Sequence[Generator]]], batch: Batch, scale: Scale
) -> Batch:
    low, high = (
        tensor_like(batch.images, scale.apply(values))[:, None, None]
        for values in (scale.low, scale.high)
    )
    images = batch.images.clone()
    for augmenter, rngs in drawn:
        for index, rng in enumerate(rngs):
            images[index] = augmenter._draw_colours(images[index], low, high, rng)
    return replace(batch, images=images)
