"""Dicts, sets and masked arrays are refused by name wherever a list is expected."""

from collections import Counter, OrderedDict
from types import MappingProxyType

import numpy as np
import pytest

from sksegment import FCNSegmenter, SegmentationDisplay, iou_scorer
from sksegment._inputs.containers import check_ordered, has_no_order
from sksegment.augmentation import RandomZoom
from sksegment.datasets import check_masks, colors_to_labels, make_shapes, save_masks
from sksegment.metrics import (
    dice_score,
    iou_score,
    pixel_confusion_matrix,
    pixel_log_loss,
    segmentation_report,
)
from sksegment.model_selection import SpatialBlockKFold, StratifiedImageKFold

X, y = make_shapes(4, size=16, n_classes=3, random_state=0)
GREY = X.mean(axis=-1)
POSITIONS = [(0, 0), (0, 16), (16, 0), (16, 16)]
PROBA = np.full((4, 3, 16, 16), 1 / 3)


class Group:
    """What h5py and zarr call a group: arrays by name."""

    def __len__(self):
        return 4

    def keys(self):
        return iter("abcd")

    def __iter__(self):
        return self.keys()

    def __getitem__(self, name):
        if not isinstance(name, str):
            raise TypeError("Accessing a group is done with bytes or str")
        return X[0]


def unordered(values):
    """Return containers of these values that no position can be asked of."""
    by_key = dict(enumerate(values))
    return [
        by_key,
        OrderedDict(by_key),
        MappingProxyType(by_key),
        by_key.keys(),
        Counter(),
        set(),
        frozenset([1]),
        Group(),
    ]


def segmenter(**parameters):
    return FCNSegmenter(width=4, depth=1, max_epochs=1, random_state=0, **parameters)


def masked(values):
    return np.ma.masked_array(np.asarray(values), np.asarray(values) == 1)


def refuses(call, name):
    with pytest.raises(TypeError, match=name):
        call()


@pytest.mark.parametrize("data", unordered([1.0] * 4), ids=lambda data: type(data))
def test_containers_without_order_are_refused_by_name(data):
    assert has_no_order(data)
    refuses(
        lambda: check_ordered("labels", data), f"^labels is a {type(data).__name__}"
    )
    refuses(lambda: check_ordered("labels", [0, [1, data]]), r"^labels\[1\]\[1\] is a")
    refuses(lambda: segmenter().fit(X, y, sample_weight=data), "^sample_weight is a")
    refuses(lambda: segmenter().fit(data, y), "^X is a")
    refuses(lambda: segmenter().fit(X, data), "^y is a")
    refuses(lambda: segmenter(classes=data).fit(X, y), "^classes is a")


@pytest.mark.parametrize(
    "data", [[1, 2], (1, 2), np.ones(3), np.array([None, 1]), "ab", None, 3, [[[1.0]]]]
)
def test_what_has_an_order_is_accepted(data):
    check_ordered("labels", data)


WEIGHTS = np.ones(y.shape)
CALLS = {
    "fit": (lambda bad: segmenter().fit(X, y, sample_weight=bad), WEIGHTS),
    "fit, one each": (lambda bad: segmenter().fit(X, y, bad), np.ones(4)),
    "fit, a list": (lambda bad: segmenter().fit(X, y, list(bad)), WEIGHTS),
    "validation": (
        lambda bad: segmenter().fit(X, y, X_val=X, y_val=y, sample_weight_val=bad),
        WEIGHTS,
    ),
    "partial_fit": (
        lambda bad: segmenter().partial_fit(X, y, [0, 1, 2], sample_weight=bad),
        WEIGHTS,
    ),
    "score": (lambda bad: FITTED.score(X, y, sample_weight=bad), WEIGHTS),
    "scorer": (lambda bad: iou_scorer(FITTED, X, y, sample_weight=bad), np.ones(4)),
    "iou_score": (lambda bad: iou_score(y, y, sample_weight=bad), WEIGHTS),
    "report": (lambda bad: segmentation_report(y, y, sample_weight=bad), np.ones(4)),
}
FITTED = segmenter(classes=[0, 1, 2]).fit(X, y)


@pytest.mark.parametrize("call", CALLS)
def test_masked_weights_are_refused(call):
    function, weights = CALLS[call]
    refuses(lambda: function(masked(weights)), r"sample_weight.*filled\(0\)")


ARGUMENTS = {
    "classes": lambda bad: segmenter(classes=bad).fit(X, y),
    "classes of partial_fit": lambda bad: segmenter().partial_fit(X, y, classes=bad),
    "labels": lambda bad: pixel_confusion_matrix(y, y, labels=bad),
    "labels of the log loss": lambda bad: pixel_log_loss(y, PROBA, labels=bad),
    "exclude": lambda bad: dice_score(y, y, exclude=bad),
    "target_names": lambda bad: segmentation_report(y, y, target_names=bad),
    "classes of a display": lambda bad: SegmentationDisplay.from_predictions(
        X, y, y, classes=bad
    ),
    "palette": lambda bad: save_masks(y, ["a.png"] * 4, palette=bad),
    "paths": lambda bad: save_masks(y, bad),
    "groups": lambda bad: next(
        SpatialBlockKFold(2, block_size=16).split(X, y, groups=bad)
    ),
    "y_true": lambda bad: iou_score(bad, y),
    "y_pred": lambda bad: iou_score(y, bad),
    "y_proba": lambda bad: pixel_log_loss(y, bad),
    "X of predict": lambda bad: FITTED.predict(bad),
    "y of a splitter": lambda bad: next(StratifiedImageKFold(2).split(X, bad)),
    "X_val": lambda bad: segmenter().fit(X, y, X_val=bad, y_val=y),
    "y_val": lambda bad: segmenter().fit(X, y, X_val=X, y_val=bad),
}


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("bad", [{0: 0, 1: 1}, {0, 1, 2}], ids=["dict", "set"])
def test_arguments_refuse_what_has_no_order(argument, bad):
    refuses(lambda: ARGUMENTS[argument](bad), "whose items have no positions")


@pytest.mark.parametrize("argument", ["classes", "labels", "exclude", "target_names"])
def test_arguments_refuse_masked_lists(argument):
    refuses(lambda: ARGUMENTS[argument](masked([0, 1, 2])), "masked array")
    refuses(lambda: ARGUMENTS[argument]([0, np.ma.masked, 2]), r"\[1\] is a masked")


def test_masked_positions_and_palettes_are_refused():
    refuses(lambda: ARGUMENTS["groups"](masked(POSITIONS)), "groups is a masked")
    refuses(lambda: ARGUMENTS["palette"](masked([[1, 2, 3]] * 3)), "palette is a mask")
    refuses(lambda: ARGUMENTS["y_proba"](masked(PROBA)), "y_proba is a masked")
    refuses(lambda: RandomZoom(masked([0.5, 2.0])).fit(X), "scale is a masked")
    colors = {0: masked([1, 2, 3])}
    refuses(lambda: colors_to_labels(np.ones((1, 2, 2, 3), int), colors), "masked")


@pytest.mark.parametrize("make", [list, tuple])
def test_masked_arrays_in_lists_are_refused_with_their_position(make):
    images = make([GREY[0], np.ma.masked_less(GREY[1], 0.5), *GREY[2:]])
    refuses(lambda: segmenter().fit(images, y), r"X\[1\] is a masked array")
    masks = make([*y[:3], masked(y[3])])
    refuses(lambda: segmenter().fit(X, masks), r"y\[3\] is a masked array")


def test_masked_rows_of_nested_lists_are_refused():
    images = [[np.ma.masked_less(row, 0.5) for row in image] for image in GREY]
    refuses(lambda: segmenter().fit(images, y), r"X\[0\]\[0\] is a masked array")


def test_names_by_label_stay_allowed():
    names = {0: "sky", 1: "road", 2: "car"}
    display = SegmentationDisplay.from_predictions(X, y, y, class_names=names)
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert {"sky", "road", "car"} <= set(texts)


def test_a_set_of_names_is_refused():
    refuses(
        lambda: SegmentationDisplay.from_predictions(X, y, y, class_names={"a", "b"}),
        "class_names is a set",
    )


def test_the_doctor_still_finds_masked_masks():
    assert check_masks(X, masked(y))[0].kind == "masked"
