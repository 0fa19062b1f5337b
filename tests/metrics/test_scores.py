"""Scores of masks: overlap, accuracy, log loss and the confusion matrix."""

from __future__ import annotations

import tracemalloc
import warnings
from functools import partial

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.exceptions import DataConversionWarning, UndefinedMetricWarning

from helpers.metrics import CLOSE, masks_with, object_array
from sksegment.metrics import (
    dice_score,
    iou_score,
    mean_accuracy_score,
    pixel_accuracy_score,
    pixel_confusion_matrix,
    pixel_log_loss,
)
from sksegment.metrics._counting import count_codes

EXACT = {"rtol": 1e-12, "atol": 1e-12}

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


@pytest.mark.parametrize("byte", [1, 2, 255])
def test_views_as_bool_are_true_whatever_their_bytes(byte):
    y_true = np.array([[[False, True]]])
    y_pred = np.full((1, 1, 2), byte, np.uint8).view(bool)
    assert pixel_confusion_matrix(y_true, y_pred).tolist() == [[0, 1], [0, 1]]


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
