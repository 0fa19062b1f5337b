"""The checks of scikit-learn: its own on tables, and the same on images.

`check_estimator` asks next to nothing of an estimator of images: it sees from the tags
that no table will do, runs one check, and is green (scikit-learn issue 14057). So its
checks are run here in two ways. An adapter makes an image of each row of a table, and
leaves all else to `FCNSegmenter`. And the checks are written out once more for images,
in each of the forms that they may come in.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import SkipTest

import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn
import tifffile
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import BaseCrossValidator
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import Tags, estimator_checks
from sklearn.utils.estimator_checks import (
    _check_name,
    _NotAnArray,
    estimator_checks_generator,
)
from sklearn.utils.validation import check_is_fitted

import sksegment
from sksegment import FCNSegmenter
from sksegment.metrics import iou_score

ROOT = Path(__file__).resolve().parents[2]


# scikit-learn's own checks, on tables


class RowSegmenter(FCNSegmenter):
    """FCNSegmenter for tables: each row is an image of 2 x 2 equal pixels.

    What goes in and what comes out is reshaped; what is legal, `FCNSegmenter` says.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        with told_of_tables():
            return super().fit(images_of(X), masks_of(y), sample_weight)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Any:
        return super().partial_fit(images_of(X), masks_of(y), classes, sample_weight)

    def predict(self, X: Any) -> Any:
        images = images_of(X)
        masks = super().predict(images)
        return masks if images is X else masks[:, 0, 0]

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(images_of(X))[..., 0, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        return super().score(images_of(X), masks_of(y), sample_weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def images_of(table: Any) -> Any:
    """Make an image of each row; what is no table stays what it is."""
    return _repeated(table) if _ndim(table) == 2 else table


def masks_of(column: Any) -> Any:
    """Make a mask of each label; the axis of a column goes behind the pixels."""
    return _repeated(column) if _ndim(column) in (1, 2) else column


def _ndim(data: Any) -> int:
    return 0 if data is None or scipy.sparse.issparse(data) else np.asarray(data).ndim


def _repeated(data: Any) -> np.ndarray:
    rows = np.asarray(data)[:, None, None]
    return np.broadcast_to(rows, (len(rows), 2, 2, *rows.shape[3:]))


# Two checks look for the words of tables: for a shape (n, 0), and for a column.
WORDS = {
    r"\((\d+), 2, 2, 0\)": r"(\1, 0)",
    r"A mask array of shape \(n, height, width, 1\) was passed": (
        "A column-vector y was passed when a 1d array was expected"
    ),
}


def in_words_of_tables(text: str) -> str:
    for of_images, of_tables in WORDS.items():
        text = re.sub(of_images, of_tables, text)
    return text


@contextmanager
def told_of_tables() -> Iterator[None]:
    """Pass on what FCNSegmenter says of images, and nothing that it does not say."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except ValueError as error:
            error.args = (in_words_of_tables(str(error)),)
            raise
    for warning in caught:
        warnings.warn(
            in_words_of_tables(str(warning.message)), warning.category, stacklevel=4
        )


ROWS = RowSegmenter(
    depth=1,
    width=8,
    dropout=0.0,
    max_epochs=8,
    batch_size=64,
    learning_rate=0.1,
    random_state=0,
    device="cpu",
)


def full_name(check: Any) -> str:
    options = [f" {key}={value}" for key, value in check.keywords.items()]
    return "".join([_check_name(check), *options])


CHECKS = {full_name(check): check for _, check in estimator_checks_generator(ROWS)}
# Repeating an image draws other batches, and rounds other sums, than giving it twice
# the weight: 1e-7 is out of reach. What does hold is
# test_an_image_of_weight_zero_is_as_if_left_out and
# test_a_constant_factor_of_the_weights_changes_nothing in test_segmenter.py, and
# check_sample_weight_equivalence_on_dense_data on images, below.
NOT_RUN = {"check_sample_weight_equivalence_on_dense_data"}
# Wants scipy imported with SCIPY_ARRAY_API=1: it is run in a process of its own.
APART = {name for name in CHECKS if name.startswith("check_array_api")}
IN_THIS_PROCESS = [name for name in CHECKS if name not in NOT_RUN | APART]


@pytest.mark.filterwarnings("ignore:All labelled pixels")
@pytest.mark.parametrize("name", IN_THIS_PROCESS)
def test_check_of_scikit_learn_on_tables(name: str) -> None:
    try:
        CHECKS[name](ROWS)
    except SkipTest as skipped:
        pytest.fail(f"not executed: {skipped}")


ALONE = """
import runpy, sys
names = runpy.run_path(sys.argv[1])
names["CHECKS"][sys.argv[2]](names["ROWS"])
"""


@pytest.mark.parametrize("name", sorted(APART))
def test_check_of_scikit_learn_with_array_api_dispatch(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, __file__, name],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_no_check_of_scikit_learn_is_lost() -> None:
    assert len(CHECKS.keys() - NOT_RUN) >= 60  # in scikit-learn 1.7; 62 in 1.9
    # What a classifier of scikit-learn itself is asked, and more. Masks of several
    # labels a pixel are not what is segmented here.
    of_scikit_learn = {
        _check_name(check) for _, check in estimator_checks_generator(MLPClassifier())
    }
    asked = {name.split()[0] for name in CHECKS}
    lost = {name for name in of_scikit_learn - asked if "multilabel" not in name}
    assert lost <= {"check_sample_weight_equivalence_on_sparse_data"}
    assert CHECKS.keys() > NOT_RUN


# Checks without data, on every public class


NEED_NO_DATA = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_requires_y_none",
    "check_set_params",
    "check_valid_tag_types",
]


def public_classes(base: type) -> list[type]:
    modules = [
        importlib.import_module(f"sksegment.{name}") for name in sksegment._SUBMODULES
    ]
    public = [getattr(module, name) for module in modules for name in module.__all__]
    return [item for item in public if inspect.isclass(item) and issubclass(item, base)]


@pytest.mark.parametrize("check", NEED_NO_DATA)
@pytest.mark.parametrize("estimator", public_classes(BaseEstimator))
def test_check_without_data(estimator: Any, check: str) -> None:
    getattr(estimator_checks, check)(estimator.__name__, estimator())


def test_estimators_are_found() -> None:
    names = {estimator.__name__ for estimator in public_classes(BaseEstimator)}
    assert names >= {"FCNSegmenter", "RandomFlip", "RandomNoise"}
    assert len(names) >= 10


@pytest.mark.parametrize("splitter", public_classes(BaseCrossValidator))
def test_splitters_keep_their_parameters_and_nothing_else(splitter: Any) -> None:
    parameters = inspect.signature(splitter).parameters
    given = {
        name: 8 if item.default is item.empty else item.default
        for name, item in parameters.items()
    }
    made = splitter(**given)
    assert vars(made) == given
    assert repr(pickle.loads(pickle.dumps(made))) == repr(made)
    assert made.get_n_splits() == made.n_splits
    assert all(item.kind is item.KEYWORD_ONLY for item in [*parameters.values()][1:])


# The checks of scikit-learn, on images


@dataclass(frozen=True)
class Case:
    """One task, its images in one form of input.

    Parameters
    ----------
    images, masks : list of ndarray
        The pixels.
    form, mask_form : callable
        From pixels to what the user passes.
    folder : Path
        Room for files.
    """

    images: list[np.ndarray]
    masks: list[np.ndarray]
    form: Callable[[list[np.ndarray]], Any]
    mask_form: Callable[[list[np.ndarray]], Any]
    folder: Path

    @property
    def X(self) -> Any:  # noqa: N802
        return self.form(self.images)

    @property
    def y(self) -> Any:
        return self.mask_form(self.masks)

    @property
    def is_array(self) -> bool:
        return self.form is np.stack

    def images_by(self, change: Callable[[np.ndarray], Any]) -> Any:
        """Return X with the array changed, or each image where there is none."""
        if self.is_array:
            return change(np.stack(self.images))
        return self.form([change(image) for image in self.images])

    def masks_by(self, change: Callable[[np.ndarray], Any]) -> Any:
        if self.is_array:
            return change(np.stack(self.masks))
        return self.mask_form([change(mask) for mask in self.masks])

    def with_image(self, index: int, image: np.ndarray) -> Any:
        """Return X with another image."""
        images = [*self.images]
        images[index] = image
        return self.form(images)


def as_objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def pixels(sizes: list[tuple[int, int]], n_channels: int | None) -> Any:
    """Draw masks of the labels 0, 1 and 4, and images as bright as the labels say."""
    rng = np.random.default_rng(0)
    masks = [rng.choice([0, 1, 4], (h // 4, w // 4)).astype("u1") for h, w in sizes]
    masks = [mask.repeat(4, axis=0).repeat(4, axis=1) for mask in masks]
    images = [mask + rng.normal(0, 0.1, mask.shape) for mask in masks]
    if n_channels is not None:
        images = [image[..., None] * np.arange(1, n_channels + 1) for image in images]
    return [image.astype(np.float32) for image in images], masks


ONE_SIZE = [(8, 12)] * 6
SIZES = [(8, 12), (12, 8), (8, 8), (16, 8), (4, 8), (8, 12)]
FORMS: dict[str, tuple[list[tuple[int, int]], int | None, Any]] = {
    "color array": (ONE_SIZE, 3, np.stack),
    "grey array": (ONE_SIZE, None, np.stack),
    "list": (SIZES, 3, list),
    "object array": (SIZES, None, as_objects),
    "paths": (SIZES, 3, None),
}


def new_file(folder: Path, name: str) -> Path:
    return folder / f"{len([*folder.iterdir()])}_{name}"


def case_of(form: str, folder: Path) -> Case:
    def saved(items: list[np.ndarray]) -> list[Path]:
        paths = [new_file(folder, f"{i}.tif") for i in range(len(items))]
        for path, item in zip(paths, items, strict=True):
            pixels = item[..., 0] if item.shape[2:] == (1,) else item
            layout = {"planarconfig": "contig"} if pixels.ndim == 3 else {}
            tifffile.imwrite(path, pixels, photometric="minisblack", **layout)
        return paths

    sizes, n_channels, container = FORMS[form]
    make = container or saved
    return Case(*pixels(sizes, n_channels), make, make, folder)


def tiny(**parameters: Any) -> FCNSegmenter:
    defaults = {
        "depth": 1,
        "width": 4,
        "max_epochs": 1,
        "batch_size": 4,
        "learning_rate": 0.05,
        "random_state": 0,
        "device": "cpu",
    }
    return FCNSegmenter(**{**defaults, **parameters})


# Enough to learn the brightness of three classes.
LEARNING: dict[str, Any] = {
    "width": 8,
    "max_epochs": 30,
    "dropout": 0.0,
    "learning_rate": 0.02,
}


def fitted(case: Case, **parameters: Any) -> FCNSegmenter:
    return tiny(**parameters).fit(case.X, case.y)


def bits(data: Any) -> Any:
    """Return shape, dtype and bytes of an array, or of each item of a sequence."""
    if isinstance(data, np.ndarray) and data.dtype != object:
        return data.shape, data.dtype, data.tobytes()
    if isinstance(data, Path):
        return data.read_bytes()
    return (
        [bits(item) for item in data] if isinstance(data, (list, np.ndarray)) else data
    )


def weights(segmenter: FCNSegmenter) -> Any:
    tensors = segmenter.network_.state_dict().values()
    return [bits(tensor.numpy()) for tensor in tensors]


def assert_close(found: Any, expected: Any, atol: float = 1e-6) -> None:
    for item, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(item, other, rtol=0, atol=atol)


def accuracy(found: Any, expected: list[np.ndarray]) -> float:
    pairs = zip(found, expected, strict=True)
    return float(
        np.concatenate([(mask == truth).ravel() for mask, truth in pairs]).mean()
    )


def assert_refused(
    call: Callable[[], Any], message: str, error: Any = ValueError
) -> None:
    with pytest.raises(error, match=f"(?is){message}"):
        call()


def each_use(segmenter: FCNSegmenter, X: Any, y: Any) -> list[Callable[[], Any]]:
    """Return all ways in which images get into a fitted segmenter."""
    return [
        lambda: segmenter.fit(X, y),
        lambda: segmenter.partial_fit(X, y),
        *each_prediction(segmenter, X, y),
    ]


def each_prediction(segmenter: Any, X: Any, y: Any) -> list[Callable[[], Any]]:
    return [
        lambda: segmenter.predict(X),
        lambda: segmenter.predict_proba(X),
        lambda: segmenter.score(X, y),
    ]


PORTED: dict[str, tuple[Callable[[Case], None], tuple[str, ...]]] = {}
ARRAYS = ("color array", "grey array")
IN_MEMORY = (*ARRAYS, "list", "object array")


def port(*forms: str) -> Callable[[Any], Any]:
    """Enter a check, under its name in scikit-learn, for some forms or for all."""

    def enter(check: Callable[[Case], None]) -> Callable[[Case], None]:
        PORTED[check.__name__] = check, forms or tuple(FORMS)
        return check

    return enter


# What fit does to the estimator


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
    assert set(PORTED) <= set(dir(estimator_checks))
    assert sum(len(forms) for _, forms in PORTED.values()) >= 220


# The page of guarantees


def test_every_guarantee_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    promises = re.split(r"^- ", page, flags=re.MULTILINE)[1:]
    assert len(promises) >= 30
    for promise in promises:
        named = re.findall(r"`(\w+/test_\w+)\.py::(\w+)`", promise)
        assert named, f"no test keeps this: {promise}"
        for file, test in named:
            source = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
            assert f"\ndef {test}(" in source, f"{file}.py has no {test}"
