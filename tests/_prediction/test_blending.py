"""Overlapping tiles: what covers what, and what an average of them is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from sksegment._prediction.blending import blend_tiles, triangle_weights
from sksegment._prediction.tiles import overlapping


@pytest.mark.parametrize("seed", range(200))
def test_tiles_cover_a_side_on_the_grid_and_overlap(seed):
    rng = np.random.default_rng(seed)
    size, tile = rng.integers(1, 300), rng.integers(1, 120)
    stride = int(rng.choice([1, 2, 8, 32]))
    tiles = overlapping(int(size), int(tile), stride)
    assert tiles[0][0] == 0
    assert tiles[-1][1] == size
    assert all(start % stride == 0 and start < stop for start, stop in tiles)
    for (_, before), (start, _) in pairwise(tiles):
        assert start < before


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 90), (64, 33), (200, 170)])
def test_tiles_of_one_truth_give_that_truth(height, width):
    truth = torch.rand(3, height, width)
    rows, columns = overlapping(height, 24, 8), overlapping(width, 24, 8)
    parts = list(
        blend_tiles(lambda r, c: truth[:, slice(*r), slice(*c)].clone(), rows, columns)
    )
    assert [start for (start, _), _ in parts[1:]] == [stop for (_, stop), _ in parts][
        :-1
    ]
    torch.testing.assert_close(torch.cat([part for _, part in parts], dim=1), truth)


def test_a_tile_counts_most_in_its_middle_and_everywhere():
    weights = triangle_weights(9, torch.device("cpu"))
    assert weights.argmax() == 4
    assert weights[4] == 1
    assert (weights > 0).all()
    assert torch.equal(weights, weights.flip(0))


def test_contradicting_tiles_are_crossed_over_without_a_seam():
    rows, columns = overlapping(8, 8, 8), overlapping(40, 16, 8)
    answers = iter(range(len(columns)))

    def predict(row, column):
        value = float(next(answers) % 2)
        return torch.full((1, row[1] - row[0], column[1] - column[0]), value)

    ((_, probabilities),) = blend_tiles(predict, rows, columns)
    steps = probabilities[0, 0].diff().abs()
    assert steps.max() < 0.2
