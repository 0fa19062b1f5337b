"""The scores against scikit-learn on raveled pixels, and the scorers in its tools."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
import warnings
from functools import partial

import numpy as np
import pytest
import sklearn
from sklearn import metrics as oracle
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import DataConversionWarning, UndefinedMetricWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment import metrics
from sksegment.metrics import (
    _report,
    _scorers,
    boundary_f1_score,
    boundary_iou_score,
    dice_score,
    dice_scorer,
    expected_calibration_error,
    hausdorff_distance,
    iou_score,
    iou_scorer,
    make_segmentation_scorer,
    mean_accuracy_score,
    neg_pixel_log_loss_scorer,
    pixel_accuracy_score,
    pixel_accuracy_scorer,
    pixel_confusion_matrix,
    pixel_log_loss,
    segmentation_report,
    surface_dice_score,
)
from sksegment.metrics._confusion_matrix import count_codes
from sksegment.metrics._score import SCORES

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CLOSE = partial(pytest.approx, rel=1e-12, abs=1e-12)

# Label values of each kind, and one more that may be ignored.
LABELS = {
    "bytes": (np.array([0, 1, 2, 7], np.uint8), 255),
    "binary": (np.array([0, 255], np.uint8), 3),
    "bool": (np.array([False, True]), None),
    "negative": (np.array([-5, -1, 0, 120], np.int8), -128),
    "gaps": (np.array([205, 420, 65_535], np.uint16), 0),
    "wide": (np.array([-70_000, 3, 10**9], np.int64), 10**12),
    "big-endian": (np.array([1, 2, 300], ">i4"), 0),
    "floats": (np.array([0.0, 1.0, 5.0]), -1.0),
    "huge floats": (np.array([0.0, 1e6]), 1e18),
    "strings": (np.array(["cell", "dirt", "water and ice"]), "void"),
}
WEIGHTS = (None, "image", "pixel")
AVERAGES = ("macro", "micro", "weighted")


class Case:
    """Random masks, and what is left of them as flat vectors."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        kind = list(LABELS)[seed % len(LABELS)]
        self.labels, self.ignore_label = LABELS[kind]
        if rng.random() < 0.3:
            self.ignore_label = None
        same_size = rng.random() < 0.4
        sizes = [(5, 4)] if same_size else [(1, 1), (2, 9), (7, 3), (4, 4)]
        sizes = [sizes[rng.integers(len(sizes))] for _ in range(rng.integers(1, 5))]
        used = self.labels[rng.random(len(self.labels)) < 0.8]
        used = used if len(used) else self.labels[:1]
        true = [rng.choice(used, size) for size in sizes]
        pred = [self._disturb(rng, mask) for mask in true]
        true = [self._with_ignored(rng, mask) for mask in true]
        true[0][0, 0] = pred[0][0, 0] = used[0]  # so that one pixel counts
        weights = self._draw_weights(rng, WEIGHTS[seed // 10 % 3], sizes)
        self.average = AVERAGES[seed // 30 % 3]
        self._flatten(true, pred, weights)
        self.proba = [rng.dirichlet(np.ones(len(self.labels)), s) for s in sizes]
        self.y_true = self._contain(rng, true, same_size)
        self.y_pred = self._contain(rng, pred, same_size)
        self.kwargs = {
            "ignore_label": self.ignore_label,
            "sample_weight": weights,
        }

    def _disturb(self, rng, mask):
        other = rng.choice(self.labels, mask.shape)
        return np.where(rng.random(mask.shape) < 0.6, mask, other)

    def _with_ignored(self, rng, mask):
        if self.ignore_label is None:
            return mask
        drop = rng.random(mask.shape) < 0.3
        return np.where(drop, np.asarray(self.ignore_label), mask)

    def _draw_weights(self, rng, kind, sizes):
        if kind == "image":
            return rng.uniform(0.5, 2.0, len(sizes))
        if kind == "pixel":
            return [rng.uniform(0.5, 2.0, size) for size in sizes]
        return None

    def _flatten(self, true, pred, weights):
        sizes = [mask.shape for mask in true]
        spread = [np.ones(s) for s in sizes]
        if weights is not None:
            spread = [
                np.broadcast_to(w, s) for w, s in zip(weights, sizes, strict=True)
            ]
        self.true = np.concatenate([mask.ravel() for mask in true])
        self.pred = np.concatenate([mask.ravel() for mask in pred])
        self.weight = np.concatenate([w.ravel() for w in spread])
        self.kept = np.ones(len(self.true), bool)
        if self.ignore_label is not None:
            self.kept = self.true != self.ignore_label
        self.true, self.pred = self.true[self.kept], self.pred[self.kept]
        self.weight = self.weight[self.kept]

    def _contain(self, rng, masks, same_size):
        draw = rng.integers(4)
        if draw == 0 and same_size:
            return np.stack(masks)
        if draw == 1:
            return tuple(masks)
        if draw == 2:
            return object_array(masks)
        return list(masks)


def object_array(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


# 1,000 cases in all, most of them among the slow tests.
BLOCKS = [
    0,
    1,
    *(pytest.param(block, marks=pytest.mark.slow) for block in range(2, 10)),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_scores_equal_scikit_learn_on_raveled_pixels(block):
    for seed in range(100 * block, 100 * (block + 1)):
        check_confusion(case := Case(seed))
        check_overlaps(case)
        check_accuracies(case)
        check_log_loss(case)


@pytest.mark.parametrize("n_codes", [1, 2, 3, 4, 9, 16, 225, 256, 441])
@pytest.mark.parametrize("n_pixels", [0, 1, 2, 7, 1001, 2**17 + 5])
@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_pixels_that_share_an_increment_are_all_counted(n_codes, n_pixels, dtype):
    rng = np.random.default_rng(n_codes * n_pixels)
    codes = rng.integers(n_codes, size=n_pixels).astype(dtype)
    found = count_codes(codes, n_codes)
    np.testing.assert_array_equal(found, np.bincount(codes, minlength=n_codes))


def check_confusion(case):
    got = pixel_confusion_matrix(
        case.y_true, case.y_pred, labels=case.labels[::-1], **case.kwargs
    )
    weighted = case.kwargs["sample_weight"] is not None
    weight = case.weight if weighted else None
    expected = oracle.confusion_matrix(
        case.true, case.pred, labels=case.labels[::-1], sample_weight=weight
    )
    np.testing.assert_allclose(got, expected, **EXACT)
    assert got.dtype == (np.float64 if weighted else np.int64)
    # By default, the rows and columns of the labels that occur, sorted.
    found = pixel_confusion_matrix(case.y_true, case.y_pred, **case.kwargs)
    occurs = np.isin(case.labels, np.union1d(case.true, case.pred))
    expected = expected[::-1, ::-1][np.ix_(occurs, occurs)]
    np.testing.assert_allclose(found, expected, **EXACT)


def check_overlaps(case):
    present = np.union1d(case.true, case.pred)
    flat = {"sample_weight": case.weight, "labels": present}
    for ours, theirs in [
        (iou_score, oracle.jaccard_score),
        (dice_score, oracle.f1_score),
    ]:
        score = partial(ours, case.y_true, case.y_pred, **case.kwargs)
        expected = theirs(case.true, case.pred, average=case.average, **flat)
        assert score(average=case.average, labels=case.labels) == CLOSE(expected)
        per_class = score(average=None, labels=case.labels, absent=-1)
        expected = theirs(case.true, case.pred, average=None, **flat)
        is_present = np.isin(case.labels, present)
        np.testing.assert_allclose(per_class[is_present], expected, **EXACT)
        assert (per_class[~is_present] == -1).all()


def check_accuracies(case):
    got = pixel_accuracy_score(case.y_true, case.y_pred, **case.kwargs)
    expected = oracle.accuracy_score(case.true, case.pred, sample_weight=case.weight)
    assert got == CLOSE(expected)
    got = mean_accuracy_score(
        case.y_true, case.y_pred, labels=case.labels, **case.kwargs
    )
    expected = oracle.recall_score(
        case.true,
        case.pred,
        labels=np.unique(case.true),
        average="macro",
        sample_weight=case.weight,
    )
    assert got == CLOSE(expected)


def check_log_loss(case):
    columns = np.concatenate([p.reshape(-1, p.shape[-1]) for p in case.proba])
    expected = oracle.log_loss(
        case.true, columns[case.kept], labels=case.labels, sample_weight=case.weight
    )
    y_proba = [np.moveaxis(proba, -1, 0) for proba in case.proba]
    got = pixel_log_loss(case.y_true, y_proba, labels=case.labels, **case.kwargs)
    assert got == CLOSE(expected)
    # The class axis may come in any order, if labels say which.
    turned = [proba[::-1] for proba in y_proba]
    labels = case.labels[::-1]
    assert pixel_log_loss(case.y_true, turned, labels=labels, **case.kwargs) == CLOSE(
        expected
    )


def test_balanced_accuracy_is_the_mean_accuracy():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 4, (2, 3, 8, 8))
    expected = oracle.balanced_accuracy_score(y_true.ravel(), y_pred.ravel())
    assert mean_accuracy_score(y_true, y_pred) == CLOSE(expected)


def masks_with(counts):
    """Return a pair of masks that has the given confusion matrix."""
    rows, columns = np.indices(np.shape(counts))
    times = np.ravel(counts)
    y_true = np.repeat(rows.ravel(), times)[np.newaxis, np.newaxis]
    return y_true, np.repeat(columns.ravel(), times)[np.newaxis, np.newaxis]


def test_the_four_scores_of_long_et_al_by_hand():
    # n_ij pixels of class i predicted as j, t_i = 6, 4, 10 of them.
    y_true, y_pred = masks_with([[3, 2, 1], [0, 4, 0], [3, 2, 5]])
    iou = [3 / (6 + 6 - 3), 4 / (4 + 8 - 4), 5 / (10 + 6 - 5)]
    assert pixel_accuracy_score(y_true, y_pred) == CLOSE(12 / 20)
    assert mean_accuracy_score(y_true, y_pred) == CLOSE((3 / 6 + 4 / 4 + 5 / 10) / 3)
    assert iou_score(y_true, y_pred) == CLOSE(sum(iou) / 3)
    weighted = (6 * iou[0] + 4 * iou[1] + 10 * iou[2]) / 20
    assert iou_score(y_true, y_pred, average="weighted") == CLOSE(weighted)
    np.testing.assert_allclose(iou_score(y_true, y_pred, average=None), iou)


def test_a_class_predicted_but_not_true_scores_zero_and_enters_the_mean():
    y_true, y_pred = masks_with([[2, 2], [0, 0]])
    assert iou_score(y_true, y_pred, average=None).tolist() == [0.5, 0.0]
    assert iou_score(y_true, y_pred) == 0.25
    assert mean_accuracy_score(y_true, y_pred) == 0.5  # nothing of class 1 to find


@pytest.mark.parametrize("score", [iou_score, dice_score])
@pytest.mark.parametrize("absent", [np.nan, 0.0, 1.0])
def test_an_absent_class_is_reported_but_never_averaged(score, absent):
    y_true, y_pred = masks_with([[2, 2], [1, 3]])
    known = {"labels": [0, 1, 9], "absent": absent}
    np.testing.assert_equal(score(y_true, y_pred, average=None, **known)[2], absent)
    for average in ("macro", "micro", "weighted"):
        assert score(y_true, y_pred, average=average, **known) == score(
            y_true, y_pred, average=average
        )


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_excluded_classes_leave_the_average_but_not_the_matrix(average):
    y_true, y_pred = masks_with([[4, 2, 0], [1, 3, 1], [0, 0, 5]])
    per_class = iou_score(y_true, y_pred, average=None)
    np.testing.assert_array_equal(
        iou_score(y_true, y_pred, average=None, exclude=(0,)), per_class
    )
    expected = {
        "macro": (per_class[1] + per_class[2]) / 2,
        "micro": (3 + 5) / (7 + 6),
        "weighted": (5 * per_class[1] + 5 * per_class[2]) / 10,
    }[average]
    assert iou_score(y_true, y_pred, average=average, exclude=(0,)) == CLOSE(expected)


def test_mean_accuracy_leaves_excluded_classes_out():
    y_true, y_pred = masks_with([[1, 3], [1, 1]])
    assert mean_accuracy_score(y_true, y_pred, exclude=(0,)) == 0.5


@pytest.mark.parametrize(
    "score",
    [
        iou_score,
        dice_score,
        mean_accuracy_score,
        partial(iou_score, average="micro"),
        partial(dice_score, average="weighted"),
    ],
)
def test_a_mean_of_no_class_is_nan_with_a_warning_or_what_absent_says(score):
    masks = np.zeros((1, 2, 2), int)
    with pytest.warns(UndefinedMetricWarning, match="no class is left"):
        assert np.isnan(score(masks, masks, exclude=(0,)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(masks, masks, exclude=(0,), absent=0.25) == 0.25


@pytest.mark.parametrize(
    ("score", "y_pred"),
    [
        (pixel_accuracy_score, np.zeros((1, 2, 2), int)),
        (pixel_log_loss, np.ones((1, 1, 2, 2))),
        (partial(pixel_log_loss, labels=[0]), np.ones((1, 1, 2, 2))),
    ],
)
def test_a_score_of_no_pixels_is_nan_with_a_warning(score, y_pred):
    y_true = np.full((1, 2, 2), 255)
    with pytest.warns(UndefinedMetricWarning, match="no pixel"):
        assert np.isnan(score(y_true, y_pred, ignore_label=255))


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 3, (2, 6, 6))
    y_pred = rng.integers(0, 3, (2, 6, 6))
    y_true[:, :2] = 99
    expected = pixel_confusion_matrix(y_true[:, 2:], y_pred[:, 2:])
    for value in (0, 7, 99, -3):
        y_pred[:, :2] = value
        got = pixel_confusion_matrix(y_true, y_pred, ignore_label=99)
        np.testing.assert_array_equal(got, expected)


def test_pixels_of_weight_zero_keep_their_labels():
    y_true, y_pred = np.array([[[0, 1, 2]]]), np.array([[[0, 1, 1]]])
    weight = np.array([[[1.0, 2.0, 0.0]]])
    got = pixel_confusion_matrix(y_true, y_pred, sample_weight=weight)
    np.testing.assert_array_equal(got, np.diag([1.0, 2.0, 0.0]))


def test_bytes_do_not_overflow():
    # 20 * 21 + 20 and 300 pixels a cell are both more than a byte holds.
    values = np.repeat(np.arange(21, dtype=np.uint8), 300).reshape(1, 21, 300)
    got = pixel_confusion_matrix(values, values)
    np.testing.assert_array_equal(got, 300 * np.eye(21))
    shifted = np.roll(values, 1, axis=1)
    expected = np.roll(300 * np.eye(21), 1, axis=1)
    np.testing.assert_array_equal(pixel_confusion_matrix(shifted, values), expected)


def test_all_pairs_of_bytes_are_told_apart():
    y_true, y_pred = np.indices((1, 256, 256), np.uint8)[1:]
    assert (pixel_confusion_matrix(y_true, y_pred) == 1).all()
    signed = y_true.view(np.int8), y_pred.view(np.int8)
    assert pixel_confusion_matrix(*signed).shape == (256, 256)
    assert (pixel_confusion_matrix(*signed) == 1).all()


def test_a_span_of_257_values_does_not_wrap_around():
    y_true = np.array([[[-1, 255, 0]]])
    np.testing.assert_array_equal(pixel_confusion_matrix(y_true, y_true), np.eye(3))


def test_masks_of_many_blocks_of_rows_are_counted_whole():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 3, (2, 1, 701, 307), np.uint8)
    weight = rng.random(y_true.shape)
    flat = y_true.ravel(), y_pred.ravel()
    for scale in (1, 1000):  # counted as bytes, and by a table
        got = pixel_confusion_matrix(
            y_true * np.int32(scale), y_pred * np.int32(scale), sample_weight=weight
        )
        expected = oracle.confusion_matrix(*flat, sample_weight=weight.ravel())
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    proba = np.moveaxis(rng.dirichlet(np.ones(3), y_true.shape), -1, 1)
    columns = np.moveaxis(proba, 1, -1).reshape(-1, 3)
    expected = oracle.log_loss(flat[0], columns, sample_weight=weight.ravel())
    assert pixel_log_loss(y_true, proba, sample_weight=weight) == CLOSE(expected)


def test_strides_do_not_matter():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 5, (2, 3, 40, 30), np.uint8)
    expected = pixel_confusion_matrix(y_true, y_pred)
    strided = [np.asfortranarray(y)[:, ::-1, ::-1] for y in (y_true, y_pred)]
    np.testing.assert_array_equal(pixel_confusion_matrix(*strided), expected)


def test_labels_of_other_dtypes_are_the_same_labels():
    y_true, y_pred = masks_with([[3, 1], [2, 4]])
    expected = pixel_confusion_matrix(y_true, y_pred)
    got = pixel_confusion_matrix(y_true.astype(float), y_pred.astype(bool))
    np.testing.assert_array_equal(got, expected)
    got = pixel_confusion_matrix(y_true.astype(np.uint8), y_pred, labels=[0.0, 1.0])
    np.testing.assert_array_equal(got, expected)


def test_a_last_axis_of_one_is_dropped_with_a_warning():
    y_true, y_pred = masks_with([[3, 1], [2, 4]])
    with pytest.warns(DataConversionWarning):
        got = pixel_confusion_matrix(y_true[..., np.newaxis], y_pred)
    np.testing.assert_array_equal(got, [[3, 1], [2, 4]])


def test_masks_are_read_from_paths(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 3, (2, 4, 6, 5), np.uint8)
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path, mask in zip(paths, y_true, strict=True):
        Image.fromarray(mask).save(path)
    expected = pixel_confusion_matrix(y_true, y_pred)
    np.testing.assert_array_equal(pixel_confusion_matrix(paths, y_pred), expected)


def test_memory_stays_flat():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 21, (2, 100, 512, 512), np.uint8)
    tracemalloc.start()
    try:
        pixel_confusion_matrix(y_true, y_pred)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


def test_log_loss_of_certain_and_wrong_predictions_is_finite():
    y_true = np.array([[[0, 1]]])
    for dtype in (np.float32, np.float64, np.int64):
        y_proba = np.array([[[[0, 0]], [[1, 1]]]], dtype)
        columns = y_proba[0, :, 0].T
        expected = oracle.log_loss([0, 1], columns)
        assert pixel_log_loss(y_true, y_proba) == pytest.approx(expected, rel=1e-6)


def test_log_loss_takes_half_precision():
    rng = np.random.default_rng(0)
    y_proba = np.moveaxis(rng.dirichlet(np.ones(21), (2, 9, 9)), -1, 1)
    y_true = rng.integers(0, 21, (2, 9, 9))
    expected = pixel_log_loss(y_true, y_proba, labels=range(21))
    got = pixel_log_loss(y_true, y_proba.astype(np.float16), labels=range(21))
    assert got == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("under", [np.nan, np.inf, -np.inf, 7.0, 3e38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_does_not_look_under_pixels_that_do_not_count(under, dtype):
    y_true = np.array([[[0, 1, 255, 0]]])
    weight = np.array([[[1.0, 2.0, 1.0, 0.0]]])
    y_proba = np.full((1, 2, 1, 4), 0.5, dtype)
    known = {"labels": [0, 1], "ignore_label": 255, "sample_weight": weight}
    expected = pixel_log_loss(y_true, y_proba, **known)
    y_proba[..., 2:] = under
    assert pixel_log_loss(y_true, y_proba, **known) == expected
    images = np.full((2, *y_proba.shape[1:]), 0.5, dtype)
    images[1] = under
    known["sample_weight"] = [1, 0]
    expected = pixel_log_loss(y_true, images[:1], labels=[0, 1], ignore_label=255)
    assert pixel_log_loss(np.repeat(y_true, 2, axis=0), images, **known) == expected
    with pytest.raises(ValueError, match="of image 0 is not finite"):
        pixel_log_loss(y_true, y_proba, labels=[0, 1], ignore_label=255)


# --- The report


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


# --- Scorers


class Threshold(ClassifierMixin, BaseEstimator):
    """A segmenter that cuts the intensities of an image into classes."""

    def __init__(self, gain=1.0, ignore_label=None, classes=None):
        self.gain = gain
        self.ignore_label = ignore_label
        self.classes = classes

    def fit(self, X, y):
        labels = np.unique(np.concatenate([np.unique(mask) for mask in y]))
        labels = labels if self.classes is None else np.asarray(self.classes)
        self.classes_ = labels[labels != self.ignore_label]
        self.seen_ = []
        return self

    def predict(self, X):
        self.seen_.append((type(X), len(X)))
        return self._contained(X, [self.classes_[self._codes(x)] for x in X])

    def predict_proba(self, X):
        self.seen_.append((type(X), len(X)))
        size = len(self.classes_)
        one_hot = np.full((size, size), 0.1 / size) + 0.9 * np.eye(size)
        codes = [self._codes(x) for x in X]
        return self._contained(X, [np.moveaxis(one_hot[c], -1, 0) for c in codes])

    def _codes(self, image):
        size = len(self.classes_)
        return np.clip(np.asarray(image) * self.gain * size, 0, size - 1).astype(int)

    def _contained(self, X, results):
        is_array = isinstance(X, np.ndarray) and X.dtype != object
        return np.stack(results) if is_array else object_array(results)


def drawn(n=7, sizes=None, seed=0):
    """Return images, their masks of labels 10, 20, 30 and 255, and pixel weights."""
    rng = np.random.default_rng(seed)
    sizes = sizes or [(4, 5)] * n
    X = [rng.random(size) for size in sizes]
    y = [np.array([10, 20, 30])[np.clip(x * 3, 0, 2).astype(int)] for x in X]
    y = [
        np.where(rng.random(m.shape) < 0.3, rng.choice([10, 20], m.shape), m) for m in y
    ]
    y = [np.where(rng.random(m.shape) < 0.1, 255, m) for m in y]
    return X, y, [rng.random(size) for size in sizes]


MIXED = [(4, 5), (9, 3), (1, 1), (2, 30), (6, 6), (1, 7)]
SCORERS = {
    iou_scorer: iou_score,
    dice_scorer: dice_score,
    pixel_accuracy_scorer: pixel_accuracy_score,
    make_segmentation_scorer(mean_accuracy_score): mean_accuracy_score,
    make_segmentation_scorer(iou_score, average="micro", exclude=[10]): partial(
        iou_score, average="micro", exclude=[10]
    ),
}


def series(items):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(items, index=range(100, 100 + len(items)))


@pytest.mark.parametrize("contain", [np.stack, list, tuple, object_array, series])
@pytest.mark.parametrize("chunk_pixels", [1, 41, 60, 2**21])
@pytest.mark.parametrize("weighted", [False, True])
def test_scoring_in_chunks_equals_one_call(
    monkeypatch, contain, chunk_pixels, weighted
):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", chunk_pixels)
    sizes = None if contain is np.stack else MIXED
    X, y, weights = drawn(sizes=sizes)
    weights = weights if weighted else None
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    known = {"labels": model.classes_, "ignore_label": 255, "sample_weight": weights}
    for scorer, score in SCORERS.items():
        got = scorer(model, contain(X), contain(y), weights)
        assert isinstance(got, float)
        assert got == CLOSE(score(y, model.predict(X), **known))
    got = neg_pixel_log_loss_scorer(model, contain(X), contain(y), weights)
    assert got == CLOSE(-pixel_log_loss(y, model.predict_proba(X), **known))


@pytest.mark.parametrize(
    ("chunk_pixels", "expected"),
    [(1, [1] * 7), (20, [1] * 7), (39, [1] * 7), (40, [2, 2, 2, 1]), (10**6, [7])],
)
@pytest.mark.parametrize("contain", [np.stack, list, tuple, object_array])
def test_chunks_keep_their_size_and_their_kind(
    monkeypatch, contain, chunk_pixels, expected
):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", chunk_pixels)
    X, y, _ = drawn()
    model = Threshold(ignore_label=255).fit(X, y)
    iou_scorer(model, contain(X), np.stack(y))
    assert model.seen_ == [(type(contain(X)), length) for length in expected]


def test_scorers_know_classes_that_the_fold_misses():
    X = np.array([[[0.1, 0.9]]])
    y = np.array([[[0, 0]]])
    model = Threshold(classes=[0, 1, 2]).fit(X, y)
    assert model.predict(X).tolist() == [[[0, 2]]]
    # Class 0 has half of its pixels, class 2 is wrong, class 1 does not occur.
    assert iou_scorer(model, X, y) == (0.5 + 0.0) / 2
    assert (
        make_segmentation_scorer(iou_score, labels=[0, 2, 5], exclude=[5])(model, X, y)
        == 0.25
    )


def test_explicit_arguments_win_over_the_estimator():
    X, y, _ = drawn()
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    y_without = [np.where(mask == 10, 77, mask) for mask in y]
    y_without = [np.where(mask == 255, 10, mask) for mask in y_without]
    expected = iou_score(
        y_without, model.predict(X), labels=[10, 20, 30], ignore_label=77
    )
    for scorer in (
        make_segmentation_scorer(iou_score, ignore_label=77),
        make_segmentation_scorer(partial(iou_score, ignore_label=77)),
    ):
        assert scorer(model, X, y_without) == CLOSE(expected)


def test_help_of_a_scorer_says_what_it_scores():
    assert iou_scorer.__doc__.startswith("`iou_score` as a scorer.")
    assert "negative" in neg_pixel_log_loss_scorer.__doc__


@pytest.mark.parametrize("scorer", [iou_scorer, neg_pixel_log_loss_scorer])
def test_classes_come_through_pipelines_and_searches(scorer):
    X, y, _ = drawn()
    X, y = np.stack(X), np.stack(y)
    model = Threshold(ignore_label=255)
    expected = scorer(model.fit(X, y), X, y)
    pipe = make_pipeline(FunctionTransformer(), clone(model))
    search = GridSearchCV(pipe, {"threshold__gain": [1.0]}, scoring=scorer, cv=2)
    assert scorer(pipe.fit(X, y), X, y) == expected
    assert scorer(search.fit(X, y), X, y) == expected
    assert search.score(X, y) == expected
    outer = make_pipeline(FunctionTransformer(), clone(search)).fit(X, y)
    assert scorer(outer, X, y) == expected


def mean_error(y_true, y_pred):
    return np.mean([np.mean(t != p) for t, p in zip(y_true, y_pred, strict=True)])


def own_iou(y_true, y_pred, *, labels, ignore_label, sample_weight=None):
    return iou_score(
        y_true,
        y_pred,
        labels=labels,
        ignore_label=ignore_label,
        sample_weight=sample_weight,
    )


@pytest.mark.parametrize("contain", [np.stack, list])
def test_any_function_of_masks_makes_a_scorer(monkeypatch, contain):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", 1)
    X, y, weights = drawn()
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    scorer = make_segmentation_scorer(mean_error, greater_is_better=False)
    expected = -np.mean(np.stack(y) != model.predict(np.stack(X)))
    model.seen_.clear()
    assert scorer(model, contain(X), contain(y)) == CLOSE(expected)
    assert [length for _, length in model.seen_] == [7]
    # What the function takes, it gets.
    got = make_segmentation_scorer(own_iou)(model, contain(X), contain(y), weights)
    assert got == CLOSE(iou_scorer(model, X, y, weights))


def test_estimators_without_classes_are_scored_on_the_labels_that_occur():
    class Constant:
        def predict(self, X):
            return np.zeros(np.shape(X), int)

    y_true = np.array([[[0, 0, 0, 1]]])
    got = iou_scorer(Constant(), np.zeros((1, 1, 4)), y_true)
    assert got == iou_score(y_true, np.zeros((1, 1, 4), int))


@pytest.mark.parametrize(
    "scorer",
    [
        iou_scorer,
        pixel_accuracy_scorer,
        neg_pixel_log_loss_scorer,
        make_segmentation_scorer(mean_error),
    ],
)
def test_labels_that_the_estimator_does_not_know_are_refused(scorer, monkeypatch):
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", 45)  # two images
    X, y, _ = drawn()
    model = Threshold(ignore_label=255).fit(X, y)
    y[5][0, 0] = 40
    with pytest.raises(ValueError, match=r"image 5 holds the label 40.*classes="):
        scorer(model, X, y)


def test_scorers_refuse_what_does_not_fit():
    X, y, weights = drawn()
    model = Threshold(ignore_label=255).fit(X, y)
    with pytest.raises(ValueError, match="7 images and y has 6 masks"):
        iou_scorer(model, X, y[:6])
    with pytest.raises(ValueError, match="y_pred of image 6 has height"):
        iou_scorer(model, X, [*y[:6], y[6][1:]])
    with pytest.raises(ValueError, match="6 entries for 7 images"):
        iou_scorer(model, X, y, weights[:6])
    with pytest.raises(TypeError, match="sample_weight"):
        make_segmentation_scorer(mean_error)(model, X, y, weights)
    with pytest.raises(ValueError, match="average=None"):
        make_segmentation_scorer(iou_score, average=None)(model, X, y)
    with pytest.raises(ValueError, match="predict_proba"):
        make_segmentation_scorer(pixel_log_loss)(model, np.stack(X), y)
    with pytest.raises(TypeError, match="avrage"):
        make_segmentation_scorer(iou_score, avrage="micro")
    with pytest.raises(TypeError, match="not callable"):
        make_segmentation_scorer("iou")


def test_scorers_work_in_model_selection():
    X, y, _ = drawn(12)
    X, y = np.stack(X), np.stack(y)
    model = Threshold(ignore_label=255)
    folds = KFold(3)
    expected = [
        iou_scorer(clone(model).fit(X[train], y[train]), X[test], y[test])
        for train, test in folds.split(X)
    ]
    scores = cross_val_score(model, X, y, scoring=iou_scorer, cv=folds)
    np.testing.assert_array_equal(scores, expected)
    several = {"iou": iou_scorer, "loss": neg_pixel_log_loss_scorer}
    results = cross_validate(model, X, y, scoring=several, cv=folds)
    np.testing.assert_array_equal(results["test_iou"], expected)
    assert (results["test_loss"] < 0).all()
    curve = learning_curve(model, X, y, train_sizes=[1.0], scoring=iou_scorer, cv=folds)
    np.testing.assert_array_equal(curve[2][0], expected)


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV,
        partial(RandomizedSearchCV, n_iter=2),
        # By default it counts the classes of y, which it wants as a vector.
        partial(HalvingGridSearchCV, min_resources=4),
    ],
)
def test_searches_find_the_better_setting(search):
    X, y, _ = drawn(12)
    X, y = np.stack(X), np.stack(y)
    grid = {"gain": [0.2, 1.0]}
    model = Threshold(ignore_label=255, classes=[10, 20, 30])
    found = search(model, grid, scoring=iou_scorer, cv=KFold(2)).fit(X, y)
    assert found.best_params_ == {"gain": 1.0}
    assert found.scorer_ is iou_scorer
    assert clone(found).scoring is iou_scorer


def test_weights_are_routed_to_the_scorers_that_request_them():
    X, y, weights = drawn(6)
    X, y, weights = np.stack(X), np.stack(y), np.stack(weights)
    model = Threshold(0.9, ignore_label=255, classes=[10, 20, 30])
    expected = [
        iou_scorer(clone(model).fit(X, y), X[test], y[test], weights[test])
        for _, test in KFold(2).split(X)
    ]
    plain = cross_val_score(model, X, y, scoring=iou_scorer, cv=KFold(2))
    assert not np.allclose(plain, expected)
    routed = {"cv": KFold(2), "params": {"sample_weight": weights}}
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_segmentation_scorer(iou_score)
        assert scorer.set_score_request(sample_weight=True) is scorer
        scores = cross_val_score(model, X, y, scoring=scorer, **routed)
        np.testing.assert_array_equal(scores, expected)
        copy = pickle.loads(pickle.dumps(scorer))
        other = make_segmentation_scorer(iou_score)
        several = {
            "weighted": copy,
            "plain": other.set_score_request(sample_weight=False),
            "foreign": make_segmentation_scorer(mean_error),
        }
        results = cross_validate(model, X, y, scoring=several, **routed)
        np.testing.assert_array_equal(results["test_weighted"], expected)
        np.testing.assert_array_equal(results["test_plain"], plain)
        search = GridSearchCV(model, {"gain": [0.9]}, scoring=scorer, cv=KFold(2))
        search.fit(X, y, sample_weight=weights)
        assert search.best_score_ == CLOSE(np.mean(expected))
        with pytest.raises(Exception, match="sample_weight"):
            cross_val_score(model, X, y, scoring=iou_scorer, **routed)


def test_weights_can_be_requested_under_another_name():
    X, y, weights = drawn(6)
    X, y, weights = np.stack(X), np.stack(y), np.stack(weights)
    model = Threshold(0.9, ignore_label=255, classes=[10, 20, 30]).fit(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_segmentation_scorer(iou_score)
        scorer.set_score_request(sample_weight="trust")
        scores = cross_val_score(
            model, X, y, scoring=scorer, cv=KFold(2), params={"trust": weights}
        )
    for score, (_, test) in zip(scores, KFold(2).split(X), strict=True):
        assert score == iou_scorer(model, X[test], y[test], weights[test])


def test_requests_need_metadata_routing():
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        make_segmentation_scorer(iou_score).set_score_request(sample_weight=True)


@pytest.mark.parametrize(
    "name",
    [
        "iou_scorer",
        "dice_scorer",
        "pixel_accuracy_scorer",
        "neg_pixel_log_loss_scorer",
    ],
)
def test_named_scorers_pickle_by_name(name):
    scorer = getattr(metrics, name)
    assert pickle.loads(pickle.dumps(scorer)) is scorer
    assert repr(scorer) == f"sksegment.metrics.{name}"


def test_a_named_scorer_with_a_request_keeps_it_when_pickled(monkeypatch):
    scorer = metrics.dice_scorer
    monkeypatch.setattr(scorer, "_sample_weight_request", None)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer.set_score_request(sample_weight=True)
        copy = pickle.loads(pickle.dumps(scorer))
        assert copy is not scorer  # another process would find none under the name
        assert copy.get_metadata_routing().score.requests == {"sample_weight": True}


def test_made_scorers_pickle_and_show_how_they_were_made():
    X, y, _ = drawn()
    model = Threshold(0.9, ignore_label=255).fit(X, y)
    scorer = make_segmentation_scorer(
        mean_error, response_method="predict", greater_is_better=False
    )
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(model, X, y) == scorer(model, X, y)
    assert repr(scorer) == (
        "make_segmentation_scorer(mean_error, greater_is_better=False)"
    )
    scorer = make_segmentation_scorer(
        pixel_log_loss, response_method="predict_proba", ignore_label=3
    )
    assert repr(scorer) == (
        "make_segmentation_scorer(pixel_log_loss, response_method='predict_proba', "
        "ignore_label=3)"
    )


# --- The module


def test_every_score_is_streamed_and_every_name_is_there():
    scores = {
        iou_score,
        dice_score,
        pixel_accuracy_score,
        mean_accuracy_score,
        pixel_log_loss,
        boundary_iou_score,
        boundary_f1_score,
        surface_dice_score,
        hausdorff_distance,
        expected_calibration_error,
    }
    assert scores == set(SCORES)
    assert set(metrics.__all__) <= set(dir(metrics))
    assert all(hasattr(metrics, name) for name in metrics.__all__)


def test_the_import_is_light():
    code = (
        "import sys, sksegment.metrics as m; m.iou_scorer;"
        "heavy = 'torch', 'skorch', 'matplotlib', 'sklearn.metrics';"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_named_labels_beyond_int64_stay_whole():
    labels = [0, 2**63, 2**64 - 1]
    masks = np.array([[labels]], np.uint64)
    report = segmentation_report(masks, masks, labels=labels, output_dict=True)
    assert {*map(str, labels)} <= report.keys()
