"""Streams of random numbers: each use of the one seed has its own."""

from __future__ import annotations

import numpy as np

SPLIT, ORDER, CROP, AUGMENT, DROPOUT = range(1, 6)


def stream(purpose: int, seed: int, *key: int) -> np.random.Generator:
    """Return the random numbers for one purpose.

    Parameters
    ----------
    purpose : int
        What they are used for: one of the constants of this module.
    seed : int
        The seed of everything.
    *key : int
        What makes the draw its own: epoch, image, ...

    Returns
    -------
    Generator
        The same for the same arguments.
    """
    # numpy pads a short key with zeros: without the 1, (seed, 2) and (seed, 2, 0) would
    # be one stream.
    return np.random.default_rng([seed, purpose, *(part + 1 for part in key)])
