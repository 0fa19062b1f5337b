"""Shares of the classes where only a prediction is known."""

from __future__ import annotations

import numpy as np
import pytest

from sksegment._training.class_shares import (
    estimate_shares,
    log_scores,
    shift_scores,
)

CONFUSION = np.array([[0.8, 0.1, 0.2], [0.1, 0.7, 0.0], [0.1, 0.2, 0.8]])


def confused(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a prediction for each pixel from its column of the confusion matrix."""
    draws = [rng.choice(3, size=len(codes), p=CONFUSION[:, code]) for code in range(3)]
    return np.choose(codes, draws)


@pytest.mark.parametrize(
    "shares", [(0.6, 0.3, 0.1), (0.05, 0.05, 0.9), (0.0, 0.5, 0.5)]
)
def test_the_true_shares_are_found(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    labelled = np.arange(60_000) % 3
    others = rng.choice(3, size=60_000, p=shares)
    counts = np.bincount(confused(others, rng), minlength=3)
    found = estimate_shares(labelled, confused(labelled, rng), counts)
    np.testing.assert_allclose(found, shares, atol=0.02)
    # Counting alone is further off.
    assert np.abs(counts / counts.sum() - shares).max() > 0.04


def test_a_class_without_labels_has_no_share() -> None:
    codes = np.array([0, 0, 2, 2])
    found = estimate_shares(codes, codes, np.array([30, 0, 10]))
    np.testing.assert_allclose(found, [0.75, 0, 0.25], atol=1e-6)


def test_shares_are_never_negative() -> None:
    # More of class 0 is counted than the confusion can explain.
    codes, predicted = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    found = estimate_shares(codes, predicted, np.array([100, 0]))
    np.testing.assert_allclose(found, [1, 0], atol=1e-6)


def test_a_prediction_that_tells_nothing_leaves_finite_shares() -> None:
    codes, predicted = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    found = estimate_shares(codes, predicted, np.array([5, 15]))
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1)


def test_shifted_scores_win_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([2.0, 1.0, 1.0], size=20_000)
    shares = np.array([0.2, 0.7, 0.1])
    shifts = shift_scores(probabilities, shares)
    winners = (log_scores(probabilities) + shifts).argmax(axis=1)
    np.testing.assert_allclose(np.bincount(winners) / len(winners), shares, atol=0.01)


def test_a_share_of_zero_gives_finite_shifts() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])
    assert np.isfinite(shift_scores(probabilities, np.array([1.0, 0.0]))).all()


def test_shares_of_few_pixels_are_met_without_swinging() -> None:
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [0.9, 0.1]])
    shifts = shift_scores(probabilities, np.array([0.5, 0.5]))
    winners = (log_scores(probabilities) + shifts).argmax(axis=1)
    np.testing.assert_array_equal(winners, [1, 1, 0, 0])
