"""The score of each image, and averages over images."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from skimage.io import imsave
from sklearn.metrics import jaccard_score, make_scorer

from sksegment.metrics import (
    boundary_f1_score,
    boundary_iou_score,
    dice_score,
    expected_calibration_error,
    hausdorff_distance,
    image_scores,
    iou_score,
    iou_scorer,
    mean_accuracy_score,
    pixel_accuracy_score,
    pixel_log_loss,
    surface_dice_score,
)

MASK_SCORES = (
    iou_score,
    dice_score,
    mean_accuracy_score,
    pixel_accuracy_score,
    boundary_iou_score,
    boundary_f1_score,
    surface_dice_score,
    hausdorff_distance,
    partial(iou_score, average="micro"),
    partial(dice_score, average="weighted"),
    partial(iou_score, exclude=(0,)),
)
PROBA_SCORES = (pixel_log_loss, expected_calibration_error)


def masks(n=5, random_state=0):
    """Masks of three classes, the third of which half of the images lack."""
    rng = np.random.default_rng(random_state)
    y_true = [rng.integers(2 + i % 2, size=(6 + i, 8)) for i in range(n)]
    wrong = [rng.random(mask.shape) < 0.1 * (i + 1) for i, mask in enumerate(y_true)]
    y_pred = [
        np.where(part, rng.integers(3, size=part.shape), mask)
        for part, mask in zip(wrong, y_true, strict=True)
    ]
    return y_true, y_pred


def probabilities(y_true, random_state=0):
    rng = np.random.default_rng(random_state)
    return [np.moveaxis(rng.dirichlet(np.ones(3), m.shape), -1, 0) for m in y_true]


@pytest.mark.parametrize("score", MASK_SCORES)
def test_the_score_of_an_image_is_that_of_a_list_with_this_image(score):
    y_true, y_pred = masks()
    known = {"labels": [0, 1, 2]}
    expected = [
        score([true], [pred], **known)
        for true, pred in zip(y_true, y_pred, strict=True)
    ]
    got = image_scores(y_true, y_pred, score=score, **known)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    mean = score(y_true, y_pred, over="images", **known)
    assert mean == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("score", PROBA_SCORES)
def test_probabilities_are_scored_image_by_image(score):
    y_true, _ = masks()
    y_proba = probabilities(y_true)
    expected = [
        score([true], [proba], labels=[0, 1, 2])
        for true, proba in zip(y_true, y_proba, strict=True)
    ]
    np.testing.assert_allclose(image_scores(y_true, y_proba, score=score), expected)
    mean = score(y_true, y_proba, over="images")
    assert mean == pytest.approx(np.mean(expected))


def test_each_class_is_averaged_over_the_images_that_have_it():
    y_true, y_pred = masks()
    by_class = iou_score(y_true, y_pred, over="images", average=None)
    pairs = [*zip(y_true, y_pred, strict=True)]
    for label in range(3):
        alone = [
            jaccard_score((true == label).ravel(), (pred == label).ravel())
            for true, pred in pairs
            if (true == label).any() or (pred == label).any()
        ]
        assert by_class[label] == pytest.approx(np.mean(alone))


def test_a_number_as_absent_stands_in_for_the_score_of_an_image():
    # Two images without the foreground, one of them predicted so.
    y_true = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]])
    y_pred = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 0]], [[0, 0, 0, 1]]])
    score = partial(dice_score, y_true, y_pred, exclude=(0,), over="images")
    assert score() == pytest.approx((2 / 3 + 0) / 2)
    assert score(absent=1.0) == pytest.approx((2 / 3 + 1 + 0) / 3)
    alone = image_scores(y_true, y_pred, score=partial(dice_score, exclude=(0,)))
    np.testing.assert_allclose(alone, [2 / 3, np.nan, 0])


def test_weights_of_images_weight_their_scores_and_those_of_pixels_the_pixels():
    y_true, y_pred = masks()
    weight = np.arange(1.0, 6.0)
    alone = image_scores(y_true, y_pred)
    got = iou_score(y_true, y_pred, over="images", sample_weight=weight)
    assert got == pytest.approx(np.average(alone, weights=weight))
    np.testing.assert_allclose(
        image_scores(y_true, y_pred, sample_weight=weight), alone
    )
    pixels = [np.random.default_rng(i).random(m.shape) for i, m in enumerate(y_true)]
    expected = [
        jaccard_score(t.ravel(), p.ravel(), average="macro", sample_weight=w.ravel())
        for t, p, w in zip(y_true, y_pred, pixels, strict=True)
    ]
    got = image_scores(y_true, y_pred, sample_weight=pixels)
    np.testing.assert_allclose(got, expected)


def test_an_image_of_weight_0_takes_no_part():
    y_true, y_pred = masks()
    got = iou_score(y_true, y_pred, over="images", sample_weight=[1, 1, 0, 1, 1])
    keep = [0, 1, 3, 4]
    expected = image_scores(y_true, y_pred)[keep].mean()
    assert got == pytest.approx(expected)


def test_the_worst_images_can_be_named(tmp_path):
    y_true, y_pred = masks()
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, mask in zip(paths, y_pred, strict=True):
        imsave(path, mask.astype(np.uint8), check_contrast=False)
    scores = image_scores(y_true, paths)
    np.testing.assert_array_equal(scores, image_scores(y_true, y_pred))
    assert paths[np.argmin(scores)].name == "4.png"


def test_functions_of_ones_own_are_called_image_by_image():
    y_true, y_pred = masks()
    seen = []

    def share_of(y_true, y_pred, *, label, ignore_label=None, sample_weight=None):
        seen.append((y_true.shape, ignore_label, sample_weight))
        return float((y_pred == label).mean())

    score = partial(share_of, label=1)
    got = image_scores(y_true, y_pred, score=score, ignore_label=7)
    np.testing.assert_allclose(got, [(mask == 1).mean() for mask in y_pred])
    assert seen[2] == ((1, 8, 8), 7, None)
    image_scores(y_true, y_pred, score=score, sample_weight=[1, 2, 3, 4, 5])
    np.testing.assert_array_equal(seen[-1][2], [5])


def test_labels_bound_to_the_score_win():
    y_true, y_pred = masks()
    score = partial(iou_score, labels=[0, 1, 2, 3], absent=0.5)
    np.testing.assert_array_equal(
        image_scores(y_true, y_pred, score=score, labels=[0]),
        image_scores(y_true, y_pred, labels=[0, 1, 2, 3]),
    )


@pytest.mark.parametrize("score", [iou_score, pixel_accuracy_score])
def test_weights_bound_to_the_score_are_those_of_the_call(score):
    y_true, y_pred = masks()
    pixels = [np.random.default_rng(i).random(m.shape) for i, m in enumerate(y_true)]
    bound = image_scores(y_true, y_pred, score=partial(score, sample_weight=pixels))
    passed = image_scores(y_true, y_pred, score=score, sample_weight=pixels)
    np.testing.assert_array_equal(bound, passed)
    assert (bound != image_scores(y_true, y_pred, score=score)).all()


def test_bound_weights_are_divided_among_the_calls_of_ones_own_function():
    y_true, y_pred = masks()
    pixels = [np.random.default_rng(i).random(m.shape) for i, m in enumerate(y_true)]
    own = partial(weighted_share, sample_weight=pixels)
    np.testing.assert_allclose(
        image_scores(y_true, y_pred, score=own),
        image_scores(y_true, y_pred, score=pixel_accuracy_score, sample_weight=pixels),
    )


def weighted_share(y_true, y_pred, *, sample_weight):
    return float(np.average(y_true == y_pred, weights=sample_weight))


def test_weights_that_would_be_dropped_are_refused():
    y_true, y_pred = masks()
    pixels = [np.ones(mask.shape) for mask in y_true]
    with pytest.raises(TypeError, match="sample_weight holds weights of pixels, but"):
        image_scores(y_true, y_pred, score=lambda true, pred: 1.0, sample_weight=pixels)
    bound = partial(iou_score, sample_weight=pixels)
    with pytest.raises(TypeError, match="score binds another; expected one of them"):
        image_scores(y_true, y_pred, score=bound, sample_weight=pixels)


@pytest.mark.parametrize(
    ("score", "error", "message"),
    [
        ("iou", TypeError, "score is 'iou'; expected a score function"),
        (iou_scorer, TypeError, "iou_scorer, a scorer, .* score=iou_score"),
        (make_scorer(dice_score), TypeError, "a scorer, .* score=dice_score"),
        (partial(iou_score, average=None), ValueError, "average is None in score"),
        (lambda y_true, y_pred: [1, 2], ValueError, r"shape \(2,\) for image 0"),
        (partial(iou_score, exclude=(8,)), ValueError, "exclude holds 8"),
    ],
)
def test_scores_that_give_no_number_are_refused(score, error, message):
    y_true, y_pred = masks()
    with pytest.raises(error, match=message):
        image_scores(y_true, y_pred, score=score)


@pytest.mark.parametrize("score", [iou_score, lambda y_true, y_pred: 1.0])
def test_predictions_must_be_as_many_as_masks(score):
    y_true, y_pred = masks()
    with pytest.raises(ValueError, match="5 masks, but there are 4 predictions"):
        image_scores(y_true, y_pred[:4], score=score)


def test_over_is_checked_before_masks_are_read():
    with pytest.raises(ValueError, match="over is 'image'; expected one of 'pixels'"):
        iou_score(["no.png"], ["file.png"], over="image")
