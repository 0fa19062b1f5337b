"""The report, its intervals, and what the scores refuse."""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pytest

from helpers.metrics import CLOSE, masks_with
from sksegment.metrics import (
    _report,
    dice_score,
    iou_score,
    mean_accuracy_score,
    pixel_accuracy_score,
    pixel_confusion_matrix,
    pixel_log_loss,
    segmentation_report,
)


def test_report_holds_the_scores_under_their_names():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 3, (2, 2, 9, 9))
    y_true[0, 0] = 255
    known = {"labels": [0, 1, 2, 3], "ignore_label": 255}
    report = segmentation_report(
        y_true, y_pred, output_dict=True, exclude=(0,), **known
    )
    matrix = pixel_confusion_matrix(y_true, y_pred, **known)
    means = {**known, "exclude": (0,)}
    assert report["mean_iou"] == iou_score(y_true, y_pred, **means)
    assert report["mean_dice"] == dice_score(y_true, y_pred, **means)
    assert report["mean_accuracy"] == mean_accuracy_score(y_true, y_pred, **means)
    assert report["pixel_accuracy"] == pixel_accuracy_score(y_true, y_pred, **known)
    weighted = iou_score(y_true, y_pred, average="weighted", **means)
    assert report["frequency_weighted_iou"] == weighted
    assert report["n_classes_averaged"] == 2
    iou = iou_score(y_true, y_pred, average=None, **known)
    for row, name in enumerate("0123"):
        np.testing.assert_equal(report[name]["iou"], iou[row])
        assert report[name]["pixels"] == matrix[row].sum()
    assert report["1"]["accuracy"] == CLOSE(matrix[1, 1] / matrix[1].sum())
    assert report["1"]["precision"] == CLOSE(matrix[1, 1] / matrix[:, 1].sum())


def test_report_table_says_what_the_dict_says():
    y_true, y_pred = masks_with([[3, 2, 1], [0, 4, 0], [3, 2, 5]])
    names = ["sky", "road", "tree and shrub"]
    report = partial(segmentation_report, y_true, y_pred, target_names=names)
    lines = report(digits=4).splitlines()
    scores = report(output_dict=True)
    for name in names:
        (line,) = [line for line in lines if line.strip().startswith(name)]
        numbers = line.replace(name, "").split()
        assert numbers == [
            *(
                f"{scores[name][column]:.4f}"
                for column in ("iou", "dice", "accuracy", "precision")
            ),
            str(scores[name]["pixels"]),
        ]
    assert any(
        line.split() == ["mean", "iou", f"{scores['mean_iou']:.4f}"] for line in lines
    )
    assert "classes averaged: 3 of 3" in lines
    table = [line for line in lines[:6] if line]
    assert len({len(line) for line in table}) == 1  # the columns are flush


def test_report_takes_weights_and_strings():
    y_true = np.array([[["sky", "road"]]])
    report = segmentation_report(y_true, y_true, sample_weight=[0.5], output_dict=True)
    assert report["road"]["pixels"] == 0.5
    assert "0.5" in segmentation_report(y_true, y_true, sample_weight=[0.5])


@pytest.mark.parametrize("step", [1, 1000])
def test_labels_of_whole_numbers_stay_whole_in_the_report(step):
    y_true = np.array([[[0, 1]], [[1, 2]]]) * step
    report = segmentation_report(y_true.astype(np.uint64), y_true, output_dict=True)
    assert {"0", f"{step}", f"{2 * step}"} < set(report)


# --- Intervals


def noisy_masks(n=40, random_state=0):
    """Predictions whose quality differs a lot from image to image."""
    rng = np.random.default_rng(random_state)
    y_true = rng.integers(0, 3, (n, 8, 8))
    wrong = rng.random(y_true.shape) < rng.random((n, 1, 1))
    return y_true, np.where(wrong, rng.integers(0, 3, y_true.shape), y_true)


@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_are_the_percentiles_of_scores_of_resampled_images(weighted):
    y_true, y_pred = noisy_masks(7)
    y_true[:3][y_true[:3] == 2] = 1  # a class that some resamples lack
    weight = np.arange(1.0, 8.0) if weighted else None
    known = {"labels": [2, 0, 1, 9], "exclude": (0,), "n_resamples": 50}
    report = segmentation_report(
        y_true, y_pred, **known, sample_weight=weight, output_dict=True,
        confidence_level=0.8, random_state=3,
    )  # fmt: skip
    drawn = np.random.RandomState(3).multinomial(7, np.full(7, 1 / 7), 50)
    resampled = []
    for times in drawn:
        chosen = np.repeat(np.arange(7), times)
        resampled.append(
            segmentation_report(
                y_true[chosen], y_pred[chosen], labels=[2, 0, 1, 9], exclude=(0,),
                sample_weight=weight[chosen] if weighted else None, output_dict=True,
            )
        )  # fmt: skip
    for score in ("pixel_accuracy", "mean_accuracy", "mean_iou",
                  "frequency_weighted_iou", "mean_dice"):  # fmt: skip
        expected = np.quantile([r[score] for r in resampled], [0.1, 0.9])
        assert report[f"{score}_interval"] == CLOSE(tuple(expected))
    for label in "012":
        ious = [r[label]["iou"] for r in resampled]
        expected = np.nanquantile(ious, [0.1, 0.9])
        assert report[label]["iou_interval"] == CLOSE(tuple(expected))
    assert np.isnan(report["9"]["iou_interval"]).all()
    assert report["confidence_level"] == 0.8
    assert report["n_images_resampled"] == 7


def test_intervals_leave_the_scores_alone_and_hold_them():
    y_true, y_pred = noisy_masks()
    plain = segmentation_report(y_true, y_pred, output_dict=True)
    report = partial(segmentation_report, y_true, y_pred, output_dict=True)
    wide, narrow = (report(confidence_level=level) for level in (0.99, 0.5))
    assert {key: wide[key] for key in plain if key not in "012"} == {
        key: plain[key] for key in plain if key not in "012"
    }
    low, high = wide["mean_iou_interval"]
    assert low < narrow["mean_iou_interval"][0] < plain["mean_iou"]
    assert plain["mean_iou"] < narrow["mean_iou_interval"][1] < high
    assert report(confidence_level=0.5) == narrow
    assert report(confidence_level=0.5, random_state=1) != narrow


def test_intervals_cover_the_score_of_the_population():
    y_true, y_pred = noisy_masks(2000)
    population = iou_score(y_true, y_pred)
    covered = 0
    for start in range(0, 2000, 40):
        part = slice(start, start + 40)
        report = segmentation_report(
            y_true[part], y_pred[part], output_dict=True, confidence_level=0.9,
            n_resamples=200,
        )  # fmt: skip
        low, high = report["mean_iou_interval"]
        covered += low <= population <= high
    assert 40 <= covered <= 50


def test_labels_found_late_do_not_mix_up_the_images():
    y_true = [np.array([[5, 5]]), np.array([[1, 5]]), np.array([[3, 9]])]
    report = segmentation_report(
        y_true, [*y_true[:2], y_true[2] * 0 + 9], output_dict=True, confidence_level=0.9
    )
    assert report["1"]["iou_interval"] == report["5"]["iou_interval"] == (1.0, 1.0)
    assert report["3"]["iou_interval"] == (0.0, 0.0)


def test_images_without_counted_pixels_are_not_resampled():
    y_true, y_pred = noisy_masks(12)
    y_true[4:] = 255
    report = partial(
        segmentation_report, ignore_label=255, confidence_level=0.9, output_dict=True
    )
    assert report(y_true, y_pred) == report(y_true[:4], y_pred[:4])
    assert report(y_true, y_pred)["n_images_resampled"] == 4


def test_global_generator_is_not_moved_by_intervals():
    y_true, y_pred = noisy_masks()
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    report = partial(segmentation_report, y_true, y_pred, confidence_level=0.9)
    assert report(random_state=None, digits=9) != report(random_state=None, digits=9)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_intervals_stand_in_the_table():
    y_true, y_pred = noisy_masks()
    report = partial(segmentation_report, y_true, y_pred, confidence_level=0.9)
    lines, scores = report(digits=4).splitlines(), report(output_dict=True)
    expected = {
        "mean iou": scores["mean_iou_interval"],
        "1": scores["1"]["iou_interval"],
    }
    for name, (low, high) in expected.items():
        (line,) = [line for line in lines if line.strip().startswith(f"{name} ")]
        assert line.endswith(f"  {low:.4f} to {high:.4f}")
    assert len({len(line) for line in lines[2:5] + lines[6:11]}) == 1
    assert lines[-1] == "intervals: 90 %, percentiles of a bootstrap over 40 images"


def test_intervals_take_little_memory():
    y_true, y_pred = noisy_masks(1000)
    with_intervals = partial(
        segmentation_report, y_true, y_pred, labels=np.arange(20), confidence_level=0.9
    )
    tracemalloc.start()
    with_intervals()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        (
            {"confidence_level": 0},
            ValueError,
            "is 0; .* above 0 and below 1",
        ),
        ({"confidence_level": 1.0}, ValueError, "confidence_level is 1.0"),
        ({"confidence_level": 95}, ValueError, "confidence_level is 95"),
        ({"confidence_level": np.nan}, ValueError, "confidence_level is nan"),
        ({"confidence_level": "0.9"}, TypeError, "confidence_level is '0.9'"),
        ({"confidence_level": True}, TypeError, "confidence_level is True"),
        ({"n_resamples": 0}, ValueError, "n_resamples is 0; expected .* at least 1"),
        ({"n_resamples": 10.0}, TypeError, "n_resamples is 10.0"),
    ],
)
def test_intervals_that_cannot_be_made_are_refused(kwargs, error, message):
    with pytest.raises(error, match=message):
        segmentation_report(TWO, TWO, **{"confidence_level": 0.9, **kwargs})


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"random_state": "x"}, ValueError, "random_state is 'x'; expected an integer"),
        (
            {"random_state": -1},
            ValueError,
            "random_state is -1; expected an integer",
        ),
        ({"exclude": 3}, TypeError, "exclude is 3; expected a sequence of labels"),
        ({"exclude": (5,), "labels": [0, 1]}, ValueError, "exclude holds 5"),
    ],
)
def test_parameters_of_the_report_are_refused_before_pixels_are_counted(
    kwargs, error, message, monkeypatch
):
    monkeypatch.setattr(_report, "accumulate_all", None)
    with pytest.raises(error, match=message):
        segmentation_report(TWO, TWO, **{"confidence_level": 0.9, **kwargs})


def test_excluded_labels_may_come_from_a_generator():
    y_true, y_pred = noisy_masks()
    report = partial(segmentation_report, y_true, y_pred, output_dict=True)
    assert (
        report(exclude=(label for label in [0]))["mean_iou"]
        == report(exclude=[0])["mean_iou"]
    )


def test_one_image_has_no_interval():
    with pytest.raises(ValueError, match=r"got 1 with .* expected at least 2"):
        segmentation_report(TWO[:1], TWO[:1], confidence_level=0.9)


# --- Refusals

TWO = np.zeros((2, 3, 3), int)
PROBA = np.full((2, 2, 3, 3), 0.5)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "kwargs", "message"),
    [
        (TWO, TWO[:1], {}, "2 masks, but there are 1 predictions"),
        (TWO, list(TWO[:, 1:]), {}, r"y_pred of image 0 .*\(2, 3\).*\(3, 3\)"),
        (list(TWO), [TWO[0], TWO[1, 1:]], {}, "y_pred of image 1 "),
        (TWO[0], TWO[0], {}, "wrap a single mask"),
        (TWO, TWO + 7, {"labels": [0, 1]}, "y_pred of image 0 .*7.*labels="),
        (TWO + 7, TWO, {"labels": [0, 1]}, "y_true of image 0 .*7.*classes="),
        (TWO + 1000, TWO, {"labels": [0, 1]}, "y_true of image 0 .*1000"),
        (TWO, TWO + 9, {"ignore_label": 9}, "y_pred of image 0 .*ignore_label=9"),
        (TWO, TWO, {"labels": [0, 9], "ignore_label": 9}, "ignore_label=9 is one of"),
        (TWO, TWO, {"labels": [0, 0]}, "twice"),
        (TWO, TWO, {"labels": []}, "at least one label"),
        (TWO, TWO, {"labels": [[0]]}, "at least one label"),
        (TWO, TWO, {"labels": ["a", "b"]}, "y_true of image 0 holds the label 0"),
        (TWO.astype(str), TWO, {}, "strings and numbers"),
        ([TWO[0], TWO[1].astype(str)],) * 2 + ({}, "image 1 and the images before"),
        (TWO, TWO, {"sample_weight": [1]}, "1 entries for 2 images"),
        (TWO, TWO, {"sample_weight": [1, -1]}, "negative"),
        (TWO, TWO, {"sample_weight": np.ones((2, 3, 4))}, r"\(3, 4\)"),
        (TWO, TWO + 0.5, {}, "fractions"),
        (np.arange(10_000).reshape(1, 100, 100),) * 2 + ({}, "instance numbers"),
    ],
)
def test_wrong_masks_are_refused(y_true, y_pred, kwargs, message):
    for score in (pixel_confusion_matrix, iou_score, segmentation_report):
        with pytest.raises(ValueError, match=message):
            score(y_true, y_pred, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"average": "mean"}, ValueError, "average is 'mean'; expected one of"),
        ({"exclude": (5,)}, ValueError, "exclude holds 5"),
        ({"exclude": ("a",)}, ValueError, "exclude holds 'a'"),
        ({"exclude": 0}, TypeError, r"exclude=\(0,\)"),
        ({"exclude": "background"}, TypeError, "sequence of labels"),
        ({"absent": None}, TypeError, "absent is None"),
    ],
)
@pytest.mark.parametrize("score", [iou_score, dice_score])
def test_wrong_settings_are_refused(score, kwargs, error, message):
    with pytest.raises(error, match=message):
        score(TWO, TWO, **kwargs)


@pytest.mark.parametrize(
    ("y_proba", "kwargs", "message"),
    [
        (PROBA, {}, "2 classes .* 1 labels.*labels=estimator.classes_"),
        (PROBA, {"labels": [1, 2]}, "y_true of image 0 holds the label 0"),
        (PROBA[:1], {"labels": [0, 1]}, "2 masks, but there are 1 predictions"),
        (PROBA * 7, {"labels": [0, 1]}, "not logits"),
        (PROBA * np.nan, {"labels": [0, 1]}, "not finite"),
        (PROBA + np.reshape([3, -3], (2, 1, 1)), {"labels": [0, 1]}, "negative"),
        (PROBA[:, :, :2], {"labels": [0, 1]}, "y_proba of image 0 .*height and width"),
        (PROBA[0], {"labels": [0, 1]}, r"expected \(n, n_classes, height, width\)"),
        (list(PROBA[:, 0]), {"labels": [0, 1]}, r"expected \(n_classes, height"),
    ],
)
def test_wrong_probabilities_are_refused(y_proba, kwargs, message):
    with pytest.raises(ValueError, match=message):
        pixel_log_loss(TWO, y_proba, **kwargs)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "1 names for 2"),
        (["a", "a"], "apart"),
        (["a", "mean_iou"], "apart"),
        (["a", "confidence_level"], "apart"),
    ],
)
def test_wrong_target_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        segmentation_report(*masks_with([[1, 1], [1, 1]]), target_names=names)


@pytest.mark.parametrize("output_dict", [False, True])
def test_labels_that_are_names_of_scores_need_target_names(output_dict):
    masks = np.array([[["mean_iou", "sky"]]])
    report = partial(segmentation_report, masks, masks, output_dict=output_dict)
    with pytest.raises(ValueError, match=r"labels holds \['mean_iou'\].*target_names="):
        report()
    assert "mean iou of what" in report(target_names=["mean iou of what", "sky"])


@pytest.mark.parametrize("score", [iou_score, dice_score, mean_accuracy_score])
def test_labels_to_exclude_may_be_drawn_once(score):
    y_true, y_pred = [[[0, 0, 0, 1]]], [[[0, 0, 1, 1]]]
    expected = score(y_true, y_pred, exclude=(0,))
    assert score(y_true, y_pred, exclude=iter([0])) == expected
    assert score(y_true, y_pred) != expected


@pytest.mark.parametrize("score", [iou_score, dice_score, pixel_accuracy_score])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (TWO, None, "y_pred is None"),
        (None, TWO, "y_true is None"),
        (TWO, np.add(TWO, 0.5), "mask 0 of y_pred holds fractions"),
        (np.add(TWO, 0.5), TWO, "mask 0 of y_true holds fractions"),
        (TWO, np.zeros((1, 2, 3, 4)), r"classes_\[y_pred.argmax\(axis=1\)\]"),
        (TWO, 3, "y_pred"),
    ],
)
def test_the_argument_that_is_wrong_is_named(score, y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        score(y_true, y_pred)


@pytest.mark.parametrize(
    ("digits", "error"),
    [(-1, ValueError), (2.5, TypeError), ("3", TypeError), (True, TypeError)],
)
def test_digits_are_checked_before_anything_is_counted(digits, error):
    with pytest.raises(error, match=f"digits is {digits!r}; expected an integer"):
        segmentation_report(["missing.png"], ["missing.png"], digits=digits)
