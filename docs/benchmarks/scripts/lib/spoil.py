"""Masks spoiled: an object erased, two classes swapped, an outline shifted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from lib.shared import CAMVID_VOID

Mask = NDArray[Any]

# Sign, fence, car, pedestrian, bicyclist, tree, pole: what has an outline of its own.
OBJECTS = (6, 7, 8, 9, 10, 5, 2)
SHIFT = 5  # pixels
# Fewer changed pixels do not count as spoiled.
MIN_CHANGED = 100


def erase(mask: Mask, rng: Generator) -> Mask | None:
    """Give the pixels of one object the nearest labels around it."""
    found = [*_objects(mask, 200, 8000)]
    return None if not found else _fill(mask, found[rng.integers(len(found))])


def swap(mask: Mask, rng: Generator) -> Mask | None:
    """Swap the two most frequent classes in a region of a third of height and width."""
    height, width = (side // 3 for side in mask.shape)
    for _ in range(50):
        row = rng.integers(mask.shape[0] - height)
        column = rng.integers(mask.shape[1] - width)
        part = mask[row : row + height, column : column + width]
        counts = np.bincount(part.ravel(), minlength=CAMVID_VOID + 1)[:CAMVID_VOID]
        one, other = np.argsort(counts)[::-1][:2]
        if counts[other] >= 200:
            spoiled = mask.copy()
            view = spoiled[row : row + height, column : column + width]
            view[part == one], view[part == other] = other, one
            return spoiled
    return None


def shift(mask: Mask, rng: Generator) -> Mask | None:
    """Move the outline of one object by five pixels."""
    found = [*_objects(mask, 400, 15000)]
    if not found:
        return None
    thing = found[rng.integers(len(found))]
    steps = [(0, SHIFT), (0, -SHIFT), (SHIFT, 0), (-SHIFT, 0)][rng.integers(4)]
    spoiled = _fill(mask, thing)
    spoiled[ndimage.shift(thing, steps, order=0)] = mask[thing][0]
    return spoiled


KINDS: dict[str, Callable[[Mask, Generator], Mask | None]] = {
    "erased": erase,
    "swapped": swap,
    "shifted": shift,
}


def spoil(
    masks: Sequence[Mask], seed: int, share: float = 0.1
) -> tuple[list[Mask], dict[int, tuple[str, NDArray[np.bool_]]]]:
    """Spoil a share of the masks, each in one of the three ways, in turn.

    Returns all masks, and for those spoiled how, and which pixels changed.
    """
    rng = np.random.default_rng(seed)
    masks = [mask.copy() for mask in masks]
    spoiled: dict[int, tuple[str, NDArray[np.bool_]]] = {}
    for index in rng.permutation(len(masks)).tolist():
        if len(spoiled) == round(share * len(masks)):
            break
        kind = [*KINDS][len(spoiled) % len(KINDS)]
        result = KINDS[kind](masks[index], rng)
        if result is None or (result != masks[index]).sum() < MIN_CHANGED:
            continue
        spoiled[index] = kind, result != masks[index]
        masks[index] = result
    return masks, spoiled


def _objects(mask: Mask, least: int, most: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the connected pixels of each object between two sizes."""
    for label in OBJECTS:
        areas, n_areas = ndimage.label(mask == label)
        sizes = np.bincount(areas.ravel(), minlength=n_areas + 1)
        for number in range(1, n_areas + 1):
            if least <= sizes[number] <= most:
                yield areas == number


def _fill(mask: Mask, hole: NDArray[np.bool_]) -> Mask:
    unknown = hole | (mask == CAMVID_VOID)
    nearest = ndimage.distance_transform_edt(
        unknown, return_distances=False, return_indices=True
    )
    return np.where(hole, mask[tuple(nearest)], mask)
