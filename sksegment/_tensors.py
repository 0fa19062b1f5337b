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
        float32, in channels-last memory order, whatever that of the arrays is.
    """
    batch = np.ascontiguousarray(np.stack(images))
    if batch.dtype not in (np.uint8, np.float32):  # those travel as they are
        batch = batch.astype(np.float64)
    # The mean goes in double precision: an image of 1e9 and a little would otherwise
    # lose the little. Apple's GPUs have none, there the CPU does it.
    arithmetic = torch.device("cpu") if device.type == "mps" else device
    pixels = torch.from_numpy(batch).to(arithmetic).double()
    # Copied, unlike the batch: in a memory-mapped model file they are read-only.
    pixels -= torch.tensor(scale.mean, device=arithmetic)
    pixels /= torch.tensor(scale.std, device=arithmetic)
    return pixels.float().to(device).permute(0, 3, 1, 2)


def pad_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until height and width divide by `stride`."""
    height, width = images.shape[-2:]
    below, right = -height % stride, -width % stride
    if not (below or right):
        return images
    return F.pad(images, (0, right, 0, below), mode="replicate")
