"""TemperatureScaling: the temperature of the smallest log loss, and no other label."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment import FCNSegmenter, iou_scorer
from sksegment._prediction import held_out
from sksegment.augmentation import RandomFlip
from sksegment.calibration import TemperatureScaling
from sksegment.datasets import make_shapes
from sksegment.ensemble import VotingSegmenter
from sksegment.metrics import pixel_log_loss

X, y = make_shapes(6, size=24, n_classes=3, random_state=0)


def small(**parameters: Any) -> FCNSegmenter:
    given = {"depth": 1, "width": 4, "max_epochs": 2, "random_state": 0}
    return FCNSegmenter(**{**given, **parameters})


class Sure(ClassifierMixin, BaseEstimator):
    """Knows the class of a pixel from its value, with made-up confidence."""

    def __init__(self, factor: float = 1.0, ignore_label: Any = None) -> None:
        self.factor = factor
        self.ignore_label = ignore_label

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Sure:
        labels = np.unique(y)
        self.classes_ = labels[labels != self.ignore_label]
        return self

    def predict_proba(self, X: Any) -> Any:
        return [self._probabilities(np.asarray(image)) for image in X]

    def _probabilities(self, image: Any) -> Any:
        scores = image.reshape(*image.shape[:2], -1)[..., :2]
        scores = self.factor * np.moveaxis(scores, -1, 0).astype(np.float64)
        shifted = np.exp(scores - scores.max(axis=0))
        return shifted / shifted.sum(axis=0)

    def predict(self, X: Any) -> Any:
        return self.classes_[np.array([p.argmax(0) for p in self.predict_proba(X)])]


def drawn(n: int = 5, size: int = 60, seed: int = 0) -> tuple[Any, Any]:
    """Scores as images of two channels, and masks drawn with these probabilities."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (n, size, size, 2))
    odds = 1 / (1 + np.exp(scores[..., 0] - scores[..., 1]))
    return scores, (rng.random((n, size, size)) < odds).astype(int)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_what_was_done_to_the_scores(factor: float) -> None:
    scores, masks = drawn()
    model = TemperatureScaling(FrozenEstimator(Sure(factor).fit(scores, masks)))
    assert model.fit(scores, masks).temperature_ == pytest.approx(factor, rel=0.03)


def test_the_temperature_is_that_of_the_smallest_loss() -> None:
    frozen = FrozenEstimator(small().fit(X, y))
    model = TemperatureScaling(frozen).fit(X[:3], y[:3])
    logs = np.log(frozen.predict_proba(X[:3]).astype(np.float64))

    def loss(temperature: float) -> float:
        scores = np.exp(logs / temperature)
        return pixel_log_loss(y[:3], scores / scores.sum(axis=1, keepdims=True))

    oracle = minimize_scalar(loss, bounds=(0.05, 20), method="bounded")
    assert model.temperature_ == pytest.approx(oracle.x, rel=1e-3)
    assert pixel_log_loss(y[:3], model.predict_proba(X[:3])) == pytest.approx(
        oracle.fun, abs=1e-6
    )


def test_no_label_changes() -> None:
    model = TemperatureScaling(small(), cv=2).fit(X, y)
    assert_array_equal(model.predict(X), model.estimator_.predict(X))
    probabilities = model.predict_proba(X)
    assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    assert model.score(X, y) == iou_scorer(model, X, y) == model.estimator_.score(X, y)


def test_out_of_fold_temperature_and_a_last_fit_on_all_images() -> None:
    folds = [*KFold(3).split(X)]
    model = TemperatureScaling(small(classes=[0, 1, 2]), cv=KFold(3)).fit(X, y)
    again = small(classes=[0, 1, 2]).fit(X, y)
    assert_array_equal(model.estimator_.predict_proba(X), again.predict_proba(X))
    parts = [
        held_out.held_out_pixels(
            small(classes=[0, 1, 2]).fit(X[train], y[train]), X[test], y[test], None, 6
        )
        for train, test in folds
    ]
    expected = held_out.best_temperature(held_out.join_pixels(parts))
    assert model.temperature_ == expected


def test_a_sample_of_the_pixels_gives_nearly_the_same_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, masks = drawn(n=4, size=100)
    frozen = FrozenEstimator(Sure(2.0).fit(scores, masks))
    all_pixels = TemperatureScaling(frozen).fit(scores, masks).temperature_
    monkeypatch.setattr(held_out, "MAX_VALUES", 2 * 8000)
    sampled = TemperatureScaling(frozen).fit(scores, masks).temperature_
    assert sampled != all_pixels
    assert sampled == pytest.approx(all_pixels, rel=0.1)


def test_weights_count_like_copies() -> None:
    scores, masks = drawn(n=3, size=40)
    frozen = FrozenEstimator(Sure(2.0).fit(scores, masks))
    weights = [1, 3, 0]
    copies = [0, 1, 1, 1]
    weighted = TemperatureScaling(frozen).fit(scores, masks, sample_weight=weights)
    copied = TemperatureScaling(frozen).fit(scores[copies], masks[copies])
    assert weighted.temperature_ == pytest.approx(copied.temperature_, rel=1e-3)


def test_weights_reach_a_pipeline_with_and_without_routing() -> None:
    weights = np.array([1, 3, 1, 2, 1, 1])
    pipeline = make_pipeline(RandomFlip(), small(classes=[0, 1, 2], max_epochs=8))
    expected = clone(pipeline).fit(X, y, fcnsegmenter__sample_weight=weights)
    plain = TemperatureScaling(pipeline, cv=2).fit(X, y, weights)
    with config_context(enable_metadata_routing=True):
        pipeline[-1].set_fit_request(sample_weight=True)
        routed = TemperatureScaling(pipeline, cv=2).fit(X, y, weights)
    assert routed.temperature_ == plain.temperature_
    for model in (plain, routed):
        found = model.estimator_.predict_proba(X)
        assert_array_equal(found, expected.predict_proba(X))


def test_ignored_pixels_do_not_count() -> None:
    scores, masks = drawn(n=3, size=40)
    marked = np.where(np.arange(40) < 20, 9, masks)
    ignoring = Sure(2.0, ignore_label=9).fit(scores, marked)
    model = TemperatureScaling(FrozenEstimator(ignoring)).fit(scores, marked)
    left = TemperatureScaling(FrozenEstimator(ignoring))
    left.fit(scores[:, :, 20:], masks[:, :, 20:])
    assert model.temperature_ == pytest.approx(left.temperature_, rel=1e-6)
    assert model.ignore_label == 9


def test_images_of_several_sizes() -> None:
    images, masks = [X[0], X[1][:11, :17]], [y[0], y[1][:11, :17]]
    model = TemperatureScaling(FrozenEstimator(small().fit(X, y))).fit(images, masks)
    found = model.predict_proba(images)
    assert [p.shape for p in found] == [(3, 24, 24), (3, 11, 17)]


def test_pipelines_and_ensembles_are_calibrated() -> None:
    pipeline = make_pipeline(RandomFlip(), small())
    pipeline.set_params(fcnsegmenter__max_epochs=8)
    inside = TemperatureScaling(pipeline, cv=2).fit(X, y)
    assert inside.margin_ == inside.estimator_[-1].margin_
    pair = [("a", small(max_epochs=8)), ("b", small(max_epochs=8, random_state=1))]
    voting = VotingSegmenter(pair)
    calibrated = TemperatureScaling(FrozenEstimator(voting.fit(X, y))).fit(X, y)
    assert calibrated.predict_proba(X).shape == (6, 3, 24, 24)
    nested = VotingSegmenter.from_fitted([calibrated, voting])
    expected = (calibrated.predict_proba(X) + voting.predict_proba(X)) / 2
    assert_allclose(nested.predict_proba(X), expected, atol=1e-6)


def test_augmentation_in_front_is_refused_with_the_pipeline_to_take() -> None:
    scaling = TemperatureScaling(small(max_epochs=1), cv=2)
    cure = r"TemperatureScaling\(make_pipeline\(RandomFlip\(\), FCNSegmenter"
    with pytest.raises(TypeError, match=cure):
        make_pipeline(RandomFlip(), scaling).fit(X, y)


def test_steps_before_the_segmenter_are_given_the_array() -> None:
    grey = X[..., 0]
    step = FunctionTransformer(lambda images: np.stack([images] * 3, axis=-1))
    pipeline = make_pipeline(step, small(max_epochs=8)).fit(grey, y)
    model = TemperatureScaling(FrozenEstimator(pipeline)).fit(grey, y)
    logs = np.log(pipeline.predict_proba(grey)) / model.temperature_
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    assert_allclose(model.predict_proba(grey), expected, atol=1e-5)
    assert model.score(grey, y) == pipeline.score(grey, y)
    assert not hasattr(model, "n_features_in_")


def test_parameters_clone_and_pickle() -> None:
    model = TemperatureScaling(small(max_epochs=8), cv=2)
    model.set_params(estimator__depth=2)
    fitted = clone(model).fit(X, y)
    assert fitted.estimator_.depth == 2
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


# Bad input


def test_masks_of_one_class_have_no_temperature() -> None:
    frozen = FrozenEstimator(small(classes=[0, 1, 2]).fit(X, y))
    with pytest.raises(ValueError, match=r"1 of the classes.*at least two"):
        TemperatureScaling(frozen).fit(X, np.zeros_like(y))


def test_a_fold_without_a_class_is_named() -> None:
    rare = np.where(y == 2, 1, y)
    rare[0, :9] = 2
    with pytest.raises(ValueError, match="classes="):
        TemperatureScaling(small(), cv=KFold(2)).fit(X, rare)


def test_a_limit_of_the_temperature_is_warned_of() -> None:
    scores = np.zeros((1, 8, 8, 2))
    masks = np.zeros((1, 8, 8), int)
    masks[:, :4] = 1
    scores[..., 1] = 2 * masks - 1
    frozen = FrozenEstimator(Sure().fit(scores, masks))
    with pytest.warns(UserWarning, match="No temperature"):
        TemperatureScaling(frozen).fit(scores, masks)


def test_a_frozen_estimator_that_is_not_fitted() -> None:
    with pytest.raises(NotFittedError):
        TemperatureScaling(FrozenEstimator(small())).fit(X, y)
    with pytest.raises(NotFittedError):
        TemperatureScaling(small()).predict(X)


def test_weights_of_other_images_are_named() -> None:
    with pytest.raises(ValueError, match="sample_weight has 2 entries for"):
        TemperatureScaling(small(), cv=2).fit(X, y, sample_weight=[1, 1])


@pytest.mark.parametrize("cv", [1, 0, True, 99])
def test_folds_that_cannot_be(cv: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        TemperatureScaling(small(), cv=cv).fit(X, y)


def test_a_refused_fit_leaves_the_earlier_one() -> None:
    model = TemperatureScaling(FrozenEstimator(small().fit(X, y))).fit(X, y)
    before = model.temperature_
    with pytest.raises(ValueError, match="6 images and y has 2 masks"):
        model.fit(X, y[:2])
    assert model.temperature_ == before
