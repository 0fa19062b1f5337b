"""Confusion, scores and calibration as pictures: what is drawn are the numbers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment.display import CalibrationDisplay, ConfusionDisplay, ScoreDisplay
from sksegment.metrics import (
    calibration_curve,
    expected_calibration_error,
    pixel_confusion_matrix,
    segmentation_report,
)

IGNORED = 255
DISPLAYS = (CalibrationDisplay, ConfusionDisplay, ScoreDisplay)


class Sure(ClassifierMixin, BaseEstimator):
    """Takes the gray value of a pixel as the probability of the second class."""

    def __init__(self, ignore_label=None):
        self.ignore_label = ignore_label

    def fit(self, X, y):
        self.classes_ = np.unique(y[y != self.ignore_label])
        return self

    def predict_proba(self, X):
        return np.stack([1 - X, X], axis=1)

    def predict(self, X):
        return self.classes_[(X > 0.5).astype(int)]


def drawn(n=6):
    rng = np.random.default_rng(0)
    X = rng.random((n, 12, 10))
    y = np.where(rng.random(X.shape) < X, 7, 3)
    y[0, :3] = IGNORED
    return X, y, Sure(ignore_label=IGNORED).fit(X, y)


def test_confusion_draws_percentages_of_each_true_class(pyplot):
    X, y, model = drawn()
    display = ConfusionDisplay.from_estimator(model, X, y, class_names=["a", "b"])
    counts = pixel_confusion_matrix(y, model.predict(X), ignore_label=IGNORED)
    np.testing.assert_array_equal(display.confusion_matrix, counts)
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(display.im_.get_array(), shares)
    assert display.text_[0, 1].get_text() == f"{shares[0, 1]:.0f}"
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["a", "b"]
    assert display.figure_ is display.ax_.figure


@pytest.mark.parametrize("normalize, axis", [("pred", 0), ("all", None), (None, ())])
def test_confusion_is_normalized_as_asked(pyplot, normalize, axis):
    X, y, model = drawn()
    display = ConfusionDisplay.from_predictions(
        y, model.predict(X), ignore_label=IGNORED, normalize=normalize
    )
    values = display.confusion_matrix
    if normalize:
        values = 100 * values / values.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(display.im_.get_array(), values)


def test_confusion_never_rounds_a_mistake_away(pyplot):
    counts = np.array([[9999, 1, 0], [0, 0, 0], [0, 1500, 2_500_000]])
    display = ConfusionDisplay(counts, classes=["x", "y", "z"]).plot()
    texts = [[text.get_text() for text in row] for row in display.text_]
    assert texts == [[">99", "<1", ""], ["", "", ""], ["", "<1", ">99"]]
    display.plot(normalize=None)
    texts = [[text.get_text() for text in row] for row in display.text_]
    assert texts == [["10.0k", "1", ""], ["", "", ""], ["", "1.5k", "2.5M"]]


def test_confusion_text_contrasts_with_its_cell(pyplot):
    display = ConfusionDisplay(np.array([[99, 1], [50, 50]]), classes=[0, 1]).plot()
    assert display.text_[0, 0].get_color() == "black"  # on yellow
    assert display.text_[0, 1].get_color() == "white"  # on dark blue


def test_names_stand_for_class_numbers_that_masks_lack(pyplot):
    y = np.array([[[0, 2], [2, 0]]])
    names = ["sky", "road", "car"]
    confusion = ConfusionDisplay.from_predictions(y, y, class_names=names)
    assert confusion.confusion_matrix.shape == (3, 3)
    scores = ScoreDisplay.from_predictions(
        y, y, class_names=names, confidence_level=None
    )
    ticks = [text.get_text() for text in scores.ax_.get_yticklabels()]
    assert ticks == [*names, "mean"]


def test_scores_are_those_of_the_report_with_their_intervals(pyplot):
    X, y, model = drawn()
    display = ScoreDisplay.from_estimator(model, X, y)
    report = segmentation_report(
        y, model.predict(X), ignore_label=IGNORED, output_dict=True,
        confidence_level=0.95,
    )  # fmt: skip
    (bars,) = display.errorbars_.values()
    expected = [report["3"]["iou"], report["7"]["iou"], report["mean_iou"]]
    np.testing.assert_allclose(bars.lines[0].get_xdata().astype(float), expected)
    segments = np.array(bars.lines[2][0].get_segments(), dtype=float)
    np.testing.assert_allclose(segments[2, :, 0], report["mean_iou_interval"])
    assert display.ax_.get_xlabel() == "IoU, with intervals of 95 %"
    assert display.ax_.get_legend() is None


def test_models_are_drawn_side_by_side_and_told_apart_by_markers(pyplot):
    X, y, model = drawn()
    pipe = make_pipeline(FunctionTransformer(lambda X: X**2), model).fit(X, y)
    models = {"plain": model, "squared": pipe}
    display = ScoreDisplay.from_estimator(models, X, y)
    plain, squared = display.errorbars_["plain"], display.errorbars_["squared"]
    assert plain.lines[0].get_marker() != squared.lines[0].get_marker()
    distance = squared.lines[0].get_ydata() - plain.lines[0].get_ydata()
    np.testing.assert_allclose(distance, 0.3)
    legend = [text.get_text() for text in display.legend_.get_texts()]
    assert legend == ["plain", "squared"]


def test_calibration_draws_the_curve_and_its_error(pyplot):
    X, y, model = drawn()
    display = CalibrationDisplay.from_estimator(model, X, y, n_bins=8, name="sure")
    known = {"labels": [3, 7], "ignore_label": IGNORED, "n_bins": 8}
    prob_true, prob_pred = calibration_curve(y, model.predict_proba(X), **known)
    found = ~np.isnan(display.prob_true)
    np.testing.assert_allclose(display.line_.get_ydata()[found], prob_true)
    np.testing.assert_allclose(display.line_.get_xdata()[found], prob_pred)
    error = expected_calibration_error(y, model.predict_proba(X), **known)
    assert display.error == pytest.approx(error)
    assert display.line_.get_label() == f"sure (error {error:.3f})"
    assert sum(bar.get_height() for bar in display.bars_) == pytest.approx(1)


def test_calibration_of_one_class(pyplot):
    X, y, model = drawn()
    proba = model.predict_proba(X)
    display = CalibrationDisplay.from_predictions(
        y, proba, label=7, classes=[3, 7], ignore_label=IGNORED
    )
    expected = calibration_curve(y, proba, label=7, labels=[3, 7], ignore_label=IGNORED)
    np.testing.assert_allclose(display.prob_true, expected[0])
    assert "of 7" in display.ax_.get_xlabel()


def test_two_calibration_curves_share_axes_and_one_diagonal(pyplot):
    X, y, model = drawn()
    first = CalibrationDisplay.from_estimator(model, X, y, name="a")
    second = CalibrationDisplay.from_estimator(model, X, y, name="b", ax=first.ax_)
    assert second.figure_ is first.figure_
    assert len(first.ax_.lines) == 3
    assert first.line_.get_color() != second.line_.get_color()


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_display_draws_into_given_axes(pyplot, display):
    X, y, model = drawn()
    figure, ax = pyplot.subplots()
    shown = display.from_estimator(model, X, y, ax=ax)
    assert shown.ax_ is ax
    assert shown.figure_ is figure
    figure.canvas.draw()
    with pytest.raises(TypeError, match="ax is 'ax'; expected an Axes"):
        shown.plot(ax="ax")


@pytest.mark.parametrize("display", DISPLAYS)
def test_unfitted_estimators_and_unknown_labels_are_refused(pyplot, display):
    X, y, model = drawn()
    with pytest.raises(NotFittedError):
        display.from_estimator(Sure(), X, y)
    with pytest.raises(ValueError, match="holds the label 9"):
        display.from_estimator(model, X, np.where(y == 3, 9, y))


def test_predictions_of_a_display_are_made_in_chunks(pyplot, monkeypatch):
    monkeypatch.setattr("sksegment.metrics._scorers.CHUNK_PIXELS", 150)
    X, y, model = drawn()
    sizes = []
    predict, proba = model.predict, model.predict_proba
    model.predict = lambda X: sizes.append(len(X)) or predict(X)
    model.predict_proba = lambda X: sizes.append(len(X)) or proba(X)
    ConfusionDisplay.from_estimator(model, X, y)
    CalibrationDisplay.from_estimator(model, X, y)
    assert sizes == [1] * 12


confusion, scores = ConfusionDisplay.from_predictions, ScoreDisplay.from_predictions


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: confusion(y, y, normalize="rows"), "normalize is"),
        (lambda y: confusion(y, y, class_names=["a"]), "1 names"),
        (lambda y: scores(y, {}), "dict of models is empty"),
        (lambda y: scores(y, y, exclude=(9,)), "exclude holds 9"),
        (
            lambda y: ScoreDisplay(
                {"a": {"x": {"iou": 1}}, "b": {"y": {"iou": 1}}}
            ).plot(),
            "expected the same in all of them",
        ),
        (
            lambda y: ScoreDisplay.from_estimator(
                {"a": Sure().fit(y, y), "b": Sure().fit(y, y + 1)}, y, y
            ),
            "b has the classes",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(pyplot, call, message):
    with pytest.raises(ValueError, match=message):
        call(np.array([[[3, 7], [7, 5]]] * 3))


def test_without_matplotlib_the_cure_is_told():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from sksegment.display import CalibrationDisplay, ConfusionDisplay\n"
        "from sksegment.display import ScoreDisplay\n"
        "for display in (CalibrationDisplay, ConfusionDisplay, ScoreDisplay):\n"
        "    try: display.from_predictions([[[0]]], [[[0]]])\n"
        "    except ImportError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.count('pip install "sksegment[plot]"') == 3
