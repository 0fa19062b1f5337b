"""Fixtures of these tests."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.segmenter import small
from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return make_shapes(12, size=16, n_classes=3, random_state=0)


@pytest.fixture(scope="module")
def fitted(data: tuple[np.ndarray, np.ndarray]) -> FCNSegmenter:
    return small().fit(*data)
