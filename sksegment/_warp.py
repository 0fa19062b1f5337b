"""One resampling that moves images, masks and pixel weights together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sksegment._labels import IGNORED

# Centred coordinates of mirror images differ by signs alone.
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
        x before y, counted from the centre of the image.
    fill : Tensor of shape (n_channels,) or None
        What is painted where the input ends; those pixels are ignored. With None,
        image and mask are mirrored at the border.

    Returns
    -------
    tuple of Tensor
        Images, codes and weights of the same shapes.
    """
    images, codes = images.clone(), codes.clone()
    weights = None if weights is None else weights.clone()
    flips = [_as_flip(matrix) for matrix in matrices.tolist()]
    for index, axes in enumerate(flips):
        if axes:
            images[index] = images[index].flip(axes)
            codes[index] = codes[index].flip(axes)
            if weights is not None:
                weights[index] = weights[index].flip(axes)
    chosen = [index for index, axes in enumerate(flips) if axes is None]
    if chosen:
        _resample(images, codes, weights, matrices, fill, chosen)
    return images, codes, weights


def _as_flip(matrix: list[list[float]]) -> tuple[int, ...] | None:
    """Return the axes to mirror if `matrix` does no more than that."""
    (xx, xy, x0), (yx, yy, y0) = matrix
    return None if xy or yx or x0 or y0 else FLIPS.get((xx, yy))


def _resample(
    images: Tensor,
    codes: Tensor,
    weights: Tensor | None,
    matrices: Tensor,
    fill: Tensor | None,
    chosen: list[int],
) -> None:
    """Warp the chosen images of a batch in place."""
    grid = _grid(matrices[chosen], images.shape[-2], images.shape[-1])
    padding = "reflection" if fill is None else "border"
    outside = (grid.abs() > 1).any(dim=-1)
    moved = F.grid_sample(
        images[chosen], grid, mode="bilinear", padding_mode=padding, align_corners=False
    )
    if fill is not None:
        moved = torch.where(outside[:, None], fill[:, None, None], moved)
    images[chosen] = moved
    codes[chosen] = _nearest(codes[chosen], grid, padding)
    if fill is not None:
        codes[chosen] = codes[chosen].masked_fill(outside, IGNORED)
    if weights is not None:
        weights[chosen] = _nearest(weights[chosen], grid, padding)


def _grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """Return where each output pixel looks, in the coordinates of `grid_sample`."""
    half = matrices.new_tensor([width / 2, height / 2])
    linear = matrices[:, :, :2] * half[None, None, :] / half[None, :, None]
    shift = matrices[:, :, 2:] / half[None, :, None]
    theta = torch.cat([linear, shift], dim=2)
    size = [len(matrices), 1, height, width]
    return F.affine_grid(theta, size, align_corners=False)


def _nearest(values: Tensor, grid: Tensor, padding: str) -> Tensor:
    """Resample whole numbers or weights without mixing neighbours."""
    sampled = F.grid_sample(
        values[:, None].to(grid.dtype),
        grid,
        mode="nearest",
        padding_mode=padding,
        align_corners=False,
    )
    return sampled[:, 0].to(values.dtype)
