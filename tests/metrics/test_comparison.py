"""Two predictions compared over images: brute force, exact tests, simulations."""

from __future__ import annotations

from functools import partial
from itertools import combinations, product

import numpy as np
import pytest
from skimage.io import imsave

from sksegment.metrics import (
    boundary_f1_score,
    compare_scores,
    hausdorff_distance,
    image_scores,
    iou_score,
    pixel_accuracy_score,
    pixel_log_loss,
)
from sksegment.metrics._averaging import Averaging
from sksegment.metrics._comparison import compare_samples
from sksegment.metrics._formulas import iou
from sksegment.metrics._image_sample import PooledSample

LABELS = [0, 1, 2]


def predictions(n, error_rates, random_state=0):
    """Draw masks, and one prediction of them for each share of wrong pixels."""
    rng = np.random.default_rng(random_state)
    y_true = rng.integers(3, size=(n, 6, 6))
    hard = rng.uniform(0.5, 1.5, (n, 1, 1))
    wrong = [rng.random(y_true.shape) < hard * rate for rate in error_rates]
    return y_true, *(
        np.where(part, rng.integers(3, size=y_true.shape), y_true) for part in wrong
    )


def of_all_swaps(y_true, a, b, score):
    """Return the difference of scores for each way to exchange predictions."""
    differences = []
    for swaps in product([False, True], repeat=len(y_true)):
        swapped = np.array(swaps)[:, np.newaxis, np.newaxis]
        first, second = np.where(swapped, b, a), np.where(swapped, a, b)
        differences.append(score(y_true, first) - score(y_true, second))
    return np.array(differences)


SCORES = [
    partial(iou_score, labels=LABELS),
    partial(iou_score, over="images"),
    partial(boundary_f1_score, tolerance=0, average="micro"),
    hausdorff_distance,
]


@pytest.mark.parametrize("score", SCORES)
def test_with_few_images_the_p_value_goes_through_all_exchanges(score):
    y_true, a, b = predictions(6, [0.2, 0.5])
    observed = score(y_true, a) - score(y_true, b)
    differences = of_all_swaps(y_true, a, b, score)
    expected = np.mean(np.abs(differences) >= abs(observed) - 1e-9)
    comparison = compare_scores(y_true, a, b, score=score)
    assert comparison.difference == pytest.approx(observed)
    assert comparison.p_value == pytest.approx(expected)
    assert comparison.score_a == pytest.approx(score(y_true, a))
    assert comparison.score_b == pytest.approx(score(y_true, b))


def test_a_sample_of_exchanges_comes_near_all_of_them():
    y_true, a, b = predictions(10, [0.3, 0.33])
    exact = compare_scores(y_true, a, b, n_resamples=1024).p_value
    drawn = compare_scores(y_true, a, b, n_resamples=1000).p_value
    assert 0.05 < exact < 0.95
    assert drawn == pytest.approx(exact, abs=0.05)


def test_the_interval_is_students_with_the_standard_error_of_a_bootstrap():
    y_true, a, b = predictions(30, [0.2, 0.4])
    times = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), 4000)
    is_class = np.arange(3)[:, np.newaxis, np.newaxis, np.newaxis]
    drawn = []
    for part in (a, b):
        both = (is_class == y_true) & (is_class == part)
        either = (is_class == y_true) | (is_class == part)
        counts = [times @ pixels.sum(axis=(2, 3)).T for pixels in (both, either)]
        drawn.append(np.divide(*counts).mean(axis=1))
    drawn = drawn[0] - drawn[1]
    low, high = compare_scores(y_true, a, b).interval
    # 2.045: Student's t with 29 degrees of freedom.
    reach = 2.045 * drawn.std() * np.sqrt(30 / 29)
    observed = iou_score(y_true, a) - iou_score(y_true, b)
    expected = [observed - reach, observed + reach]
    np.testing.assert_allclose([low, high], expected, atol=0.002)
    narrow = compare_scores(y_true, a, b, confidence_level=0.5).interval
    assert low < narrow[0] < narrow[1] < high


def test_the_other_way_round_only_signs_change():
    y_true, a, b = predictions(12, [0.2, 0.3])
    there, back = compare_scores(y_true, a, b), compare_scores(y_true, b, a)
    assert back.difference == -there.difference
    assert back.p_value == there.p_value
    np.testing.assert_allclose(back.interval, -np.array(there.interval)[::-1])


def test_equal_predictions_do_not_differ():
    y_true, a = predictions(12, [0.2])
    comparison = compare_scores(y_true, a, a)
    assert (comparison.difference, comparison.p_value) == (0.0, 1.0)
    assert comparison.interval == (0.0, 0.0)


def test_draws_are_fixed_by_the_random_state():
    y_true, a, b = predictions(20, [0.2, 0.25])
    compare = partial(compare_scores, y_true, a, b, n_resamples=200)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert compare() == compare(random_state=0) != compare(random_state=1)
    assert compare(random_state=None) != compare(random_state=None)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_blocks_of_draws_change_nothing(monkeypatch):
    y_true, a, b = predictions(20, [0.2, 0.25])
    expected = compare_scores(y_true, a, b, n_resamples=100)
    monkeypatch.setattr("sksegment.metrics._bootstrap.BLOCK_DRAWS", 100)
    got = compare_scores(y_true, a, b, n_resamples=100)
    assert got.p_value == expected.p_value
    np.testing.assert_allclose(got.interval, expected.interval)


def test_images_without_a_score_take_no_part():
    y_true, a, b = predictions(12, [0.2, 0.4])
    ignored = np.full((3, 6, 6), 255)
    y_more = np.concatenate([y_true, ignored])
    more = (np.concatenate([part, part[:3]]) for part in (a, b))
    got = compare_scores(y_more, *more, ignore_label=255)
    assert got == compare_scores(y_true, a, b)
    assert got.n_images == 12


def test_distances_are_compared_in_images_in_which_both_have_one():
    y_true, a, b = predictions(8, [0.2, 0.4])
    a[3] = 7  # nothing to measure
    got = compare_scores(y_true, a, b, score=hausdorff_distance)
    kept = np.arange(8) != 3
    score = partial(image_scores, y_true[kept], score=hausdorff_distance)
    expected = score(a[kept]).mean() - score(b[kept]).mean()
    assert got.difference == pytest.approx(expected)
    assert got.n_images == 7


def test_functions_of_ones_own_are_averaged_over_images():
    def share(y_true, y_pred):
        return float((y_true == y_pred).mean())

    y_true, a, b = predictions(9, [0.2, 0.4])
    got = compare_scores(y_true, a, b, score=share)
    assert got.difference == pytest.approx(share(y_true, a) - share(y_true, b))


def test_weights_of_images_count_in_the_mean_of_ones_own_function():
    def share(y_true, y_pred, sample_weight=None):
        return float((y_true == y_pred).mean())

    y_true, a, b = predictions(9, [0.2, 0.4])
    weights = np.arange(9.0)  # the first image takes no part
    got = compare_scores(y_true, a, b, score=share, sample_weight=weights)
    own = partial(pixel_accuracy_score, over="images")
    assert got == compare_scores(y_true, a, b, score=own, sample_weight=weights)
    assert got.n_images == 8


def test_weights_bound_to_the_score_are_those_of_the_call():
    y_true, a, b = predictions(9, [0.2, 0.4])
    weights = np.random.default_rng(0).random(y_true.shape)
    bound = partial(iou_score, sample_weight=weights)
    got = compare_scores(y_true, a, b, score=bound)
    assert got == compare_scores(y_true, a, b, sample_weight=weights)
    assert got.score_a == pytest.approx(iou_score(y_true, a, sample_weight=weights))


def test_probabilities_are_compared_in_images_of_any_size():
    y_true, _ = predictions(9, [0.2])
    rng = np.random.default_rng(0)
    good = [np.moveaxis(np.eye(3)[mask] * 0.7 + 0.1, -1, 0) for mask in y_true]
    poor = [np.moveaxis(rng.dirichlet([1, 1, 1], (6, 6)), -1, 0) for _ in y_true]
    got = compare_scores(list(y_true), good, poor, score=pixel_log_loss)
    assert got.difference == pytest.approx(
        pixel_log_loss(y_true, good) - pixel_log_loss(y_true, poor)
    )
    several = compare_scores(y_true, [good, poor], [poor, poor], score=pixel_log_loss)
    assert several.difference == pytest.approx(got.difference / 2)


# --- Several trainings of each model


def test_scores_of_several_trainings_are_averaged():
    y_true, *runs = predictions(10, [0.2, 0.25, 0.3, 0.4, 0.35, 0.45])
    got = compare_scores(y_true, runs[:3], runs[3:])
    scores = [iou_score(y_true, run) for run in runs]
    assert got.score_a == pytest.approx(np.mean(scores[:3]))
    assert got.difference == pytest.approx(np.mean(scores[:3]) - np.mean(scores[3:]))
    halves = [np.array(half) for half in combinations(range(6), 3)]
    pooled = np.array(scores)
    differences = [2 * (pooled[half].mean() - pooled.mean()) for half in halves]
    expected = np.mean(np.abs(differences) >= abs(got.difference) - 1e-9)
    assert got.p_value_trainings == pytest.approx(expected)
    assert got.p_value_trainings == pytest.approx(0.1)  # all of a before all of b


def test_trainings_that_differ_widen_the_interval():
    y_true, *runs = predictions(40, [0.1, 0.4, 0.3, 0.3])
    alike = compare_scores(y_true, [runs[1], runs[1]], [runs[2], runs[2]])
    single = compare_scores(y_true, runs[1], runs[2])
    np.testing.assert_allclose(alike.interval, single.interval)
    assert alike.p_value == single.p_value
    different = compare_scores(y_true, runs[:2], runs[2:])
    assert np.diff(different.interval) > 5 * np.diff(alike.interval)


@pytest.mark.slow
def test_the_interval_covers_ways_of_training_whose_results_vary():
    models = simulated(20_000, 0.03, 0)
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(500):
        images = rng.integers(20_000, size=40)
        true, quality = [], rng.normal(0, 0.05, 6)
        for model, shift in zip([models[0]] * 6, quality, strict=True):
            both, target, predicted = model[:, images]
            both = both * (0.9 - shift).clip(0, 1)
            true.append(np.stack([both, target, predicted]))
        low, high = compared(np.concatenate(true, axis=1), 40, 3, seed).interval
        covered += low <= 0 <= high
    assert covered / 500 >= 0.92


def as_paths(tmp_path, name, masks):
    paths = [tmp_path / f"{name}{i}.png" for i in range(len(masks))]
    for path, mask in zip(paths, masks, strict=True):
        imsave(path, mask.astype(np.uint8), check_contrast=False)
    return paths


@pytest.mark.parametrize(
    "kind", ["array", "list", "tuple", "nested", "paths", "strings"]
)
def test_one_training_or_several_are_told_apart_in_any_container(kind, tmp_path):
    y_true, *runs = predictions(5, [0.2, 0.3, 0.4, 0.5])
    expected = compare_scores(y_true, runs[:2], runs[2:])
    alone = compare_scores(y_true, runs[0], runs[2])
    names = np.array(["cat", "dog", "sky"])
    convert = {
        "array": lambda i, run: run,
        "list": lambda i, run: list(run),
        "tuple": lambda i, run: tuple(run),
        "nested": lambda i, run: run.tolist(),
        "paths": lambda i, run: as_paths(tmp_path, i, run),
        "strings": lambda i, run: names[run].tolist(),
    }[kind]
    y_true = names[y_true] if kind == "strings" else y_true
    runs = [convert(i, run) for i, run in enumerate(runs)]
    got = compare_scores(y_true, runs[0], runs[2])
    assert got == alone
    assert compare_scores(y_true, runs[:2], runs[2:]) == expected
    if kind == "array":
        assert (
            compare_scores(y_true, np.stack(runs[:2]), np.stack(runs[2:])) == expected
        )


# --- Bad input


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"confidence_level": 95}, ValueError, "confidence_level is 95"),
        ({"n_resamples": 0}, ValueError, "n_resamples is 0"),
        ({"random_state": "a"}, ValueError, "random_state is 'a'"),
        ({"score": "iou"}, TypeError, "score is 'iou'; expected a score function"),
        ({"score": partial(iou_score, average=None)}, ValueError, "average is None"),
        (
            {"score": partial(hausdorff_distance, over="pixels")},
            ValueError,
            "over is 'pixels'; expected 'images'",
        ),
    ],
)
def test_wrong_arguments_are_named(kwargs, error, message):
    y_true, a, b = predictions(4, [0.2, 0.4])
    with pytest.raises(error, match=message):
        compare_scores(y_true, a, b, **kwargs)


def test_what_cannot_be_compared_is_refused():
    y_true, a, b = predictions(4, [0.2, 0.4])
    with pytest.raises(ValueError, match="of 2 trainings, and y_pred_b of 1"):
        compare_scores(y_true, [a, b], b)
    with pytest.raises(ValueError, match="both defined in 1 images; expected at least"):
        compare_scores(y_true[:1], a[:1], b[:1])
    with pytest.raises(ValueError, match="4 masks, but there are 3 predictions"):
        compare_scores(y_true, a, b[:3])


# --- Simulations


def simulated(n_images, shift, random_state):
    """Draw counts of images, some harder than others, for two models."""
    rng = np.random.default_rng(random_state)
    shares = rng.dirichlet([1, 0.5, 0.3], n_images)
    true = np.stack([rng.multinomial(400, share) for share in shares])
    hard = rng.beta(2, 5, n_images)
    models = []
    for worse in (0, shift):
        rate = np.clip(hard + rng.normal(0, 0.08, n_images) + worse, 0, 0.95)
        missed = rng.binomial(true, rate[:, np.newaxis])
        given = rng.binomial(missed, 0.5)
        taken = np.roll(given, 1, axis=1) + np.roll(missed - given, -1, axis=1)
        both = true - missed
        models.append(np.stack([both, true, both + taken]).astype(float))
    return models


def compared(counts, n_images, n_trainings, seed):
    sample = PooledSample(iou, Averaging(), np.arange(3), counts)
    return compare_samples(sample, n_images, n_trainings, 0.95, 499, seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_images", "at_least"), [(10, 0.91), (20, 0.92), (50, 0.935)]
)
def test_the_interval_covers_the_difference_and_p_values_are_uniform(
    n_images, at_least
):
    models = simulated(20_000, 0.03, 0)
    scores = [iou(counts.sum(axis=1)).mean() for counts in models]
    difference = scores[0] - scores[1]
    rng = np.random.default_rng(1)
    covered, p_values = 0, []
    for seed in range(1000):
        images = rng.integers(20_000, size=n_images)
        drawn = [model[:, images] for model in models]
        low, high = compared(np.concatenate(drawn, axis=1), n_images, 1, seed).interval
        covered += low <= difference <= high
        swaps = rng.random(n_images) < 0.5  # models that do not differ
        mixed = [np.where(swaps[:, np.newaxis], *pair) for pair in (drawn, drawn[::-1])]
        counts = np.concatenate(mixed, axis=1)
        p_values.append(compared(counts, n_images, 1, seed).p_value)
    print(f"{n_images} images: {covered / 1000:.3f} covered")
    assert covered / 1000 >= at_least
    for level in (0.05, 0.25, 0.5, 0.75):
        share = np.mean(np.array(p_values) <= level)
        assert share == pytest.approx(level, abs=0.045)
