"""The history of a training, drawn."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes
from sksegment.display import (
    CalibrationDisplay,
    ScoreDisplay,
    TrainingHistoryDisplay,
)


@pytest.fixture(scope="module")
def fitted() -> Any:
    X, y = make_shapes(6, size=16, random_state=0)
    segmenter = FCNSegmenter(
        depth=1, width=2, max_epochs=3, early_stopping=True, random_state=0
    )
    return make_pipeline(RandomFlip(), segmenter).fit(X, y)


def test_lines_are_those_of_the_history(fitted: Any, pyplot: ModuleType) -> None:
    display = TrainingHistoryDisplay.from_estimator(fitted)
    history = fitted[-1].history_
    assert set(display.lines_) == {"train_loss", "valid_loss", "valid_iou"}
    for name, line in display.lines_.items():
        assert line.get_xdata().tolist() == [1, 2, 3]
        np.testing.assert_array_equal(line.get_ydata(), [row[name] for row in history])
    assert display.lines_["valid_iou"].axes is display.iou_ax_
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert f"best epoch: {fitted[-1].best_epoch_}" in texts


def test_history_without_validation_has_one_axis(pyplot: ModuleType) -> None:
    figure, (left, right) = pyplot.subplots(1, 2)
    display = TrainingHistoryDisplay([{"train_loss": 1.0}]).plot(ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert display.iou_ax_ is None
    assert not left.lines
    assert right.get_ylabel() == "Loss"


@pytest.mark.parametrize("is_given", [False, True])
def test_legends_leave_room_for_a_title(is_given: bool, pyplot: ModuleType) -> None:
    def axes() -> Any:
        return pyplot.subplots(2, 2)[1][1, 0] if is_given else None

    y = np.arange(32).reshape(2, 4, 4) % 4
    proba = np.full((2, 4, 4, 4), 0.25)
    history = [{"train_loss": 1.0, "valid_iou": 0.2}, {"train_loss": 0.5}]
    displays: list[Any] = [
        TrainingHistoryDisplay(history, best_epoch=1).plot(ax=axes()),
        ScoreDisplay.from_predictions(y, {"a": y, "b": y}, ax=axes()),
        CalibrationDisplay.from_predictions(y, proba, classes=range(4), ax=axes()),
    ]
    for display in displays:
        title = display.ax_.set_title("Shapes")
        display.figure_.canvas.draw()
        legend = getattr(display, "legend_", display.ax_.get_legend())
        box = legend.get_window_extent()
        assert not box.overlaps(title.get_window_extent())
        # Nor does it lie over other axes.
        others = {*display.figure_.axes} - {display.ax_, getattr(display, "iou_ax_", 0)}
        assert not any(box.overlaps(ax.get_window_extent()) for ax in others)


def test_epochs_without_validation_are_gaps(pyplot: ModuleType) -> None:
    rows = [{"train_loss": 1.0, "valid_iou": 0.2}, {"train_loss": 0.5}]
    display = TrainingHistoryDisplay(rows).plot()
    assert np.isnan(display.lines_["valid_iou"].get_ydata()[1])
    display = TrainingHistoryDisplay(rows[::-1]).plot()
    assert np.isnan(display.lines_["valid_iou"].get_ydata()[0])


def test_estimators_without_a_history_are_refused(pyplot: ModuleType) -> None:
    with pytest.raises(NotFittedError):
        TrainingHistoryDisplay.from_estimator(FCNSegmenter())
    other = LogisticRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(TypeError, match="has no history_"):
        TrainingHistoryDisplay.from_estimator(other)


@pytest.mark.parametrize("history", [[], [{"valid_loss": 1.0}]])
def test_empty_histories_are_refused(history: Any, pyplot: ModuleType) -> None:
    with pytest.raises(ValueError, match="expected one dict per epoch"):
        TrainingHistoryDisplay(history).plot()
