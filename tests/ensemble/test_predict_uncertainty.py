"""predict_uncertainty: what is uncertain, by which measure, in tiles as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment import FCNSegmenter
from sksegment._prediction import tilewise
from sksegment.augmentation import RandomFlip
from sksegment.calibration import TemperatureScaling
from sksegment.datasets import make_shapes
from sksegment.ensemble import VotingSegmenter, predict_uncertainty

X, y = make_shapes(4, size=24, n_classes=3, random_state=0)
METHODS = ("entropy", "margin", "disagreement")


def small(**parameters: Any) -> FCNSegmenter:
    given = {"depth": 1, "width": 4, "max_epochs": 8, "random_state": 0}
    return FCNSegmenter(**{**given, **parameters})


@pytest.fixture(scope="module")
def model() -> FCNSegmenter:
    return small().fit(X, y)


@pytest.fixture(scope="module")
def ensemble(model: FCNSegmenter) -> VotingSegmenter:
    other = small(random_state=1, depth=2).fit(X, y)
    return VotingSegmenter.from_fitted([model, other], weights=[1, 3])


def test_entropy_is_that_of_scipy(model: FCNSegmenter) -> None:
    found = predict_uncertainty(model, X)
    assert found.shape == y.shape
    assert found.dtype == np.float32
    expected = scipy.stats.entropy(model.predict_proba(X), axis=1)
    assert_allclose(found, expected, atol=1e-5)


def test_margin_is_the_gap_between_the_best_two(model: FCNSegmenter) -> None:
    ranked = np.sort(model.predict_proba(X), axis=1)
    expected = 1 - (ranked[:, -1] - ranked[:, -2])
    assert_allclose(predict_uncertainty(model, X, "margin"), expected, atol=1e-6)


def test_disagreement_is_entropy_of_the_mean_less_mean_entropy(
    ensemble: VotingSegmenter,
) -> None:
    one, other = (member.predict_proba(X) for member in ensemble.estimators_)
    whole = scipy.stats.entropy(0.25 * one + 0.75 * other, axis=1)
    within = [scipy.stats.entropy(member, axis=1) for member in (one, other)]
    expected = whole - 0.25 * within[0] - 0.75 * within[1]
    found = predict_uncertainty(ensemble, X, "disagreement")
    assert_allclose(found, expected, atol=1e-5)
    assert (found >= 0).all()


def test_members_that_agree_do_not_disagree(model: FCNSegmenter) -> None:
    same = VotingSegmenter.from_fitted([model, model])
    found = predict_uncertainty(same, X, "disagreement")
    assert_allclose(found, 0, atol=1e-6)
    assert predict_uncertainty(same, X, "entropy").min() > 0


def test_a_single_model_disagrees_over_its_views(model: FCNSegmenter) -> None:
    views = []
    for quarters in range(4):
        for mirrored in (False, True):
            turned = np.rot90(X, quarters, axes=(1, 2))
            turned = turned[:, :, ::-1] if mirrored else turned
            answer = model.predict_proba(turned)
            answer = answer[..., ::-1] if mirrored else answer
            views.append(np.rot90(answer, -quarters, axes=(2, 3)))
    mean = scipy.stats.entropy(np.mean(views, axis=0), axis=1)
    expected = mean - np.mean([scipy.stats.entropy(v, axis=1) for v in views], axis=0)
    found = predict_uncertainty(model, X, "disagreement")
    assert_allclose(found, expected, atol=1e-5)
    assert found.max() > 0
    # Whether the views are averaged at prediction makes no difference.
    averaging = small(test_time_augmentation=True).fit(X, y)
    assert_array_equal(predict_uncertainty(averaging, X, "disagreement"), found)


@pytest.mark.parametrize("method", METHODS)
def test_tiles_equal_the_whole_image(
    ensemble: VotingSegmenter, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = make_shapes(1, size=150, n_classes=3, random_state=1)
    whole = predict_uncertainty(ensemble, image, method)
    monkeypatch.setattr(tilewise, "MAX_VALUES", 3 * 40**2)
    monkeypatch.setattr(tilewise, "MIN_SIDE", 16)
    assert_allclose(predict_uncertainty(ensemble, image, method), whole, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_pipelines_and_calibrated_models(
    ensemble: VotingSegmenter, method: str
) -> None:
    pipeline = make_pipeline(RandomFlip(), small()).fit(X, y)
    assert predict_uncertainty(pipeline, X, method).shape == y.shape
    calibrated = TemperatureScaling(FrozenEstimator(ensemble)).fit(X, y)
    assert predict_uncertainty(calibrated, X, method).shape == y.shape


@pytest.mark.parametrize(
    "step, images",
    [
        (lambda images: images / 2, X),
        (lambda images: np.stack([images] * 3, axis=-1), X[..., 0]),
    ],
)
def test_steps_before_the_segmenter_are_given_the_array(step: Any, images: Any) -> None:
    pipeline = make_pipeline(FunctionTransformer(step), small()).fit(images, y)
    expected = scipy.stats.entropy(pipeline.predict_proba(images), axis=1)
    assert_allclose(predict_uncertainty(pipeline, images), expected, atol=1e-5)


def test_lists_give_an_object_array(model: FCNSegmenter) -> None:
    found = predict_uncertainty(model, [X[0], X[1][:9]])
    assert found.dtype == object
    assert [one.shape for one in found] == [(24, 24), (9, 24)]


class Constant(ClassifierMixin, BaseEstimator):
    """A segmenter of another package."""

    def fit(self, X: Any, y: Any) -> Constant:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        return [np.full((3, *image.shape[:2]), 1 / 3) for image in X]


def test_segmenters_of_other_packages() -> None:
    model = Constant().fit(X, y)
    assert_allclose(predict_uncertainty(model, X), np.log(3), atol=1e-6)
    with pytest.raises(TypeError, match=r"Constant.*expected a VotingSegmenter"):
        predict_uncertainty(model, X, "disagreement")


def test_bad_input(model: FCNSegmenter) -> None:
    with pytest.raises(ValueError, match="method is 'variance'"):
        predict_uncertainty(model, X, "variance")
    with pytest.raises(NotFittedError):
        predict_uncertainty(small(), X)
    with pytest.raises(ValueError, match="4 features"):
        predict_uncertainty(model, np.zeros((1, 8, 8, 4)))
