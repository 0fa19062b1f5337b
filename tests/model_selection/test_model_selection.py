"""The splitters: what they promise of each fold, and that scikit-learn takes them."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from sksegment.metrics import iou_scorer
from sksegment.model_selection import (
    SpatialBlockKFold,
    StratifiedImageKFold,
    cut_blocks,
)
from sksegment.model_selection._blocks import is_near

Masks = list[np.ndarray]


class MostFrequent(ClassifierMixin, BaseEstimator):
    """Predicts one label everywhere: the most frequent, or the one it is told."""

    def __init__(self, label: int | None = None) -> None:
        self.label = label

    def fit(self, X: Any, y: Any) -> MostFrequent:
        pixels = np.concatenate([np.ravel(read(mask)) for mask in y])
        self.classes_, counts = np.unique(pixels, return_counts=True)
        frequent = self.classes_[counts.argmax()]
        self.label_ = frequent if self.label is None else self.label
        return self

    def predict(self, X: Any) -> np.ndarray:
        masks = [np.full(np.shape(read(image))[:2], self.label_) for image in X]
        predictions = np.empty(len(masks), dtype=object)
        predictions[:] = masks
        return predictions


def read(item: Any) -> np.ndarray:
    is_path = isinstance(item, (str, Path))
    return np.asarray(Image.open(item)) if is_path else np.asarray(item)


def masks_with(presence: np.ndarray, rng: np.random.Generator) -> Masks:
    """Masks of different sizes with these classes, in areas of different sizes."""
    masks = []
    for row in presence:
        labels = np.flatnonzero(row)
        mask = np.full((int(rng.integers(4, 9)), 24), 99, np.uint8)
        for position, label in enumerate(labels):
            mask[: rng.integers(1, 5), 3 * position : 3 * position + 3] = label
        masks.append(mask)
    return masks


def quiet_folds(cv: Any, y: Any, groups: Any = None) -> list[tuple[Any, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(cv.split(y, y, groups))


def missing(presence: np.ndarray, tests: Any) -> int:
    return sum(int((~presence[list(test)].any(axis=0)).sum()) for test in tests)


def unevenness(pixels: np.ndarray, tests: Any) -> float:
    """How far the folds' shares of the pixels of each class are from equal."""
    shares = np.array([pixels[test].sum(axis=0) for test in tests]) / pixels.sum(axis=0)
    return float(shares.std(axis=0).mean())


# StratifiedImageKFold


@pytest.mark.parametrize("n, n_splits", [(2, 2), (7, 2), (10, 5), (23, 5), (31, 7)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_image_is_tested_once_in_folds_of_one_size(
    n: int, n_splits: int, shuffle: bool
) -> None:
    rng = np.random.default_rng(n)
    y = masks_with(rng.random((n, 5)) < 0.4, rng)
    cv = StratifiedImageKFold(n_splits, shuffle=shuffle, ignore_label=99)
    folds = quiet_folds(cv, y)
    assert len(folds) == n_splits == cv.get_n_splits(y, y)
    assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), range(n))
    for train, test in folds:
        assert_array_equal(np.union1d(train, test), range(n))
        assert not np.intersect1d(train, test).size
        assert n // n_splits <= len(test) <= -(-n // n_splits)
        assert (np.diff(train) > 0).all()
        assert train.dtype == np.intp


@pytest.mark.parametrize("seed", range(60))
def test_no_class_is_missing_where_that_can_be_avoided(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_splits = int(rng.integers(2, 4))
    n = int(rng.integers(2 * n_splits, 10))
    presence = rng.random((n, int(rng.integers(2, 7)))) < rng.uniform(0.2, 0.7)
    presence = presence[:, presence.any(axis=0)]
    if not presence.size:
        return
    y = masks_with(presence, rng)
    folds = quiet_folds(StratifiedImageKFold(n_splits, ignore_label=99), y)
    assert missing(presence, [t for _, t in folds]) == fewest_missing(
        presence, n_splits
    )


def fewest_missing(presence: np.ndarray, n_splits: int) -> int:
    """Try all divisions into folds whose sizes differ by one at most."""
    best = presence.shape[1] * n_splits
    n = len(presence)
    for rest in itertools.product(range(n_splits), repeat=n - 1):
        division = np.array((0, *rest))
        sizes = np.bincount(division, minlength=n_splits)
        if sizes.max() - sizes.min() <= 1:
            tests = [np.flatnonzero(division == fold) for fold in range(n_splits)]
            best = min(best, missing(presence, tests))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_more_even_than_those_of_kfold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.gamma(0.5, 100.0, (60, 6)).astype(int) + 1
    pixels[:, 5] *= rng.random(60) < 0.4
    y = [np.repeat(np.arange(6), row)[None] for row in pixels]
    tests = [test for _, test in StratifiedImageKFold(5).split(y, y)]
    plain = [test for _, test in KFold(5, shuffle=True, random_state=seed).split(y)]
    assert unevenness(pixels, tests) < 0.4 * unevenness(pixels, plain)


def test_rare_classes_of_sorted_data_reach_every_fold() -> None:
    y = np.zeros((40, 6, 6), np.uint8)
    y[35:, 0, 0] = 7
    presence = np.stack([np.ones(40, bool), (y == 7).any(axis=(1, 2))], axis=1)
    assert missing(presence, [t for _, t in KFold(5).split(y)]) == 4
    tests = [test for _, test in StratifiedImageKFold(5).split(y, y)]
    assert missing(presence, tests) == 0


def test_folds_are_the_same_again_and_drawn_by_the_seed() -> None:
    y = np.random.default_rng(0).integers(0, 3, (20, 4, 4))

    def tests(**parameters: Any) -> list[list[int]]:
        cv = StratifiedImageKFold(4, **parameters)
        return [test.tolist() for _, test in cv.split(y, y)]

    assert tests() == tests()
    first = tests(shuffle=True, random_state=1)
    assert first == tests(shuffle=True, random_state=1)
    assert first != tests(shuffle=True, random_state=2)
    assert first == tests(shuffle=True, random_state=np.random.RandomState(1))


def test_global_generator_is_not_moved() -> None:
    y = np.random.default_rng(0).integers(0, 3, (8, 4, 4))
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    list(StratifiedImageKFold(2, shuffle=True).split(y, y))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("kind", ["strings", "bool", "negative", "paths"])
def test_masks_of_any_kind_are_split_alike(kind: str, tmp_path: Path) -> None:
    y = (np.arange(60).reshape(15, 2, 2) % 7 < 2).astype(np.uint8)
    expected = [test.tolist() for _, test in StratifiedImageKFold(3).split(y, y)]
    names = np.array(["sky", "tree"])
    as_kind: Any = {
        "strings": names[y],
        "bool": y.astype(bool),
        "negative": y.astype(int) - 5,
        "paths": [tmp_path / f"{index}.png" for index in range(15)],
    }[kind]
    if kind == "paths":
        for path, mask in zip(as_kind, y, strict=True):
            Image.fromarray(mask).save(path)
    assert [
        t.tolist() for _, t in StratifiedImageKFold(3).split(y, as_kind)
    ] == expected


def test_labels_beyond_float64_are_classes_of_their_own() -> None:
    y = [np.array([[7, 2**53 + index % 2]], "qQ"[index // 2]) for index in range(4)]
    expected = [np.array([[7, 8 + index % 2]]) for index in range(4)]
    found = [t.tolist() for _, t in StratifiedImageKFold(2).split(y, y)]
    assert found == [t.tolist() for _, t in StratifiedImageKFold(2).split(y, expected)]
    with pytest.warns(UserWarning, match="740992, 9007199254740993, which"):
        list(StratifiedImageKFold(2).split(y[::3], y[::3]))


@pytest.mark.parametrize(
    "labels, kinds",
    [("ab", "strings and of numbers"), ([b"a"], "numbers and of bytes")],
)
def test_masks_of_several_kinds_are_refused(labels: Any, kinds: str) -> None:
    y = [np.zeros((2, 2), int), np.full((2, 2), labels[0])]
    with pytest.raises(TypeError, match=f"y mixes masks of {kinds}"):
        list(StratifiedImageKFold(2).split(y, y))


def test_images_without_a_label_are_spread_as_well() -> None:
    y = np.full((9, 3, 3), 255)
    folds = list(StratifiedImageKFold(3, ignore_label=255).split(y, y))
    assert [len(test) for _, test in folds] == [3, 3, 3]


def test_classes_that_a_fold_must_miss_are_named() -> None:
    y = np.zeros((10, 4, 4), int)
    y[3, 0] = 42
    with pytest.warns(UserWarning, match=r"n_splits=5 .* classes 42, .* in 1 images"):
        list(StratifiedImageKFold(5).split(y, y))


def test_many_images_are_divided_fast() -> None:
    rng = np.random.default_rng(0)
    pixels = np.where(rng.random((1500, 21)) < 0.1, rng.integers(1, 99, (1500, 21)), 0)
    pixels[:, 0] += 1
    y = [np.repeat(np.arange(21), row)[None] for row in pixels]
    tests = [test for _, test in StratifiedImageKFold(5).split(y, y)]
    assert unevenness(pixels, tests) < 0.01


def test_road_scenes_keep_their_rare_classes(shared_data: Path) -> None:
    folder = shared_data / "camvid" / "val" / "masks"
    paths = sorted(folder.glob("*.png"))[:40]
    pixels = np.array([np.bincount(read(p).ravel(), minlength=12)[:11] for p in paths])
    cv = StratifiedImageKFold(4, ignore_label=11)
    tests = [test for _, test in cv.split(paths, paths)]
    plain = [test for _, test in KFold(4, shuffle=True, random_state=0).split(paths)]
    assert missing(pixels > 0, tests) == 0
    assert unevenness(pixels, tests) < 0.5 * unevenness(pixels, plain)


@pytest.mark.parametrize(
    "parameters, error, message",
    [
        (
            {"n_splits": 1},
            ValueError,
            "n_splits is 1; .* of at least 2",
        ),
        ({"n_splits": 2.5}, TypeError, "n_splits is 2.5; expected an integer"),
        ({"n_splits": True}, TypeError, "n_splits is True"),
        (
            {"n_splits": 7},
            ValueError,
            "n_splits=7 greater than the number of samples: 6",
        ),
        ({"shuffle": 1}, TypeError, "shuffle is 1; expected True or False"),
        ({"random_state": 3}, ValueError, "random_state=3 has no effect"),
    ],
)
def test_bad_parameters_raise(
    parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    y = np.zeros((6, 4, 4), int)
    with pytest.raises(error, match=message):
        list(StratifiedImageKFold(**parameters).split(y, y))


def test_bad_masks_raise() -> None:
    y = np.zeros((6, 4, 4), int)
    cv = StratifiedImageKFold(2)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        list(cv.split(y[:4], y))
    with pytest.raises(ValueError, match="target y is None"):
        list(cv.split(y, None))
    with pytest.raises(TypeError, match="strings and of numbers"):
        list(cv.split([0, 1], [y[0], np.full((4, 4), "sky")]))
    many = np.arange(9999).reshape(1, 99, 101).repeat(2, axis=0)
    with pytest.raises(ValueError, match=r"9999 different .* instance numbers"):
        list(cv.split(many, many))


# In scikit-learn's tools


@pytest.mark.parametrize("container", ["array", "list", "paths"])
def test_scikit_learn_takes_the_splitter(container: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X: Any = rng.integers(0, 255, (12, 6, 8), np.uint8)
    y: Any = rng.integers(0, 2, (12, 6, 8), np.uint8)
    if container == "list":
        X, y = [[a[: 3 + i % 3] for i, a in enumerate(data)] for data in (X, y)]
    if container == "paths":
        X, y = saved(X, tmp_path / "X"), saved(y, tmp_path / "y")
    cv = StratifiedImageKFold(3)
    scores = cross_val_score(MostFrequent(), X, y, cv=cv, scoring=iou_scorer)
    assert np.isfinite(scores).all()
    search = GridSearchCV(MostFrequent(), {"label": [0, 1]}, cv=cv, scoring=iou_scorer)
    assert search.fit(X, y).best_params_["label"] in (0, 1)
    assert search.n_splits_ == 3
    assert clone(search).cv.n_splits == 3


def saved(arrays: Any, folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index}.png" for index in range(len(arrays))]
    for array, path in zip(arrays, paths, strict=True):
        Image.fromarray(array).save(path)
    return paths


def test_splitters_say_what_they_are() -> None:
    assert "n_splits=3" in repr(StratifiedImageKFold(3))
    assert "block_size=64" in repr(SpatialBlockKFold(block_size=64))


# cut_blocks


@pytest.mark.parametrize("block_size", [1, 5, (4, 7), 100])
def test_blocks_cover_the_images_once(block_size: Any) -> None:
    rng = np.random.default_rng(0)
    X = [rng.random((11, 13, 2)), rng.random((6, 20, 2))]
    y = [rng.integers(0, 9, image.shape[:2]) for image in X]
    X_blocks, y_blocks, positions = cut_blocks(X, y, block_size)
    images, masks = [np.zeros_like(a) for a in X], [np.full_like(a, -1) for a in y]
    for image, mask, place in zip(X_blocks, y_blocks, positions, strict=True):
        index, row, column = place
        area = slice(row, row + len(mask)), slice(column, column + mask.shape[1])
        assert (masks[index][area] == -1).all()
        images[index][area], masks[index][area] = image, mask
    for before, after in zip(X + y, images + masks, strict=True):
        assert_array_equal(before, after)


def test_blocks_of_an_array_are_views(tmp_path: Path) -> None:
    image = np.memmap(tmp_path / "large", np.uint8, "w+", shape=(40, 60))
    X, y, _ = cut_blocks(image[np.newaxis], image[np.newaxis], 16)
    assert all(np.shares_memory(block, image) for block in X + y)
    assert X[0].shape == (16, 16, 1)


@pytest.mark.parametrize(
    "block_size, error", [(0, ValueError), (2.0, TypeError), ((3,), TypeError),
                          ((3, -1), ValueError), (True, TypeError), (None, TypeError)],
)  # fmt: skip
def test_bad_block_sizes_raise(block_size: Any, error: type[Exception]) -> None:
    y = np.zeros((1, 8, 8), int)
    with pytest.raises(error, match="block_size is"):
        cut_blocks(y, y, block_size)


def test_cutting_what_does_not_belong_together_raises() -> None:
    with pytest.raises(ValueError, match="expected the same"):
        cut_blocks([np.zeros((8, 8))], [np.zeros((8, 9), int)], 4)
    with pytest.raises(ValueError, match=r"wrap a single image as X\[np.newaxis\]"):
        cut_blocks(np.zeros((8, 8)), np.zeros((8, 8), int), 4)


# SpatialBlockKFold


def tiles(n_images: int = 2, size: Any = (96, 130), tile: int = 16) -> tuple[Any, ...]:
    y = np.zeros((n_images, *size), np.uint8)
    y[:, ::3] = 1
    return cut_blocks(y, y, tile)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("margin", [0, 1, 16, 20])
def test_buffers_are_at_least_the_margin(shuffle: bool, margin: int) -> None:
    X, y, positions = tiles()
    parameters = {"shuffle": shuffle, "random_state": 0 if shuffle else None}
    cv = SpatialBlockKFold(4, block_size=48, margin=margin, **parameters)
    folds = list(cv.split(X, y, positions))
    assert_array_equal(np.sort(np.concatenate([t for _, t in folds])), range(len(y)))
    for train, test in folds:
        canvas = np.zeros((2, 96, 130), np.int8)
        paint(canvas, y, positions, test, 1)
        grown = np.zeros_like(canvas)
        for index, row, column in np.argwhere(canvas):
            top, left = max(row - margin, 0), max(column - margin, 0)
            grown[index, top : row + margin + 1, left : column + margin + 1] = 1
        for index in range(len(y)):
            place, size = positions[index], y[index].shape
            area = (place[0], slice(place[1], place[1] + size[0]),
                    slice(place[2], place[2] + size[1]))  # fmt: skip
            # Left out if and only if it reaches into the buffer.
            assert (index in train) == (not grown[area].any())


def paint(canvas: Any, y: Any, positions: Any, chosen: Any, value: int) -> None:
    for index in chosen:
        image, row, column = positions[index]
        height, width = y[index].shape
        canvas[image, row : row + height, column : column + width] = value


@pytest.mark.parametrize("shuffle", [False, True])
def test_blocks_stay_whole(shuffle: bool) -> None:
    X, y, positions = tiles()
    cv = SpatialBlockKFold(3, block_size=(32, 64), shuffle=shuffle)
    block = positions // [1, 32, 64]
    for _, test in cv.split(X, y, positions):
        inside = {tuple(b) for b in block[test].tolist()}
        outside = {tuple(b) for b in np.delete(block, test, axis=0).tolist()}
        assert not inside & outside


def test_overlapping_tiles_never_train_and_test_together() -> None:
    corners = np.array([(row, column) for row in range(0, 80, 8) for column in (0, 8)])
    y = np.zeros((len(corners), 16, 16), int)
    for train, test in SpatialBlockKFold(4, block_size=20).split(y, y, corners):
        sizes = np.full((len(corners), 2), 16)
        positions = np.column_stack([np.zeros(len(corners), int), corners])
        assert not is_near(positions, sizes, test, 0)[train].any()
        touching = np.abs(corners[train][:, None] - corners[test][None]).max(axis=-1)
        assert touching.min() >= 16


def test_images_do_not_buffer_each_other() -> None:
    y = np.zeros((2, 8, 8), int)
    positions = [[0, 0, 0], [1, 0, 0]]
    cv = SpatialBlockKFold(2, block_size=8, margin=1000)
    folds = [(a.tolist(), b.tolist()) for a, b in cv.split(y, y, positions)]
    assert folds == [([1], [0]), ([0], [1])]


def test_positions_in_one_image_need_no_image_number() -> None:
    X, y, positions = tiles(n_images=1)
    cv = SpatialBlockKFold(3, block_size=32, margin=5)
    pairs = zip(
        cv.split(X, y, positions), cv.split(X, groups=positions[:, 1:]), strict=True
    )
    for with_image, without in pairs:
        assert_array_equal(with_image[0], without[0])
        assert_array_equal(with_image[1], without[1])


def test_blocks_work_in_scikit_learn() -> None:
    X, y, positions = tiles()
    cv = SpatialBlockKFold(3, block_size=48, margin=10)
    scores = cross_val_score(
        MostFrequent(), X, y, cv=cv, groups=positions, scoring=iou_scorer
    )
    assert scores.shape == (3,)
    search = GridSearchCV(MostFrequent(), {"label": [0, 1]}, cv=cv, scoring=iou_scorer)
    assert search.fit(X, y, groups=positions).best_params_ == {"label": 0}


def test_groups_are_routed_to_blocks() -> None:
    request = SpatialBlockKFold(3, block_size=48).get_metadata_routing()
    assert request.split.requests == {"groups": True}


@pytest.mark.parametrize(
    "parameters, error, message",
    [
        ({"n_splits": 1}, ValueError, "n_splits is 1"),
        (
            {"n_splits": 100},
            ValueError,
            "number of blocks: 15. Make block_size smaller",
        ),
        ({"block_size": 0}, ValueError, "block_size is 0"),
        ({"block_size": 10**30}, ValueError, "number of blocks: 1. Make block_size"),
        ({"margin": -1}, ValueError, "margin is -1; expected an integer of at least 0"),
        ({"margin": None}, TypeError, "a network that sees the whole image"),
        ({"margin": 2.5}, TypeError, "margin is 2.5"),
        (
            {"margin": 500},
            ValueError,
            "margin=500 leaves no training sample for fold 0",
        ),
    ],
)
def test_bad_block_parameters_raise(
    parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    X, y, positions = tiles(n_images=1)
    cv = SpatialBlockKFold(**{"n_splits": 3, "block_size": 32, **parameters})
    with pytest.raises(error, match=message):
        list(cv.split(X, y, positions))


@pytest.mark.parametrize(
    "groups, error, message",
    [
        (None, ValueError, "'groups' parameter should not be None"),
        (np.zeros(4), ValueError, r"groups has shape \(4,\)"),
        (np.zeros((4, 4)), ValueError, r"groups has shape \(4, 4\)"),
        ([(0, 0), (0, 0, 8)] * 2, ValueError, "groups holds positions of different le"),
        (np.zeros((3, 2)), ValueError, "3 positions for 4 samples"),
        (np.full((4, 2), 0.5), ValueError, "fractions"),
        (np.full((4, 2), -1), ValueError, "negative"),
        (np.full((4, 2), "a"), TypeError, "dtype <U1"),
    ],
)
def test_bad_positions_raise(groups: Any, error: type[Exception], message: str) -> None:
    y = np.zeros((4, 8, 8), int)
    with pytest.raises(error, match=message):
        list(SpatialBlockKFold(2, block_size=8).split(y, y, groups))
