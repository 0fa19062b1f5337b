"""Fixtures of these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import Pipeline, make_pipeline

from helpers.persistence import tiny
from sksegment import FCNSegmenter, augmentation, save_model
from sksegment.datasets import make_shapes


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return make_shapes(4, size=16, n_classes=3, random_state=0)


@pytest.fixture(scope="module")
def fitted(data: Any) -> FCNSegmenter:
    return tiny(norm=None, class_weight={0: 1.0, 1: 2.0}).fit(*data)


@pytest.fixture(scope="module")
def pipeline(data: Any) -> Pipeline:
    steps = [augmentation.RandomFlip(), augmentation.RandomZoom((0.9, 1.1)), tiny()]
    return make_pipeline(*steps).fit(*data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def content(fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("content") / "model.safetensors"
    save_model(fitted, path)
    return path.read_bytes()
