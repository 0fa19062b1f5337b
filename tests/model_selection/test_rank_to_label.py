"""rank_to_label: uncertain images, spread over the pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip
from sksegment.calibration import TemperatureScaling
from sksegment.datasets import make_shapes
from sksegment.ensemble import VotingSegmenter, predict_uncertainty
from sksegment.model_selection import _rank_to_label, cut_blocks, rank_to_label

X, y = make_shapes(20, size=24, n_classes=3, random_state=0)


def small(**parameters: Any) -> FCNSegmenter:
    given = {"depth": 1, "width": 4, "max_epochs": 8, "random_state": 0}
    return FCNSegmenter(**{**given, **parameters})


@pytest.fixture(scope="module")
def model() -> FCNSegmenter:
    return small().fit(X[:6], y[:6])


@pytest.fixture(scope="module")
def ensemble(model: FCNSegmenter) -> VotingSegmenter:
    return VotingSegmenter.from_fitted([model, small(random_state=1).fit(X, y)])


@pytest.mark.parametrize("method", ["entropy", "margin", "disagreement"])
def test_the_most_uncertain_image_comes_first(
    ensemble: VotingSegmenter, method: str
) -> None:
    uncertain = predict_uncertainty(ensemble, X, method).mean(axis=(1, 2))
    chosen = rank_to_label(ensemble, X, n=3, method=method)
    assert chosen[0] == uncertain.argmax()
    candidates = np.argsort(-uncertain)[:12]
    assert set(chosen) <= set(candidates)
    assert len(set(chosen)) == 3


def test_the_views_of_one_model_disagree(model: FCNSegmenter) -> None:
    uncertain = predict_uncertainty(model, X, "disagreement").mean(axis=(1, 2))
    chosen = rank_to_label(model, X, n=1, method="disagreement")
    assert_array_equal(chosen, [uncertain.argmax()])


def test_averaged_views_disagree_like_those_of_the_plain_model() -> None:
    averaging = small(test_time_augmentation=True).fit(X[:6], y[:6])
    expected = rank_to_label(small().fit(X[:6], y[:6]), X, n=5, method="disagreement")
    found = rank_to_label(averaging, X, n=5, method="disagreement")
    assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["entropy", "disagreement"])
def test_a_frozen_ensemble_that_is_calibrated_has_the_members_of_the_ensemble(
    ensemble: VotingSegmenter, method: str
) -> None:
    model = TemperatureScaling(FrozenEstimator(ensemble)).fit(X[:6], y[:6])
    uncertain = predict_uncertainty(model, X, method).mean(axis=(1, 2))
    found = rank_to_label(model, X, n=1, method=method)
    assert_array_equal(found, [uncertain.argmax()])


def inverted(images: Any) -> Any:
    return 1 - images


def in_color(images: Any) -> Any:
    return np.stack([images, 1 - images], axis=-1)


@pytest.mark.parametrize("method", ["entropy", "margin", "disagreement"])
@pytest.mark.parametrize("step, pool", [(inverted, X), (in_color, X[..., 0])])
@pytest.mark.parametrize("is_ensemble", [False, True])
def test_steps_before_the_model_change_what_it_and_its_networks_see(
    step: Any, pool: Any, is_ensemble: bool, method: str
) -> None:
    pair = [("a", small()), ("b", small(random_state=1))]
    model = VotingSegmenter(pair) if is_ensemble else small()
    model.fit(step(pool), y)
    pipeline = make_pipeline(FunctionTransformer(step), FrozenEstimator(model))
    expected = rank_to_label(model, step(pool), n=5, method=method)
    assert_array_equal(rank_to_label(pipeline, pool, n=5, method=method), expected)


def test_members_behind_steps_see_what_the_steps_hand_on() -> None:
    grey = X[..., 0]
    plain = small().fit(in_color(grey), y)
    pipeline = make_pipeline(FunctionTransformer(in_color), FrozenEstimator(plain))
    alone = VotingSegmenter.from_fitted([pipeline])
    expected = rank_to_label(plain, in_color(grey), n=5)
    assert_array_equal(rank_to_label(alone, grey, n=5), expected)
    with_windows = rank_to_label(plain, in_color(grey), n=5, window_size=12)
    assert_array_equal(rank_to_label(alone, grey, n=5, window_size=12), with_windows)


def test_copies_of_one_scene_are_taken_once(model: FCNSegmenter) -> None:
    uncertain = predict_uncertainty(model, X).mean(axis=(1, 2))
    worst = X[uncertain.argmax()]
    pool = np.concatenate([np.repeat(worst[np.newaxis], 5, axis=0), X])
    chosen = rank_to_label(model, pool, n=5)
    n_copies = sum(np.array_equal(pool[index], worst) for index in chosen)
    assert n_copies == 1


def test_the_next_is_the_farthest_from_all_taken() -> None:
    points = np.array([[0.0], [1.0], [10.0], [4.0]], np.float32)
    uncertainties = np.array([9.0, 8.0, 7.0, 6.0])
    chosen = _rank_to_label._spread_out(points, uncertainties, 4)
    assert_array_equal(chosen, [0, 2, 3, 1])


def test_what_the_model_knows_well_is_no_candidate() -> None:
    points = np.array([*range(8), 99.0], np.float32)[:, np.newaxis]
    uncertainties = np.arange(9.0, 0.0, -1.0)
    chosen = _rank_to_label._spread_out(points, uncertainties, 2)
    assert_array_equal(chosen, [0, 7])


def test_windows_of_one_large_image(model: FCNSegmenter) -> None:
    image, mask = make_shapes(1, size=100, n_classes=3, random_state=3)
    chosen = rank_to_label(model, image, n=4, window_size=(32, 50))
    # What is left at the lower edge, 4 rows, is not offered.
    windows, _, positions = cut_blocks(image[:, :96], mask[:, :96], (32, 50))
    assert chosen.shape == (4, 3)
    assert {*map(tuple, chosen)} <= {*map(tuple, positions)}
    uncertain = [predict_uncertainty(model, [one])[0].mean() for one in windows]
    assert_array_equal(chosen[0], positions[int(np.argmax(uncertain))])


def test_all_of_the_pool(model: FCNSegmenter) -> None:
    assert sorted(rank_to_label(model, X, n=20)) == list(range(20))


def test_lists_pipelines_and_calibrated_models(ensemble: VotingSegmenter) -> None:
    images = [X[0], X[1][:9], X[2]]
    pipeline = make_pipeline(RandomFlip(), small()).fit(X, y)
    calibrated = TemperatureScaling(FrozenEstimator(ensemble)).fit(X, y)
    for model in (pipeline, calibrated):
        assert rank_to_label(model, images, n=2).shape == (2,)


def test_choosing_changes_nothing_in_the_model(model: FCNSegmenter) -> None:
    before = model.predict_proba(X)
    rank_to_label(model, X, n=2)
    assert not model.network_._forward_hooks
    assert_array_equal(model.predict_proba(X), before)


# Bad input


def test_a_pool_smaller_than_n(model: FCNSegmenter) -> None:
    with pytest.raises(ValueError, match="n is 21, but the pool holds 20 images"):
        rank_to_label(model, X, n=21)
    with pytest.raises(ValueError, match="holds 4 windows"):
        rank_to_label(model, X[:1], n=5, window_size=12)


class Wrapped(ClassifierMixin, BaseEstimator):
    """A segmenter of another package around one of this."""

    def fit(self, X: Any, y: Any) -> Wrapped:
        self.estimator_ = small().fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X: Any) -> Any:
        return self.estimator_.predict_proba(X)


def test_models_of_other_packages_have_no_members() -> None:
    model = Wrapped().fit(X[:6], y[:6])
    assert_array_equal(
        rank_to_label(model, X, n=3), rank_to_label(model.estimator_, X, n=3)
    )
    with pytest.raises(TypeError, match=r"Wrapped.*expected a VotingSegmenter"):
        rank_to_label(model, X, n=3, method="disagreement")


def test_a_colored_image_among_grey_ones_is_refused() -> None:
    grey = small().fit(X[:6, ..., 0], y[:6])
    with pytest.raises(ValueError, match="3 features"):
        rank_to_label(grey, [X[0, ..., 0], X[1]], n=1)


def test_other_bad_input(model: FCNSegmenter) -> None:
    with pytest.raises(ValueError, match="n is 0"):
        rank_to_label(model, X, n=0)
    with pytest.raises(ValueError, match="method is 'random'"):
        rank_to_label(model, X, n=1, method="random")
    with pytest.raises(NotFittedError):
        rank_to_label(small(), X, n=1)
    other = LogisticRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(TypeError, match="LogisticRegression without a network_"):
        rank_to_label(other, X, n=1)
