"""epoch_curve: one training per fold, scored after each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import KFold, ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EarlyStopping, EpochTimer

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes
from sksegment.metrics import neg_pixel_log_loss_scorer, pixel_accuracy_scorer
from sksegment.model_selection import _epoch_curve, epoch_curve

X, y = make_shapes(6, size=16, n_classes=2, random_state=0)


def small(**parameters: Any) -> FCNSegmenter:
    given = {"depth": 1, "width": 4, "max_epochs": 4, "random_state": 0}
    return FCNSegmenter(**{**given, **parameters})


def test_the_last_epoch_scores_as_cross_val_score() -> None:
    curve = epoch_curve(small(), X, y, cv=3)
    assert curve.scores.shape == (3, 4)
    assert_array_equal(curve.epochs, [1, 2, 3, 4])
    assert_array_equal(curve.scores[:, -1], cross_val_score(small(), X, y, cv=3))


def test_a_constant_rate_gives_the_scores_of_shorter_trainings() -> None:
    # "auto" takes smaller batches where there are few epochs.
    model = small(learning_rate_schedule="constant", batch_size=2)
    curve = epoch_curve(model, X, y, cv=2, scoring=neg_pixel_log_loss_scorer)
    for place, epoch in enumerate(curve.epochs):
        shorter = clone(model).set_params(max_epochs=int(epoch))
        expected = cross_val_score(
            shorter, X, y, cv=2, scoring=neg_pixel_log_loss_scorer
        )
        assert_allclose(curve.scores[:, place], expected, rtol=1e-6)


def test_every_few_epochs_and_the_last() -> None:
    whole = epoch_curve(small(max_epochs=5), X, y, cv=2)
    some = epoch_curve(small(max_epochs=5), X, y, cv=2, every=2)
    assert_array_equal(some.epochs, [2, 4, 5])
    assert_array_equal(some.scores, whole.scores[:, [1, 3, 4]])


def test_each_fold_is_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fits, fit = [], FCNSegmenter.fit

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        fits.append(self)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(FCNSegmenter, "fit", counted)
    epoch_curve(small(), X, y, cv=3)
    assert len(fits) == 3


def test_pipelines_other_scorers_and_callbacks() -> None:
    model = make_pipeline(RandomFlip(), small(callbacks=[EpochTimer()]))
    curve = epoch_curve(
        model,
        X,
        y,
        cv=KFold(2, shuffle=True, random_state=0),
        scoring=pixel_accuracy_scorer,
    )
    assert ((curve.scores > 0) & (curve.scores <= 1)).all()
    assert not hasattr(model[-1], "network_")
    assert len(model[-1].callbacks) == 1


# Best epoch and one standard error


@pytest.mark.parametrize(
    "scores, best, one_se",
    [
        # Means 0.2 0.5 0.6 0.5; the best has a standard error of 0.1.
        ([[0.1, 0.4, 0.5, 0.6], [0.3, 0.6, 0.7, 0.4]], 2, 1),
        ([[0.1, 0.4, 0.6], [0.1, 0.4, 0.6]], 2, 2),
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], 0, 0),
        ([[0.1, 0.9, 0.3]], 1, 1),
    ],
)
def test_best_epoch_and_the_first_within_one_standard_error(
    scores: Any, best: int, one_se: int
) -> None:
    assert _epoch_curve._chosen(np.array(scores)) == (best, one_se)


def test_a_score_that_is_not_finite_is_named() -> None:
    with pytest.raises(ValueError, match="fold 1 is nan after epoch 10"):
        _epoch_curve._check_finite(
            np.array([[0.1, 0.2], [0.1, np.nan]]), np.array([5, 10])
        )


# Bad input


def test_early_stopping_has_no_curve() -> None:
    with pytest.raises(ValueError, match="early_stopping is True"):
        epoch_curve(small(early_stopping=True), X, y)


def test_callbacks_that_stop() -> None:
    stops = EarlyStopping(monitor="train_loss", patience=1, threshold=10)
    with pytest.raises(ValueError, match=r"Training ended after .* of 4 epochs"):
        epoch_curve(small(callbacks=[stops]), X, y, cv=2)


def test_models_without_epochs() -> None:
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(TypeError, match=r"LogisticRegression.*FCNSegmenter"):
        epoch_curve(LogisticRegression(), X, y)


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_steps_that_cannot_be(every: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="every is"):
        epoch_curve(small(), X, y, every=every)


def test_missing_masks() -> None:
    with pytest.raises(ValueError, match="requires y"):
        epoch_curve(small(), X, None)


def test_one_split_has_no_standard_error() -> None:
    curve = epoch_curve(small(), X, y, cv=ShuffleSplit(1, random_state=0))
    assert curve.best_epoch == curve.one_se_epoch
