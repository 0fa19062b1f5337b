"""Counting pairs of class codes: pixel by pixel, or run by run of equal pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Masks whose values lie inside a span of this size are counted as bytes, by value.
BYTE_SPAN = 256
# With more changes from pixel to pixel than this, runs are too short. Masks of objects
# change at 1 to 5 % of the pixels.
MAX_CHANGES = 0.08
# Changes are looked for in this many pieces of a block, of so many pixels at most.
N_PIECES, PIECE_PIXELS = 8, 2048
# Bytes that are compared with zero at once, those of an uint64.
WORD = 8
# Counters that fit into the cache of a core.
MAX_BINS = 2**16

# Takes the codes of both masks and their number; returns the counts of all pairs.
Count = Callable[[NDArray[Any], NDArray[Any], int], NDArray[np.int64]]


def faster_count(true: NDArray[Any], predicted: NDArray[Any]) -> Count:
    """Return what counts pairs of codes like these faster: `count_runs` or not."""
    return count_runs if _has_long_runs(true, predicted) else count_pixels


def _has_long_runs(true: NDArray[Any], predicted: NDArray[Any]) -> bool:
    """Tell whether counting runs of equal pairs is faster than counting pixels.

    Judged by some pieces of them, as looking at all would take a part of the gain.
    """
    length = len(true) // N_PIECES
    whole = slice(N_PIECES * length)
    pieces = [codes[whole].reshape(N_PIECES, length) for codes in (true, predicted)]
    changes = _changes(*(piece[:, :PIECE_PIXELS] for piece in pieces))
    return bool(np.count_nonzero(changes) < MAX_CHANGES * changes.size)


def _changes(
    true: NDArray[Any],
    predicted: NDArray[Any],
    out: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Tell which pairs of codes differ from the one before them in their row."""
    changes: NDArray[np.bool_] = np.not_equal(true[..., 1:], true[..., :-1], out=out)
    changes |= predicted[..., 1:] != predicted[..., :-1]
    return changes


def count_runs(
    true: NDArray[Any], predicted: NDArray[Any], size: int
) -> NDArray[np.int64]:
    """Count pairs of codes below `size`, run by run of equal pairs."""
    last = _ends_of_runs(true, predicted)
    codes = pair_codes(true[last], predicted[last], size)
    lengths = np.empty(len(last))
    lengths[0] = last[0] + 1
    np.subtract(last[1:], last[:-1], out=lengths[1:])
    # Lengths are added up as floats, which hold every whole number up to 2**53.
    counts = np.bincount(codes, weights=lengths, minlength=size * size)
    return counts.astype(np.int64)


def _ends_of_runs(true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.intp]:
    """Return the last position of each run of equal pairs."""
    n_pixels = len(true)
    ends = np.zeros(-(-n_pixels // WORD) * WORD, np.bool_)
    _changes(true, predicted, out=ends[: n_pixels - 1])
    ends[n_pixels - 1] = True
    # Few bytes are set: np.flatnonzero of all takes three times as long as of the words
    # of eight bytes, and then of the bytes of those that are not zero.
    words = ends.view(np.uint64)
    found = np.flatnonzero(words != 0)
    inside = np.flatnonzero(words[found].view(np.bool_))
    # Shifts: numpy divides one number at a time.
    return found[inside >> 3] * WORD + (inside & 7)


def count_pixels(
    true: NDArray[Any], predicted: NDArray[Any], size: int
) -> NDArray[np.int64]:
    """Count pairs of codes below `size`, pixel by pixel."""
    return count_codes(pair_codes(true, predicted, size), size * size)


def pair_codes(true: NDArray[Any], predicted: NDArray[Any], size: int) -> NDArray[Any]:
    """Return one code for each pair of codes below `size`."""
    # uint8 times uint8 would overflow silently: widen before multiplying.
    wide: type[Any] = np.uint16 if size <= BYTE_SPAN else np.int64
    codes: NDArray[Any] = true.astype(wide) * wide(size) + predicted
    return codes


def count_codes(codes: NDArray[Any], n_codes: int) -> NDArray[np.int64]:
    """Count how often each code below `n_codes` occurs, as np.bincount does.

    Time goes into single increments, so two pixels share one as long as there are
    enough bins for all pairs, and four or eight as long as there are enough for those.
    """
    half = len(codes) // 2
    if not half or n_codes**2 > min(half, MAX_BINS):
        return np.bincount(codes, minlength=n_codes)
    pairs = codes[:half].astype(np.uint32)
    pairs *= np.uint32(n_codes)
    pairs += codes[half : 2 * half].astype(np.uint32, copy=False)
    square = count_codes(pairs, n_codes**2).reshape(n_codes, n_codes)
    left_over = np.bincount(codes[2 * half :], minlength=n_codes)
    return np.asarray(square.sum(axis=0) + square.sum(axis=1) + left_over)
