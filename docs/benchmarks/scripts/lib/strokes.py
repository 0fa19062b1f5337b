"""Strokes as a user paints them: thin, winding, within one class each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNLABELLED = 255
# Of one stroke, in pixels; how much it turns from one to the next, in radians.
LENGTH = 27
TURN = 0.35
MAX_STEPS = 200


def paint_strokes(
    mask: NDArray[np.uint8], share: float, seed: int, ignored: int = UNLABELLED
) -> NDArray[np.uint8]:
    """Label a share of the pixels by strokes, the classes in turn.

    Parameters
    ----------
    mask : ndarray of shape (height, width)
        The class of each pixel, or `ignored`.
    share : float
        Share of the pixels to label.
    seed : int
        Of the random numbers.
    ignored : int, default=255
        The label of pixels without a stroke.

    Returns
    -------
    ndarray of shape (height, width)
        The labels.
    """
    rng = np.random.default_rng(seed)
    labels = np.full_like(mask, ignored)
    classes = np.setdiff1d(mask, ignored)
    n_wanted = round(share * mask.size)
    n_strokes = 0
    while (missing := n_wanted - np.count_nonzero(labels != ignored)) > 0:
        label = classes[n_strokes % len(classes)]
        stroke = _stroke(mask == label, min(LENGTH, missing), rng)
        labels[tuple(stroke.T)] = label
        n_strokes += 1
    return labels


def _stroke(
    region: NDArray[np.bool_], length: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Walk through a region; return the pixels (row, column), of which some repeat."""
    place = rng.choice(np.argwhere(region)).astype(float)
    direction = rng.uniform(0, 2 * np.pi)
    pixels = [place.round().astype(int)]
    for _ in range(MAX_STEPS):
        if len(pixels) == length:
            break
        turned = direction + rng.normal(0, TURN)
        step = place + np.array([np.sin(turned), np.cos(turned)])
        pixel = step.round().astype(int)
        is_inside = (pixel >= 0).all() and (pixel < region.shape).all()
        if is_inside and region[tuple(pixel)]:
            place, direction = step, turned
            pixels.append(pixel)
        else:
            direction = rng.uniform(0, 2 * np.pi)
    return np.array(pixels)
