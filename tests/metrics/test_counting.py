"""Counting pixels by runs and one by one: the same numbers, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from sksegment.metrics import _counting as counting
from sksegment.metrics import pixel_confusion_matrix


@pytest.mark.parametrize("size", [1, 2, 3, 21, 256, 300])
@pytest.mark.parametrize("length", [1, 3, 50, 10**6])
@pytest.mark.parametrize("n_pixels", [1, 2, 1001, 2**17 + 5])
def test_counting_runs_equals_bincount(size, length, n_pixels):
    rng = np.random.default_rng(length)
    dtype = np.uint8 if size <= 256 else np.int32
    n_runs = -(-n_pixels // length)
    true, predicted = rng.integers(size, size=(2, n_runs), dtype=dtype)
    true, predicted = (
        codes.repeat(length)[:n_pixels] for codes in (true, np.roll(predicted, 1))
    )
    expected = np.bincount(true.astype(int) * size + predicted, minlength=size**2)
    found = counting.count_runs(true, predicted, size)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64


def objects(n_rows, rng):
    """Return masks that change at few pixels."""
    return rng.integers(3, size=(1, n_rows // 50, 6)).repeat(50, 1).repeat(50, 2)


@pytest.mark.parametrize("order", ["objects", "noise", "objects then noise"])
def test_masks_of_objects_and_of_noise_are_counted_alike(order, monkeypatch):
    rng = np.random.default_rng(0)
    y_true = objects(1500, rng).astype(np.uint8)
    y_pred = np.roll(y_true, 2, axis=2)
    start = {"objects": 1500, "noise": 0, "objects then noise": 900}[order]
    y_pred[:, start:] = rng.integers(3, size=y_pred[:, start:].shape)
    ways = set()
    for name in ("count_runs", "count_pixels"):
        function = getattr(counting, name)
        monkeypatch.setattr(
            counting,
            name,
            lambda *args, name=name, function=function: (
                ways.add(name) or function(*args)
            ),
        )
    expected = np.bincount(3 * y_true.ravel() + y_pred.ravel(), minlength=9)
    got = pixel_confusion_matrix(y_true, y_pred)
    np.testing.assert_array_equal(got.ravel(), expected)
    # The first block of rows decides for the whole mask.
    assert ways == {"count_pixels" if order == "noise" else "count_runs"}
