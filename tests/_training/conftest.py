"""Fixtures of these tests."""

from __future__ import annotations

from typing import Any

import pytest

from sksegment.datasets import make_shapes


@pytest.fixture(scope="module")
def data() -> Any:
    return make_shapes(8, size=16, n_classes=3, random_state=0)
