"""Class weights against definitions worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from sksegment import FCNSegmenter
from sksegment.losses._class_weight import class_weights

LABELS = np.array([0, 7, 9])
# Two images of 12 labelled pixels and one of 4; label 9 is in the last only.
PIXELS = np.array([[12.0, 0.0, 0.0], [9.0, 3.0, 0.0], [2.0, 1.0, 1.0]])


def test_none_weighs_nothing():
    assert class_weights(None, LABELS, PIXELS) is None


def test_balanced_is_that_of_scikit_learn():
    pixels = np.repeat(LABELS, PIXELS.sum(axis=0).astype(int))
    expected = compute_class_weight("balanced", classes=LABELS, y=pixels)
    found = class_weights("balanced", LABELS, PIXELS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_median_frequency_by_hand():
    # Label 0 has 23 of all 28 pixels; 7 has 4 of the 16 of two images; 9 has 1 of 4.
    shares = np.array([23 / 28, 4 / 16, 1 / 4])
    found = class_weights("median_frequency", LABELS, PIXELS)
    np.testing.assert_allclose(found, 1 / 4 / shares, rtol=1e-6)


def test_median_frequency_counts_only_images_that_show_the_class():
    # Each class fills half of the images that show it: none is rare there.
    pixels = np.array([[5.0, 5.0, 0.0]] * 9 + [[5.0, 0.0, 5.0]])
    np.testing.assert_allclose(class_weights("median_frequency", LABELS, pixels), 1)
    assert class_weights("balanced", LABELS, pixels)[2] == pytest.approx(100 / 15)


def test_median_of_an_even_number_of_classes_lies_between_two():
    found = class_weights("median_frequency", LABELS[:2], np.array([[3.0, 1.0]]))
    np.testing.assert_allclose(found, [0.5 / 0.75, 0.5 / 0.25], rtol=1e-6)


@pytest.mark.parametrize("rule", ["balanced", "median_frequency"])
def test_absent_class_counts_as_the_rarest_and_moves_no_median(rule):
    labels = np.append(LABELS, 11)
    pixels = np.column_stack([PIXELS, np.zeros(3)])
    found = class_weights(rule, labels, pixels)
    assert found[3] == found.max() == found[2]
    rest = class_weights(rule, LABELS, PIXELS)
    np.testing.assert_allclose(found[:3] / found[0], rest / rest[0], rtol=1e-6)
    if rule == "median_frequency":
        np.testing.assert_array_equal(found[:3], rest)


@pytest.mark.parametrize("rule", ["balanced", "median_frequency"])
def test_unit_of_the_pixels_does_not_matter(rule):
    for factor in (1e-40, 1e40):
        np.testing.assert_allclose(
            class_weights(rule, LABELS, factor * PIXELS),
            class_weights(rule, LABELS, PIXELS),
            rtol=1e-6,
        )


def test_dict_leaves_the_others_at_one():
    found = class_weights({9: 2.5}, LABELS, PIXELS)
    np.testing.assert_array_equal(found, [1, 1, 2.5])


def test_fit_weighs_by_the_labelled_pixels_of_its_masks():
    X = np.random.default_rng(0).normal(size=(2, 4, 4))
    y = np.zeros(X.shape, np.uint8)
    y[1, :2] = 1
    y[0, 0] = 255
    # Label 0 has 12 of 12 and 8 of 16 pixels, label 1 has 8 of 16.
    shares = np.array([20 / 28, 1 / 2])
    named = dict(enumerate(np.median(shares) / shares))
    fits = [
        FCNSegmenter(
            depth=1,
            width=2,
            max_epochs=3,
            ignore_label=255,
            class_weight=rule,
            device="cpu",
            random_state=0,
        ).fit(X, y)
        for rule in ("median_frequency", named, None)
    ]
    by_rule, by_name, unweighted = (fit.predict_proba(X) for fit in fits)
    np.testing.assert_array_equal(by_rule, by_name)
    assert np.abs(by_rule - unweighted).max() > 1e-4
