"""The checks of scikit-learn, on images."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import _NotAnArray
from sklearn.utils.validation import check_is_fitted

from helpers.conformance import (
    ARRAYS,
    IN_MEMORY,
    LEARNING,
    PORTED,
    Case,
    accuracy,
    assert_close,
    assert_refused,
    bits,
    case_of,
    each_prediction,
    each_use,
    fitted,
    new_file,
    port,
    tiny,
    weights,
)
from sksegment.metrics import iou_score


@port()
def check_estimators_fit_returns_self(case: Case) -> None:
    segmenter = tiny()
    assert segmenter.fit(case.X, case.y) is segmenter
    assert segmenter.partial_fit(case.X, case.y) is segmenter


@port()
def check_estimators_overwrite_params(case: Case) -> None:
    segmenter = tiny(classes=[4, 1, 0], class_weight={4: 2.0}, crop_size=[4, 4])
    before = joblib.hash(segmenter.get_params())
    segmenter.fit(case.X, case.y).predict(case.X)
    assert joblib.hash(segmenter.get_params()) == before


@port()
def check_dont_overwrite_parameters(case: Case) -> None:
    segmenter = tiny()
    before = dict(vars(segmenter))
    after = vars(segmenter.fit(case.X, case.y))
    assert all(after[name] is value for name, value in before.items())
    added = after.keys() - before.keys()
    assert added
    assert all(name.startswith("_") or name.endswith("_") for name in added)


@port()
def check_dict_unchanged(case: Case) -> None:
    segmenter = fitted(case)
    before, learned = dict(vars(segmenter)), weights(segmenter)
    for predict in each_prediction(segmenter, case.X, case.y):
        predict()
        assert vars(segmenter).keys() == before.keys()
        assert all(vars(segmenter)[name] is value for name, value in before.items())
        assert weights(segmenter) == learned


@port()
def check_fit_idempotent(case: Case) -> None:
    segmenter = fitted(case, max_epochs=2)
    learned, told = weights(segmenter), bits(segmenter.predict_proba(case.X))
    for again in (segmenter.fit(case.X, case.y), clone(segmenter).fit(case.X, case.y)):
        assert weights(again) == learned
        assert bits(again.predict_proba(case.X)) == told


@port()
def check_estimators_unfitted(case: Case) -> None:
    for predict in each_prediction(tiny(), case.X, case.y):
        assert_refused(predict, "FCNSegmenter.*not fitted", NotFittedError)


@port()
def check_fit_check_is_fitted(case: Case) -> None:
    segmenter = tiny()
    assert_refused(lambda: check_is_fitted(segmenter), "not fitted", NotFittedError)
    check_is_fitted(segmenter.fit(case.X, case.y))


@port()
def check_estimator_cloneable(case: Case) -> None:
    segmenter = fitted(case)
    copied = clone(segmenter)
    assert vars(copied) == segmenter.get_params()


@port()
def check_estimator_repr(case: Case) -> None:
    segmenter = tiny()
    before = repr(segmenter)
    assert repr(segmenter.fit(case.X, case.y)) == before
    assert "depth=1" in before


@port()
def check_non_transformer_estimators_n_iter(case: Case) -> None:
    assert fitted(case, max_epochs=3).n_iter_ == 3


@port()
def check_estimators_pickle(case: Case) -> None:
    segmenter = fitted(case)
    path = case.folder / "model.joblib"
    joblib.dump(segmenter, path)
    for again in (
        pickle.loads(pickle.dumps(segmenter)),
        joblib.load(path),
        joblib.load(path, mmap_mode="r"),
    ):
        assert bits(again.predict(case.X)) == bits(segmenter.predict(case.X))
        assert bits(again.predict_proba(case.X)) == bits(
            segmenter.predict_proba(case.X)
        )
        assert again.score(case.X, case.y) == segmenter.score(case.X, case.y)


@port()
def check_pipeline_consistency(case: Case) -> None:
    alone, piped = fitted(case), make_pipeline(tiny()).fit(case.X, case.y)
    assert bits(piped.predict(case.X)) == bits(alone.predict(case.X))
    assert bits(piped.predict_proba(case.X)) == bits(alone.predict_proba(case.X))
    assert piped.score(case.X, case.y) == alone.score(case.X, case.y)


# What comes out


@port()
def check_classifiers_train(case: Case) -> None:
    segmenter = fitted(case, **LEARNING)
    assert segmenter.classes_.tolist() == [0, 1, 4]
    assert accuracy(segmenter.predict(case.X), case.masks) > 0.83
    majority = [np.full_like(mask, 4) for mask in case.masks]
    assert segmenter.score(case.X, case.y) > 2 * iou_score(case.y, majority)
    assert_refused(lambda: tiny().fit(case.X, case.y[:-1]), "inconsistent numbers")


@port()
def check_classifiers_predictions(case: Case) -> None:
    segmenter = fitted(case)
    predicted, proba = segmenter.predict(case.X), segmenter.predict_proba(case.X)
    for mask, told in zip(predicted, proba, strict=True):
        assert told.shape == (3, *mask.shape)
        np.testing.assert_array_equal(segmenter.classes_[told.argmax(axis=0)], mask)
        np.testing.assert_allclose(told.sum(axis=0), 1, atol=1e-6)
        assert (told >= 0).all()


@port()
def check_methods_sample_order_invariance(case: Case) -> None:
    segmenter = fitted(case)
    backwards = case.form(case.images[::-1])
    for predict in (segmenter.predict, segmenter.predict_proba):
        assert_close(predict(backwards)[::-1], predict(case.X))


@port()
def check_methods_subset_invariance(case: Case) -> None:
    segmenter = fitted(case)
    for predict in (segmenter.predict, segmenter.predict_proba):
        alone = [predict(case.form([image]))[0] for image in case.images]
        assert_close(predict(case.X), alone)


@port()
def check_global_output_transform_pandas(case: Case) -> None:
    segmenter = fitted(case)
    with sklearn.config_context(transform_output="pandas"):
        again = fitted(case)
        assert bits(again.predict(case.X)) == bits(segmenter.predict(case.X))
    assert not hasattr(segmenter, "set_output")


@port()
def check_n_features_in(case: Case) -> None:
    segmenter = tiny()
    assert not hasattr(segmenter, "n_features_in_")
    segmenter.fit(case.X, case.y)
    assert segmenter.n_features_in_ == (1 if case.images[0].ndim == 2 else 3)


# Images that are in order


@port(*IN_MEMORY)
def check_readonly_memmap_input(case: Case) -> None:
    def on_disk(array: np.ndarray) -> np.ndarray:
        path = new_file(case.folder, "array.npy")
        np.save(path, array)
        return np.load(path, mmap_mode="r")

    segmenter = tiny().fit(case.images_by(on_disk), case.masks_by(on_disk))
    assert weights(segmenter) == weights(fitted(case))
    found = segmenter.predict(case.images_by(on_disk))
    assert bits(found) == bits(segmenter.predict(case.X))


@port(*IN_MEMORY)
def check_f_contiguous_array_estimator(case: Case) -> None:
    def fortran(array: np.ndarray) -> np.ndarray:
        return np.asfortranarray(array)

    segmenter = tiny().fit(case.images_by(fortran), case.masks_by(fortran))
    assert weights(segmenter) == weights(fitted(case))


@port()
def check_estimators_dtypes(case: Case) -> None:
    def whole(dtype: str) -> Any:
        return case.images_by(lambda array: np.rint(20 + 10 * array).astype(dtype))

    expected = tiny().fit(whole("f8"), case.y)
    for dtype in ("u1", "u2", "i4", "i8", "f2", "f4"):
        segmenter = tiny().fit(whole(dtype), case.y)
        assert weights(segmenter) == weights(expected)
        assert bits(segmenter.predict(whole(dtype))) == bits(
            segmenter.predict(whole("f8"))
        )


@port(*IN_MEMORY)
def check_dtype_object(case: Case) -> None:
    X = case.images_by(lambda array: array.astype(object))
    y = case.masks_by(lambda array: array.astype(object))
    segmenter = tiny().fit(X, y)
    assert weights(segmenter) == weights(fitted(case))
    assert bits(segmenter.predict(X)) == bits(segmenter.predict(case.X))
    cells = case.images_by(lambda array: np.full(array.shape, {"a": 1}, object))
    for use in each_use(segmenter, cells, case.y):
        assert_refused(use, "string.* number|expected real numbers", TypeError)


@port(*IN_MEMORY)
def check_classifier_data_not_an_array(case: Case) -> None:
    expected = fitted(case)
    for change in (_NotAnArray, np.ndarray.tolist)[not case.is_array :]:
        X, y = case.images_by(change), case.masks_by(change)
        assert weights(tiny().fit(X, y)) == weights(expected)
        assert bits(expected.predict_proba(X)) == bits(expected.predict_proba(case.X))
        assert expected.score(X, y) == expected.score(case.X, case.y)


@port(*IN_MEMORY)
def check_array_api_input(case: Case) -> None:
    expected = fitted(case)
    X, y = case.images_by(torch.tensor), case.masks_by(torch.tensor)
    assert weights(tiny().fit(X, y)) == weights(expected)
    assert bits(expected.predict(X)) == bits(expected.predict(case.X))


@port()
def check_positive_only_tag_during_fit(case: Case) -> None:
    X = case.images_by(lambda array: array - 20)
    segmenter = tiny(**LEARNING).fit(X, case.y)
    assert segmenter.channel_max_.max() < 0
    assert accuracy(segmenter.predict(X), case.masks) > 0.83


@port()
def check_fit2d_1sample(case: Case) -> None:
    X, y = case.form(case.images[:1]), case.mask_form(case.masks[:1])
    predicted = tiny().fit(X, y).predict(X)
    assert [mask.shape for mask in predicted] == [case.masks[0].shape]


@port()
def check_fit2d_1feature(case: Case) -> None:
    def first_channel(image: np.ndarray) -> np.ndarray:
        return image.reshape(*image.shape[:2], -1)[..., :1]

    images = [first_channel(image) for image in case.images]
    X, flat = case.form(images), case.form([image[..., 0] for image in images])
    segmenter = tiny().fit(X, case.y)
    assert segmenter.n_features_in_ == 1
    assert bits(segmenter.predict(flat)) == bits(segmenter.predict(X))


@port()
def check_inplace_ensure_writeable(case: Case) -> None:
    X, y = case.X, case.y
    weight = np.arange(1.0, 7.0)
    before = bits(X), bits(y), bits(weight)
    segmenter = tiny(early_stopping=True).fit(X, y, weight)
    for predict in each_prediction(segmenter, X, y):
        predict()
    assert (bits(X), bits(y), bits(weight)) == before


# Images that are refused


@port(*ARRAYS, "list", "object array")
def check_complex_data(case: Case) -> None:
    segmenter, X = fitted(case), case.images_by(lambda array: array * (1 + 1j))
    for use in each_use(segmenter, X, case.y):
        assert_refused(use, "complex", (ValueError, TypeError))


@port(*IN_MEMORY)
def check_estimator_sparse_array(case: Case) -> None:
    _check_sparse(case, scipy.sparse.csr_array)


@port(*IN_MEMORY)
def check_estimator_sparse_matrix(case: Case) -> None:
    _check_sparse(case, scipy.sparse.csr_matrix)


def _check_sparse(case: Case, container: Any) -> None:
    segmenter, rows = fitted(case), container(np.eye(8))
    X = rows if case.is_array else case.form([rows] * 6)
    for use in each_use(segmenter, X, case.y):
        assert_refused(use, "sparse|csr_", TypeError)


@port()
def check_estimators_empty_data_messages(case: Case) -> None:
    segmenter = fitted(case)
    for use in each_use(segmenter, case.X[:0], case.y[:0]):
        assert_refused(use, r"0 sample\(s\)")
    if isinstance(case.X[0], np.ndarray):  # no file holds an image without channels
        X = case.form([np.zeros((*image.shape[:2], 0)) for image in case.images])
        for use in each_use(segmenter, X, case.y)[::2]:
            assert_refused(
                use, r"0 feature\(s\) \(shape=.*, 0\)\) while a minimum of 1"
            )


@port()
def check_estimators_nan_inf(case: Case) -> None:
    segmenter = fitted(case)
    for value in (np.nan, np.inf, -np.inf):
        image = case.images[2].copy()
        image[1, 1] = value
        for use in each_use(segmenter, case.with_image(2, image), case.y):
            assert_refused(use, "NaN, infinity.*image 2")
    assert len(segmenter.predict(case.X)) == 6


@port()
def check_n_features_in_after_fitting(case: Case) -> None:
    segmenter = fitted(case)
    X = case.form([np.zeros((*image.shape[:2], 2), "f4") for image in case.images])
    for use in each_use(segmenter, X, case.y)[1:]:
        assert_refused(use, "2 features, but FCNSegmenter is expecting [13] features")


@port()
def check_estimators_partial_fit_n_features(case: Case) -> None:
    segmenter = tiny().partial_fit(case.X, case.y, classes=[0, 1, 4])
    learned = weights(segmenter)
    X = case.form([np.zeros((*image.shape[:2], 2), "f4") for image in case.images])
    assert_refused(lambda: segmenter.partial_fit(X, case.y), "2 features")
    assert weights(segmenter) == learned


@port(*IN_MEMORY)
def check_fit1d(case: Case) -> None:
    X = case.form([image.ravel() for image in case.images[:2]] * 3)
    if case.is_array:
        X = np.zeros(6)
    assert_refused(lambda: tiny().fit(X, case.y), "expected .*height")


@port(*IN_MEMORY)
def check_fit2d_predict1d(case: Case) -> None:
    segmenter, X = fitted(case), case.form([np.zeros(9, "f4")] * 6)
    for predict in each_prediction(segmenter, X, case.y):
        assert_refused(predict, "expected .*height")


# Masks


@port()
def check_requires_y_none(case: Case) -> None:
    message = "requires y to be passed, but the target y is None"
    assert_refused(lambda: tiny().fit(case.X, None), message)


@port(*IN_MEMORY)
def check_classifiers_classes(case: Case) -> None:
    expected = fitted(case)
    codes = np.searchsorted(expected.classes_, np.arange(5))
    for labels in (
        np.array(["car", "road", "sky"]),
        np.array(["car", "road", "sky"], object),
        np.array([-7, 5, 300]),
        np.array([-1e6, 0.0, 2.0]),
        np.array([0, 1, 2**40]),
    ):
        y = case.mask_form([labels[codes[mask]] for mask in case.masks])
        segmenter = tiny().fit(case.X, y)
        np.testing.assert_array_equal(segmenter.classes_, labels)
        assert weights(segmenter) == weights(expected)
        predicted = zip(
            segmenter.predict(case.X), expected.predict(case.X), strict=True
        )
        for mask, other in predicted:
            np.testing.assert_array_equal(mask, labels[codes[other]])


@port()
def check_classifiers_one_label(case: Case) -> None:
    y = case.masks_by(lambda masks: np.full_like(masks, 7))
    segmenter = tiny().fit(case.X, y)
    assert segmenter.classes_.tolist() == [7]
    assert segmenter.score(case.X, y) == 1
    for mask, proba in zip(
        segmenter.predict(case.X), segmenter.predict_proba(case.X), strict=True
    ):
        assert (mask == 7).all()
        assert (proba == 1).all()


@port(*IN_MEMORY)
def check_classifiers_regression_target(case: Case) -> None:
    y = case.masks_by(lambda masks: masks + 0.25)
    assert_refused(lambda: tiny().fit(case.X, y), "Unknown label type: continuous")


@port(*IN_MEMORY)
def check_supervised_y_no_nan(case: Case) -> None:
    for value in (np.nan, np.inf):
        y = case.masks_by(lambda masks, value=value: np.full(masks.shape, value))
        for use in each_use(fitted(case), case.X, y)[:2]:
            assert_refused(use, "Input y contains NaN or infinity")


@port(*ARRAYS)
def check_supervised_y_2d(case: Case) -> None:
    y = case.y[..., np.newaxis]
    with pytest.warns(DataConversionWarning, match="last axis is dropped"):
        segmenter = tiny().fit(case.X, y)
    assert weights(segmenter) == weights(fitted(case))


@port()
def check_class_weight_classifiers(case: Case) -> None:
    noise = np.random.default_rng(1)
    X = case.images_by(lambda a: noise.normal(size=a.shape).astype("f4"))
    heavy = {0: 1000, 1: 1e-4, 4: 1e-4}
    predicted = tiny(class_weight=heavy, max_epochs=5).fit(X, case.y).predict(X)
    assert np.mean([(mask == 0).mean() for mask in predicted]) > 0.87


# Weights


@port()
def check_sample_weights_list(case: Case) -> None:
    assert_weights_as_good_as(case, np.ndarray.tolist)


@port()
def check_sample_weights_pandas_series(case: Case) -> None:
    pandas = pytest.importorskip("pandas")
    assert_weights_as_good_as(case, lambda weight: pandas.Series(weight, [9] * 6))


@port()
def check_sample_weights_not_an_array(case: Case) -> None:
    assert_weights_as_good_as(case, _NotAnArray)
    assert_weights_as_good_as(case, lambda weight: weight.repeat(2)[::2])


def assert_weights_as_good_as(case: Case, form: Callable[[np.ndarray], Any]) -> None:
    weight = np.arange(1.0, 7.0)
    segmenter = tiny().fit(case.X, case.y, weight)
    again = tiny().fit(case.X, case.y, form(weight))
    assert weights(again) == weights(segmenter)
    score = segmenter.score(case.X, case.y, weight)
    assert segmenter.score(case.X, case.y, form(weight)) == score


@port()
def check_all_zero_sample_weights_error(case: Case) -> None:
    assert_refused(
        lambda: tiny().fit(case.X, case.y, np.zeros(6)), "sample_weight.*zero"
    )


@port()
def check_sample_weights_shape(case: Case) -> None:
    for weight in (np.ones(12), np.ones((6, 2)), np.ones((6, 3, 3))):
        assert_refused(lambda w=weight: tiny().fit(case.X, case.y, w), "weight")


@port()
def check_sample_weights_not_overwritten(case: Case) -> None:
    weight = [np.random.default_rng(0).random(mask.shape) for mask in case.masks]
    before = bits(weight)
    tiny().fit(case.X, case.y, weight).score(case.X, case.y, weight)
    assert bits(weight) == before


@port()
def check_sample_weight_equivalence_on_dense_data(case: Case) -> None:
    weight = np.array([0.0, 1, 1, 0, 1, 1])
    kept = np.flatnonzero(weight)
    images, masks = ([items[i] for i in kept] for items in (case.images, case.masks))
    # The draw of an image hangs on its number: one batch holds all, and none is drawn.
    whole = {"batch_size": 6, "dropout": 0.0, "max_epochs": 3}
    left_out = tiny(**whole).fit(case.form(images), case.mask_form(masks))
    weighted = tiny(**whole).fit(case.X, case.y, weight)
    assert_close(weighted.predict_proba(case.X), left_out.predict_proba(case.X), 1e-5)


@port(*IN_MEMORY)
def check_classifiers_one_label_sample_weights(case: Case) -> None:
    y = case.mask_form([np.full_like(m, i % 2) for i, m in enumerate(case.masks)])
    weight = np.arange(6.0) % 2
    fast = {**LEARNING, "learning_rate": 0.1}
    segmenter = tiny(**fast).fit(case.X, y, weight)
    for mask in segmenter.predict(case.X):
        assert (mask == 1).all()


@pytest.fixture
def torch_repeats_its_warnings() -> Iterator[None]:
    # Else the first test to be warned is the only one.
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("torch_repeats_its_warnings")
@pytest.mark.filterwarnings("ignore:All labelled pixels")
@pytest.mark.parametrize(
    "name, form", [(name, form) for name in PORTED for form in PORTED[name][1]]
)
def test_check_on_images(name: str, form: str, tmp_path: Path) -> None:
    check, _ = PORTED[name]
    check(case_of(form, tmp_path))


def test_no_check_on_images_is_lost() -> None:
    assert len(PORTED) >= 50
    # The lowest scikit-learn lacks one that came with 1.9; it is ported all the same.
    newer = {"check_all_zero_sample_weights_error"}
    assert set(PORTED) - set(dir(estimator_checks)) <= newer
    assert sum(len(forms) for _, forms in PORTED.values()) >= 220
