"""EpochCurveDisplay: scikit-learn's Display contract, and what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes
from sksegment.display import EpochCurveDisplay, TrainingHistoryDisplay
from sksegment.metrics import neg_pixel_log_loss_scorer
from sksegment.model_selection import epoch_curve

pytestmark = pytest.mark.usefixtures("pyplot")

X, y = make_shapes(4, size=16, n_classes=2, random_state=0)
SCORES = np.array([[0.1, 0.4, 0.5], [0.3, 0.6, 0.7]])


def test_mean_folds_and_marks_are_drawn() -> None:
    display = EpochCurveDisplay(SCORES, [2, 4, 5], best_epoch=5, one_se_epoch=4)
    assert display.plot() is display
    assert_allclose(display.line_.get_ydata(), [0.2, 0.5, 0.6])
    assert_array_equal(display.line_.get_xdata(), [2, 4, 5])
    assert_allclose([line.get_ydata() for line in display.lines_], SCORES)
    (band,) = (path.vertices for path in display.band_.get_paths())
    assert band[:, 1].max() == pytest.approx(0.7)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert "best: epoch 5" in labels
    assert "within one standard error: epoch 4" in labels


def test_what_epoch_curve_returns_is_drawn_as_it_is(pyplot: Any) -> None:
    model = FCNSegmenter(depth=1, width=4, max_epochs=3, random_state=0)
    curve = epoch_curve(model, X, y, cv=2)
    _, ax = pyplot.subplots()
    display = EpochCurveDisplay(**curve).plot(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    own = EpochCurveDisplay.from_estimator(model, X, y, cv=2)
    assert_array_equal(own.scores, curve.scores)
    assert own.ax_.get_ylabel() == "Mean IoU"


def test_the_axis_says_what_is_scored() -> None:
    model = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    display = EpochCurveDisplay.from_estimator(
        model, X, y, cv=2, scoring=neg_pixel_log_loss_scorer
    )
    assert display.ax_.get_ylabel() == "Neg pixel log loss"


def test_ticks_are_whole_epochs() -> None:
    scores, epochs = np.linspace(0, 1, 20)[np.newaxis], range(1, 21)
    curve = EpochCurveDisplay(scores, epochs, best_epoch=20, one_se_epoch=20).plot()
    history = TrainingHistoryDisplay([{"train_loss": 1 / epoch} for epoch in epochs])
    for axis in (curve.ax_.xaxis, history.plot().ax_.xaxis):
        ticks = axis.get_majorticklocs()
        assert_array_equal(ticks, np.round(ticks))


def test_the_scale_of_given_axes_is_kept(pyplot: Any) -> None:
    _, ax = pyplot.subplots()
    ax.set_xscale("log")
    EpochCurveDisplay(SCORES, [1, 2, 3], best_epoch=3, one_se_epoch=3).plot(ax=ax)
    assert ax.get_xscale() == "log"


def test_one_fold_has_no_band() -> None:
    display = EpochCurveDisplay(SCORES[:1], [1, 2, 3], best_epoch=3, one_se_epoch=3)
    assert display.plot().band_ is None


def test_scores_and_epochs_that_do_not_fit() -> None:
    display = EpochCurveDisplay(SCORES, [1, 2], best_epoch=1, one_se_epoch=1)
    with pytest.raises(ValueError, match=r"\(2, 3\) and epochs \(2,\)"):
        display.plot()
