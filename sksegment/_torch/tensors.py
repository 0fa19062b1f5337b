"""From numpy images to what a network takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.nodata import with_nan
from sksegment._torch.devices import arithmetic_device, to_device

# With fewer channels, torch takes up to four times as long for rows of one pixel as for
# rows of so many numbers.
FEW_CHANNELS, ROW_LENGTH = 8, 256


def images_to_tensor(
    images: Sequence[NDArray[Any]], scale: Scale, device: torch.device
) -> Tensor:
    """Return images of one size, standardised, as one batch on the device.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, n_channels)
        Images of any real dtype and memory layout.
    scale : Scale
        What is subtracted from each channel, and what it is divided by.
    device : torch.device
        Where the batch is wanted.

    Returns
    -------
    Tensor of shape (n, n_channels, height, width)
        float32, in channels-last memory order, whatever that of the arrays is.
    """
    if scale.nodata is not None:
        images = [with_nan(image, scale.nodata) for image in images]
    pixels = torch.from_numpy(in_torch_dtype(np.stack(images)))
    return standardize(pixels.to(arithmetic_device(device)), scale, device)


def in_torch_dtype(image: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of an image in a dtype of torch that holds its values."""
    return np.array(image, torch_dtype(image.dtype), order="C")


def torch_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype of torch that holds the values of another.

    Bytes stay bytes: a quarter of the data to send to a GPU.
    """
    if dtype == np.uint8:
        return np.dtype(np.uint8)
    fits = np.can_cast(dtype, np.float32)
    return np.dtype(np.float32 if fits else np.float64)


def standardize(pixels: Tensor, scale: Scale, device: torch.device) -> Tensor:
    """Return images of shape (n, height, width, n_channels) as `images_to_tensor` does.

    The mean is subtracted in double precision: small differences around 1e9 would
    otherwise be lost. Values far from those of training are clipped to `Scale.limits`.
    NaN, which `with_nan` puts where there is no data, becomes the mean.
    """
    arithmetic = arithmetic_device(device)
    values = to_device(pixels, arithmetic).double().contiguous()
    # Copied, unlike the batch: in a memory-mapped model file they are read-only.
    lowest, highest, mean, std = (
        to_device(torch.tensor(channels, device="cpu"), arithmetic)
        for channels in (*scale.limits(), scale.mean, scale.std)
    )
    for rows, n_pixels in long_rows(values.view(-1, pixels.shape[-1])):
        rows.clamp_(lowest.repeat(n_pixels), highest.repeat(n_pixels))
        rows -= mean.repeat(n_pixels)
        rows /= std.repeat(n_pixels)
    if scale.nodata is not None:
        values = values.nan_to_num_(nan=0.0)
    return values.float().to(device).permute(0, 3, 1, 2)


def long_rows(pixels: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Yield pixels, (n, n_channels), in rows of several and then, what is left, of one.

    Both are views, and what is done to them is the same in each row.

    Yields
    ------
    rows : Tensor of shape (n_rows, n_pixels * n_channels)
        Some of the pixels.
    n_pixels : int
        How many a row holds.
    """
    n_channels = pixels.shape[1]
    n_pixels = ROW_LENGTH // n_channels if n_channels < FEW_CHANNELS else 1
    n_rows = len(pixels) // n_pixels
    whole = n_rows * n_pixels
    if whole:
        yield pixels[:whole].view(n_rows, n_pixels * n_channels), n_pixels
    if whole < len(pixels):
        yield pixels[whole:], 1


def pad_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until height and width divide by `stride`."""
    height, width = images.shape[-2:]
    below, right = -height % stride, -width % stride
    if not (below or right):
        return images
    return F.pad(images, (0, right, 0, below), mode="replicate")
