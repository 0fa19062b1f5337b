"""Scores of boundaries against brute force: all pairs of edge pixels, all windows."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning

from sksegment.metrics import (
    boundary_f1_score,
    boundary_iou_score,
    hausdorff_distance,
    iou_score,
    make_segmentation_scorer,
    surface_dice_score,
)
from sksegment.metrics._edges import NO_CLASS, class_edges, edge_distances

IGNORED = 9
RATIOS = (boundary_iou_score, boundary_f1_score, surface_dice_score)
SCORES = (*RATIOS, hausdorff_distance)


# --- Brute force, one class of one image at a time


def eroded(mask, reach, corners):
    """Keep the pixels whose neighbors are all in the mask; outside counts as not."""
    padded = np.pad(mask, reach)
    kept = mask.copy()
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if corners or not (down and right):
                moved = np.roll(padded, (-down, -right), (0, 1))
                kept &= moved[reach:-reach, reach:-reach]
    return kept


def edge_points(mask):
    return np.argwhere(mask & ~eroded(mask, 1, corners=False))


def directed(points, others, spacing):
    """Return the distance of each point to the nearest of the others."""
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    steps = (points[:, np.newaxis] - others) * spacing
    return np.hypot(*np.moveaxis(steps, -1, 0)).min(axis=1)


def edge_counts(true, pred, tolerance, spacing):
    points = edge_points(true), edge_points(pred)
    near = [
        np.sum(directed(*pair, spacing) <= tolerance + 1e-9)
        for pair in (points, points[::-1])
    ]
    return np.array([near[0], len(points[0]), len(points[1]), near[1]], float)


def f1(counts):
    found, true, predicted, right = counts
    if true + predicted == 0:
        return np.nan
    if found == 0 or right == 0:
        return 0.0
    recall, precision = found / true, right / predicted
    return 2 / (1 / recall + 1 / precision)


def surface_dice(counts):
    found, true, predicted, right = counts
    return (found + right) / (true + predicted) if true + predicted else np.nan


def band_iou(counts):
    both, either = counts
    return both / either if either else np.nan


def band_counts(true, pred, width):
    bands = [mask & ~eroded(mask, width, corners=True) for mask in (true, pred)]
    return np.array([(bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum()], float)


def largest(lengths, percentile):
    if not all(len(part) for part in lengths):
        return np.nan
    return max(np.percentile(part, percentile) for part in lengths)


def both_ways(true, pred, spacing):
    points = edge_points(true), edge_points(pred)
    if not all(map(len, points)):
        return np.empty(0), np.empty(0)
    return directed(*points, spacing), directed(*points[::-1], spacing)


# --- Random masks


def random_pair(rng):
    """Draw masks of patches or of noise, with ignored pixels in the truth."""
    shape = rng.integers(1, 12, 2)
    n_classes = rng.integers(1, 5)
    patch = rng.integers(1, 5)
    cells = rng.integers(n_classes, size=-(-shape // patch))
    true = cells.repeat(patch, 0).repeat(patch, 1)[: shape[0], : shape[1]]
    noise = rng.integers(n_classes, size=true.shape)
    pred = np.where(rng.random(true.shape) < rng.choice([0, 0.2, 1]), noise, true)
    if rng.random() < 0.3:
        pred = np.roll(pred, rng.integers(0, 3, 2), (0, 1))
    true = np.where(rng.random(true.shape) < rng.choice([0, 0.1]), IGNORED, true)
    true[0, 0] = 0
    return true, pred, np.arange(n_classes)


def class_masks(true, pred, label):
    """Return the masks of one class: ignored pixels are in neither."""
    return true == label, (pred == label) & (true != IGNORED)


def by_class(pair, function):
    true, pred, labels = pair
    return [function(*class_masks(true, pred, label)) for label in labels]


@pytest.mark.parametrize("block", range(5))
def test_boundary_scores_of_500_random_masks_equal_brute_force(block):
    rng = np.random.default_rng(block)
    for _ in range(100):
        check_pair(random_pair(rng), *random_settings(rng))


def random_settings(rng):
    spacing = rng.choice([[1.0, 1.0], [0.5, 2.0], [3.0, 0.1]])
    tolerance = rng.choice([0, 1, 0.3, 2.5, 20])
    width, percentile = int(rng.integers(1, 5)), rng.choice([0, 50, 95, 100])
    return spacing, tolerance, width, percentile


def check_pair(pair, spacing, tolerance, width, percentile):
    whole = float(int(tolerance))  # pixels: less than 1 is a fraction of the diagonal
    score = partial(scores_of, pair)
    of_class = partial(by_class, pair)
    np.testing.assert_allclose(
        score(surface_dice_score, tolerance=tolerance, spacing=spacing),
        of_class(lambda t, p: surface_dice(edge_counts(t, p, tolerance, spacing))),
    )
    np.testing.assert_allclose(
        score(boundary_f1_score, tolerance=whole),
        of_class(lambda t, p: f1(edge_counts(t, p, whole, (1, 1)))),
    )
    np.testing.assert_allclose(
        score(boundary_iou_score, width=width),
        of_class(lambda t, p: band_iou(band_counts(t, p, width))),
    )
    np.testing.assert_allclose(
        score(hausdorff_distance, percentile=percentile, spacing=spacing),
        of_class(lambda t, p: largest(both_ways(t, p, spacing), percentile)),
    )


def scores_of(pair, score, **settings):
    true, pred, labels = pair
    known = {"labels": labels, "ignore_label": IGNORED, "average": None}
    return score([true], [pred], **known, **settings)


@pytest.mark.parametrize("limit", [np.inf, 12.0, 3.0])
def test_edges_that_are_far_apart_are_found_as_well(limit):
    rng = np.random.default_rng(0)
    true, pred = np.full((2, 60, 70), NO_CLASS)
    true[rng.integers(60, size=9), rng.integers(70, size=9)] = 0
    true[3, 4], pred[50:53, 60:66], pred[2, 65] = 1, 0, 1
    edges, others = class_edges(true), class_edges(pred)
    expected = np.full(edges.shape, np.inf)
    for label in (0, 1):
        points, goals = np.argwhere(edges == label), np.argwhere(others == label)
        expected[tuple(points.T)] = directed(points, goals, (1, 2))
    expected = expected[edges != NO_CLASS]
    expected[expected > limit] = np.inf
    got = edge_distances(edges, others, (1.0, 2.0), limit)
    np.testing.assert_allclose(got, expected)


# --- Definitions, by hand


def square(start, stop, size=40):
    mask = np.zeros((1, size, size), int)
    mask[0, start:stop, start:stop] = 1
    return mask


def test_boundary_iou_becomes_the_iou_as_the_width_grows():
    true, pred = square(10, 30), square(12, 30)
    scores = [
        boundary_iou_score(true, pred, width=width, average=None)[1]
        for width in (1, 4, 8, 15)
    ]
    assert scores == sorted(scores)
    assert scores[-1] == iou_score(true, pred, average=None)[1]


def test_the_default_width_is_a_fiftieth_of_the_diagonal():
    rng = np.random.default_rng(0)
    true, pred = rng.integers(2, size=(2, 1, 90, 120)).repeat(4, 2).repeat(4, 1)
    # The diagonal is 600 pixels.
    assert boundary_iou_score(true, pred) == boundary_iou_score(true, pred, width=12)


def test_a_fraction_as_tolerance_is_one_of_the_diagonal():
    true, pred = square(10, 30), np.roll(square(10, 30), 3, axis=2)
    fraction = 3 / np.hypot(40, 40)
    for tolerance in (fraction, 3):
        score = boundary_f1_score(true, pred, tolerance=tolerance, average=None)
        assert score[1] == 1.0
    assert boundary_f1_score(true, pred, tolerance=0.99 * fraction) < 1


def test_rounding_does_not_keep_edges_out_of_the_tolerance():
    # 3 * 0.1 is more than 0.3 in floating point.
    true, pred = square(10, 30), np.roll(square(10, 30), 3, axis=2)
    assert surface_dice_score(true, pred, tolerance=0.3, spacing=0.1) == 1.0


def test_spacing_is_height_then_width():
    true, pred = square(10, 30), np.roll(square(10, 30), 3, axis=2)
    distance = partial(hausdorff_distance, true, pred, exclude=(0,))
    assert distance(spacing=(10, 0.5)) == 1.5
    assert distance(spacing=2) == 6.0


def test_the_border_of_the_image_is_an_edge():
    true, pred = np.ones((1, 5, 6), int), np.ones((1, 5, 6), int)
    pred[0, :, 0] = 0
    # 18 pixels lie at the border. One column in, 13 of them are edges again, of 16.
    score = boundary_f1_score(true, pred, tolerance=0, average=None)[1]
    assert score == pytest.approx(f1([13, 18, 16, 13]))


@pytest.mark.parametrize("score", SCORES)
def test_ignored_pixels_are_treated_like_what_lies_outside_the_image(score):
    rng = np.random.default_rng(0)
    true, pred = rng.integers(3, size=(2, 1, 9, 8)).repeat(3, 1).repeat(3, 2)
    expected = score(true[:, 6:], pred[:, 6:], average=None)
    true[:, :6] = 255
    for predicted in (0, 2, 7, 255):
        pred[:, :6] = predicted
        got = score(true, pred, ignore_label=255, average=None)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("score", RATIOS)
def test_a_class_in_one_mask_only_scores_0_and_one_in_neither_is_left_out(score):
    true, pred = square(10, 20), square(10, 20)
    pred[pred == 1] = 2
    known = {"labels": [0, 1, 2, 3], "average": None}
    np.testing.assert_array_equal(score(true, pred, **known), [1, 0, 0, np.nan])
    np.testing.assert_array_equal(
        score(true, pred, absent=0.5, **known), [1, 0, 0, 0.5]
    )
    assert score(true, pred, labels=[0, 1, 2, 3]) == pytest.approx(1 / 3)


def test_a_class_that_one_of_the_masks_lacks_has_no_distance():
    true, pred = square(10, 20), square(11, 20)
    pred[0, 0, 0] = 2
    got = hausdorff_distance(true, pred, average=None)
    assert np.isfinite(got[:2]).all()
    assert np.isnan(got[2])
    assert hausdorff_distance(true, pred) == pytest.approx(got[:2].mean())
    assert hausdorff_distance(true, pred, average=None, absent=50)[2] == 50


@pytest.mark.parametrize("score", SCORES)
def test_no_class_left_warns(score):
    masks = np.full((1, 4, 4), 255)
    with pytest.warns(UndefinedMetricWarning, match="no class is left"):
        assert np.isnan(score(masks, masks, ignore_label=255, labels=[0, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(masks, masks, ignore_label=255, absent=1.0) == 1.0


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("labels", [[1, 0, 2], [2, 1, 0]])
def test_scores_of_classes_come_in_the_order_of_the_labels(score, labels):
    rng = np.random.default_rng(0)
    true, pred = rng.integers(3, size=(2, 2, 12, 12))
    found = score(true, pred, average=None)
    got = score(true, pred, average=None, labels=labels)
    np.testing.assert_array_equal(got, found[labels])


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", ["strings", "floats", "wide"])
def test_labels_of_any_kind(score, kind):
    rng = np.random.default_rng(0)
    true, pred = rng.integers(3, size=(2, 2, 12, 12))
    names = {
        "strings": ["a", "b", "cd"],
        "floats": [0.0, 1.0, 5.0],
        "wide": [-7, 0, 10**12],
    }
    values = np.array(names[kind])
    expected = score(true, pred, average=None)
    np.testing.assert_array_equal(
        score(list(values[true]), list(values[pred]), average=None), expected
    )


# --- Several images, and weights


def several():
    rng = np.random.default_rng(3)
    sizes = [(9, 12), (15, 7), (4, 4), (11, 11)]
    true = [rng.integers(3, size=size).repeat(2, 0) for size in sizes]
    pred = [
        np.where(rng.random(m.shape) < 0.8, m, rng.integers(3, size=m.shape))
        for m in true
    ]
    true[2][:] = pred[2][:] = 1  # the third image lacks two classes
    pred[2][0] = 2
    return true, pred


@pytest.mark.parametrize(
    ("score", "formula", "count"),
    [
        (
            partial(boundary_f1_score, tolerance=1),
            f1,
            partial(edge_counts, tolerance=1, spacing=(1, 1)),
        ),
        (
            surface_dice_score,
            surface_dice,
            partial(edge_counts, tolerance=1, spacing=(1, 1)),
        ),
        (
            partial(boundary_iou_score, width=2),
            band_iou,
            partial(band_counts, width=2),
        ),
    ],
)
def test_over_pixels_pools_counts_and_over_images_averages_scores(
    score, formula, count
):
    true, pred = several()
    counts = np.array(
        [
            [count(t == c, p == c) for c in range(3)]
            for t, p in zip(true, pred, strict=True)
        ]
    )
    pooled = [formula(part) for part in counts.sum(axis=0)]
    np.testing.assert_allclose(score(true, pred, average=None), pooled)
    assert score(true, pred) == pytest.approx(np.mean(pooled))
    alone = np.array([[formula(part) for part in image] for image in counts])
    by_class = score(true, pred, average=None, over="images")
    np.testing.assert_allclose(by_class, np.nanmean(alone, axis=0))
    expected = np.nanmean(alone, axis=1).mean()
    assert score(true, pred, over="images") == pytest.approx(expected)


@pytest.mark.parametrize("percentile", [0, 37, 95, 100])
def test_pooled_distances_are_the_percentile_over_the_edges_of_all_images(percentile):
    true, pred = several()
    lengths = [
        [both_ways(t == c, p == c, (1, 1)) for t, p in zip(true, pred, strict=True)]
        for c in range(3)
    ]
    pooled = [
        largest(
            [np.concatenate(part) for part in zip(*images, strict=True)], percentile
        )
        for images in lengths
    ]
    score = partial(hausdorff_distance, true, pred, percentile=percentile, average=None)
    np.testing.assert_allclose(score(over="pixels"), pooled)
    alone = [[largest(part, percentile) for part in images] for images in lengths]
    np.testing.assert_allclose(score(), np.nanmean(alone, axis=1))


@pytest.mark.parametrize("score", SCORES)
def test_an_image_of_weight_2_counts_as_two_images(score):
    true, pred = several()
    twice = score([*true, true[1]], [*pred, pred[1]], over="images", average=None)
    got = score(true, pred, sample_weight=[1, 2, 1, 1], over="images", average=None)
    np.testing.assert_allclose(got, twice)


@pytest.mark.parametrize("score", RATIOS)
def test_pooled_counts_are_weighted_by_image_and_by_pixel(score):
    true, pred = several()
    twice = score([*true, true[1]], [*pred, pred[1]], average=None)
    got = score(true, pred, sample_weight=[1, 2, 1, 1], average=None)
    np.testing.assert_allclose(got, twice)
    spread = [np.full(mask.shape, 1.0 + (i == 1)) for i, mask in enumerate(true)]
    got = score(true, pred, sample_weight=spread, average=None)
    np.testing.assert_allclose(got, twice)


def test_edge_pixels_of_weight_0_do_not_count():
    true, pred = square(10, 30), np.roll(square(10, 30), 1, axis=2)
    weight = np.ones(true.shape)
    weight[0, :, 25:] = weight[0, :, :15] = 0  # what is left agrees
    score = partial(boundary_f1_score, true, pred, tolerance=0, exclude=(0,))
    assert score(sample_weight=weight) == 1.0
    assert score() < 1


# --- Scorers


class Shifted(BaseEstimator):
    """Predicts what it is given, one pixel further to the right."""

    def __init__(self, ignore_label=None):
        self.ignore_label = ignore_label

    def fit(self, X, y):
        self.classes_ = np.unique(y[y != self.ignore_label])
        return self

    def predict(self, X):
        moved = [np.roll(image, 1, axis=1) for image in X]
        return np.stack(moved) if isinstance(X, np.ndarray) else moved


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("over", ["pixels", "images"])
def test_scorers_of_boundaries_add_up_chunks(score, over, monkeypatch):
    monkeypatch.setattr("sksegment.metrics._scorers.CHUNK_PIXELS", 300)
    y = np.random.default_rng(0).integers(3, size=(7, 6, 6)).repeat(2, 1).repeat(2, 2)
    X = np.where(y == 2, 1, y)
    y[0, :3] = 255
    model = Shifted(ignore_label=255).fit(X, y)
    scorer = make_segmentation_scorer(score, greater_is_better=False, over=over)
    known = {"labels": [0, 1, 2], "ignore_label": 255, "over": over}
    assert scorer(model, X, y) == pytest.approx(-score(y, model.predict(X), **known))


# --- Bad input


@pytest.mark.parametrize(
    ("score", "arguments", "message"),
    [
        (
            boundary_iou_score,
            {"width": 0},
            "width is 0; expected an integer of at least",
        ),
        (
            boundary_iou_score,
            {"width": 1.5},
            "width is 1.5; .* fraction of the diagonal",
        ),
        (boundary_iou_score, {"width": -0.1}, "width is -0.1"),
        (boundary_f1_score, {"tolerance": -1}, "tolerance is -1; .* at least 0"),
        (boundary_f1_score, {"tolerance": np.nan}, "tolerance is nan"),
        (surface_dice_score, {"tolerance": -0.5}, "tolerance is -0.5"),
        (
            surface_dice_score,
            {"spacing": (1, 1, 1)},
            r"spacing is \(1, 1, 1\); .* height",
        ),
        (surface_dice_score, {"spacing": 0}, "spacing is 0"),
        (hausdorff_distance, {"spacing": (1, -1)}, "spacing is -1"),
        (hausdorff_distance, {"percentile": 101}, "percentile is 101"),
        (
            hausdorff_distance,
            {"average": "micro"},
            "average is 'micro'; expected one of",
        ),
        (hausdorff_distance, {"over": "classes"}, "over is 'classes'; expected one of"),
        (boundary_f1_score, {"exclude": (5,)}, "exclude holds 5"),
        (
            hausdorff_distance,
            {"sample_weight": np.ones((1, 40, 40))},
            "weights of pixels; expected one weight per image",
        ),
        (
            hausdorff_distance,
            {"sample_weight": [1.0], "over": "pixels"},
            "expected over='images'",
        ),
    ],
)
def test_wrong_arguments_are_named_with_what_is_expected(score, arguments, message):
    true = square(10, 30)
    with pytest.raises(ValueError, match=message):
        score(true, true, **{"labels": [0, 1], **arguments})


@pytest.mark.parametrize("score", SCORES)
def test_wrong_masks_are_named(score):
    true = square(10, 30)
    with pytest.raises(ValueError, match="y_pred of image 0 has height and width"):
        score(true, true[:, 1:])
    with pytest.raises(ValueError, match="y_true has 1 masks, but there are 2"):
        score(true, np.concatenate([true, true]))
    with pytest.raises(ValueError, match="y_pred of image 0 holds the label 1"):
        score(0 * true, true, labels=[0])
    with pytest.raises(ValueError, match="strings and numbers"):
        score(true, true.astype(str))
    with pytest.raises(ValueError, match="holds ignore_label=1"):
        score(true, np.roll(true, 1, axis=1), ignore_label=1)


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (boundary_iou_score, "width"),
        (boundary_f1_score, "tolerance"),
        (surface_dice_score, "tolerance"),
        (surface_dice_score, "spacing"),
        (hausdorff_distance, "percentile"),
    ],
)
def test_arguments_that_are_no_numbers_are_named(score, name):
    true = square(10, 30)
    with pytest.raises(TypeError, match=f"{name} is '2'; expected"):
        score(true, true, **{name: "2"})
