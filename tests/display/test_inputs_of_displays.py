"""What displays are given that does not fit is named before anything is drawn."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sksegment.augmentation import RandomFlip
from sksegment.display import (
    AugmentationDisplay,
    ConfusionDisplay,
    ScoreDisplay,
    SegmentationDisplay,
    TrainingHistoryDisplay,
    UncertaintyDisplay,
)

IMAGES = np.linspace(0, 1, 2 * 5 * 5 * 3).reshape(2, 5, 5, 3)
MASKS = np.arange(50).reshape(2, 5, 5) % 2
TWO = np.ones((2, 2))
maps = UncertaintyDisplay.from_predictions


def drawn(seed: Any) -> Any:
    return AugmentationDisplay.from_estimator(
        RandomFlip(), IMAGES[0], MASKS[0], random_state=seed
    )


CASES: dict[str, tuple[Any, type[Exception], str]] = {
    "map": (lambda: maps(IMAGES, MASKS, cmap="x"), ValueError, "cmap is 'x'"),
    "matrix": (
        lambda: ConfusionDisplay(TWO, classes=[0, 1]).plot(cmap=3),  # type: ignore[arg-type]
        TypeError,
        "cmap is 3",
    ),
    "more rows than classes": (
        lambda: ConfusionDisplay(np.ones((3, 3)), classes=[0, 1]).plot(),
        ValueError,
        r"shape \(3, 3\), but there are 2 classes",
    ),
    "no matrix": (
        lambda: ConfusionDisplay(np.ones((2, 3)), classes=[0, 1]).plot(),
        ValueError,
        r"expected \(2, 2\)",
    ),
    "maps in a generator": (
        lambda: maps(IMAGES, iter(MASKS)),
        TypeError,
        "uncertainties is a",
    ),
    "no maps": (lambda: maps(IMAGES, None), TypeError, "uncertainties is a NoneType"),
    "maps of text": (
        lambda: maps(IMAGES, MASKS.astype(str)),
        TypeError,
        "of image 0 has dtype",
    ),
    "one map": (
        lambda: UncertaintyDisplay([*IMAGES], [MASKS[0]]).plot(),
        ValueError,
        "2 images in X and 1 uncertainties",
    ),
    "no such channel": (
        lambda: maps(IMAGES, MASKS, channels=3),
        ValueError,
        "channels is",
    ),
    "one number": (
        lambda: SegmentationDisplay(
            [*IMAGES], None, [*MASKS], classes=[0, 1], indices=[3]
        ).plot(),
        ValueError,
        "indices has 1 entries for 2 images",
    ),
    "no history": (
        lambda: TrainingHistoryDisplay(None).plot(),  # type: ignore[arg-type]
        ValueError,
        "history is None",
    ),
    "columns": (
        lambda: TrainingHistoryDisplay({"train_loss": [1.0]}).plot(),  # type: ignore[arg-type]
        ValueError,
        "expected one dict per epoch",
    ),
    "no reports": (lambda: ScoreDisplay({}).plot(), ValueError, "reports is empty"),
    "no seed": (lambda: drawn(None), TypeError, "random_state is None"),
    "negative seed": (lambda: drawn(-1), ValueError, "random_state is -1"),
    "one image": (
        lambda: ScoreDisplay.from_predictions(MASKS[:1], MASKS[:1]),
        ValueError,
        "or confidence_level=None",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_fit_is_named(name: str, pyplot: ModuleType) -> None:
    draw, error, message = CASES[name]
    with pytest.raises(error, match=message):
        draw()
    assert not pyplot.get_fignums()


def test_maps_in_a_series_are_taken_by_position(pyplot: ModuleType) -> None:
    series = pd.Series([*MASKS.astype(float)], index=[1, 0])
    display = maps(IMAGES, series, n_images=1)
    np.testing.assert_array_equal(display.uncertainties[0], MASKS[0])


def test_no_color_map_is_that_of_matplotlib(pyplot: ModuleType) -> None:
    display = maps(IMAGES, MASKS, cmap=None)  # type: ignore[arg-type]
    assert display.images_[0, 1].get_cmap().name == pyplot.rcParams["image.cmap"]


def test_a_mask_may_be_ignored_everywhere(pyplot: ModuleType) -> None:
    mask = np.full((5, 5), 255)
    display = AugmentationDisplay.from_estimator(
        RandomFlip(), IMAGES[0], mask, ignore_label=255
    )
    picture = display.axes_[0, 1].images[0].get_array()
    assert (np.ptp(picture, axis=-1) == 0).all()  # grey, as no class is
