"""Images with their masks and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import (
    ImageList,
    as_images,
    as_masks,
    check_pair,
    check_pairs,
)
from sksegment._inputs.nodata import NoData
from sksegment._inputs.own_masks import check_no_own_mask
from sksegment._inputs.sample_weight import as_weights


@dataclass(frozen=True)
class Samples:
    """Images, the masks that belong to them, and weights if there are any.

    Parameters
    ----------
    images, masks : ImageList
        As many masks as images.
    weights : sequence of ndarray or None
        For each image one weight, or one per pixel.
    unit : float, default=1.0
        The weight that counts as 1.
    nodata : NoData, default=None
        What marks pixels without data, which are ignored.
    """

    images: ImageList
    masks: ImageList
    weights: Sequence[NDArray[np.float64]] | None
    unit: float = 1.0
    nodata: NoData | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: NDArray[np.intp]) -> Self:
        """Return the samples at `indices`, in that order."""
        weights = self.weights
        chosen = None if weights is None else [weights[index] for index in indices]
        return replace(
            self,
            images=self.images.take(indices),
            masks=self.masks.take(indices),
            weights=chosen,
        )

    def read(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return image and mask `index`, checked against each other."""
        image, mask = self.images[index], self.masks[index]
        check_pair(image, mask, self.masks, index)
        return image, self.relabelled(mask, image, index)

    def relabelled(
        self, mask: NDArray[Any], image: NDArray[Any], index: int
    ) -> NDArray[Any]:
        """Return mask `index`, or a part of it, ignored where there is no data."""
        if self.nodata is None:
            return mask
        return self.nodata.relabelled(mask, image, self.masks.name(index))

    def weight(self, index: int) -> NDArray[np.float64] | None:
        """Return the weight of image `index` in units: one number, or one per pixel."""
        if self.weights is None:
            return None
        return np.asarray(self.weights[index] / self.unit)


def as_samples(
    X: Any, y: Any, sample_weight: Any, nodata: NoData | None = None
) -> Samples:
    """Return what `X`, `y` and `sample_weight` stand for, if they match."""
    masks = as_masks(y)
    images = as_images(X, nodata=None if nodata is None else nodata.value)
    check_pairs(images, masks)
    check_no_own_mask(images, masks)
    weights = as_weights(sample_weight, len(images))
    return Samples(images, masks, weights, nodata=nodata)
