"""A batch of images with their masks and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images with all that moves along with them, on one device.

    Parameters
    ----------
    images : Tensor of shape (n, n_channels, height, width)
        Standardised images, float32.
    codes : Tensor of shape (n, height, width)
        Class codes, negative where ignored.
    weights : Tensor of shape (n, height, width) or None
        Pixel weights.
    """

    images: Tensor
    codes: Tensor
    weights: Tensor | None
