"""Large images and masks, reduced to what a panel can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import IGNORED, LabelEncoder, is_ignored

# Pixels of the longer side that are drawn: more than a printed panel shows.
MAX_SIDE = 1024
# Rows are encoded in blocks of about this many pixels.
BLOCK_PIXELS = 2**20
# A truth with a smaller share of labelled pixels consists of strokes.
SPARSE = 0.2


@dataclass(frozen=True)
class ThinMasks:
    """Class codes of one image at the resolution of the picture, and exact counts.

    Parameters
    ----------
    true, predicted : ndarray of shape (height, width)
        Codes of the pixel in the middle of each square; of strokes, of a labelled one.
        `true` is None without truth.
    pair : tuple of ndarray or None
        Codes of truth and prediction that show a wrong pixel wherever a square has one.
    n_scored, n_wrong : int
        Pixels with a class, and the wrong ones among them, at full resolution.
    codes : frozenset of int
        All codes that occur at full resolution.
    has_strokes : bool, default=False
        Whether the truth consists of strokes, with nearly all ignored.
    """

    true: NDArray[np.int32] | None
    predicted: NDArray[np.int32]
    pair: tuple[NDArray[np.int32], NDArray[np.int32]] | None
    n_scored: int
    n_wrong: int
    codes: frozenset[int]
    has_strokes: bool = False


def thinning_factor(height: int, width: int) -> int:
    """Return the side of the squares, in pixels, that are drawn as one pixel."""
    return max(1, -(-max(height, width) // MAX_SIDE))


def thin_image(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Average squares of an image, in its own dtype; what is left over is cut off."""
    if factor == 1:
        return image
    height, width = (max(side // factor, 1) for side in image.shape[:2])
    thin = np.empty((height, width, image.shape[2]), image.dtype)
    exact = np.uint32 if image.dtype in (np.uint8, np.uint16) else np.float64
    for row in range(height):  # a row at a time, so that memory stays flat
        band = image[row * factor : (row + 1) * factor, : width * factor]
        # Rows first: numpy adds up long rows many times faster than short squares.
        columns = band.sum(axis=0, dtype=exact).reshape(width, -1, image.shape[2])
        mean = columns.sum(axis=1) / (len(band) * columns.shape[1])
        thin[row] = mean.round() if image.dtype.kind in "bui" else mean
    return thin


def thin_masks(
    true: NDArray[Any] | None,
    predicted: NDArray[Any],
    encoder: LabelEncoder,
    factor: int,
    names: tuple[str, str],
) -> ThinMasks:
    """Encode masks block by block, count, and keep what the picture needs.

    Parameters
    ----------
    true, predicted : ndarray of shape (height, width)
        The masks; `true` may be None.
    encoder : LabelEncoder
        The classes.
    factor : int
        From `thinning_factor`.
    names : tuple of str
        How messages name the two masks.

    Returns
    -------
    ThinMasks
        The codes and the counts.

    Raises
    ------
    ValueError
        If a label is unknown.
    """
    parts, n_scored, n_wrong = [], 0, 0
    has_strokes = true is not None and _is_sparse(true, encoder.ignore_label)
    codes: set[int] = set()
    height, width = predicted.shape
    for rows in _row_blocks(height, width, factor):
        guess = encoder.encode(predicted[rows], names[1])
        truth = None if true is None else encoder.encode(true[rows], names[0])
        codes |= _occurring(guess)
        if truth is None:
            parts.append([_middles(guess, factor)])
            continue
        # Neither right nor wrong: there are no data.
        truth[guess == IGNORED] = IGNORED
        codes |= _occurring(truth)
        wrong = (truth != guess) & (truth != IGNORED)
        n_scored += int((truth != IGNORED).sum())
        n_wrong += int(wrong.sum())
        # Strokes before what is ignored, what is wrong before all.
        seen = ((truth != IGNORED) & has_strokes).astype(np.uint8)
        shown = _marked_first(seen + wrong, (truth, guess), factor)
        stroke = _marked_first(seen, (truth,), factor)[0] if has_strokes else None
        middle = _middles(truth, factor) if stroke is None else stroke
        parts.append([_middles(guess, factor), middle, *shown])
    whole = [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]
    if true is None:
        return ThinMasks(None, whole[0], None, 0, 0, frozenset(codes))
    counts = n_scored, n_wrong, frozenset(codes)
    return ThinMasks(whole[1], whole[0], (whole[2], whole[3]), *counts, has_strokes)


def _is_sparse(mask: NDArray[Any], ignore_label: Any) -> bool:
    """Tell whether a mask consists of strokes, with nearly all ignored."""
    n_labelled = mask.size - np.count_nonzero(is_ignored(mask, ignore_label))
    return bool(0 < n_labelled < SPARSE * mask.size)


def _occurring(codes: NDArray[np.int32]) -> set[int]:
    """Return the codes that occur, from -1 on."""
    found = np.flatnonzero(np.bincount(codes.ravel() - IGNORED)) + IGNORED
    return set(found.tolist())


def _row_blocks(height: int, width: int, factor: int) -> Iterator[slice]:
    """Yield rows in blocks of whole squares."""
    n_squares = max(height // factor, 1)
    step = max(BLOCK_PIXELS // (width * factor), 1)
    for first in range(0, n_squares, step):
        last = min(first + step, n_squares)
        # The last block takes the rows that fill no square, too, so that they count.
        stop = height if last == n_squares else last * factor
        yield slice(first * factor, stop)


def _squares(mask: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the pixels of each square along the last axis."""
    height, width = (max(side // factor, 1) for side in mask.shape)
    cut = mask[: height * factor, : width * factor]
    sides = min(factor, cut.shape[0]), min(factor, cut.shape[1])
    squares = cut.reshape(height, sides[0], width, sides[1])
    return squares.swapaxes(1, 2).reshape(height, width, -1)


def _middles(codes: NDArray[np.int32], factor: int) -> NDArray[np.int32]:
    squares = _squares(codes, factor)
    # Not a view: that would keep all squares in memory.
    return squares[..., squares.shape[-1] // 2].copy()


def _marked_first(
    marks: NDArray[Any], masks: tuple[NDArray[np.int32], ...], factor: int
) -> list[NDArray[np.int32]]:
    """Return for each square the codes at its highest mark, in the middle without."""
    squares = _squares(marks, factor)
    place = np.where(
        squares.any(axis=-1), squares.argmax(axis=-1), squares.shape[-1] // 2
    )[..., np.newaxis]
    return [
        np.take_along_axis(_squares(mask, factor), place, axis=-1)[..., 0]
        for mask in masks
    ]
