"""The plan of an augmentation, carried out on a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.random import AUGMENT, random_generator
from sksegment._torch.batch import Batch
from sksegment.augmentation._plan import PlannedStep, common_fill

if TYPE_CHECKING:
    from torch import Tensor


def augment_batch(
    steps: Sequence[PlannedStep],
    batch: Batch,
    keys: Sequence[tuple[int, ...]],
    seed: int,
    scale: Scale,
) -> Batch:
    """Carry out a plan: one resampling first, then the changes of color in order.

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
    coloring = [pair for pair in drawn if not pair[0].is_geometric]
    return _recolor(coloring, batch, scale) if coloring else batch


def _generator(
    step: PlannedStep, position: int, key: tuple[int, ...], seed: int
) -> Generator:
    own_seed = seed if step.seed is None else step.seed
    return random_generator(AUGMENT, own_seed, position, *key)


def _move(
    drawn: Sequence[tuple[Any, Sequence[Generator]]], batch: Batch, scale: Scale
) -> Batch:
    """Compose all movements of an image into one matrix, and warp once."""
    if not drawn:
        return batch
    # Imported here: making the steps of a Pipeline does not need torch.
    import torch

    from sksegment.augmentation._warp import warp

    height, width = batch.images.shape[-2:]
    matrices = np.stack([np.eye(3)] * len(batch.images))
    for augmenter, rngs in drawn:
        # The first step moves the image first, so positions pass through it last.
        matrices @= np.stack(
            [augmenter._draw_matrix(rng, height, width) for rng in rngs]
        )
    fill = common_fill([augmenter for augmenter, _ in drawn])
    color = None if fill is None else tensor_like(batch.images, scale.apply(fill))
    # On the CPU, where they are read to see whether an image is moved at all.
    rows = torch.from_numpy(matrices[:, :2]).to(batch.images.dtype)
    return Batch(*warp(batch.images, batch.codes, batch.weights, rows, color))


def tensor_like(images: Tensor, values: NDArray[Any]) -> Tensor:
    """Return values in the dtype of images, and on their device."""
    import torch

    from sksegment._torch.devices import to_device

    return to_device(torch.from_numpy(values).to(images.dtype), images.device)


def _recolor(
    drawn: Sequence[tuple[Any, Sequence[Generator]]], batch: Batch, scale: Scale
) -> Batch:
    low, high = (
        tensor_like(batch.images, scale.apply(values))[:, None, None]
        for values in (scale.low, scale.high)
    )
    images = batch.images.clone()
    for augmenter, rngs in drawn:
        for index, rng in enumerate(rngs):
            images[index] = augmenter._draw_colors(images[index], low, high, rng)
    return replace(batch, images=images)
