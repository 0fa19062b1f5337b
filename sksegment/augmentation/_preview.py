"""Single draws of an augmentation, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.channel_scale import ChannelSums, Scale, channel_sums
from sksegment._inputs.classes import check_kind_of_ignored
from sksegment._inputs.image_list import (
    ImageList,
    as_images,
    as_masks,
    check_channels,
    check_pair,
)
from sksegment._inputs.labels import LabelEncoder, unique_labels
from sksegment._inputs.nodata import NoData, with_nan
from sksegment._inputs.samples import as_samples
from sksegment._torch.batch import Batch
from sksegment.augmentation._apply import augment_batch
from sksegment.augmentation._plan import PlannedStep, common_fill

# The smallest and the largest value of each channel.
Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


def draw_pairs(
    steps: Sequence[PlannedStep],
    image: Any,
    mask: Any,
    n_draws: int,
    ignore_label: Any,
    seed: int,
    nodata: NoData | None = None,
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return an image and its mask as they are, and then what `n_draws` draws make.

    Parameters
    ----------
    steps : sequence of PlannedStep
        The plan.
    image : array-like of shape (height, width[, n_channels]), or path
        The image.
    mask : array-like of shape (height, width), or path
        Its mask.
    n_draws : int
        How often to draw.
    ignore_label : object
        The label of pixels that a numeric `fill` paints.
    seed : int
        The seed of the steps without their own.
    nodata : NoData, default=None
        What marks pixels without data. As in training, these are NaN in the images, and
        ignored in the masks.

    Returns
    -------
    list of tuple of ndarray
        Images and masks.
    """
    images, masks = as_images([image]), as_masks([mask])
    if nodata is not None:
        images, masks = _without_data(image, mask, nodata)
    geometric = [step.augmenter for step in steps if step.augmenter.is_geometric]
    painted = None if common_fill(geometric) is None else ignore_label
    encoder = LabelEncoder(unique_labels(masks, None))
    check_kind_of_ignored(painted, [encoder.classes])
    ends = range_of(images)
    draws = [
        augment_pair(steps, images, masks, encoder, painted, ends, 0, (draw,), seed)
        for draw in range(n_draws)
    ]
    return [(images[0], masks[0]), *draws]


def _without_data(image: Any, mask: Any, nodata: NoData) -> tuple[ImageList, ImageList]:
    pixels, labels = as_samples([image], [mask], None, nodata).read(0)
    images = as_images([with_nan(pixels, nodata.value)], nodata=np.nan)
    return images, as_masks([labels])


def augment_pair(
    steps: Sequence[PlannedStep],
    images: ImageList,
    masks: ImageList,
    encoder: LabelEncoder,
    painted: Any,
    ends: Ends | None,
    index: int,
    key: tuple[int, ...],
    seed: int,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Augment one image and its mask, as training would; label painted pixels."""
    import torch

    image, mask = images[index], masks[index]
    check_pair(image, mask, masks, index)
    codes = encoder.encode(mask, masks.name(index))
    ones = np.ones(image.shape[-1])
    scale = Scale(0 * ones, ones, *(ends or (0 * ones, ones)))
    # In double precision, so that unchanged values come back bit for bit.
    pixels = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)
    batch = Batch(pixels[None], torch.from_numpy(codes)[None], None)
    batch = augment_batch(steps, batch, [key], seed, scale)
    moved = batch.codes[0].numpy()
    labels = encoder.decode(np.maximum(moved, 0)).astype(mask.dtype)
    if painted is not None:
        # A uint8 mask cannot hold -1, for example.
        labels = labels.astype(np.result_type(labels, np.min_scalar_type(painted)))
        labels[moved < 0] = painted
    return _in_dtype(batch.images[0].permute(1, 2, 0).numpy(), image.dtype), labels


def range_of(images: ImageList) -> Ends:
    """Return the smallest and the largest value of each channel in all images."""
    n_channels = images[0].shape[-1]
    for index, image in enumerate(images):
        check_channels(image, n_channels, images.name(index))
    sums = reduce(add, map(_sums_of_known, images))
    return sums.low, sums.high


def _sums_of_known(image: NDArray[Any]) -> ChannelSums:
    """Sum up the pixels with data, which are not NaN."""
    has_nan = image.dtype.kind == "f" and np.isnan(image).any()
    counted = ~np.isnan(image).any(axis=-1) if has_nan else None
    return channel_sums(image, counted)


def _in_dtype(image: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give an image its dtype back; whole numbers are rounded and kept in range."""
    if dtype.kind == "f":
        return image.astype(dtype)
    if dtype.kind == "b":
        return image >= 0.5
    limits = np.iinfo(dtype)
    return np.rint(image).clip(limits.min, limits.max).astype(dtype)
