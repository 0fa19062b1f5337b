"""Streams of random numbers: each use of the one seed has its own."""

from __future__ import annotations

from typing import Any

import numpy as np

# The seed that `fit` draws is below this.
MAX_SEED = 2**31 - 1

SPLIT, ORDER, CROP, AUGMENT, DROPOUT, PSEUDO_LABELS = range(1, 7)


def random_generator(purpose: int, seed: int, *key: int) -> np.random.Generator:
    """Return the random numbers for one purpose.

    Parameters
    ----------
    purpose : int
        What they are used for: one of the constants of this module.
    seed : int
        The seed of everything.
    *key : int
        What distinguishes the draw: epoch, image, ...

    Returns
    -------
    Generator
        The same for the same arguments.
    """
    # numpy pads a short key with zeros: without the 1, (seed, 2) and (seed, 2, 0) would
    # be the same stream.
    return np.random.default_rng([seed, purpose, *(part + 1 for part in key)])


def own_random_state(random_state: Any) -> np.random.RandomState:
    """Return a source of random numbers; for None, not numpy's global generator.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        None gives a newly seeded source.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if random_state is None:
        return np.random.RandomState(np.random.SeedSequence().generate_state(1)[0])
    return as_random_state(random_state)


def as_random_state(random_state: Any) -> np.random.RandomState:
    """Return what scikit-learn's `check_random_state` does, with a clearer error."""
    # Imported here: it takes a second, which computing scores alone does not need.
    from sklearn.utils import check_random_state

    try:
        return check_random_state(random_state)
    except ValueError as error:
        raise ValueError(
            f"random_state is {random_state!r}; expected an integer from 0 to "
            f"2**32 - 1, a numpy RandomState, or None."
        ) from error
