"""From numpy images to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sksegment._scale import Scale


def images_to_tensor(
    images: Sequence[NDArray[Any]], scale: Scale, device: torch.device
) -> Tensor:
    """Return images of one size, standardised, as one batch on the device.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width, n_channels)
        Images of any real dtype and memory layout.
    scale : Scale
        What is taken from each channel, and what it is divided by.
    device : torch.device
        Where the batch is wanted.

    Returns
    -------
    Tensor of shape (n, n_channels, height, width)
        float32, in channels-last memory order: that of the arrays.
    """
    # uint8 travels as it is, a quarter of the bytes. All else becomes float32 first,
    # so that equal values give equal bits whatever dtype they came in.
    bytes_only = all(image.dtype == np.uint8 for image in images)
    batch = np.stack(
        images, dtype=np.uint8 if bytes_only else np.float32, casting="unsafe"
    )
    pixels = torch.from_numpy(batch).to(device).float()
    pixels -= torch.from_numpy(scale.mean.astype(np.float32)).to(device)
    pixels /= torch.from_numpy(scale.std.astype(np.float32)).to(device)
    return pixels.permute(0, 3, 1, 2)


def pad_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until height and width divide by `stride`."""
    height, width = images.shape[-2:]
    below, right = -height % stride, -width % stride
    if not (below or right):
        return images
    return F.pad(images, (0, right, 0, below), mode="replicate")
