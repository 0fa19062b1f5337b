"""Tiles of a large image: where they lie, what they predict and what they look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, isqrt, prod

# The share of a tile that overlaps with its neighbour.
OVERLAP = 0.5

Interval = tuple[int, int]


@dataclass(frozen=True)
class TileSide:
    """One side of a tile: the pixels that it predicts, and those that it looks at.

    Parameters
    ----------
    core, window : tuple of int
        Start and stop in pixels of the image; the window holds the core.
    """

    core: Interval
    window: Interval

    def inner(self) -> slice:
        """Return where the core lies inside the window."""
        start = self.core[0] - self.window[0]
        return slice(start, start + self.core[1] - self.core[0])


def spans(size: int, tile: int, margin: int, stride: int) -> list[TileSide]:
    """Cut one side of an image into tiles of about equal length, on the stride grid.

    Each tile looks at least `margin` pixels beyond those that it predicts, or up to the
    border of the image: it then sees all that its prediction depends on.

    Parameters
    ----------
    size : int
        Length of the side in pixels.
    tile : int
        Largest length of a tile; rounded up to the stride.
    margin : int
        Radius of the receptive field.
    stride : int
        The grid on which the network sees all positions alike.

    Returns
    -------
    list of Span
        The tiles, in order; together, their cores cover the side.

    Examples
    --------
    >>> [span.core for span in spans(size=100, tile=40, margin=9, stride=8)]
    [(0, 40), (40, 80), (80, 100)]
    >>> [span.window for span in spans(size=100, tile=40, margin=9, stride=8)]
    [(0, 56), (24, 96), (64, 100)]
    """
    n_tiles = ceil(size / (ceil(tile / stride) * stride))
    step = ceil(ceil(size / n_tiles) / stride) * stride
    reach = ceil(margin / stride) * stride
    return [
        TileSide(
            (start, min(start + step, size)),
            (max(start - reach, 0), min(start + step + reach, size)),
        )
        for start in range(0, size, step)
    ]


@dataclass(frozen=True)
class Tiling:
    """How large images are cut for one network.

    Parameters
    ----------
    tile_size : int or "auto"
        Side in pixels of the squares; "auto" cuts what is above `pixel_limit`.
    margin : int or None
        Radius of the receptive field; None if it is the whole image.
    stride : int
        The grid on which the network sees all positions alike.
    pixel_limit : int
        Pixels that fit into the working memory.

    Examples
    --------
    >>> tiling = Tiling(tile_size=64, margin=9, stride=8, pixel_limit=10_000)
    >>> tiling.window(200, 50)
    (88, 50)
    >>> tiling.smaller(200, 50)
    Tiling(tile_size=32, margin=9, stride=8, pixel_limit=10000)
    """

    tile_size: int | str
    margin: int | None
    stride: int
    pixel_limit: int

    def is_cut(self, height: int, width: int) -> bool:
        """Tell whether an image is predicted in tiles."""
        if self.tile_size == "auto":
            # Tiles that look at the whole image save no memory.
            window = self._longest(height) * self._longest(width)
            return self.pixel_limit < height * width and window < height * width
        return max(height, width) > int(self.tile_size)

    def tile(self) -> int:
        """Return the side of a tile, without its margin."""
        if self.tile_size != "auto":
            return int(self.tile_size)
        # A tile thinner than its margin would compute more margin than it predicts.
        margin = self.margin or 0
        return max(isqrt(self.pixel_limit) - 2 * margin, margin)

    def side(self, height: int, width: int) -> int:
        """Return the side of the squares in which an image is predicted."""
        longest = max(height, width)
        return min(longest, self.tile()) if self.is_cut(height, width) else longest

    def window(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the largest part that a forward pass looks at."""
        if not self.is_cut(height, width):
            return height, width
        return self._longest(height), self._longest(width)

    def smaller(self, height: int, width: int) -> Tiling | None:
        """Return tiles of half the side or less, which look at less; else None.

        Tiles smaller than their margin hardly look at less, but take far longer.
        """
        floor = max(self.margin or 0, 2 * self.stride)
        side, n_pixels = self.side(height, width), prod(self.window(height, width))
        while side > floor:
            side = max(side // 2, floor)
            tiling = replace(self, tile_size=side)
            if prod(tiling.window(height, width)) < n_pixels:
                return tiling
        return None

    def _longest(self, size: int) -> int:
        """Return the length of the longest window along one side of an image."""
        return max(stop - start for start, stop in self._windows(size))

    def _windows(self, size: int) -> list[Interval]:
        if self.margin is None:
            return overlapping(size, self.tile(), self.stride)
        cut = spans(size, self.tile(), self.margin, self.stride)
        return [span.window for span in cut]


def overlapping(size: int, tile: int, stride: int) -> list[Interval]:
    """Cut one side of an image into overlapping tiles, on the stride grid.

    Parameters
    ----------
    size : int
        Length of the side in pixels.
    tile : int
        Length of a tile; rounded up to two strides.
    stride : int
        The grid on which the network sees all positions alike.

    Returns
    -------
    list of tuple of int
        Start and stop of each tile; together they cover the side.

    Examples
    --------
    >>> overlapping(size=100, tile=40, stride=8)
    [(0, 40), (16, 56), (32, 72), (48, 88), (64, 100)]
    """
    tile = max(-(-tile // stride), 2) * stride
    step = max(int(tile * OVERLAP) // stride, 1) * stride
    last = max(size - tile, 0)
    starts = range(0, last + step, step)
    return [(start, min(start + tile, size)) for start in starts if start < size]
