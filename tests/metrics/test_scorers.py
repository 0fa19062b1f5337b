"""Scorers for model selection."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from helpers.metrics import CLOSE, drawn, object_array
from sksegment import metrics
from sksegment.metrics import (
    _scorers,
    boundary_f1_score,
    boundary_iou_score,
    dice_score,
    dice_scorer,
    expected_calibration_error,
    hausdorff_distance,
    iou_score,
    iou_scorer,
    make_segmentation_scorer,
    mean_accuracy_score,
    neg_pixel_log_loss_scorer,
    pixel_accuracy_score,
    pixel_accuracy_scorer,
    pixel_log_loss,
    segmentation_report,
    surface_dice_score,
)
from sksegment.metrics._score import SCORES


class Threshold(ClassifierMixin, BaseEstimator):
    """A segmenter that cuts the intensities of an image into classes."""

    def __init__(self, gain=1.0, ignore_label=None, classes=None):
        self.gain = gain
        self.ignore_label = ignore_label
        self.classes = classes

    def fit(self, X, y):
        labels = np.unique(np.concatenate([np.unique(mask) for mask in y]))
        labels = labels if self.classes is None else np.asarray(self.classes)
        self.classes_ = labels[labels != self.ignore_label]
        self.seen_ = []
        return self

    def predict(self, X):
        self.seen_.append((type(X), len(X)))
        return self._contained(X, [self.classes_[self._codes(x)] for x in X])

    def predict_proba(self, X):
        self.seen_.append((type(X), len(X)))
        size = len(self.classes_)
        one_hot = np.full((size, size), 0.1 / size) + 0.9 * np.eye(size)
        codes = [self._codes(x) for x in X]
        return self._contained(X, [np.moveaxis(one_hot[c], -1, 0) for c in codes])

    def _codes(self, image):
        size = len(self.classes_)
        return np.clip(np.asarray(image) * self.gain * size, 0, size - 1).astype(int)

    def _contained(self, X, results):
        is_array = isinstance(X, np.ndarray) and X.dtype != object
        return np.stack(results) if is_array else object_array(results)


MIXED = [(4, 5), (9, 3), (1, 1), (2, 30), (6, 6), (1, 7)]
SCORERS = {
    iou_scorer: iou_score,
    dice_scorer: dice_score,
    pixel_accuracy_scorer: pixel_accuracy_score,
    make_segmentation_scorer(mean_accuracy_score): mean_accuracy_score,
    make_segmentation_scorer(iou_score, average="micro", exclude=[10]): partial(
        iou_score, average="micro", exclude=[10]
    ),
}


def series(items):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(items, index=range(100, 100 + len(items)))


@pytest.mark.parametrize("contain", [np.stack, list, tuple, object_array, series])
@pytest.mark.parametrize("chunk_pixels", [1, 41, 60, 2**21])
@pytest.mark.parametrize("weighted", [False, True])
def test_scoring_in_chunks_equals_one_call(
    monkeypatch, contain, chunk_pixels, weighted
):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", chunk_pixels)
    sizes = None if contain is np.stack else MIXED
    X, y, weights = drawn(sizes=sizes)
    weights = weights if weighted else None
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    known = {"labels": model.classes_, "ignore_label": 255, "sample_weight": weights}
    for scorer, score in SCORERS.items():
        got = scorer(model, contain(X), contain(y), weights)
        assert isinstance(got, float)
        assert got == CLOSE(score(y, model.predict(X), **known))
    got = neg_pixel_log_loss_scorer(model, contain(X), contain(y), weights)
    assert got == CLOSE(-pixel_log_loss(y, model.predict_proba(X), **known))


@pytest.mark.parametrize(
    ("chunk_pixels", "expected"),
    [(1, [1] * 7), (20, [1] * 7), (39, [1] * 7), (40, [2, 2, 2, 1]), (10**6, [7])],
)
@pytest.mark.parametrize("contain", [np.stack, list, tuple, object_array])
def test_chunks_keep_their_size_and_their_kind(
    monkeypatch, contain, chunk_pixels, expected
):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", chunk_pixels)
    X, y, _ = drawn()
    model = Threshold(ignore_label=255).fit(X, y)
    iou_scorer(model, contain(X), np.stack(y))
    assert model.seen_ == [(type(contain(X)), length) for length in expected]


def test_scorers_know_classes_that_the_fold_misses():
    X = np.array([[[0.1, 0.9]]])
    y = np.array([[[0, 0]]])
    model = Threshold(classes=[0, 1, 2]).fit(X, y)
    assert model.predict(X).tolist() == [[[0, 2]]]
    # Class 0 has half of its pixels, class 2 is wrong, class 1 does not occur.
    assert iou_scorer(model, X, y) == (0.5 + 0.0) / 2
    assert (
        make_segmentation_scorer(iou_score, labels=[0, 2, 5], exclude=[5])(model, X, y)
        == 0.25
    )


def test_explicit_arguments_win_over_the_estimator():
    X, y, _ = drawn()
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    y_without = [np.where(mask == 10, 77, mask) for mask in y]
    y_without = [np.where(mask == 255, 10, mask) for mask in y_without]
    expected = iou_score(
        y_without, model.predict(X), labels=[10, 20, 30], ignore_label=77
    )
    for scorer in (
        make_segmentation_scorer(iou_score, ignore_label=77),
        make_segmentation_scorer(partial(iou_score, ignore_label=77)),
    ):
        assert scorer(model, X, y_without) == CLOSE(expected)


def test_help_of_a_scorer_says_what_it_scores():
    assert iou_scorer.__doc__.startswith("The mean IoU of an estimator's masks.")
    assert "negative" in neg_pixel_log_loss_scorer.__doc__


@pytest.mark.parametrize("scorer", [iou_scorer, neg_pixel_log_loss_scorer])
def test_classes_come_through_pipelines_and_searches(scorer):
    X, y, _ = drawn()
    X, y = np.stack(X), np.stack(y)
    model = Threshold(ignore_label=255)
    expected = scorer(model.fit(X, y), X, y)
    pipe = make_pipeline(FunctionTransformer(), clone(model))
    search = GridSearchCV(pipe, {"threshold__gain": [1.0]}, scoring=scorer, cv=2)
    assert scorer(pipe.fit(X, y), X, y) == expected
    assert scorer(search.fit(X, y), X, y) == expected
    assert search.score(X, y) == expected
    outer = make_pipeline(FunctionTransformer(), clone(search)).fit(X, y)
    assert scorer(outer, X, y) == expected


def mean_error(y_true, y_pred):
    return np.mean([np.mean(t != p) for t, p in zip(y_true, y_pred, strict=True)])


def own_iou(y_true, y_pred, *, labels, ignore_label, sample_weight=None):
    return iou_score(
        y_true,
        y_pred,
        labels=labels,
        ignore_label=ignore_label,
        sample_weight=sample_weight,
    )


@pytest.mark.parametrize("contain", [np.stack, list])
def test_any_function_of_masks_makes_a_scorer(monkeypatch, contain):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", 1)
    X, y, weights = drawn()
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    scorer = make_segmentation_scorer(mean_error, greater_is_better=False)
    expected = -np.mean(np.stack(y) != model.predict(np.stack(X)))
    model.seen_.clear()
    assert scorer(model, contain(X), contain(y)) == CLOSE(expected)
    assert [length for _, length in model.seen_] == [7]
    # What the function takes, it gets.
    got = make_segmentation_scorer(own_iou)(model, contain(X), contain(y), weights)
    assert got == CLOSE(iou_scorer(model, X, y, weights))


def test_estimators_without_classes_are_scored_on_the_labels_that_occur():
    class Constant:
        def predict(self, X):
            return np.zeros(np.shape(X), int)

    y_true = np.array([[[0, 0, 0, 1]]])
    got = iou_scorer(Constant(), np.zeros((1, 1, 4)), y_true)
    assert got == iou_score(y_true, np.zeros((1, 1, 4), int))


@pytest.mark.parametrize(
    "scorer",
    [
        iou_scorer,
        pixel_accuracy_scorer,
        neg_pixel_log_loss_scorer,
        make_segmentation_scorer(mean_error),
    ],
)
def test_labels_that_the_estimator_does_not_know_are_refused(scorer, monkeypatch):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", 45)  # two images
    X, y, _ = drawn()
    model = Threshold(ignore_label=255).fit(X, y)
    y[5][0, 0] = 40
    with pytest.raises(ValueError, match=r"image 5 holds the label 40.*classes="):
        scorer(model, X, y)


def test_scorers_refuse_what_does_not_fit():
    X, y, weights = drawn()
    model = Threshold(ignore_label=255).fit(X, y)
    with pytest.raises(ValueError, match="7 images and y has 6 masks"):
        iou_scorer(model, X, y[:6])
    with pytest.raises(ValueError, match="y_pred of image 6 has height"):
        iou_scorer(model, X, [*y[:6], y[6][1:]])
    with pytest.raises(ValueError, match="6 entries for 7 images"):
        iou_scorer(model, X, y, weights[:6])
    with pytest.raises(TypeError, match="sample_weight"):
        make_segmentation_scorer(mean_error)(model, X, y, weights)
    with pytest.raises(ValueError, match="average=None"):
        make_segmentation_scorer(iou_score, average=None)(model, X, y)
    with pytest.raises(ValueError, match="predict_proba"):
        make_segmentation_scorer(pixel_log_loss)(model, np.stack(X), y)
    with pytest.raises(TypeError, match="avrage"):
        make_segmentation_scorer(iou_score, avrage="micro")
    with pytest.raises(TypeError, match="not callable"):
        make_segmentation_scorer("iou")


def test_scorers_work_in_model_selection():
    X, y, _ = drawn(12)
    X, y = np.stack(X), np.stack(y)
    model = Threshold(ignore_label=255)
    folds = KFold(3)
    expected = [
        iou_scorer(clone(model).fit(X[train], y[train]), X[test], y[test])
        for train, test in folds.split(X)
    ]
    scores = cross_val_score(model, X, y, scoring=iou_scorer, cv=folds)
    np.testing.assert_array_equal(scores, expected)
    several = {"iou": iou_scorer, "loss": neg_pixel_log_loss_scorer}
    results = cross_validate(model, X, y, scoring=several, cv=folds)
    np.testing.assert_array_equal(results["test_iou"], expected)
    assert (results["test_loss"] < 0).all()
    curve = learning_curve(model, X, y, train_sizes=[1.0], scoring=iou_scorer, cv=folds)
    np.testing.assert_array_equal(curve[2][0], expected)


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV,
        partial(RandomizedSearchCV, n_iter=2),
        # By default it counts the classes of y, which it wants as a vector.
        partial(HalvingGridSearchCV, min_resources=4),
    ],
)
def test_searches_find_the_better_setting(search):
    X, y, _ = drawn(12)
    X, y = np.stack(X), np.stack(y)
    grid = {"gain": [0.2, 1.0]}
    model = Threshold(ignore_label=255, classes=[10, 20, 30])
    found = search(model, grid, scoring=iou_scorer, cv=KFold(2)).fit(X, y)
    assert found.best_params_ == {"gain": 1.0}
    assert found.scorer_ is iou_scorer
    assert clone(found).scoring is iou_scorer


def test_weights_are_routed_to_the_scorers_that_request_them():
    X, y, weights = drawn(6)
    X, y, weights = np.stack(X), np.stack(y), np.stack(weights)
    model = Threshold(0.9, ignore_label=255, classes=[10, 20, 30])
    expected = [
        iou_scorer(clone(model).fit(X, y), X[test], y[test], weights[test])
        for _, test in KFold(2).split(X)
    ]
    plain = cross_val_score(model, X, y, scoring=iou_scorer, cv=KFold(2))
    assert not np.allclose(plain, expected)
    routed = {"cv": KFold(2), "params": {"sample_weight": weights}}
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_segmentation_scorer(iou_score)
        assert scorer.set_score_request(sample_weight=True) is scorer
        scores = cross_val_score(model, X, y, scoring=scorer, **routed)
        np.testing.assert_array_equal(scores, expected)
        copy = pickle.loads(pickle.dumps(scorer))
        other = make_segmentation_scorer(iou_score)
        several = {
            "weighted": copy,
            "plain": other.set_score_request(sample_weight=False),
            "foreign": make_segmentation_scorer(mean_error),
        }
        results = cross_validate(model, X, y, scoring=several, **routed)
        np.testing.assert_array_equal(results["test_weighted"], expected)
        np.testing.assert_array_equal(results["test_plain"], plain)
        search = GridSearchCV(model, {"gain": [0.9]}, scoring=scorer, cv=KFold(2))
        search.fit(X, y, sample_weight=weights)
        assert search.best_score_ == CLOSE(np.mean(expected))
        with pytest.raises(Exception, match="sample_weight"):
            cross_val_score(model, X, y, scoring=iou_scorer, **routed)


def test_weights_can_be_requested_under_another_name():
    X, y, weights = drawn(6)
    X, y, weights = np.stack(X), np.stack(y), np.stack(weights)
    model = Threshold(0.9, ignore_label=255, classes=[10, 20, 30]).fit(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_segmentation_scorer(iou_score)
        scorer.set_score_request(sample_weight="trust")
        scores = cross_val_score(
            model, X, y, scoring=scorer, cv=KFold(2), params={"trust": weights}
        )
    for score, (_, test) in zip(scores, KFold(2).split(X), strict=True):
        assert score == iou_scorer(model, X[test], y[test], weights[test])


def test_requests_need_metadata_routing():
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        make_segmentation_scorer(iou_score).set_score_request(sample_weight=True)


@pytest.mark.parametrize(
    "name",
    [
        "iou_scorer",
        "dice_scorer",
        "pixel_accuracy_scorer",
        "neg_pixel_log_loss_scorer",
    ],
)
def test_named_scorers_pickle_by_name(name):
    scorer = getattr(metrics, name)
    assert pickle.loads(pickle.dumps(scorer)) is scorer
    assert repr(scorer) == f"sksegment.metrics.{name}"


def test_a_named_scorer_with_a_request_keeps_it_when_pickled(monkeypatch):
    scorer = metrics.dice_scorer
    monkeypatch.setattr(scorer, "_sample_weight_request", None)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer.set_score_request(sample_weight=True)
        copy = pickle.loads(pickle.dumps(scorer))
        assert copy is not scorer  # another process would find none under the name
        assert copy.get_metadata_routing().score.requests == {"sample_weight": True}


def test_made_scorers_pickle_and_show_how_they_were_made():
    X, y, _ = drawn()
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    scorer = make_segmentation_scorer(
        mean_error, response_method="predict", greater_is_better=False
    )
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(model, X, y) == scorer(model, X, y)
    assert repr(scorer) == (
        "make_segmentation_scorer(mean_error, greater_is_better=False)"
    )
    scorer = make_segmentation_scorer(
        pixel_log_loss, response_method="predict_proba", ignore_label=3
    )
    assert repr(scorer) == (
        "make_segmentation_scorer(pixel_log_loss, response_method='predict_proba', "
        "ignore_label=3)"
    )


# --- The module


def test_every_score_is_streamed_and_every_name_is_there():
    scores = {
        iou_score,
        dice_score,
        pixel_accuracy_score,
        mean_accuracy_score,
        pixel_log_loss,
        boundary_iou_score,
        boundary_f1_score,
        surface_dice_score,
        hausdorff_distance,
        expected_calibration_error,
    }
    assert scores == set(SCORES)
    assert set(metrics.__all__) <= set(dir(metrics))
    assert all(hasattr(metrics, name) for name in metrics.__all__)


def test_the_import_is_light():
    code = (
        "import sys, sksegment.metrics as m; m.iou_scorer;"
        "heavy = 'torch', 'skorch', 'matplotlib', 'sklearn.metrics';"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_named_labels_beyond_int64_stay_whole():
    labels = [0, 2**63, 2**64 - 1]
    masks = np.array([[labels]], np.uint64)
    report = segmentation_report(masks, masks, labels=labels, output_dict=True)
    assert {*map(str, labels)} <= report.keys()
