"""Overlapping tiles, for networks whose output at a pixel depends on the whole image.

No margin makes the tiles of such a network exact. Instead, overlapping tiles are
blended, each counting most in its middle: seams vanish, but the result is approximate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sksegment._prediction.tiles import Interval


def triangle_weights(length: int, device: torch.device) -> Tensor:
    """Return the weights of a side: 1 in the middle, small but not 0 at the ends."""
    rising = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    return torch.minimum(rising, rising.flip(0)) / ((length + 1) // 2)


def blend_tiles(
    predict: Callable[[Interval, Interval], Tensor],
    rows: list[Interval],
    columns: list[Interval],
) -> Iterator[tuple[Interval, Tensor]]:
    """Average overlapping tiles, and yield the rows that no further tile touches.

    Parameters
    ----------
    predict : callable
        Maps the rows and columns of a tile to its probabilities, (n_classes, height,
        width).
    rows, columns : list of tuple of int
        The tiles.

    Yields
    ------
    rows : tuple of int
        Start and stop.
    probabilities : Tensor of shape (n_classes, n_rows, width)
        Their probabilities, over the whole width.
    """
    carried: Tensor | None = None
    finished = [start for start, _ in rows[1:]] + [rows[-1][1]]
    for (top, bottom), end in zip(rows, finished, strict=True):
        band = _band(predict, (top, bottom), columns)
        if carried is not None:
            band[:, : carried.shape[1]] += carried
        done, carried = band[:, : end - top], band[:, end - top :].clone()
        # The last plane holds the weights.
        yield (top, end), done[:-1] / done[-1]


def _band(
    predict: Callable[[Interval, Interval], Tensor],
    rows: Interval,
    columns: list[Interval],
) -> Tensor:
    """Sum up one row of tiles: weighted probabilities, and the weights themselves."""
    height, width = rows[1] - rows[0], columns[-1][1]
    band: Tensor | None = None
    for left, right in columns:
        tile = predict(rows, (left, right))
        weight = triangle_weights(height, tile.device)[:, None] * triangle_weights(
            right - left, tile.device
        )
        if band is None:
            band = tile.new_zeros(len(tile) + 1, height, width)
        band[:-1, :, left:right] += tile * weight
        band[-1, :, left:right] += weight
    assert band is not None  # a side has at least one tile
    return band
