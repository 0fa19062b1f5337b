"""The benchmark of strokes: what is painted, and that ours is ahead."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "scripts"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import benchmarks as their scripts do: from their folder, under bare names."""
    if not FOLDER.is_dir():
        pytest.skip(f"no benchmarks: {FOLDER} is no folder")
    monkeypatch.syspath_prepend(str(FOLDER))
    known, n_threads = set(sys.modules), torch.get_num_threads()
    yield importlib.import_module
    torch.set_num_threads(n_threads)
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(FOLDER):
            del sys.modules[name]


def test_strokes_lie_in_their_class_and_cover_the_share(load: Load) -> None:
    paint = load("lib.strokes").paint_strokes
    mask = np.kron(np.arange(6).reshape(2, 3) % 3, np.ones((20, 20))).astype(np.uint8)
    labels = paint(mask, 0.1, seed=0)
    painted = labels != 255
    assert painted.sum() == round(0.1 * mask.size)
    np.testing.assert_array_equal(labels[painted], mask[painted])
    assert set(labels[painted]) == {0, 1, 2}
    np.testing.assert_array_equal(paint(mask, 0.1, seed=0), labels)
    assert (paint(mask, 0.1, seed=1) != labels).any()


@pytest.mark.slow
def test_strokes_on_a_slice_are_ahead_of_the_forest(load: Load) -> None:
    if not (load("lib.shared").data_folder() / "membrane").is_dir():
        pytest.skip("no membranes: $SKSEGMENT_DATA names no folder that holds them")
    strokes = load("strokes")
    name = "membrane, 0.5%"
    ours, forest = (strokes.run(name, key, 0) for key in ("strokes.json", "forest"))
    assert np.mean(ours["iou"]) > np.mean(forest["iou"]) + 0.01
