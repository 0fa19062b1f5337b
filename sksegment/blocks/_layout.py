"""Where the blocks of a large image lie, and what each looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sksegment._inputs.checks import height_and_width
from sksegment._prediction.tiles import TileSide

# "auto": the side of a block in pixels, unless the network looks far.
AUTO_SIDE = 1024
# A block of this many margins computes half as much again as it keeps.
AUTO_MARGINS = 8
# Largest block of probabilities, in values.
AUTO_VALUES = 2**25


@dataclass(frozen=True)
class BlockLayout:
    """The blocks of an image; each can be predicted without the others.

    Parameters
    ----------
    size : tuple of int
        Height and width of the image in pixels.
    block_size : tuple of int
        Height and width of the blocks; those at the end may be smaller.
    margin : int
        Radius of the receptive field in pixels.
    stride : int
        The grid on which the network sees all positions alike.

    Examples
    --------
    >>> layout = BlockLayout(size=(100, 60), block_size=(50, 60), margin=9, stride=8)
    >>> layout.chunks
    ((50, 50), (60,))
    >>> rows, columns = layout.spans(1, 0)
    >>> rows.core, rows.window
    ((50, 100), (40, 100))
    """

    size: tuple[int, int]
    block_size: tuple[int, int]
    margin: int
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of blocks, down and across."""
        rows, columns = map(len, self.chunks)
        return rows, columns

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Heights and widths of the blocks, as dask writes them."""
        rows, columns = (
            tuple(min(block, size - start) for start in range(0, size, block))
            for size, block in zip(self.size, self.block_size, strict=True)
        )
        return rows, columns

    def spans(self, row: int, column: int) -> tuple[TileSide, TileSide]:
        """Return the rows and columns of a block, and of what it looks at."""
        return self._span(0, row), self._span(1, column)

    def _span(self, axis: int, index: int) -> TileSide:
        size, block = self.size[axis], self.block_size[axis]
        start, stop = index * block, min((index + 1) * block, size)
        # A window begins on the stride grid, and ends there or with the image: the
        # network then pads it as it would pad the image.
        first = (start - self.margin) // self.stride * self.stride
        last = math.ceil((stop + self.margin) / self.stride) * self.stride
        return TileSide((start, stop), (max(first, 0), min(last, size)))


def resolved_block_size(
    block_size: Any,
    size: tuple[int, int],
    chunks: tuple[int, int] | None,
    margin: int,
    n_values: int,
) -> tuple[int, int]:
    """Return height and width of the blocks.

    Parameters
    ----------
    block_size : int, (int, int) or "auto"
        What the user asked for.
    size : tuple of int
        Height and width of the image.
    chunks : tuple of int or None
        Those of its chunks, if it has some.
    margin : int
        Radius of the receptive field in pixels.
    n_values : int
        Values of the result for each pixel.

    Raises
    ------
    ValueError, TypeError
        If `block_size` is none of the above.

    Examples
    --------
    >>> resolved_block_size("auto", (9000, 500), (300, 300), margin=52, n_values=1)
    (1200, 500)
    """
    if not (isinstance(block_size, str) and block_size == "auto"):
        try:
            sides = height_and_width("block_size", block_size)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} 'auto' chooses one.") from None
        return min(sides[0], size[0]), min(sides[1], size[1])
    side = max(AUTO_SIDE, AUTO_MARGINS * margin)
    side = max(min(side, math.isqrt(AUTO_VALUES // n_values)), 2 * margin, 1)
    height, width = (
        min(_whole_chunks(side, chunk), length)
        for chunk, length in zip(chunks or (1, 1), size, strict=True)
    )
    return height, width


def _whole_chunks(side: int, chunk: int) -> int:
    """Round up to whole chunks of the image, unless these are larger."""
    return math.ceil(side / chunk) * chunk if chunk <= side else side
