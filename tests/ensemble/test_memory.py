"""Ensembles hold one image, or one tile of a large one, at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SCRIPT = """
import sys
import numpy as np
from sksegment import FCNSegmenter
from sksegment.ensemble import VotingSegmenter, predict_uncertainty

rng = np.random.default_rng(0)
X = rng.integers(0, 255, (2, 32, 32), np.uint8)
y = rng.integers(0, 16, (2, 32, 32), np.uint8)
members = [
    FCNSegmenter(depth=1, width=2, max_epochs=1, random_state=seed).fit(X, y)
    for seed in range(int(sys.argv[1]))
]
ensemble = VotingSegmenter.from_fitted(members)
image = rng.integers(0, 255, (1, 2600, 2600), np.uint8)
before = peak()
ensemble.predict(image)
labels = peak() - before
predict_uncertainty(ensemble, image, "disagreement")
print(labels, peak() - before)
"""


@pytest.mark.slow
def test_a_large_image_takes_the_memory_of_its_tiles(
    measured: Callable[..., list[float]],
) -> None:
    labels, maps = measured(SCRIPT, 2)
    # All probabilities of one member would be 413 MiB, and their sum as much again.
    assert labels < 400 * 2**20
    # A tile of each member is 64 MiB.
    assert maps < 700 * 2**20
    more_labels, _ = measured(SCRIPT, 4)
    assert more_labels < labels + 200 * 2**20
