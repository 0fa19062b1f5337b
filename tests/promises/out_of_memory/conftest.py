"""Fixtures of these tests."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.out_of_memory import ERRORS, FORWARD, small
from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes
from sksegment.networks import FCN


@pytest.fixture(scope="module", autouse=True)
def quick_collection() -> Iterator[None]:
    """Collect no garbage among what was there before: a full round takes 0.3 s."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return make_shapes(4, size=64, n_classes=3, random_state=0)


@pytest.fixture(scope="module")
def fitted(data: tuple[np.ndarray, np.ndarray]) -> FCNSegmenter:
    return small(device="cpu").fit(*data)


@pytest.fixture
def steps(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the package logs, line by line."""
    caplog.set_level(logging.INFO, logger="sksegment")
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("sksegment")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[int, ...]]]:
    """Let FCN fail above a number of pixels; return the shapes that it is given."""

    def set_limit(
        n_pixels: int, make_error: Callable[[], BaseException] = ERRORS[0]
    ) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []

        def limited(network: FCN, images: Tensor) -> Tensor:
            # A small image alone is given a double, which is no batch.
            is_double = len(images) == 2 and torch.equal(*images)
            shape = (1 if is_double else len(images), *images.shape[-2:])
            shapes.append(shape)
            if prod(shape) > n_pixels:
                raise make_error()
            return FORWARD(network, images)

        monkeypatch.setattr(FCN, "forward", limited)
        return shapes

    return set_limit
