"""Containers of which some items are taken: scores and displays take what fit takes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sksegment import FCNSegmenter
from sksegment._inputs.positions import first_items, items_at, n_items
from sksegment.datasets import make_shapes
from sksegment.display import SegmentationDisplay, UncertaintyDisplay
from sksegment.metrics import iou_scorer, neg_pixel_log_loss_scorer


class ByPosition:
    """Items that can be read one at a time, as in a dataset of torch."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, int):
            raise TypeError(f"{index!r} is no position")
        return self._items[index]


class WithoutLength:
    """An array that has a shape, but no length, as one of zarr."""

    def __init__(self, items: Any) -> None:
        self._items, self.shape = items, items.shape

    def __getitem__(self, rows: Any) -> Any:
        return self._items[rows]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._items


CONTAINERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "Series": lambda items: pd.Series(list(items), index=range(9, 9 + len(items))),
    "tensor": torch.from_numpy,
    "by position": ByPosition,
    "without length": WithoutLength,
}


@pytest.fixture(scope="module")
def fitted() -> tuple[FCNSegmenter, Any, Any]:
    X, y = make_shapes(5, size=16, n_classes=2, random_state=0)
    return FCNSegmenter(depth=1, width=2, max_epochs=1, random_state=0).fit(X, y), X, y


@pytest.mark.parametrize("name", CONTAINERS)
def test_scores_and_displays(name: str, fitted: Any, pyplot: ModuleType) -> None:
    segmenter, *arrays = fitted
    X, y = map(CONTAINERS[name], arrays)
    for scorer in (iou_scorer, neg_pixel_log_loss_scorer):
        assert scorer(segmenter, X, y) == scorer(segmenter, *arrays)
    for truth in (y, None):
        display = SegmentationDisplay.from_estimator(segmenter, X, truth, n_images=2)
        np.testing.assert_array_equal(np.stack(display.images), arrays[0][:2])
    assert UncertaintyDisplay.from_estimator(segmenter, X).axes_.shape == (4, 2)


@pytest.mark.parametrize("name", CONTAINERS)
def test_items(name: str, fitted: Any) -> None:
    data = CONTAINERS[name](fitted[2])
    assert n_items(data, "y") == 5
    for n, expected in ((2, 2), (9, 5)):
        first = first_items(data, n, "y")
        np.testing.assert_array_equal(np.stack(list(first)), fitted[2][:expected])
    some = items_at(data, slice(3, 5))
    np.testing.assert_array_equal(np.stack(list(some)), fitted[2][3:5])


@pytest.mark.parametrize(
    "data", ["a.png", Path("a.png"), None, {0: 1}, {1}, iter([]), np.array(3)]
)
def test_what_has_no_positions(data: Any, fitted: Any, pyplot: ModuleType) -> None:
    segmenter, _, y = fitted
    for taken in (
        lambda: iou_scorer(segmenter, data, y),
        lambda: SegmentationDisplay.from_estimator(segmenter, data),
        lambda: UncertaintyDisplay.from_estimator(segmenter, data),
    ):
        with pytest.raises(TypeError, match="expected an array, or a list of"):
            taken()
