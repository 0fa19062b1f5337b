"""What the tests of metrics share."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

CLOSE = partial(pytest.approx, rel=1e-12, abs=1e-12)


def object_array(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def masks_with(counts):
    """Return a pair of masks that has the given confusion matrix."""
    rows, columns = np.indices(np.shape(counts))
    times = np.ravel(counts)
    y_true = np.repeat(rows.ravel(), times)[np.newaxis, np.newaxis]
    return y_true, np.repeat(columns.ravel(), times)[np.newaxis, np.newaxis]


def drawn(n=7, sizes=None, seed=0):
    """Return images, their masks of labels 10, 20, 30 and 255, and pixel weights."""
    rng = np.random.default_rng(seed)
    sizes = sizes or [(4, 5)] * n
    X = [rng.random(size) for size in sizes]
    y = [np.array([10, 20, 30])[np.clip(x * 3, 0, 2).astype(int)] for x in X]
    y = [
        np.where(rng.random(m.shape) < 0.3, rng.choice([10, 20], m.shape), m) for m in y
    ]
    y = [np.where(rng.random(m.shape) < 0.1, 255, m) for m in y]
    return X, y, [rng.random(size) for size in sizes]
