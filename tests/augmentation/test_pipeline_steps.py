"""Augmenters as steps of a Pipeline."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils import estimator_checks

from helpers.augmentation import ALL
from sksegment.augmentation import (
    AugmentedImages,
    RandomBrightness,
    RandomContrast,
    RandomFlip,
    RandomGamma,
    RandomNoise,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)


def test_augmented_images_refuse_to_be_read():
    augmented = RandomFlip().fit_transform(np.zeros((3, 4, 4)))
    readers = (np.asarray, list, lambda a: a[0], lambda a: a[:2])
    for read in readers:
        with pytest.raises(TypeError, match="directly before FCNSegmenter"):
            read(augmented)
    assert len(augmented) == 3


def test_augmented_images_pickle_and_name_their_steps():
    images = np.arange(12.0).reshape(3, 2, 2)
    augmented = RandomFlip().fit_transform(images)
    again = pickle.loads(pickle.dumps(augmented))
    assert_array_equal(again.images, images)
    assert again.steps[0].augmenter.get_params() == RandomFlip().get_params()
    assert (
        repr(again) == repr(augmented) == ("<3 images to be augmented by RandomFlip()>")
    )


def test_augmenters_add_to_the_plan_without_copying_the_images():
    images = np.zeros((3, 4, 4))
    flip, turn = RandomFlip(), RandomRotation(random_state=4)
    augmented = turn.fit_transform(flip.fit_transform(images))
    assert isinstance(augmented, AugmentedImages)
    assert augmented.images is images
    assert [step.augmenter for step in augmented.steps] == [flip, turn]
    assert [step.seed for step in augmented.steps] == [None, 4]


@pytest.mark.parametrize("augmenter", ALL)
def test_transform_returns_the_same_object(augmenter):
    paths = ["a.png", "b.png"]
    assert augmenter().transform(paths) is paths
    step = augmenter().fit(paths)
    assert step.set_output(transform="pandas") is step
    with sklearn.config_context(transform_output="pandas"):
        assert step.transform(paths) is paths
        assert step.fit_transform(paths).images is paths


@pytest.mark.parametrize("augmenter", ALL)
@pytest.mark.parametrize(
    "check",
    [
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_checks_of_scikit_learn_that_need_no_table(augmenter, check):
    getattr(estimator_checks, check)(augmenter.__name__, augmenter())


@pytest.mark.parametrize("augmenter", ALL)
def test_only_the_first_parameter_is_positional(augmenter):
    own = {"horizontal", "degrees", "scale", "fraction", "strength"}
    (first,) = own & set(augmenter().get_params())
    value = {"horizontal": False, "scale": (1.0, 1.1)}.get(first, 0.125)
    assert getattr(augmenter(value), first) == value
    with pytest.raises(TypeError, match="positional"):
        augmenter(value, 0.5)


@pytest.mark.parametrize(
    "step",
    [
        RandomRotation(40),
        RandomShear(20),
        RandomTranslation(1),
        RandomBrightness(2),
        RandomZoom((1, 2)),
        RandomGamma((1, 3)),
        RandomContrast((1, 3)),
    ],
    ids=lambda step: type(step).__name__,
)
def test_small_numbers_of_numpy_do_not_wrap_around(step):
    (name,) = {"degrees", "fraction", "strength", "scale"} & step.get_params().keys()
    narrow = copy.deepcopy(step).set_params(
        **{name: np.uint8(step.get_params()[name])}, random_state=0
    )
    images, masks = np.random.default_rng(0).random((1, 6, 7, 1)), np.eye(6, 7)[None]
    expected = step.set_params(random_state=0).augment(images, masks)
    for seen, wanted in zip(narrow.augment(images, masks), expected, strict=True):
        assert_array_equal(seen, wanted)


@pytest.mark.parametrize("ignore_label", ["void", b"void", [1, 2]])
def test_painted_pixels_have_a_label_of_the_kind_of_the_others(ignore_label):
    step = RandomTranslation(0.5, fill=0)
    with pytest.raises(TypeError, match="ignore_label is"):
        step.augment(np.ones((1, 4, 4)), np.eye(4)[None], ignore_label=ignore_label)


@pytest.mark.parametrize(
    "step", [RandomBrightness(1e300), RandomNoise(1e39), RandomRotation(fill=-1e39)]
)
def test_numbers_that_images_cannot_hold_are_refused(step):
    with pytest.raises(ValueError, match=r"is -?1e.*expected a finite number"):
        step.fit(None)


@pytest.mark.parametrize("step", [RandomBrightness(0.5), RandomNoise(0.05)])
def test_one_draw_is_in_units_of_the_range_of_all_images(step):
    X = np.full((20, 8, 8, 1), 50.0)
    X[0, 0, :2, 0] = 0, 100
    y = np.zeros(X.shape[:3], int)
    moved, _ = clone(step).set_params(random_state=0).augment(X, y)
    change = np.abs(moved - X)[1:]  # of images that are constant
    assert (change.max(axis=(1, 2, 3)) > 0).all()
    assert 1 < change.mean() < 50


def test_one_draw_of_colors_wants_the_same_channels_everywhere():
    X = [np.zeros((4, 4, 3)), np.zeros((4, 4, 2))]
    with pytest.raises(ValueError, match="image 1"):
        RandomNoise().augment(X, np.zeros((2, 4, 4), int))
