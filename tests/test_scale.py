"""The scale of the channels against numpy over all pixels at once."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch

from sksegment import _scale
from sksegment._scale import Scale, channel_sums
from sksegment._tensors import images_to_tensor


def pixels_of(images):
    return np.concatenate([image.reshape(-1, image.shape[-1]) for image in images])


def scale_of(images):
    return reduce(add, map(channel_sums, images)).scale()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">f4", np.float64])
@pytest.mark.parametrize("block", [1, 7, 2**20])
def test_scale_equals_numpy_over_all_pixels(dtype, block, monkeypatch):
    monkeypatch.setattr(_scale, "BLOCK_VALUES", block)
    rng = np.random.default_rng(0)
    shapes = [(1, 1, 3), (9, 4, 3), (2, 30, 3)]
    images = [rng.integers(0, 256, shape).astype(dtype) for shape in shapes]
    pixels, scale = pixels_of(images).astype(np.float64), scale_of(images)
    np.testing.assert_allclose(scale.mean, pixels.mean(axis=0))
    np.testing.assert_allclose(scale.std, pixels.std(axis=0))
    np.testing.assert_array_equal(scale.low, pixels.min(axis=0))
    np.testing.assert_array_equal(scale.high, pixels.max(axis=0))


def test_small_spread_around_a_large_mean_is_kept():
    rng = np.random.default_rng(0)
    images = [1e9 + rng.normal(0, 0.01, (20, 20, 1)) for _ in range(4)]
    expected = (pixels_of(images) - 1e9).std()
    np.testing.assert_allclose(scale_of(images).std, expected, rtol=1e-4)


@pytest.mark.parametrize("value", [0, 7, 0.1, 1e30])
def test_constant_channel_is_divided_by_one(value):
    images = [np.full((3, 5, 2), value), np.full((7, 11, 2), value)]
    images[0][0, 0, 1] = value + 1 + value / 2
    scale = scale_of(images)
    assert scale.std[0] == 1
    assert scale.std[1] not in (0, 1)
    assert scale.apply(images[1])[0, 0, 0] == pytest.approx(0, abs=1e-12 * (1 + value))


def test_tensor_holds_the_standardised_pixels_channels_last():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (4, 6, 3)).astype(np.uint8) for _ in range(2)]
    scale = scale_of(images)
    batch = images_to_tensor(images, scale, torch.device("cpu"))
    expected = (np.stack(images) - scale.mean) / scale.std
    np.testing.assert_allclose(batch.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "dtype", ["bool", "i1", "u2", ">u2", "i4", ">i8", "u8", "f2", "f4", ">f4", "f8"]
)
def test_equal_values_give_equal_bits_whatever_their_type(dtype):
    image = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]]], np.uint8)
    scale = Scale(*np.array([[0.3, 0.7], [0.11, 3.0], [0, 0], [1, 1]]))
    cpu = torch.device("cpu")
    expected = images_to_tensor([image], scale, cpu)
    assert torch.equal(images_to_tensor([image.astype(dtype)], scale, cpu), expected)
    mixed = images_to_tensor([image, image.astype(dtype)], scale, cpu)
    assert torch.equal(mixed, torch.cat([expected, expected]))


def test_values_beyond_bytes_are_kept_beside_bytes():
    images = [np.full((1, 1, 1), 7, np.uint8), np.full((1, 1, 1), 300.5)]
    scale = Scale(*np.array([[0.0], [1.0], [0.0], [1.0]]))
    batch = images_to_tensor(images, scale, torch.device("cpu"))
    np.testing.assert_array_equal(batch.flatten(), [7, 300.5])


def test_making_a_tensor_leaves_the_images_as_they_were():
    image = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    before = image.copy()
    images_to_tensor([image], scale_of([image]), torch.device("cpu"))
    np.testing.assert_array_equal(image, before)
