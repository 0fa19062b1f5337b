"""How a mask is turned or mirrored against its image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.orientation import turn_upright

AS_IT_IS = "mask"
# What a user may type, and what it does.
TURNS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    AS_IT_IS: lambda mask: mask,
    "mask.T": lambda mask: mask.T,
    "np.rot90(mask)": np.rot90,
    "np.rot90(mask, -1)": lambda mask: np.rot90(mask, -1),
    "np.rot90(mask.T, 2)": lambda mask: np.rot90(mask.T, 2),
    "np.rot90(mask, 2)": lambda mask: np.rot90(mask, 2),
    "np.fliplr(mask)": np.fliplr,
    "np.flipud(mask)": np.flipud,
}
LARGEST_SIDE = 160  # of the pixels that are compared
# A turn is believed if labels then explain this share of the variance of the image,
# and so many times as much as they do now.
ALONE = (0.25, 4.0)
WITH_TAGS = (0.05, 1.2)  # the orientation tags of image and mask ask for it as well
WITH_OTHERS = (0.1, 1.5)  # most masks ask for the same turn
MIN_COMMON = 3  # masks that ask for it
# The same for the best turn against the second, where height and width are swapped.
CLEARLY, BEYOND_DOUBT = (0.02, 1.2), (0.05, 1.5)


def turn_by_tags(image_tag: int, mask_tag: int) -> str:
    """Return the turn of a mask that was drawn on the stored pixels of its image.

    Image and mask are read as their own orientation tags say. A program that knows no
    tags showed both as they are stored: then the mask needs the tag of the image.
    """
    stored = np.arange(6).reshape(2, 3)
    as_read, wanted = turn_upright(stored, mask_tag), turn_upright(stored, image_tag)
    return next(
        name for name, turn in TURNS.items() if np.array_equal(turn(as_read), wanted)
    )


def explained_by_turns(image: NDArray[Any], mask: NDArray[Any]) -> dict[str, float]:
    """Return for each turn that fits how much of the image the labels explain.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, n_channels)
        An image of finite numbers.
    mask : ndarray of shape (height, width) or (width, height)
        Its labels.

    Returns
    -------
    dict of str to float
        The share of the variance of the image that lies between labels, from 0 to 1,
        by the name of the turn.
    """
    size = image.shape[:2]
    step = -(-max(size) // LARGEST_SIDE)
    thin = (slice(None, None, step), slice(None, None, step))
    pixels = image[thin].astype(np.float64).reshape(-1, *image.shape[2:])
    codes = np.unique(mask, return_inverse=True)[1].reshape(mask.shape)
    return {
        name: _explained(pixels, turn(codes)[thin].ravel())
        for name, turn in TURNS.items()
        if turn(codes).shape == size
    }


def _explained(pixels: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """Return the mean of correlation ratios (eta squared) over the channels."""
    counts = np.maximum(np.bincount(codes), 1)
    shares = []
    for channel in pixels.reshape(len(codes), -1).T:
        centered = channel - channel.mean()
        total = float(centered @ centered)
        if total:
            sums = np.bincount(codes, centered)
            shares.append(float((sums**2 / counts).sum()) / total)
    return float(np.mean(shares)) if shares else 0.0


def find_turned(
    explained: dict[int, dict[str, float]], by_tags: dict[int, str]
) -> dict[int, str]:
    """Return the masks that fit their images far better when turned, and how.

    Parameters
    ----------
    explained : dict of int to dict
        What `explained_by_turns` returns, by the position of the mask.
    by_tags : dict of int to str
        What `turn_by_tags` returns.
    """
    best = {
        index: max(shares, key=shares.__getitem__)
        for index, shares in explained.items()
        if AS_IT_IS in shares
    }
    common, n_common = Counter(best.values()).most_common(1)[0] if best else ("", 0)
    is_common = n_common >= MIN_COMMON and n_common > len(best) / 2
    turned = {}
    for index, turn in best.items():
        limits = [ALONE]
        if turn == by_tags[index]:
            limits.append(WITH_TAGS)
        if is_common and turn == common:
            limits.append(WITH_OTHERS)
        if turn != AS_IT_IS and _is_believed(explained[index], turn, min(limits)):
            turned[index] = turn
    return turned


def _is_believed(
    explained: dict[str, float], turn: str, limits: tuple[float, float]
) -> bool:
    least, times = limits
    return explained[turn] > max(least, times * explained[AS_IT_IS])


def turns_of_swapped(
    explained: dict[int, dict[str, float]], by_tags: dict[int, str]
) -> dict[int, str | None]:
    """Return how masks with swapped height and width are turned; None if unclear."""
    swapped = {i: shares for i, shares in explained.items() if AS_IT_IS not in shares}
    likely = {
        index: _likely_turn(shares, by_tags[index], CLEARLY)
        for index, shares in swapped.items()
    }
    votes = Counter(turn for turn in likely.values() if turn)
    common, n_common = votes.most_common(1)[0] if votes else ("", 0)
    if n_common >= MIN_COMMON and n_common > len(swapped) / 2:
        # One cause for all: what a single mask seems to say may be chance.
        return {
            index: turn if turn == by_tags[index] else common
            for index, turn in likely.items()
        }
    return {
        index: _likely_turn(shares, by_tags[index], BEYOND_DOUBT)
        for index, shares in swapped.items()
    }


def _likely_turn(
    explained: dict[str, float], by_tags: str, limits: tuple[float, float]
) -> str | None:
    least, times = limits
    best, second = sorted(explained, key=explained.__getitem__, reverse=True)[:2]
    if by_tags in explained and explained[best] < 1.5 * explained[by_tags]:
        return by_tags
    is_clear = explained[best] > max(least, times * explained[second])
    return best if is_clear else None
