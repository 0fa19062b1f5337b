"""The scale of the channels against numpy over all pixels at once."""

from __future__ import annotations

import warnings
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from sksegment import FCNSegmenter
from sksegment._inputs import channel_scale
from sksegment._inputs.channel_scale import Scale, channel_sums
from sksegment._torch.tensors import images_to_tensor
from sksegment.datasets import make_shapes


def pixels_of(images):
    return np.concatenate([image.reshape(-1, image.shape[-1]) for image in images])


def scale_of(images):
    return reduce(add, map(channel_sums, images)).scale()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">f4", np.float64])
@pytest.mark.parametrize("block", [1, 7, 2**20])
def test_scale_equals_numpy_over_all_pixels(dtype, block, monkeypatch):
    monkeypatch.setattr(channel_scale, "BLOCK_VALUES", block)
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
    scale = Scale(*np.array([[0.0], [1.0], [0.0], [301.0]]))
    batch = images_to_tensor(images, scale, torch.device("cpu"))
    np.testing.assert_array_equal(batch.flatten(), [7, 300.5])


@pytest.mark.parametrize("block", [1, 7, 2**20])
def test_only_pixels_that_count_make_the_scale(block, monkeypatch):
    monkeypatch.setattr(channel_scale, "BLOCK_VALUES", block)
    rng = np.random.default_rng(0)
    images = [rng.normal(size=shape) for shape in [(9, 4, 3), (2, 30, 3), (5, 5, 3)]]
    counted = [rng.random(image.shape[:2]) < 0.5 for image in images]
    counted[2][:] = False
    pixels = np.concatenate([x[c] for x, c in zip(images, counted, strict=True)])
    scale = reduce(add, map(channel_sums, images, counted)).scale()
    np.testing.assert_allclose(scale.mean, pixels.mean(axis=0))
    np.testing.assert_allclose(scale.std, pixels.std(axis=0))
    np.testing.assert_array_equal(scale.low, pixels.min(axis=0))
    np.testing.assert_array_equal(scale.high, pixels.max(axis=0))


def test_values_far_from_training_are_clipped():
    scale = Scale(*np.array([[3.0, 0.0], [2.0, 1.0], [1.0, 0.0], [5.0, 0.0]]))
    image = np.array([[[-9999, -1], [-3, 0], [9, 1], [65535, np.finfo(float).max]]])
    batch = images_to_tensor([image], scale, torch.device("cpu"))
    np.testing.assert_array_equal(batch[0, 0, 0], [-3, -3, 3, 3])
    np.testing.assert_array_equal(batch[0, 1, 0], [0, 0, 0, 0])


def test_limits_of_the_whole_range_of_floats_clip_nothing():
    ends = np.array([-1.0, 1.0])[:, None] * np.finfo(float).max
    low, high = Scale(np.zeros(1), np.ones(1), *ends).limits()
    assert low == -np.inf
    assert high == np.inf


@pytest.mark.parametrize("mark", [-9999.0, -3.4e38, 0.0])
@pytest.mark.parametrize("how", ["ignored", "of weight 0"])
def test_missing_values_that_do_not_count_leave_the_scale_alone(mark, how):
    X, y = make_shapes(4, size=24, random_state=0)
    X, y = X.astype(np.float32), y.astype(np.uint8)
    missing = np.zeros(y.shape, bool)
    missing[:, :5] = True
    X[missing] = mark
    segmenter = FCNSegmenter(depth=1, width=2, max_epochs=1, random_state=0)
    if how == "ignored":
        y[missing] = 255
        segmenter.set_params(ignore_label=255).fit(X, y)
    else:
        segmenter.fit(X, y, sample_weight=~missing)
    kept = X[~missing]
    np.testing.assert_allclose(segmenter.channel_mean_, kept.mean(0), rtol=1e-5)
    np.testing.assert_allclose(segmenter.channel_std_, kept.std(0), rtol=1e-5)
    np.testing.assert_array_equal(segmenter.channel_min_, kept.min(0))
    np.testing.assert_array_equal(segmenter.channel_max_, kept.max(0))


@pytest.mark.parametrize("method", ["partial_fit", "warm_start"])
def test_going_on_widens_the_range_and_keeps_the_rest(method):
    X, y = make_shapes(4, size=16, random_state=0)
    dark = 100 + X * 0.001
    segmenter = FCNSegmenter(depth=1, width=2, max_epochs=1, random_state=0)
    segmenter.fit(dark, y)
    mean, std = segmenter.channel_mean_, segmenter.channel_std_
    if method == "warm_start":
        segmenter.set_params(warm_start=True).fit(X, y)
    else:
        segmenter.partial_fit(X, y)
    np.testing.assert_array_equal(segmenter.channel_mean_, mean)
    np.testing.assert_array_equal(segmenter.channel_std_, std)
    np.testing.assert_array_equal(segmenter.channel_min_, X.min((0, 1, 2)))
    np.testing.assert_array_equal(segmenter.channel_max_, dark.max((0, 1, 2)))


def test_one_pixel_that_makes_the_scale_is_told():
    X, y = make_shapes(5, size=64, random_state=0)
    X = (300 * X + 100).astype(np.uint16)
    X[3, 10, 10, 1] = 65535
    segmenter = FCNSegmenter(depth=1, width=2, max_epochs=1, random_state=0)
    with pytest.warns(UserWarning, match="Channel 1 of image 3 reaches 65535"):
        segmenter.fit(X, y)
    y[3, 10, 10] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        segmenter.set_params(ignore_label=255).fit(X, y)


def test_making_a_tensor_leaves_the_images_as_they_were():
    image = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    before = image.copy()
    images_to_tensor([image], scale_of([image]), torch.device("cpu"))
    np.testing.assert_array_equal(image, before)
