"""Standardised images against the same arithmetic in numpy."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from sksegment._inputs.channel_scale import Scale
from sksegment._torch.tensors import (
    FEW_CHANNELS,
    ROW_LENGTH,
    images_to_tensor,
    standardize,
)

CPU = torch.device("cpu")
# Fewer pixels than a row holds, a whole number of rows, and some more.
SIZES = [(1, 1), (7, 9), (2, ROW_LENGTH), (45, 61)]


@pytest.mark.parametrize("n_channels", [1, 3, FEW_CHANNELS - 1, FEW_CHANNELS, 13])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_each_channel_is_clipped_and_standardised(n_channels, size, dtype):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 250, (2, *size, n_channels)).astype(dtype)
    mean, std = rng.uniform(50, 150, n_channels), rng.uniform(1, 50, n_channels)
    low = rng.uniform(90, 100, n_channels)
    scale = Scale(mean, std, low, low + rng.uniform(20, 40, n_channels))
    found = images_to_tensor(list(images), scale, CPU)
    expected = (np.clip(images.astype(float), *scale.limits()) - mean) / std
    assert found.dtype is torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(
        found.permute(0, 2, 3, 1).numpy(), expected.astype(np.float32)
    )


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_the_memory_order_of_pixels_does_not_matter(order):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2, 9, 40, 3), generator=generator, dtype=torch.uint8)
    low, high = np.zeros(3), np.full(3, 255.0)
    scale = Scale(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), low, high)
    back = [order.index(axis) for axis in range(4)]
    reordered = pixels.permute(order).contiguous().permute(back)
    expected = standardize(pixels, scale, CPU)
    assert torch.equal(standardize(reordered, scale, CPU), expected)
