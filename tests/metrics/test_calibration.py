"""Calibration of pixels against scikit-learn, and against a sum over bins."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import calibration_curve as oracle
from sklearn.exceptions import UndefinedMetricWarning

from sksegment.metrics import (
    calibration_curve,
    expected_calibration_error,
    make_segmentation_scorer,
)

IGNORED = 255


def drawn(seed, n_classes=3):
    """Draw probabilities, and masks that follow them more or less."""
    rng = np.random.default_rng(seed)
    sizes = [(5, 7), (9, 4), (1, 1), (6, 6)]
    proba = [rng.dirichlet(np.full(n_classes, 0.5), size) for size in sizes]
    masks = [
        np.where(rng.random(p.shape[:2]) < 0.7, p.argmax(-1), rng.integers(n_classes))
        for p in proba
    ]
    masks = [np.where(rng.random(m.shape) < 0.1, IGNORED, m) for m in masks]
    return masks, [np.moveaxis(p, -1, 0) for p in proba]


def flat(masks, proba):
    """Return the labels and the probabilities of all pixels that count."""
    labels = np.concatenate([mask.ravel() for mask in masks])
    columns = np.concatenate([p.reshape(len(p), -1) for p in proba], axis=1)
    return labels[labels != IGNORED], columns[:, labels != IGNORED]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n_bins", [1, 5, 15])
def test_the_curve_is_that_of_scikit_learn_over_all_pixels(seed, n_bins):
    masks, proba = drawn(seed)
    labels, columns = flat(masks, proba)
    curve = partial(
        calibration_curve, masks, proba, labels=[0, 1, 2], ignore_label=IGNORED
    )
    for label in (None, 0, 2):
        chosen = columns.argmax(0) if label is None else label
        confidence = columns.max(0) if label is None else columns[label]
        expected = oracle(labels == chosen, confidence, n_bins=n_bins)
        got = curve(label=label, n_bins=n_bins)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_error_is_the_mean_gap_of_the_bins(seed):
    masks, proba = drawn(seed)
    labels, columns = flat(masks, proba)
    confidence, correct = columns.max(0), columns.argmax(0) == labels
    bins = np.ceil(confidence * 10).clip(1)  # a bin holds its upper edge
    gaps = [
        abs(correct[bins == b].sum() - confidence[bins == b].sum())
        for b in range(1, 11)
    ]
    got = expected_calibration_error(
        masks, proba, labels=[0, 1, 2], ignore_label=IGNORED, n_bins=10
    )
    assert got == pytest.approx(sum(gaps) / len(labels))


def test_weights_count_pixels_several_times():
    masks, proba = drawn(0)
    known = {"labels": [0, 1, 2], "ignore_label": IGNORED}
    twice = [*masks, masks[1]], [*proba, proba[1]]
    for score in (calibration_curve, expected_calibration_error):
        got = score(masks, proba, sample_weight=[1, 2, 1, 1], **known)
        np.testing.assert_allclose(got, score(*twice, **known))
    pixels = [np.ones(mask.shape) for mask in masks]
    pixels[0][:3] = 0
    cut = [masks[0][3:], *masks[1:]], [proba[0][:, 3:], *proba[1:]]
    for score in (calibration_curve, expected_calibration_error):
        got = score(masks, proba, sample_weight=pixels, **known)
        np.testing.assert_allclose(got, score(*cut, **known))


def test_perfect_and_hopeless_predictions():
    y_true = np.array([[[0, 1], [1, 0]]])
    certain = np.stack([y_true == 0, y_true == 1], axis=1).astype(np.float32)
    assert expected_calibration_error(y_true, certain) == 0.0
    assert expected_calibration_error(y_true, certain[:, ::-1]) == 1.0
    prob_true, prob_pred = calibration_curve(y_true, certain[:, ::-1])
    assert (prob_true.tolist(), prob_pred.tolist()) == ([0.0], [1.0])


def test_labels_in_any_order_and_of_any_kind():
    masks, proba = drawn(1)
    names = np.array(["a", "b", "c"])
    masks = [np.where(m == IGNORED, 0, m) for m in masks]
    expected = calibration_curve(masks, proba, label=2)
    turned = [p[::-1] for p in proba]
    got = calibration_curve(
        [names[m] for m in masks], turned, labels=["c", "b", "a"], label="c"
    )
    np.testing.assert_allclose(got, expected)


def test_no_pixel_that_counts_has_no_error():
    y_true = np.full((1, 2, 2), IGNORED)
    proba = np.ones((1, 1, 2, 2))
    with pytest.warns(UndefinedMetricWarning, match="no pixel"):
        score = expected_calibration_error(y_true, proba, ignore_label=IGNORED)
    assert np.isnan(score)


class Sure(BaseEstimator):
    """Predicts class 1 with the probability that the pixel says."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.stack([1 - X, X], axis=1)


def test_as_a_scorer_it_adds_up_chunks(monkeypatch):
    monkeypatch.setattr("sksegment.metrics._scorers.CHUNK_PIXELS", 50)
    rng = np.random.default_rng(0)
    X = rng.random((6, 5, 5))
    y = (rng.random(X.shape) < X).astype(int)
    scorer = make_segmentation_scorer(
        expected_calibration_error,
        response_method="predict_proba",
        greater_is_better=False,
    )
    model = Sure().fit(X, y)
    expected = -expected_calibration_error(y, model.predict_proba(X))
    assert scorer(model, X, y) == pytest.approx(expected)


@pytest.mark.parametrize("score", [calibration_curve, expected_calibration_error])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_bins": 0}, ValueError, "n_bins is 0; expected an integer of at least 1"),
        ({"n_bins": 1.5}, TypeError, "n_bins is 1.5"),
        ({"labels": [0, 1, 2]}, ValueError, "has 2 classes .* there are 3 labels"),
        ({"labels": [0, 5]}, ValueError, "image 0 holds the label 1"),
    ],
)
def test_wrong_arguments_are_named(score, arguments, error, message):
    y_true, proba = np.array([[[0, 1]]]), np.full((1, 2, 1, 2), 0.5)
    with pytest.raises(error, match=message):
        score(y_true, proba, **arguments)


def test_what_is_no_probability_is_refused():
    y_true = np.array([[[0, 1]]])
    for proba in (np.full((1, 2, 1, 2), 3.0), np.full((1, 2, 1, 2), np.nan)):
        with pytest.raises(ValueError, match="expected probabilities, not logits"):
            expected_calibration_error(y_true, proba)
    with pytest.raises(ValueError, match="label is 7; expected one of the labels"):
        calibration_curve(y_true, np.full((1, 2, 1, 2), 0.5), label=7)
