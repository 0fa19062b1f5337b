"""Pictures of large images: reduced, with exact counts and visible errors."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sksegment._inputs.labels import IGNORED, LabelEncoder
from sksegment.display import SegmentationDisplay, _thinning
from sksegment.display._thinning import thin_image, thin_masks, thinning_factor

ENCODER = LabelEncoder(np.arange(3), 255)
NAMES = ("truth", "prediction")


def random_masks(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height * width)
    true = rng.choice([0, 1, 2, 255], size=(height, width))
    flip = rng.random(true.shape) < 0.02
    return true, np.where(true == 255, 0, np.where(flip, (true + 1) % 3, true))


@pytest.mark.parametrize("size", [(1, 1), (12, 9), (13, 11), (40, 3), (2, 50)])
@pytest.mark.parametrize("factor", [1, 2, 5])
@pytest.mark.parametrize("block", [1, 30, 10**6])
def test_counts_are_those_of_the_whole_mask(
    size: Any, factor: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_thinning, "BLOCK_PIXELS", block)
    true, predicted = random_masks(*size)
    thin = thin_masks(true, predicted, ENCODER, factor, NAMES)
    scored = true != 255
    assert thin.n_scored == scored.sum()
    assert thin.n_wrong == (scored & (true != predicted)).sum()
    expected = {IGNORED if label == 255 else label for label in {*true.flat}}
    assert thin.codes == expected | {*predicted.flat}
    shape = tuple(max(side // factor, 1) for side in size)
    assert thin.predicted.shape == thin.true.shape == shape


def test_masks_that_are_small_enough_stay_as_they_are() -> None:
    true, predicted = random_masks(30, 20)
    thin = thin_masks(true, predicted, ENCODER, 1, NAMES)
    np.testing.assert_array_equal(thin.true, ENCODER.encode(true))
    np.testing.assert_array_equal(thin.predicted, predicted)
    np.testing.assert_array_equal(thin.pair, [thin.true, thin.predicted])


def test_a_single_wrong_pixel_stays_visible() -> None:
    true = np.zeros((60, 60), int)
    for row, column in [(0, 0), (17, 33), (59, 59)]:
        predicted = true.copy()
        predicted[row, column] = 2
        truth, guess = thin_masks(true, predicted, ENCODER, 6, NAMES).pair
        assert np.argwhere(truth != guess).tolist() == [[row // 6, column // 6]]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "bool"])
def test_image_is_the_mean_of_its_squares(dtype: str) -> None:
    rng = np.random.default_rng(0)
    image = (rng.random((11, 7, 2)) * 200).astype(dtype)
    thin = thin_image(image, 3)
    assert thin.shape == (3, 2, 2)
    assert thin.dtype == dtype
    mean = image[3:6, 3:6].mean(axis=(0, 1), dtype=np.float64)
    expected = mean if dtype == "float32" else mean.round()
    np.testing.assert_allclose(thin[1, 1], expected.astype(dtype), rtol=1e-6)


def test_factor_brings_the_longer_side_below_the_limit() -> None:
    assert thinning_factor(1024, 3) == 1
    assert thinning_factor(3, 1025) == 2
    assert thinning_factor(6000, 6000) == 6


def test_large_images_are_drawn_small_and_scored_whole(pyplot: ModuleType) -> None:
    true = np.zeros((1, 1500, 1200), np.uint8)
    true[:, 700:] = 1
    predicted = true.copy()
    predicted[0, 3, 5] = 1
    image = np.where(true, 200, 50).astype(np.uint8)
    display = SegmentationDisplay.from_predictions(image, true, predicted)
    shapes = {picture.get_array().shape[:2] for picture in display.images_.flat}
    assert shapes == {(750, 600)}
    errors = display.images_[0, 3].get_array()
    red = np.argwhere(errors[..., 0] > errors[..., 1] + 0.3)
    assert red.tolist() == [[1, 2]]
    assert display.axes_[0, 3].get_title() == "Errors (99.9% right)"
