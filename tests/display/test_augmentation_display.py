"""Draws of an augmentation, shown."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomBrightness, RandomFlip, RandomRotation
from sksegment.datasets import make_shapes
from sksegment.display import AugmentationDisplay


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_shapes(1, size=16, random_state=0)
    return X[0], y[0]


def test_first_row_is_the_pair_and_others_are_draws(
    pair: Any, pyplot: ModuleType
) -> None:
    pipeline = make_pipeline(RandomFlip(p=1.0), FCNSegmenter())
    display = AugmentationDisplay.from_estimator(pipeline, *pair, n_draws=3)
    assert display.axes_.shape == (4, 2)
    image, mask = pair
    np.testing.assert_array_equal(display.masks[0], mask)
    for drawn, labels in zip(display.images[1:], display.masks[1:], strict=True):
        np.testing.assert_array_equal(labels, mask[:, ::-1])
        np.testing.assert_allclose(drawn.reshape(image.shape), image[:, ::-1])


def test_draws_differ_and_repeat_with_the_seed(pair: Any, pyplot: ModuleType) -> None:
    steps = [RandomRotation(90), RandomBrightness()]

    def masks(seed: int) -> list[np.ndarray]:
        display = AugmentationDisplay.from_estimator(steps, *pair, random_state=seed)
        return [*display.masks[1:]]

    first = masks(0)
    assert len({mask.tobytes() for mask in first}) == 4
    np.testing.assert_array_equal(first, masks(0))
    assert (np.array(first) != np.array(masks(1))).any()


def test_painted_pixels_have_the_ignore_label_of_the_segmenter(
    pair: Any, pyplot: ModuleType
) -> None:
    steps = RandomRotation(45, fill=0.0), FCNSegmenter(ignore_label=255)
    display = AugmentationDisplay.from_estimator(make_pipeline(*steps), *pair)
    assert any((mask == 255).any() for mask in display.masks[1:])
    assert not (display.masks[0] == 255).any()


def test_axes_may_be_given(pair: Any, pyplot: ModuleType) -> None:
    figure, axes = pyplot.subplots(2, 2)
    display = AugmentationDisplay.from_estimator(
        RandomFlip(), *pair, n_draws=1, ax=axes
    )
    assert display.figure_ is figure
    assert display.ax_ is axes[0, 0]


@pytest.mark.parametrize(
    "estimator, n_draws, message",
    [
        (FCNSegmenter(), 2, "has no augmenter"),
        ([], 2, "has no augmenter"),
        (RandomFlip(), 0, "n_draws is 0"),
    ],
)
def test_bad_input_is_named(
    estimator: Any, n_draws: int, message: str, pair: Any, pyplot: ModuleType
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        AugmentationDisplay.from_estimator(estimator, *pair, n_draws=n_draws)


def test_masks_of_another_size_are_named(pair: Any, pyplot: ModuleType) -> None:
    with pytest.raises(ValueError, match="mask 0 has height"):
        AugmentationDisplay.from_estimator(RandomFlip(), pair[0], pair[1][:8])
