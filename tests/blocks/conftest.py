from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes

REASON = "needs pip install 'sksegment[dask]'"
pytest.importorskip("dask.array", reason=REASON)
pytest.importorskip("zarr", reason=REASON)


def fit_segmenter(labels: Any = (0, 1, 2, 3), **parameters: Any) -> FCNSegmenter:
    X, y = make_shapes(n_samples=6, size=48, n_classes=4, random_state=0)
    defaults = {"depth": 1, "width": 4, "max_epochs": 3, "random_state": 0}
    if "network" in parameters:
        defaults = {"max_epochs": 1, "random_state": 0}
    segmenter = FCNSegmenter(**{**defaults, **parameters})
    return segmenter.fit(X, np.array(labels)[y])


@pytest.fixture(scope="session")
def fit() -> Callable[..., FCNSegmenter]:
    """Fit a segmenter with these parameters, to four classes."""
    return fit_segmenter


@pytest.fixture(scope="session")
def segmenter() -> FCNSegmenter:
    return fit_segmenter()


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """One image of an odd size, made of many shapes."""
    X, _ = make_shapes(n_samples=12, size=48, n_classes=4, random_state=1)
    rows = [np.concatenate(X[start : start + 4], axis=1) for start in (0, 4, 8)]
    return np.concatenate(rows)[:131, :173]


@pytest.fixture(autouse=True)
def one_thread_each(one_thread: None) -> None:
    """dask's threads share the cores already."""
