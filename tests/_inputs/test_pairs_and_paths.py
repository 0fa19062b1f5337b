"""Datasets of pairs, missing paths, tables of paths: errors name the argument."""

from collections import UserList, deque

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sksegment import FCNSegmenter
from sksegment.datasets import colors_to_labels, make_shapes
from sksegment.metrics import iou_score, pixel_confusion_matrix

X, y = make_shapes(4, size=16, random_state=0)
NAMES = ["a.png", "b.png", "c.png", "d.png"]


class Dataset:
    """Items by position, as in torch."""

    def __init__(self, items, error=IndexError):
        self._items, self._error = list(items), error

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        if index >= len(self._items):
            raise self._error(index)
        return self._items[index]


def segmenter(**parameters):
    return FCNSegmenter(width=4, depth=1, max_epochs=1, random_state=0, **parameters)


def fit(images, masks=y):
    return segmenter().fit(images, masks)


PAIRS = list(zip(X, y, strict=True))
GREY_PAIRS = list(zip(X[..., 0], y, strict=True))
COLLECTIONS = {
    "pairs in a dataset": Dataset(PAIRS),
    "grey pairs in a dataset": Dataset(GREY_PAIRS),
    "pairs of tensors": torch.utils.data.TensorDataset(
        torch.from_numpy(X), torch.from_numpy(y)
    ),
    "a subset of pairs": torch.utils.data.Subset(Dataset(PAIRS), range(4)),
    "pairs in a list": PAIRS,
    "grey pairs in a list": GREY_PAIRS,
    "lists of two": [list(pair) for pair in PAIRS],
    "pairs in a tuple": tuple(PAIRS),
    "pairs in a deque": deque(PAIRS),
    "triples": [(*pair, index) for index, pair in enumerate(PAIRS)],
    "pairs of paths": list(zip(NAMES, NAMES, strict=True)),
    "lists of one path": [[name] for name in NAMES],
    "pairs of pictures": [(Image.new("L", (8, 8)), Image.new("L", (8, 8)))] * 4,
}


@pytest.mark.parametrize("data", COLLECTIONS)
def test_pairs_are_refused_with_argument_and_position(data):
    with pytest.raises(TypeError, match=r"^X\[0\] is a (tuple|list) of [123] \("):
        fit(COLLECTIONS[data])
    with pytest.raises(TypeError, match=r"^y\[0\] is a (tuple|list) of [123] \("):
        fit(X, COLLECTIONS[data])


@pytest.mark.parametrize("make", [Dataset, deque, UserList])
def test_other_sequences_of_images_are_taken_as_lists(make):
    expected = fit(list(X), list(y)).predict(list(X))
    found = fit(make(X), make(y)).predict(make(X))
    np.testing.assert_array_equal(np.stack(found), np.stack(expected))


def test_items_that_cannot_be_read_by_position_name_the_argument():
    with pytest.raises(TypeError, match=r"^X is a Dataset, whose items cannot be read"):
        fit(type("Dataset", (Dataset,), {"__len__": lambda self: 5})(X))


MISSING = [np.nan, None, pd.NA, pd.NaT, np.float32("nan")]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
@pytest.mark.parametrize("make", [pd.Series, list, lambda x: np.array(x, object)])
def test_a_missing_path_is_named_by_its_position(missing, make):
    paths = make([NAMES[0], missing, *NAMES[2:]])
    with pytest.raises(TypeError, match=r"^X has nothing at position 1"):
        fit(paths)
    with pytest.raises(TypeError, match=r"^y has nothing at position 1"):
        fit(X, paths)


def test_a_missing_image_is_named_by_its_position():
    with pytest.raises(TypeError, match=r"^X has nothing at position 2"):
        fit([X[0], X[1], None, X[3]])


@pytest.mark.parametrize("make", [np.array, lambda x: np.array(x, object)])
@pytest.mark.parametrize("axes", [(4, 1), (1, 4), (2, 2)])
def test_paths_along_two_axes_are_refused(make, axes):
    paths = make(NAMES).reshape(axes)
    with pytest.raises(ValueError, match=r"^X has shape .*'a\.png'.*one axis"):
        fit(paths)
    with pytest.raises(ValueError, match=r"^y has shape .*'a\.png'.*one axis"):
        fit(X, paths)


@pytest.mark.parametrize("columns", [["path"], ["path", "mask"]])
def test_tables_of_paths_are_refused(columns):
    table = pd.DataFrame({"path": NAMES, "mask": NAMES})[columns]
    with pytest.raises(TypeError, match=r"^X is a DataFrame"):
        fit(table)
    with pytest.raises(TypeError, match=r"^y is a DataFrame"):
        fit(X, table)


class Unwilling:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no data here")


def test_objects_that_do_not_convert_name_the_argument():
    with pytest.raises(TypeError, match=r"^X is a Unwilling.*no data here"):
        fit(Unwilling())
    with pytest.raises(TypeError, match=r"^image 1 is a Unwilling.*no data here"):
        fit([X[0], Unwilling(), X[2], X[3]])
    with pytest.raises(ValueError, match=r"^image 0 is not a rectangular array"):
        fit([[[[1, 2], [3]]]], y[:1])


LABELS = {
    "numbers and text": [0, "void"],
    "text and bytes": [b"a", "void"],
    "integers that a float does not hold": [2**60 + 1, 1.0],
    "integers of no common dtype": [2**63 + 1, -1],
    "a boolean and text": [True, "void"],
}


@pytest.mark.parametrize("labels", LABELS)
def test_labels_are_never_turned_into_others(labels):
    labels = LABELS[labels]
    for call in (
        lambda: segmenter(classes=labels).fit(X, y),
        lambda: segmenter().partial_fit(X, y, classes=labels),
        lambda: pixel_confusion_matrix(y, y, labels=labels),
        lambda: iou_score(y, y, labels=labels),
        lambda: colors_to_labels(
            np.zeros((1, 2, 2, 3), int),
            {label: (i, 0, 0) for i, label in enumerate(labels)},
        ),
    ):
        with pytest.raises(TypeError, match="would become"):
            call()


@pytest.mark.parametrize("text", ["void", b"void"])
def test_masks_of_numbers_and_text_are_refused(text):
    masks = y.tolist()
    masks[2][0][0] = text
    with pytest.raises(TypeError, match="mixed objects"):
        fit(X, masks)
    with pytest.raises(TypeError, match=r"^mask 2 holds mixed objects"):
        fit(
            list(X),
            [np.array(mask) if i != 2 else mask for i, mask in enumerate(masks)],
        )


def test_labels_of_one_kind_stay_as_they_are():
    masks = np.zeros((1, 1, 2, 3), int)
    masks[0, 0, 1] = 1
    table = {"road": (0, 0, 0), "void": (1, 1, 1)}
    assert colors_to_labels(masks, table).tolist() == [[["road", "void"]]]
    table = {0: (0, 0, 0), 300: (1, 1, 1)}
    found = colors_to_labels(masks, table)
    assert found.tolist() == [[[0, 300]]]
    assert found.dtype == np.uint16
