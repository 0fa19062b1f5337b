"""One resampling that moves images, masks and pixel weights together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sksegment._inputs.labels import IGNORED
from sksegment._torch.devices import to_device

# Centred coordinates of mirror images differ only in signs.
FLIPS = {(1.0, 1.0): (), (-1.0, 1.0): (-1,), (1.0, -1.0): (-2,), (-1.0, -1.0): (-2, -1)}


def warp(
    images: Tensor,
    codes: Tensor,
    weights: Tensor | None,
    matrices: Tensor,
    fill: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Move each image with its mask and weights, in one resampling.

    Images are resampled bilinearly, masks and weights by the nearest pixel. Mirror
    images are exact copies: they are not resampled at all.

    Parameters
    ----------
    images : Tensor of shape (n, n_channels, height, width)
        The images.
    codes : Tensor of shape (n, height, width)
        The class codes.
    weights : Tensor of shape (n, height, width) or None
        The pixel weights.
    matrices : Tensor of shape (n, 2, 3)
        For each image, the position in the input of a position in the output: pixels,
        x before y, counted from the centre of the image. On the CPU.
    fill : Tensor of shape (n_channels,) or None
        What is painted beyond the input; those pixels are ignored. With None,
        image and mask are mirrored at the border.

    Returns
    -------
    tuple of Tensor
        Images, codes and weights of the same shapes.
    """
    flips = [_as_flip(matrix) for matrix in matrices.tolist()]
    chosen = [index for index, axes in enumerate(flips) if axes is None]
    if len(chosen) == len(flips):  # the usual case, which needs no copies
        return _resampled(images, codes, weights, matrices, fill)
    images, codes = images.clone(), codes.clone()
    weights = None if weights is None else weights.clone()
    for index, axes in enumerate(flips):
        if axes:
            images[index] = images[index].flip(axes)
            codes[index] = codes[index].flip(axes)
            if weights is not None:
                weights[index] = weights[index].flip(axes)
    if chosen:
        there = to_device(torch.tensor(chosen, device="cpu"), images.device)
        cut = None if weights is None else weights[there]
        images[there], codes[there], moved = _resampled(
            images[there], codes[there], cut, matrices[chosen], fill
        )
        if weights is not None and moved is not None:
            weights[there] = moved
    return images, codes, weights


def _as_flip(matrix: list[list[float]]) -> tuple[int, ...] | None:
    """Return the axes to mirror if `matrix` does no more than that."""
    (xx, xy, x0), (yx, yy, y0) = matrix
    return None if xy or yx or x0 or y0 else FLIPS.get((xx, yy))


def _resampled(
    images: Tensor,
    codes: Tensor,
    weights: Tensor | None,
    matrices: Tensor,
    fill: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return images, codes and weights, looked up at other positions."""
    grid = _grid(matrices, images.shape[-2], images.shape[-1], images.device)
    images = F.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    codes = _nearest(codes, grid)
    weights = None if weights is None else _nearest(weights, grid)
    if fill is None:
        return images, codes, weights
    outside = (grid.abs() > 1).any(dim=-1)
    images = torch.where(outside[:, None], fill[:, None, None], images)
    return images, codes.masked_fill(outside, IGNORED), weights


def _grid(matrices: Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """Return where each output pixel looks, in the coordinates of `grid_sample`."""
    half = matrices.new_tensor([width / 2, height / 2])
    linear = to_device(matrices[:, :, :2] / half[None, :, None], device)
    shift = to_device(matrices[:, :, 2] / half, device)
    # Not in torch's default dtype, which others may have changed.
    columns = torch.arange(width, dtype=torch.float32, device=device) + 0.5 - width / 2
    rows = torch.arange(height, dtype=torch.float32, device=device) + 0.5 - height / 2
    # The sum of a row and a column of positions; a product of matrices is slower.
    along = columns[:, None] * linear[:, None, None, :, 0] + shift[:, None, None]
    return along + rows[:, None, None] * linear[:, None, None, :, 1]


def _nearest(values: Tensor, grid: Tensor) -> Tensor:
    """Resample whole numbers or weights without mixing neighbours."""
    sampled = F.grid_sample(
        values[:, None].to(grid.dtype),
        grid,
        mode="nearest",
        padding_mode="reflection",
        align_corners=False,
    )
    return sampled[:, 0].to(values.dtype)
