"""The batches of a frozen encoder: maps in place of images, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sksegment._training.batches import Batches, Target
from sksegment.networks._encoder_fcn import EncodedImages


@dataclass
class EncodedBatches:
    """Batches of images that are the same in every epoch, encoded.

    The maps of an image are computed alone, not with its batch, so that a training run
    that resumes gets the same bits.

    Parameters
    ----------
    batches : Batches
        The images, with their masks and weights.
    encode : callable
        From a batch of images to their maps.
    room : float
        Bytes of maps that are kept; those of further images are computed each time.
    """

    batches: Batches
    encode: Callable[[Tensor], EncodedImages]
    room: float
    _kept: dict[tuple[int, int, int], list[Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[EncodedImages, Target]]:
        for crops, batch in self.batches.drawn():
            height, width = batch.images.shape[-2:]
            each = [
                self._maps((crop.image, height, width), image)
                for crop, image in zip(crops, batch.images, strict=True)
            ]
            maps = [torch.cat(level) for level in zip(*each, strict=True)]
            yield EncodedImages(maps, (height, width)), (batch.codes, batch.weights)

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.batches.device

    def have_one_size(self) -> bool:
        """Tell whether all batches hold images of one size."""
        return self.batches.have_one_size()

    def _maps(self, key: tuple[int, int, int], image: Tensor) -> list[Tensor]:
        """Return the maps of an image that its batch extended to a size."""
        if key in self._kept:
            return self._kept[key]
        maps = self.encode(image[None]).maps
        n_bytes = sum(one.nbytes for one in maps)
        if n_bytes <= self.room:
            self.room -= n_bytes
            self._kept[key] = maps
        return maps
