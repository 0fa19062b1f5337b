"""cross_val_predict: each image by the model that has not seen it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.model_selection
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes
from sksegment.model_selection import StratifiedImageKFold, cross_val_predict

X, y = make_shapes(6, size=16, n_classes=3, random_state=0)


def small(**parameters: Any) -> FCNSegmenter:
    given = {"depth": 1, "width": 4, "max_epochs": 1, "random_state": 0}
    return FCNSegmenter(**{**given, "classes": [0, 1, 2], **parameters})


def test_probabilities_are_those_of_the_fold() -> None:
    cv = KFold(3, shuffle=True, random_state=0)
    found = cross_val_predict(small(), X, y, cv=cv, method="predict_proba")
    assert found.shape == (6, 3, 16, 16)
    for train, test in cv.split(X):
        fold = small().fit(X[train], y[train])
        assert_array_equal(found[test], fold.predict_proba(X[test]))


def test_labels_are_those_of_scikit_learn() -> None:
    expected = sklearn.model_selection.cross_val_predict(small(), X, y, cv=3)
    assert_array_equal(cross_val_predict(small(), X, y, cv=3), expected)


def test_lists_of_sizes_give_an_object_array() -> None:
    images = [X[0], X[1][:9], *X[2:]]
    masks = [y[0], y[1][:9], *y[2:]]
    found = cross_val_predict(small(), images, masks, cv=2, method="predict_proba")
    assert found.dtype == object
    assert found[1].shape == (3, 9, 16)
    expected = small().fit(images[3:], masks[3:]).predict_proba(images[:3])
    for probabilities, own in zip(found, expected, strict=False):
        assert_array_equal(probabilities, own)


def test_a_list_of_equal_sizes_stays_a_list() -> None:
    found = cross_val_predict(small(), [*X], [*y], cv=2, method="predict_proba")
    assert found.shape == (6,)
    assert found[0].shape == (3, 16, 16)


def test_paths(tmp_path: Path) -> None:
    images, masks = [], []
    for index, (image, mask) in enumerate(zip(np.uint8(X * 255), y, strict=True)):
        images.append(tmp_path / f"{index}.png")
        masks.append(tmp_path / f"{index}_mask.png")
        Image.fromarray(image).save(images[-1])
        Image.fromarray(mask.astype(np.uint8)).save(masks[-1])
    found = cross_val_predict(small(), images, masks, cv=2, method="predict_proba")
    expected = (
        small().fit(np.uint8(X[3:] * 255), y[3:]).predict_proba(np.uint8(X[:3] * 255))
    )
    assert_array_equal(np.stack(found[:3]), expected)


def test_weights_are_divided_among_the_folds() -> None:
    weights = np.array([1, 2, 3, 4, 5, 6.0])
    model = make_pipeline(RandomFlip(), small())
    params = {"fcnsegmenter__sample_weight": weights}
    found = cross_val_predict(model, X, y, cv=2, params=params, method="predict_proba")
    fold = clone(model).fit(X[3:], y[3:], fcnsegmenter__sample_weight=weights[3:])
    assert_array_equal(found[:3], fold.predict_proba(X[:3]))


def test_groups_reach_the_splitter() -> None:
    cv = sklearn.model_selection.LeaveOneGroupOut()
    groups = [0, 0, 0, 1, 1, 1]
    found = cross_val_predict(small(), X, y, cv=cv, groups=groups)
    assert_array_equal(found, cross_val_predict(small(), X, y, cv=2))


def test_a_class_that_a_fold_lacks_gets_no_probability() -> None:
    masks = np.where(y == 2, 1, y)
    masks[0, :4] = 2
    with pytest.warns(RuntimeWarning, match=r"Fold 0 .*classes="):
        found = cross_val_predict(
            small(classes=None), X, masks, cv=2, method="predict_proba"
        )
    assert found.shape == (6, 3, 16, 16)
    assert (found[:3, 2] == 0).all()
    assert (found[3:, 2] > 0).all()


def test_without_data_no_class_has_a_probability() -> None:
    masks, images = np.where(y == 2, 1, y), X.copy()
    masks[0, :4], images[:, -3:] = 2, np.nan
    model = small(classes=None, nodata=np.nan, nodata_label=255)
    with pytest.warns(RuntimeWarning, match=r"Fold 0 .*classes="):
        found = cross_val_predict(model, images, masks, cv=2, method="predict_proba")
    assert np.isnan(found[:, :, -3:]).all()
    assert not np.isnan(found[:, :, :-3]).any()
    assert (found[:3, 2, :-3] == 0).all()


def test_the_stratified_splitter() -> None:
    found = cross_val_predict(small(), X, y, cv=StratifiedImageKFold(2))
    assert found.shape == y.shape


def test_the_estimator_given_is_not_fitted() -> None:
    model = small()
    cross_val_predict(model, X, y, cv=2)
    assert not hasattr(model, "network_")


# Bad input


def test_folds_that_are_no_partition() -> None:
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(small(), X, y, cv=ShuffleSplit(2, random_state=0))


def test_methods_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="method is 'decision_function'"):
        cross_val_predict(small(), X, y, method="decision_function")


def test_images_and_masks_that_differ_in_number() -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        cross_val_predict(small(), X, y[:4])
    with pytest.raises(TypeError, match="X is a NoneType"):
        cross_val_predict(small(), None, y)
