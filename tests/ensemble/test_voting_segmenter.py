"""VotingSegmenter: the mean of its members, in whatever form images come."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment import FCNSegmenter, iou_scorer
from sksegment._prediction import tilewise
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes
from sksegment.ensemble import VotingSegmenter
from sksegment.metrics import neg_pixel_log_loss_scorer, pixel_log_loss

X, y = make_shapes(6, size=24, n_classes=3, random_state=0)
Members = dict[str, Any]


def small(**parameters: Any) -> FCNSegmenter:
    given = {"depth": 1, "width": 4, "max_epochs": 2, "random_state": 0}
    return FCNSegmenter(**{**given, **parameters})


@pytest.fixture(scope="module")
def members() -> Members:
    """Three different networks, fitted on the same images."""
    networks = {
        "one": small(),
        "deep": small(depth=2, skip="add", random_state=1),
        "views": small(test_time_augmentation=True, random_state=2),
    }
    return {name: network.fit(X, y) for name, network in networks.items()}


def voting(members: Members, **parameters: Any) -> VotingSegmenter:
    return VotingSegmenter.from_fitted([*members.items()], **parameters)


def mean_of(members: Members, images: Any, weights: Any = None) -> Any:
    answers = [member.predict_proba(images) for member in members.values()]
    return np.average(answers, axis=0, weights=weights)


# Probabilities and labels


@pytest.mark.parametrize("weights", [None, [1, 2, 5], [0, 0, 1]])
def test_probabilities_are_the_weighted_mean(members: Members, weights: Any) -> None:
    ensemble = voting(members, weights=weights)
    found, expected = ensemble.predict_proba(X), mean_of(members, X, weights)
    assert found.shape == (6, 3, 24, 24)
    assert found.dtype == np.float32
    assert_allclose(found, expected, atol=1e-6)
    assert_array_equal(ensemble.predict(X), ensemble.classes_[found.argmax(axis=1)])


def test_images_of_several_sizes_give_an_object_array(members: Members) -> None:
    images = [X[0], X[1][:11, :17], X[2][:, :1]]
    found = voting(members).predict_proba(images)
    assert found.dtype == object
    for image, probabilities in zip(images, found, strict=True):
        assert_allclose(probabilities, mean_of(members, [image])[0], atol=1e-6)
    masks = voting(members).predict(images)
    assert [mask.shape for mask in masks] == [image.shape[:2] for image in images]


def test_paths_are_read(members: Members, tmp_path: Path) -> None:
    photo = (X[0] * 255).clip(0, 255).astype(np.uint8)
    Image.fromarray(photo.squeeze()).save(tmp_path / "a.png")
    scaled = {
        name: clone(one).fit(np.uint8(X * 255), y) for name, one in members.items()
    }
    (found,) = voting(scaled).predict([tmp_path / "a.png"])
    assert_array_equal(found, voting(scaled).predict(photo[np.newaxis])[0])


def test_tiles_equal_the_whole_image(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = make_shapes(1, size=100, n_classes=3, random_state=1)
    ensemble = voting(members, weights=[1, 2, 3])
    whole, labels = ensemble.predict_proba(image), ensemble.predict(image)
    monkeypatch.setattr(tilewise, "MAX_VALUES", 3 * 32**2)
    monkeypatch.setattr(tilewise, "MIN_SIDE", 16)
    parts = seen_by(members["deep"], monkeypatch)
    assert_allclose(ensemble.predict_proba(image), whole, atol=1e-5)
    assert max(max(part.shape[:2]) for part in parts) < 100
    assert_array_equal(ensemble.predict(image), labels)


def seen_by(member: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the images or parts that are predicted by a member."""
    predictor, seen = type(member._predictor()), []
    parts = predictor.parts

    def noted(self: Any, images: Any) -> Any:
        seen.extend(images)
        return parts(self, images)

    monkeypatch.setattr(predictor, "parts", noted)
    return seen


def test_a_member_that_sees_the_whole_image_leaves_no_margin(members: Members) -> None:
    whole = small(norm="group").fit(X, y)
    assert voting(members).margin_ == max(one.margin_ for one in members.values())
    assert voting(members).stride_ == 4
    both = voting({"whole": whole, **members})
    assert both.margin_ is None
    assert_allclose(
        both.predict_proba(X), mean_of({"whole": whole, **members}, X), atol=1e-6
    )


class Constant(ClassifierMixin, BaseEstimator):
    """A segmenter of another package: the same probabilities everywhere."""

    def fit(self, X: Any, y: Any) -> Constant:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        return [np.full((3, *image.shape[:2]), 1 / 3, np.float32) for image in X]


def test_segmenters_of_other_packages_take_part(members: Members) -> None:
    both = voting({"one": members["one"], "flat": Constant().fit(X, y)})
    expected = members["one"].predict_proba(X) / 2 + 1 / 6
    assert_allclose(both.predict_proba(X), expected, atol=1e-6)
    assert both.margin_ is None
    assert both.n_features_in_ == 3


def doubled(images: Any) -> Any:
    return 2 * images


def stacked(images: Any) -> Any:
    return np.stack([images] * 3, axis=-1)


def all_stacked(images: Any) -> Any:
    return [*map(stacked, images)]


@pytest.mark.parametrize(
    "step, form, images",
    [
        (doubled, np.array, X),
        (stacked, np.array, X[..., 0]),
        (all_stacked, list, X[..., 0]),
    ],
)
def test_steps_before_a_member_are_given_what_the_user_passed(
    step: Any, form: Any, images: Any
) -> None:
    given = form(images)
    pipeline = make_pipeline(FunctionTransformer(step), small()).fit(given, y)
    both = VotingSegmenter.from_fitted([pipeline, pipeline])
    found, expected = both.predict_proba(given), pipeline.predict_proba(given)
    assert_allclose(np.stack(found), np.stack(expected), atol=1e-6)
    assert_array_equal(np.stack(both.predict(given)), np.stack(pipeline.predict(given)))
    assert both.score(given, y) == iou_scorer(pipeline, given, y)


def test_channels_behind_a_step_are_not_those_of_the_images() -> None:
    grey = X[..., 0]
    pipeline = make_pipeline(FunctionTransformer(stacked), small()).fit(grey, y)
    alone = VotingSegmenter.from_fitted([pipeline])
    assert not hasattr(alone, "n_features_in_")
    mixed = {"pipeline": pipeline, "alone": small().fit(grey, y)}
    assert voting(mixed).n_features_in_ == 1
    assert_allclose(voting(mixed).predict_proba(grey), mean_of(mixed, grey), atol=1e-6)


def test_ensembles_nest(members: Members) -> None:
    inner = voting({name: members[name] for name in ("one", "deep")})
    outer = VotingSegmenter.from_fitted([inner, members["views"]], weights=[2, 1])
    assert_allclose(outer.predict_proba(X), mean_of(members, X), atol=1e-6)
    assert outer.margin_ == voting(members).margin_


def test_other_units_are_warned_of_once_for_a_large_dark_image(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_shapes(1, size=100, n_classes=3, random_state=1)[0]
    image[:, :, 50:] /= 1000  # a dark half is no image in other units
    monkeypatch.setattr(tilewise, "MAX_VALUES", 3 * 32**2)
    monkeypatch.setattr(tilewise, "MIN_SIDE", 16)
    voting(members).predict(image)
    with pytest.warns(UserWarning, match="other units"):
        voting(members).predict(image * 1000)


# fit and from_fitted


def test_fit_trains_each_member_as_it_would_train_alone(members: Members) -> None:
    ensemble = VotingSegmenter([*members.items()]).fit(X, y)
    for name, member in members.items():
        again = ensemble.named_estimators_[name]
        assert again is not member
        assert_array_equal(again.predict_proba(X), member.predict_proba(X))
    assert_array_equal(ensemble.classes_, [0, 1, 2])
    assert ensemble.n_features_in_ == 3


def test_the_folds_of_a_cross_validation_become_an_ensemble() -> None:
    model = make_pipeline(RandomFlip(), small(classes=[0, 1, 2]))
    folds = cross_validate(model, X, y, cv=3, return_estimator=True)
    ensemble = VotingSegmenter.from_fitted(folds["estimator"])
    expected = np.mean([fold.predict_proba(X) for fold in folds["estimator"]], axis=0)
    assert_allclose(ensemble.predict_proba(X), expected, atol=1e-6)
    assert [*ensemble.named_estimators_] == ["pipeline-1", "pipeline-2", "pipeline-3"]
    assert ensemble.margin_ is not None
    assert ensemble.estimators_[0] is folds["estimator"][0]


def test_a_search_may_be_a_member() -> None:
    search = GridSearchCV(small(), {"width": [2, 4]}, cv=2).fit(X, y)
    ensemble = VotingSegmenter.from_fitted([search, search.best_estimator_])
    assert_allclose(ensemble.predict_proba(X), search.predict_proba(X), atol=1e-6)
    assert ensemble.margin_ == search.best_estimator_.margin_


def test_augmenters_before_the_ensemble_reach_its_members() -> None:
    model = make_pipeline(RandomFlip(), VotingSegmenter([("a", small())])).fit(X, y)
    alone = make_pipeline(RandomFlip(), small()).fit(X, y)
    assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


def test_weights_of_images_reach_members_and_pipelines() -> None:
    weights = np.array([1, 1, 1, 0, 0, 2])
    pipeline = make_pipeline(RandomFlip(), small())
    ensemble = VotingSegmenter([("a", small()), ("b", pipeline)])
    ensemble.fit(X, y, sample_weight=weights)
    alone = small().fit(X, y, sample_weight=weights)
    assert_array_equal(ensemble.estimators_[0].predict_proba(X), alone.predict_proba(X))
    alone = clone(pipeline).fit(X, y, fcnsegmenter__sample_weight=weights)
    assert_array_equal(ensemble.estimators_[1].predict_proba(X), alone.predict_proba(X))


WEIGHTS = np.array([1, 1, 1, 0, 0, 2])


def weighted() -> Any:
    """Return the probabilities of an augmented network that is trained with weights."""
    alone = make_pipeline(RandomFlip(), small())
    return alone.fit(X, y, fcnsegmenter__sample_weight=WEIGHTS).predict_proba(X)


def test_weights_reach_pipelines_in_searches_and_pipelines() -> None:
    inner = make_pipeline(RandomFlip(), small())
    search = GridSearchCV(inner, {"fcnsegmenter__depth": [1]}, cv=2)
    nested = [
        Pipeline([("inner", inner)]),
        search,
        Pipeline([("search", search)]),
        VotingSegmenter([("a", inner)]),
    ]
    members = [(str(number), one) for number, one in enumerate(nested)]
    ensemble = VotingSegmenter(members).fit(X, y, sample_weight=WEIGHTS)
    for member in ensemble.estimators_:
        assert_array_equal(member.predict_proba(X), weighted())


def test_weights_are_routed() -> None:
    with config_context(enable_metadata_routing=True):
        asking = small().set_fit_request(sample_weight=True)
        asking.set_score_request(sample_weight=True)
        inner = make_pipeline(RandomFlip(), asking)
        search = GridSearchCV(inner, {"fcnsegmenter__depth": [1]}, cv=2)
        pairs = [("a", inner), ("b", search)]
        ensemble = VotingSegmenter(pairs).fit(X, y, sample_weight=WEIGHTS)
    for member in ensemble.estimators_:
        assert_array_equal(member.predict_proba(X), weighted())


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_weights_that_no_step_asked_for_are_refused(n_jobs: int | None) -> None:
    members = [(name, make_pipeline(RandomFlip(), small())) for name in "ab"]
    ensemble = VotingSegmenter(members, n_jobs=n_jobs)
    with (
        config_context(enable_metadata_routing=True),
        parallel_config(backend="threading"),
        pytest.raises(ValueError, match="set_fit_request"),
    ):
        ensemble.fit(X, y, sample_weight=WEIGHTS)


def test_frozen_members_are_not_trained_again(members: Members) -> None:
    frozen = FrozenEstimator(members["one"])
    ensemble = VotingSegmenter([("frozen", frozen), ("new", small(random_state=9))])
    ensemble.fit(X[:4], y[:4])
    first = ensemble.estimators_[0]
    assert_array_equal(first.predict_proba(X), members["one"].predict_proba(X))
    assert ensemble.margin_ is not None


@pytest.mark.usefixtures("one_thread")
def test_members_trained_in_parallel_learn_the_same_bits() -> None:
    ensemble = VotingSegmenter([("a", small()), ("b", small(random_state=1))])
    serial = clone(ensemble).fit(X, y).predict_proba(X)
    with parallel_config(backend="threading"):
        parallel = clone(ensemble).set_params(n_jobs=2).fit(X, y).predict_proba(X)
    assert_array_equal(parallel, serial)


# scikit-learn's manners


def test_parameters_of_members_are_reached_by_name() -> None:
    ensemble = VotingSegmenter([("a", small()), ("b", small(depth=2))])
    assert ensemble.get_params()["b__depth"] == 2
    ensemble.set_params(a__depth=3, b="drop", weights=[1, 7])
    assert ensemble.named_estimators.a.depth == 3
    copy = clone(ensemble).fit(X, y)
    assert [*copy.named_estimators_] == ["a"]
    assert_array_equal(copy.predict_proba(X), copy.estimators_[0].predict_proba(X))


def test_weights_take_effect_when_set(members: Members) -> None:
    ensemble = voting(members).set_params(weights=[0, 1, 0])
    expected = members["deep"].predict_proba(X)
    assert_allclose(ensemble.predict_proba(X), expected, atol=1e-6)


def test_score_and_scorers_know_classes_and_the_ignored_label() -> None:
    marked = np.where(np.arange(24) < 3, 255, y)
    model = VotingSegmenter([("a", small(ignore_label=255))]).fit(X, marked)
    assert model.ignore_label == 255
    assert model.score(X, marked) == iou_scorer(model, X, marked)
    expected = pixel_log_loss(
        marked, model.predict_proba(X), labels=[0, 1, 2], ignore_label=255
    )
    assert neg_pixel_log_loss_scorer(model, X, marked) == pytest.approx(-expected)
    assert len(cross_val_score(model, X, marked, cv=2, scoring=iou_scorer)) == 2


def test_a_pickle_predicts_the_same_bits(members: Members) -> None:
    ensemble = voting(members, weights=[1, 2, 3])
    again = pickle.loads(pickle.dumps(ensemble))
    assert_array_equal(again.predict_proba(X), ensemble.predict_proba(X))


# Bad input


def test_members_with_other_classes_are_named(members: Members) -> None:
    other = small().fit(X, np.where(y == 2, 7, y))
    with pytest.raises(ValueError, match=r"'other' has classes_=0, 1, 7.*classes="):
        voting({"one": members["one"], "other": other})


def test_members_with_other_channels_are_named(members: Members) -> None:
    grey = small().fit(X[..., 0], y)
    with pytest.raises(ValueError, match=r"'grey' has n_features_in_=1.*'one' has 3"):
        voting({"one": members["one"], "grey": grey})


def test_members_with_another_ignored_label_are_named(members: Members) -> None:
    marked = small(ignore_label=9).fit(X, y)
    with pytest.raises(ValueError, match="'marked' has ignore_label=9"):
        voting({"one": members["one"], "marked": marked})


def test_members_with_the_same_mark_of_missing_data_in_other_types() -> None:
    marks = (float("nan"), np.float32("nan"), np.float64("nan"))
    alike = {str(n): small(nodata=m, nodata_label=9) for n, m in enumerate(marks)}
    images = np.where(np.arange(24)[:, np.newaxis, np.newaxis] < 3, np.nan, X)
    fitted = {name: member.fit(images, y) for name, member in alike.items()}
    assert (voting(fitted).predict(images)[:, :3] == 9).all()
    other = small(nodata=-1, nodata_label=9).fit(X, y)
    with pytest.raises(ValueError, match="'other' has nodata=-1"):
        voting({**fitted, "other": other})


@pytest.mark.parametrize(
    "weights", [[1, 2], [1, -1, 2], [0, 0, 0], [1, np.nan, 1], "abc", [[1, 2, 3]]]
)
def test_weights_that_do_not_fit(members: Members, weights: Any) -> None:
    with pytest.raises(ValueError, match=r"weights is .*expected"):
        voting(members, weights=weights)


@pytest.mark.parametrize("weights", [None, [1, 2, 5]])
def test_a_member_that_is_dropped_counts_until_the_next_fit(
    members: Members, weights: Any
) -> None:
    ensemble = voting(members, weights=weights)
    before = ensemble.predict_proba(X)
    ensemble.set_params(**{ensemble.estimators[1][0]: "drop"})
    assert_allclose(ensemble.predict_proba(X), before)
    assert len(ensemble.weights_) == 3


def test_weights_belong_to_names_after_a_change_of_estimators(
    members: Members,
) -> None:
    ensemble = voting(members)
    turned = ensemble.estimators[::-1]
    ensemble.set_params(estimators=turned, weights=[5, 0, 1])
    expected = mean_of(members, X, [1, 0, 5])
    assert_allclose(ensemble.predict_proba(X), expected, atol=1e-6)
    more = [("new", small()), *turned]  # counts from the next fit on
    ensemble.set_params(estimators=more, weights=[9, 5, 0, 1])
    assert_allclose(ensemble.predict_proba(X), expected, atol=1e-6)


@pytest.mark.parametrize("names", [["one"], ["new"], ["one", "new", "views"]])
@pytest.mark.parametrize("weights", [None, [1, 2, 3]])
def test_a_fitted_member_that_is_gone_is_named(
    members: Members, names: list[str], weights: Any
) -> None:
    ensemble = voting(members, weights=weights)
    ensemble.set_params(estimators=[(name, small()) for name in names])
    with pytest.raises(ValueError, match=r"'(one|deep)' is not in estimators.*again"):
        ensemble.predict(X)
    ensemble.set_params(estimators=[])
    with pytest.raises(TypeError, match="list of"):
        ensemble.predict(X)


def test_weights_of_several_lengths_are_named(members: Members) -> None:
    with pytest.raises(ValueError, match="weights is not a rectangular array"):
        voting(members, weights=[[1], [1, 2], [3]])


@pytest.mark.parametrize(
    "estimators, cure",
    [
        ([], "list of"),
        (small(), "list of"),
        ([small()], "from_fitted"),
        ([("a", FCNSegmenter)], "expected a segmenter"),
        ([("a", LinearRegression())], "predict_proba"),
    ],
)
def test_estimators_that_are_no_members(estimators: Any, cure: str) -> None:
    with pytest.raises(TypeError, match=cure):
        VotingSegmenter(estimators).fit(X, y)


def test_names_that_cannot_be() -> None:
    for names in (("a", "a"), ("a__b", "c"), ("weights", "c")):
        pairs = [(name, small()) for name in names]
        with pytest.raises(ValueError, match=r"[Nn]ames"):
            VotingSegmenter(pairs).fit(X, y)


def test_all_dropped() -> None:
    with pytest.raises(ValueError, match="dropped"):
        VotingSegmenter([("a", "drop")]).fit(X, y)


def test_unfitted_members_are_named(members: Members) -> None:
    with pytest.raises(NotFittedError, match="'new'"):
        voting({"one": members["one"], "new": small()})
    with pytest.raises(NotFittedError):
        VotingSegmenter([("a", small())]).predict(X)


def test_the_results_of_cross_validate_as_a_whole(members: Members) -> None:
    with pytest.raises(TypeError, match='entry "estimator"'):
        VotingSegmenter.from_fitted({"estimator": [members["one"]]})


def test_a_failing_member_is_named_and_the_earlier_fit_stays(members: Members) -> None:
    ensemble = voting(members)
    before = ensemble.predict_proba(X)
    with pytest.raises(ValueError) as caught:
        ensemble.set_params(deep__depth=0).fit(X, y)
    assert "'deep'" in "".join(caught.value.__notes__)
    ensemble.set_params(deep__depth=2)
    assert_array_equal(ensemble.predict_proba(X), before)


def test_images_with_other_channels_are_rejected_by_name(members: Members) -> None:
    images = [X[0], np.zeros((9, 9, 4))]
    with pytest.raises(ValueError, match="image 1"):
        voting(members).predict(images)
