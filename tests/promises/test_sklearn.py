"""FCNSegmenter and the augmenters inside scikit-learn's own tools."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import joblib
import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    LearningCurveDisplay,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sksegment import FCNSegmenter, iou_scorer
from sksegment.augmentation import RandomBrightness, RandomFlip, RandomRotation
from sksegment.datasets import make_shapes
from sksegment.metrics import (
    iou_score,
    make_segmentation_scorer,
    neg_pixel_log_loss_scorer,
    pixel_accuracy_scorer,
)

ROOT = Path(__file__).resolve().parents[2]
FOLDS = KFold(2)


@pytest.fixture(scope="module")
def shapes() -> Any:
    X, y = make_shapes(n_samples=8, size=16, n_classes=2, random_state=0)
    assert all(set(mask.flat) == {0, 1} for mask in y)
    return X, y


def tiny(**parameters: Any) -> FCNSegmenter:
    defaults: dict[str, Any] = {
        "depth": 1,
        "width": 2,
        "max_epochs": 2,
        "batch_size": 4,
        "learning_rate": 0.02,
        "random_state": 0,
        "device": "cpu",
    }
    return FCNSegmenter(**defaults | parameters)


def pipeline(**parameters: Any) -> Any:
    return make_pipeline(RandomFlip(), RandomRotation(30), tiny(**parameters))


def ragged(X: Any, y: Any) -> Any:
    """The same pictures, cut to different sizes."""
    cuts = [np.s_[: 16 - index, : 9 + index // 2] for index in range(len(X))]
    images = [image[cut] for image, cut in zip(X, cuts, strict=True)]
    masks = [mask[cut].copy() for mask, cut in zip(y, cuts, strict=True)]
    for mask in masks:
        mask[0, :2] = 0, 1  # every mask holds every class
    return images, masks


def saved(X: Any, y: Any, folder: Path) -> Any:
    images, masks = [], []
    for index, (image, mask) in enumerate(zip(X, y, strict=True)):
        images.append(str(folder / f"image{index}.png"))
        masks.append(str(folder / f"mask{index}.png"))
        Image.fromarray(np.uint8(255 * image.clip(0, 1))).save(images[-1])
        Image.fromarray(mask).save(masks[-1])
    return images, masks


def weights_of(estimator: Any) -> Any:
    tensors = estimator.network_.state_dict().values()
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors])


def run(code: str, *arguments: Any, n_threads: int) -> str:
    """Run a program in a Python of its own, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(n_threads)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Pipeline


def test_a_pipeline_predicts_what_its_segmenter_predicts(shapes):
    X, y = shapes
    pipe = pipeline().fit(X, y)
    bare = pipe[-1]
    assert_array_equal(pipe.predict(X), bare.predict(X))
    assert_array_equal(pipe.predict_proba(X), bare.predict_proba(X))
    assert pipe.score(X, y) == bare.score(X, y) == iou_scorer(pipe, X, y)
    assert_array_equal(pipe.classes_, bare.classes_)


def test_augmentation_changes_what_is_learned(shapes):
    bare = weights_of(tiny().fit(*shapes))
    assert (weights_of(pipeline().fit(*shapes)[-1]) != bare).any()
    idle = make_pipeline(RandomFlip(p=0), RandomRotation(p=0), tiny()).fit(*shapes)
    assert_array_equal(weights_of(idle[-1]), bare)


def test_augmentation_is_seeded_by_the_segmenter(shapes):
    first, again = (weights_of(pipeline().fit(*shapes)[-1]) for _ in range(2))
    other = make_pipeline(RandomFlip(), RandomRotation(30, random_state=7), tiny())
    assert_array_equal(first, again)
    assert (first != weights_of(other.fit(*shapes)[-1])).any()


class Spy(RandomBrightness):
    """An augmenter that changes nothing, and notes what it is asked to change."""

    seen: ClassVar[list[tuple[bytes, float]]] = []

    def _colors(self, image: Any, low: Any, high: Any, rng: Any) -> Any:
        self.seen.append((image.numpy().tobytes(), rng.random()))
        return image


@pytest.fixture
def spy() -> Any:
    Spy.seen.clear()
    return Spy()


def test_every_training_image_is_drawn_anew_in_every_epoch_and_never_later(shapes, spy):
    X, y = shapes
    pipe = make_pipeline(spy, tiny(max_epochs=3)).fit(X, y)
    images = [image for image, _ in Spy.seen]
    assert sorted(images) == sorted([*set(images)] * 3)
    assert len(set(images)) == len(X)
    assert len({draw for _, draw in Spy.seen}) == 3 * len(X)
    pipe.predict(X)
    pipe.predict_proba(X)
    pipe.score(X, y)
    assert len(Spy.seen) == 3 * len(X)


def test_validation_images_are_not_augmented(shapes, spy):
    X, y = shapes
    stopping = tiny(early_stopping=True, validation_fraction=0.25, max_epochs=2)
    make_pipeline(spy, stopping).fit(X, y)
    assert len({image for image, _ in Spy.seen}) == 6
    assert len(Spy.seen) == 12
    Spy.seen.clear()
    pipe = make_pipeline(spy, tiny())
    pipe.fit(X[:5], y[:5], fcnsegmenter__X_val=X[5:], fcnsegmenter__y_val=y[5:])
    assert len({image for image, _ in Spy.seen}) == 5
    # What is recorded of the validation images is what prediction gives.
    last = pipe[-1].history_[-1]
    assert last["valid_iou"] == pytest.approx(pipe.score(X[5:], y[5:]))


@pytest.mark.parametrize(
    "reader", [StandardScaler(), FunctionTransformer(np.asarray)], ids=repr
)
def test_a_step_that_would_drop_the_augmentation_is_refused(shapes, reader):
    with pytest.raises(TypeError, match="directly before FCNSegmenter"):
        make_pipeline(RandomFlip(), reader, tiny()).fit(*shapes)


def test_steps_before_the_augmenters_act_in_training_and_prediction(shapes):
    X, y = shapes
    double = FunctionTransformer(lambda images: 2 * images)
    pipe = make_pipeline(double, RandomFlip(), tiny()).fit(X, y)
    assert_array_equal(pipe[-1].channel_max_, 2 * X.max(axis=(0, 1, 2)))
    assert_array_equal(pipe.predict(X), pipe[-1].predict(2 * X))


def test_a_pipeline_with_memory_gives_the_same(shapes, tmp_path):
    X, y = shapes
    expected = pipeline().fit(X, y).predict_proba(X)
    cached = make_pipeline(
        *[step for _, step in pipeline().steps], memory=str(tmp_path)
    )
    for _ in range(2):
        assert_array_equal(clone(cached).fit(X, y).predict_proba(X), expected)


def test_set_output_leaves_images_images(shapes):
    X, y = shapes
    pipe = pipeline().set_output(transform="pandas").fit(X, y)
    assert_array_equal(pipe.predict(X), pipeline().fit(X, y).predict(X))
    with sklearn.config_context(transform_output="pandas"):
        assert_array_equal(pipeline().fit(X, y).predict(X), pipe.predict(X))


def test_nested_parameters_are_set_and_cloned(shapes):
    pipe = pipeline().set_params(
        randomrotation__degrees=5,
        fcnsegmenter__depth=2,
        fcnsegmenter__classes=[0, 1, 7],
    )
    copied = clone(pipe)
    assert copied[-1].get_params() == pipe[-1].get_params()
    assert copied[1].degrees == 5
    fitted = copied.fit(*shapes)
    assert not hasattr(pipe[-1], "network_")
    assert not hasattr(clone(fitted)[-1], "network_")
    assert fitted[-1].stride_ == 4
    assert_array_equal(fitted.classes_, [0, 1, 7])


@pytest.mark.parametrize("make", [tiny, pipeline])
def test_html_shows_unfitted_and_fitted(shapes, make):
    estimator = make()
    assert "FCNSegmenter" in estimator._repr_html_()
    assert "Not fitted" in estimator._repr_html_()
    assert "Not fitted" not in estimator.fit(*shapes)._repr_html_()


# Model selection


def test_cross_val_score_is_the_score_by_hand_of_each_fold(shapes):
    X, y = shapes
    expected = [
        iou_score(y[test], pipeline().fit(X[train], y[train]).predict(X[test]))
        for train, test in FOLDS.split(X)
    ]
    assert_array_equal(cross_val_score(pipeline(), X, y, cv=FOLDS), expected)
    scores = cross_val_score(pipeline(), X, y, cv=FOLDS, scoring=iou_scorer)
    assert_array_equal(scores, expected)
    assert_array_equal(cross_val_score(pipeline(), X, y, cv=2), expected)


def test_cross_validate_with_three_scorers(shapes):
    X, y = shapes
    scoring = {
        "iou": iou_scorer,
        "accuracy": pixel_accuracy_scorer,
        "log_loss": neg_pixel_log_loss_scorer,
    }
    found = cross_validate(
        pipeline(), X, y, cv=FOLDS, scoring=scoring, return_estimator=True
    )
    for fold, (_, test) in enumerate(FOLDS.split(X)):
        fitted = found["estimator"][fold]
        for name, scorer in scoring.items():
            assert found[f"test_{name}"][fold] == scorer(fitted, X[test], y[test])


SEARCH = """
import json, sys
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sksegment import FCNSegmenter, iou_scorer
from sksegment.augmentation import RandomFlip, RandomRotation
from sksegment.datasets import make_shapes

X, y = make_shapes(n_samples=6, size=16, n_classes=2, random_state=0)
segmenter = FCNSegmenter(width=2, max_epochs=2, random_state=0, device="cpu")
pipe = make_pipeline(RandomFlip(), RandomRotation(), segmenter)
grid = {
    "fcnsegmenter__depth": [1, 2],
    "fcnsegmenter__learning_rate": [0.01, 0.1],
    "randomrotation__degrees": [0, 30],
}
for n_jobs in 1, 2:
    search = GridSearchCV(pipe, grid, scoring=iou_scorer, cv=2, n_jobs=n_jobs)
    results = search.fit(X, y).cv_results_
    scores = [results[f"split{fold}_test_score"].tolist() for fold in (0, 1)]
    print(json.dumps([scores, str(search.best_params_), search.score(X, y)]))
"""


def test_a_parallel_grid_search_equals_a_serial_one():
    serial, parallel = (
        json.loads(line) for line in run(SEARCH, n_threads=1).splitlines()
    )
    assert serial == parallel
    scores = np.array(serial[0])
    assert scores.shape == (2, 8)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) > 4


def test_a_grid_search_predicts_with_its_best_setting(shapes):
    X, y = shapes
    grid = {"fcnsegmenter__max_epochs": [1, 3], "randomrotation__degrees": [0, 30]}
    search = GridSearchCV(pipeline(), grid, cv=FOLDS).fit(X, y)
    best = pipeline().set_params(**search.best_params_).fit(X, y)
    assert_array_equal(search.predict_proba(X), best.predict_proba(X))
    assert search.score(X, y) == iou_scorer(search, X, y) == best.score(X, y)
    assert_array_equal(search.classes_, [0, 1])
    again = pickle.loads(pickle.dumps(search))
    assert again.best_params_ == search.best_params_
    assert_array_equal(again.predict_proba(X), search.predict_proba(X))


@pytest.mark.parametrize(
    "options",
    [
        {"min_resources": 4},
        {
            "resource": "fcnsegmenter__max_epochs",
            "max_resources": 4,
            "min_resources": 1,
        },
    ],
    ids=["images", "epochs"],
)
def test_halving_over_images_and_over_epochs(shapes, options):
    grid = {"fcnsegmenter__learning_rate": [1e-6, 0.02], "randomrotation__degrees": [9]}
    search = HalvingGridSearchCV(pipeline(), grid, cv=FOLDS, factor=2, **options)
    search.fit(*shapes)
    assert set(search.best_params_) >= set(grid)
    assert search.n_iterations_ >= 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(shapes[0]).shape == shapes[1].shape


def test_randomized_search_and_learning_curve(shapes):
    X, y = shapes
    grid = {"randomrotation__degrees": [0, 10, 20, 30]}
    search = RandomizedSearchCV(pipeline(), grid, n_iter=2, cv=FOLDS, random_state=0)
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()
    sizes, train, test = learning_curve(
        pipeline(), X, y, train_sizes=[2, 4], cv=FOLDS, scoring=iou_scorer
    )
    assert sizes.tolist() == [2, 4]
    assert train.shape == test.shape == (2, 2)
    full = cross_val_score(pipeline(), X, y, cv=FOLDS, scoring=iou_scorer)
    assert_array_equal(test[1], full)


def test_learning_curve_display_takes_the_scorers(shapes, pyplot):
    display = LearningCurveDisplay.from_estimator(
        pipeline(), *shapes, cv=FOLDS, train_sizes=[2, 4], scoring=iou_scorer
    )
    assert "iou" in display.ax_.get_ylabel().lower()


def test_cross_val_predict_gives_each_image_the_model_that_did_not_see_it(shapes):
    X, y = shapes
    predicted = cross_val_predict(pipeline(), X, y, cv=FOLDS)
    assert predicted.shape == y.shape
    images, masks = ragged(X, y)
    ragged_predicted = cross_val_predict(pipeline(), images, masks, cv=FOLDS)
    for train, test in FOLDS.split(X):
        fitted = pipeline().fit(X[train], y[train])
        assert_array_equal(predicted[test], fitted.predict(X[test]))
        fitted.fit([images[i] for i in train], [masks[i] for i in train])
        for index in test:
            expected = fitted.predict([images[index]])[0]
            assert_array_equal(ragged_predicted[index], expected)


def test_lists_of_different_sizes_pass_through_a_search(shapes):
    images, masks = ragged(*shapes)
    grid = {"randomrotation__degrees": [0, 30]}
    search = GridSearchCV(pipeline(), grid, scoring=iou_scorer, cv=FOLDS)
    search.fit(images, masks)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    predicted = search.predict(images)
    assert [mask.shape for mask in predicted] == [mask.shape for mask in masks]


@pytest.mark.parametrize("kind", ["list", "array", "Series", "Path"])
def test_paths_pass_through_cross_validation(shapes, tmp_path, kind):
    X, y = saved(*shapes, tmp_path)
    if kind == "Series":
        pandas = pytest.importorskip("pandas")
        index = range(10, 18)  # positions count, not these
        X, y = pandas.Series(X, index), pandas.Series(y, index)
    elif kind != "list":
        convert = np.array if kind == "array" else lambda paths: [*map(Path, paths)]
        X, y = convert(X), convert(y)
    pixels = np.uint8(255 * shapes[0].clip(0, 1))
    expected = cross_val_score(pipeline(), pixels, shapes[1], cv=FOLDS)
    # scikit-learn takes strings in y for class names, which an integer cv= stratifies;
    # Path objects, which the loaders give, it takes for what they are.
    for folds in (FOLDS, 2) if kind == "Path" else (FOLDS,):
        scores = cross_val_score(pipeline(), X, y, cv=folds, scoring=iou_scorer)
        assert_array_equal(scores, expected)
    predicted = cross_val_predict(pipeline(), X, y, cv=FOLDS)
    assert [mask.shape for mask in predicted] == [(16, 16)] * 8


def test_a_fold_that_misses_a_class_needs_classes(shapes):
    X, y = shapes
    y = y.copy()
    y[:4][y[:4] == 1] = 5  # only the first fold holds a 5, only the second a 1
    with pytest.raises(ValueError, match="classes="):
        cross_val_score(tiny(), X, y, cv=FOLDS, error_score="raise")
    named = tiny(classes=[0, 1, 5])
    found = cross_validate(named, X, y, cv=FOLDS, return_estimator=True)
    for fitted, score, (_, test) in zip(
        found["estimator"], found["test_score"], FOLDS.split(X), strict=True
    ):
        assert_array_equal(fitted.classes_, [0, 1, 5])
        by_class = iou_score(
            y[test], fitted.predict(X[test]), labels=[0, 1, 5], average=None
        )
        # The class that training did not see counts, where it is true or predicted.
        unseen = 2 if 0 in test else 1
        assert by_class[unseen] < 0.5
        assert score == pytest.approx(np.nanmean(by_class))


def test_splitters_cut_images_and_masks_alike(shapes):
    X, y = shapes
    images, masks = ragged(X, y)
    for pictures, labels in ((X, y), (images, masks)):
        X_train, X_test, y_train, y_test = train_test_split(
            pictures, labels, test_size=2, random_state=0
        )
        for image, mask in zip([*X_train, *X_test], [*y_train, *y_test], strict=True):
            assert image.shape[:2] == mask.shape
        assert pipeline().fit(X_train, y_train).score(X_test, y_test) > 0
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    scores = cross_val_score(pipeline(), X, y, groups=groups, cv=GroupKFold(2))
    assert np.isfinite(scores).all()


# Weights


def pixel_weights(y: Any) -> Any:
    return np.random.default_rng(0).random(y.shape)


def image_weights(y: Any) -> Any:
    return np.arange(len(y)) % 3 + 0.5


@pytest.mark.parametrize("weigh", [image_weights, pixel_weights])
def test_weights_reach_the_segmenter_by_its_name(shapes, weigh):
    X, y = shapes
    weights = weigh(y)
    named = {"fcnsegmenter__sample_weight": weights}
    fitted = pipeline().fit(X, y, **named)
    assert (weights_of(fitted[-1]) != weights_of(pipeline().fit(X, y)[-1])).any()
    search = GridSearchCV(pipeline(), {"randomflip__p": [0.5]}, cv=FOLDS)
    search.fit(X, y, **named)
    assert_array_equal(weights_of(search.best_estimator_[-1]), weights_of(fitted[-1]))
    for fold, (train, test) in enumerate(FOLDS.split(X)):
        by_hand = tiny_weighted(X[train], y[train], weights[train])
        expected = by_hand.score(X[test], y[test])
        assert search.cv_results_[f"split{fold}_test_score"][0] == expected


def tiny_weighted(X: Any, y: Any, weights: Any) -> Any:
    return pipeline().fit(X, y, fcnsegmenter__sample_weight=weights)


@pytest.mark.parametrize("weigh", [image_weights, pixel_weights])
def test_weights_are_routed_to_fit_and_score(shapes, weigh):
    X, y = shapes
    weights = weigh(y)
    expected = [
        iou_scorer(
            tiny_weighted(X[train], y[train], weights[train]),
            X[test],
            y[test],
            weights[test],
        )
        for train, test in FOLDS.split(X)
    ]
    grid = {"randomflip__p": [0.5]}
    with sklearn.config_context(enable_metadata_routing=True):
        segmenter = tiny().set_fit_request(sample_weight=True)
        segmenter.set_score_request(sample_weight=True)
        pipe = make_pipeline(RandomFlip(), RandomRotation(30), segmenter)
        scorer = make_segmentation_scorer(iou_score)
        scorer.set_score_request(sample_weight=True)
        for scoring in (None, scorer):
            search = GridSearchCV(pipe, grid, cv=FOLDS, scoring=scoring)
            search.fit(X, y, sample_weight=weights)
            scores = [
                search.cv_results_[f"split{fold}_test_score"][0] for fold in (0, 1)
            ]
            assert_array_equal(scores, expected)
        assert search.score(X, y, sample_weight=weights) == iou_scorer(
            search.best_estimator_, X, y, weights
        )


def test_weights_of_images_of_different_sizes_pass_through_a_search(shapes):
    images, masks = ragged(*shapes)
    weights = [pixel_weights(mask) for mask in masks]
    search = GridSearchCV(
        pipeline(), {"randomflip__p": [0.5]}, cv=FOLDS, error_score="raise"
    )
    search.fit(images, masks, fcnsegmenter__sample_weight=weights)
    expected = tiny_weighted(images, masks, weights)
    assert_array_equal(weights_of(search.best_estimator_[-1]), weights_of(expected[-1]))


# Files


LOAD = """
import sys
import joblib, numpy as np
X, answers = np.load(sys.argv[1]), []
for path in sys.argv[3:]:
    model = joblib.load(path)
    answers += [model.predict(X), model.predict_proba(X)]
np.savez(sys.argv[2], *answers)
"""


def test_joblib_files_predict_the_same_bits_in_another_process(shapes, tmp_path):
    X, y = shapes
    pipe = pipeline().fit(X, y)
    plain, small = tmp_path / "plain.joblib", tmp_path / "small.joblib"
    joblib.dump(pipe, plain)
    joblib.dump(pipe, small, compress=3)
    np.save(tmp_path / "X.npy", X)
    paths = [tmp_path / "X.npy", tmp_path / "answers.npz", plain, small]
    # The same bits are promised for the same number of threads.
    run(LOAD, *paths, n_threads=torch.get_num_threads())
    answers = np.load(tmp_path / "answers.npz")
    expected = [pipe.predict(X), pipe.predict_proba(X)]
    for number, array in enumerate(expected * 2):
        assert_array_equal(answers[f"arr_{number}"], array, strict=True)


def test_a_pickled_pipeline_keeps_what_it_learned(shapes):
    X, y = shapes
    pipe = pipeline().fit(X, y)
    again = pickle.loads(pickle.dumps(pipe))
    assert_array_equal(again.predict_proba(X), pipe.predict_proba(X))
    assert again[-1].history_ == pipe[-1].history_
    assert again[-1].get_params() == pipe[-1].get_params()
    assert_array_equal(weights_of(again.fit(X, y)[-1]), weights_of(pipe[-1]))


def test_files_name_no_class_of_torch_or_skorch(shapes, tmp_path):
    segmenter = tiny(norm="batch", early_stopping=True).fit(*shapes)
    path = tmp_path / "model.joblib"
    names = list(names_in_pickle(pickle.dumps(segmenter)))
    allowed = {"numpy", "sksegment", "builtins", "collections", "copyreg", "_codecs"}
    assert {name.partition(".")[0] for name in names} <= allowed
    assert any(name.startswith("sksegment.") for name in names)
    joblib.dump(segmenter, path)
    assert b"torch" not in path.read_bytes()
    assert b"skorch" not in path.read_bytes()


def names_in_pickle(data: bytes) -> Any:
    """Yield module.name of everything that unpickling would import."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            yield argument.replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield f"{strings[-2]}.{strings[-1]}"
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            strings.append(memo[argument])
        elif isinstance(argument, str):
            strings.append(argument)
