"""Inputs that are refused: what the message names, and what is left behind."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import NotFittedError
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
)
from torch import nn

from sksegment import FCNSegmenter, iou_scorer
from sksegment.datasets import make_shapes

X, y = make_shapes(6, size=16, n_classes=3, random_state=0)
X.flags.writeable = y.flags.writeable = False


def small(**parameters: Any) -> FCNSegmenter:
    sizes = {"depth": 1, "width": 2, "batch_size": 8}
    defaults = {"max_epochs": 1, "random_state": 0, **sizes}
    return FCNSegmenter(**{**defaults, **parameters})


def changed(array: np.ndarray, where: Any, value: Any, dtype: Any = None) -> np.ndarray:
    copy = array.astype(dtype or array.dtype)
    copy[where] = value
    return copy


def images_with_bad(index: int, image: Any) -> list[Any]:
    images: list[Any] = list(X)
    images[index] = image
    return images


IMAGES: dict[str, tuple[Any, type[Exception], str]] = {
    "one color image": (X[0], ValueError, "wrap"),
    "one grey image": (X[0, :, :, 0], ValueError, "np.newaxis"),
    "a row of numbers": (X[0, 0, :, 0], ValueError, "Reshape your data"),
    "a number": (3.0, (TypeError, ValueError), "X"),
    "five axes": (X[np.newaxis], ValueError, r"\(1, 6, 16, 16, 3\)"),
    "no image": (X[:0], ValueError, "0 sample"),
    "an empty list": ([], ValueError, "0 sample"),
    "no rows": (X[:, :0], ValueError, "empty"),
    "no channel": (X[..., :0], ValueError, "0 feature"),
    "NaN": (changed(X, (4, 2, 3, 1), np.nan), ValueError, r"NaN.*image 4.*\[1\]"),
    "infinity": (changed(X, (3, 0, 0, 2), np.inf), ValueError, r"image 3.*\[2\]"),
    "too large for float32": (
        changed(X, (2, 0, 0, 0), 1e300, float),
        ValueError,
        "image 2.*",
    ),
    "complex": (X.astype(complex), ValueError, "Complex data not supported"),
    "strings": (X.astype(str), ValueError, "."),
    "dates": (X.astype("datetime64[s]"), (TypeError, ValueError), "."),  # type: ignore[dict-item]
    "None": (None, (TypeError, ValueError), "."),  # type: ignore[dict-item]
    "a dict": ({"image": X}, (TypeError, ValueError), "."),  # type: ignore[dict-item]
    "a generator": ((image for image in X), (TypeError, ValueError), "."),  # type: ignore[dict-item]
    "a sparse matrix": (scipy.sparse.csr_matrix(X[0, :, :, 0]), TypeError, "[Ss]parse"),
    "a masked array": (np.ma.masked_less(X, 0.1), TypeError, "masked"),
    "one path": ("image.png", TypeError, "one path"),
    "paths that lead nowhere": (["none.png"] * 6, OSError, "none.png"),
    "paths and arrays": (images_with_bad(2, "a.png"), TypeError, "mixes"),
    "an image of text in a list": (
        images_with_bad(1, np.full((16, 16, 3), "a")),
        TypeError,
        "image 1",
    ),
    "an image without rows in a list": (
        images_with_bad(5, np.zeros((0, 16, 3))),
        ValueError,
        "image 5",
    ),
    "an image of four axes in a list": (
        images_with_bad(1, np.zeros((1, 16, 16, 3))),
        ValueError,
        r"image 1.*\(1, 16, 16, 3\)",
    ),
    "objects in an image": (
        images_with_bad(1, np.full((16, 16, 3), {}, dtype=object)),
        TypeError,
        "image 1",
    ),
    "NaN in a list": (
        images_with_bad(3, np.full((16, 16, 3), np.nan)),
        ValueError,
        "image 3",
    ),
}
CHANNELS: dict[str, tuple[Any, type[Exception], str]] = {
    "another number of channels in a list": (
        images_with_bad(3, np.zeros((16, 16, 4))),
        ValueError,
        "image 3",
    ),
}
AT_PREDICTION: dict[str, tuple[Any, type[Exception], str]] = {
    "fewer channels": (X[..., :2], ValueError, "2 features, but FCNSegmenter is exp"),
    "grey for a model of colors": (X[..., 0], ValueError, r"\(6, 16, 16\)"),
    "channels first": (X.transpose(0, 3, 1, 2), ValueError, "16 features.*3 features"),
}
MASKS: dict[str, tuple[Any, type[Exception], str]] = {
    "None": (None, ValueError, "requires y to be passed"),
    "one mask": (y[0], ValueError, "np.newaxis"),
    "fewer masks": (y[:4], ValueError, "6 images and y has 4 masks"),
    "no mask": (y[:0], ValueError, "0 sample"),
    "another size": (y[:, :15], ValueError, r"mask 0.*\(15, 16\).*\(16, 16\)"),
    "turned": (
        [*y[:3], np.zeros((16, 17), np.uint8), *y[4:]],
        ValueError,
        r"mask 3.*\(16, 17\)",
    ),
    "one-hot": (np.eye(3)[y], ValueError, "argmax"),
    "fractions": (changed(y, (2, 5, 5), 0.5, float), ValueError, "mask 2.*order=0"),
    "NaN": (changed(y, (1, 0, 0), np.nan, float), ValueError, "NaN.*mask 1"),
    "complex": (y.astype(complex), (TypeError, ValueError), "."),  # type: ignore[dict-item]
    "labels per image": (np.arange(6), ValueError, r"\(n, height, width\)"),
    "a list of labels per image": ([0, 1] * 3, ValueError, "one value per image"),
    "mixed text and numbers": (
        [*y[:5], np.full((16, 16), "a")],
        TypeError,
        "strings and of numbers",
    ),
    "masked array": (np.ma.masked_equal(y, 0), TypeError, "ignore_label"),
    "paths that lead nowhere": (["none.png"] * 6, OSError, "none.png"),
}
WEIGHTS: dict[str, tuple[Any, str]] = {
    "too few": (np.ones(5), "5 entries for 6 images"),
    "a number": (2.0, "2.0"),
    "two axes": (np.ones((6, 16)), r"\(6, 16\)"),
    "negative": (changed(np.ones(6), 2, -1), "image 2"),
    "NaN": (changed(np.ones(6), 3, np.nan), "image 3"),
    "all zero": (np.zeros(6), "zero"),
    "pixels of another size": (np.ones((6, 8, 16)), r"image 0.*\(8, 16\)"),
}
PARAMETERS: list[tuple[str, Any]] = [
    ("network", "resnet"),
    ("network", 3),
    ("depth", 0),
    ("depth", 2.5),
    ("depth", 40),
    ("depth", True),
    ("width", 0),
    ("width", "wide"),
    ("skip", "sum"),
    ("skip", True),
    ("norm", "instance"),
    ("dropout", 1.0),
    ("dropout", -0.1),
    ("dropout", None),
    ("classes", []),
    ("classes", [1, 1]),
    ("classes", 3),
    ("classes", [[0, 1, 2]]),
    ("classes", [0, 1]),
    ("ignore_label", [0, 1]),
    ("class_weight", "heavy"),
    ("class_weight", {7: 1.0}),
    ("class_weight", {0: -1.0}),
    ("class_weight", {0: 0.0, 1: 0.0, 2: 0.0}),
    ("class_weight", {0: float("nan")}),
    ("class_weight", {0: "heavy"}),
    ("loss", "hinge"),
    ("loss", None),
    ("optimizer", "newton"),
    ("learning_rate", 0),
    ("learning_rate", -1e-3),
    ("learning_rate", float("nan")),
    ("learning_rate", float("inf")),
    ("learning_rate", "fast"),
    ("weight_decay", -1),
    ("learning_rate_schedule", "linear"),
    ("learning_rate_schedule", None),
    ("max_epochs", 0),
    ("max_epochs", 1.5),
    ("batch_size", 0),
    ("batch_size", None),
    ("batch_size", "8"),
    ("batch_size", 2.5),
    ("crop_size", 0),
    ("crop_size", (16, 0)),
    ("crop_size", (1, 2, 3)),
    ("crop_size", 8.0),
    ("crop_size", (8,)),
    ("crop_sampling", "random"),
    ("crop_sampling", "balanced"),
    ("random_state", "seed"),
    ("random_state", -1),
    ("warm_start", "yes"),
    ("early_stopping", 1),
    ("validation_fraction", 0),
    ("validation_fraction", 1),
    ("n_iter_no_change", 0),
    ("tol", -1),
    ("tol", None),
    ("device", "tpu"),
    ("device", 2.5),
    ("precision", "float16"),
    ("precision", None),
    ("tile_size", 0),
    ("tile_size", "large"),
    ("tile_size", None),
    ("callbacks", 3),
    ("callbacks", ["print"]),
    ("verbose", -1),
    ("verbose", None),
]


@pytest.fixture(scope="module")
def fitted() -> FCNSegmenter:
    return small().fit(X, y)


def state(segmenter: FCNSegmenter) -> list[bytes]:
    tensors = segmenter.network_.state_dict().values()
    return [tensor.numpy().tobytes() for tensor in tensors]


def assert_refused_and_unharmed(
    segmenter: FCNSegmenter, call: Any, error: Any, message: str
) -> None:
    """Refused with the message; fitted or not, the segmenter is as before."""
    was_fitted = hasattr(segmenter, "network_")
    before = state(segmenter) if was_fitted else None
    with pytest.raises(error, match=f"(?s){message}"):
        call()
    assert hasattr(segmenter, "network_") == was_fitted
    if was_fitted:
        assert state(segmenter) == before
        assert segmenter.predict(X).shape == y.shape


@pytest.mark.parametrize("case", [*IMAGES, *CHANNELS])
@pytest.mark.parametrize("fresh", [True, False])
def test_fit_refuses_images(fitted: Any, case: str, fresh: bool) -> None:
    bad, error, message = {**IMAGES, **CHANNELS}[case]
    segmenter = small() if fresh else fitted
    if case == "a generator":
        bad = (image for image in X)
    assert_refused_and_unharmed(
        segmenter, lambda: segmenter.fit(bad, y), error, message
    )


@pytest.mark.parametrize("case", [*IMAGES, *AT_PREDICTION])
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_prediction_refuses_images(fitted: Any, case: str, method: str) -> None:
    bad, error, message = {**IMAGES, **AT_PREDICTION}[case]
    if case == "one color image":
        message = "np.newaxis"
    if case == "a generator":
        bad = (image for image in X)
    assert_refused_and_unharmed(
        fitted, lambda: getattr(fitted, method)(bad), error, message
    )


@pytest.mark.parametrize("case", [*IMAGES, *AT_PREDICTION])
def test_score_refuses_images(fitted: Any, case: str) -> None:
    bad, error, _ = {**IMAGES, **AT_PREDICTION}[case]
    if case == "a generator":
        bad = (image for image in X)
    assert_refused_and_unharmed(fitted, lambda: fitted.score(bad, y), error, ".")


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("fresh", [True, False])
def test_fit_refuses_masks(fitted: Any, case: str, fresh: bool) -> None:
    bad, error, message = MASKS[case]
    segmenter = small() if fresh else fitted
    assert_refused_and_unharmed(
        segmenter, lambda: segmenter.fit(X, bad), error, message
    )


@pytest.mark.parametrize("case", MASKS)
def test_score_refuses_masks(fitted: Any, case: str) -> None:
    bad, error, _ = MASKS[case]
    if case == "mixed text and numbers":
        error = (TypeError, ValueError)
    assert_refused_and_unharmed(fitted, lambda: fitted.score(X, bad), error, ".")
    if bad is not None:
        assert_refused_and_unharmed(
            fitted, lambda: iou_scorer(fitted, X, bad), error, "."
        )


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_are_refused(fitted: Any, case: str) -> None:
    bad, message = WEIGHTS[case]
    for method in (fitted.fit, fitted.partial_fit, fitted.score):
        assert_refused_and_unharmed(
            fitted,
            lambda method=method: method(X, y, sample_weight=bad),
            ValueError,
            message,
        )


def test_a_table_of_weights_is_refused(fitted: Any) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"weight": np.ones(len(X))})
    for method in (fitted.fit, fitted.partial_fit, fitted.score):
        assert_refused_and_unharmed(
            fitted,
            lambda method=method: method(X, y, sample_weight=table),
            TypeError,
            "sample_weight is a DataFrame",
        )
    assert 0 <= fitted.score(X, y, sample_weight=table["weight"]) <= 1


@pytest.mark.parametrize(("name", "value"), PARAMETERS)
def test_parameters_are_refused_by_name(fitted: Any, name: str, value: Any) -> None:
    segmenter = small(**{name: value})  # nothing is said before fit
    match = "class" if name == "classes" else name
    with pytest.raises((ValueError, TypeError), match=match):
        segmenter.fit(X, y)
    assert not hasattr(segmenter, "network_")
    segmenter.set_params(**{name: small().get_params()[name]}).fit(X, y)
    assert segmenter.predict(X).shape == y.shape


@pytest.mark.parametrize(
    ("name", "value"),
    [("tile_size", 0), ("batch_size", 0), ("device", "tpu"), ("precision", "half")],
)
def test_parameters_of_prediction_are_refused_there(name: str, value: Any) -> None:
    segmenter = small().fit(X, y).set_params(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name):
        segmenter.predict(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_unfitted_use_is_told(method: str) -> None:
    with pytest.raises(NotFittedError, match="FCNSegmenter"):
        getattr(small(), method)(X)
    with pytest.raises(NotFittedError):
        small().score(X, y)


def test_a_label_that_training_never_saw_is_refused_at_scoring(fitted: Any) -> None:
    strange = changed(y, (2, 0, 0), 17)
    for call in (fitted.score, lambda *data: iou_scorer(fitted, *data)):
        with pytest.raises(ValueError, match=r"(?s)17.*classes="):
            call(X, strange)


def test_an_ignored_label_that_is_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="ignore_label=2"):
        small(classes=[0, 1, 2], ignore_label=2).fit(X, y)


def test_a_segmenter_does_not_start_from_itself() -> None:
    segmenter = small().fit(X, y)
    with pytest.raises(ValueError, match=r"itself; expected .*warm_start=True"):
        segmenter.set_params(pretrained=segmenter).fit(X, y)


@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_an_ignored_label_that_became_a_class_is_refused(how: str) -> None:
    segmenter = small(warm_start=how == "warm_start").fit(X, y)
    again = segmenter.partial_fit if how == "partial_fit" else segmenter.fit
    segmenter.set_params(ignore_label=2)
    with pytest.raises(ValueError, match="ignore_label=2 is one of the classes of the"):
        again(X, y)
    assert segmenter.set_params(ignore_label=None).score(X, y) >= 0


@pytest.mark.parametrize("classes", [[0, 1, 2.5], [0.0, 1.0, np.nan], [0, 1, np.inf]])
def test_classes_that_no_mask_can_hold_are_refused(classes: Any) -> None:
    with pytest.raises(ValueError, match=r"classes is .*; expected whole numbers"):
        small(classes=classes).fit(X, y)


def test_masks_without_a_single_labelled_pixel_are_refused() -> None:
    with pytest.raises(ValueError, match="ignore_label=9"):
        small(ignore_label=9).fit(X, np.full_like(y, 9))


def test_instance_numbers_are_no_classes() -> None:
    numbers = np.arange(y.size).reshape(y.shape)
    with pytest.raises(ValueError, match="instance"):
        small().fit(X, numbers)


def test_early_stopping_needs_two_images() -> None:
    with pytest.raises(ValueError, match="early_stopping"):
        small(early_stopping=True).fit(X[:1], y[:1])


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"X_val": X}, "together"),
        ({"y_val": y}, "together"),
        ({"sample_weight_val": np.ones(6)}, "together"),
        ({"X_val": X, "y_val": y[:3]}, "inconsistent"),
        ({"X_val": X[..., :2], "y_val": y}, "X_val has 2 features"),
        ({"X_val": X, "y_val": y + 5}, "classes="),
    ],
)
def test_validation_data_are_refused(validation: Any, message: str) -> None:
    segmenter = small()
    with pytest.raises(ValueError, match=message):
        segmenter.fit(X, y, **validation)
    assert not hasattr(segmenter, "network_")


def test_faults_of_validation_data_say_whose_they_are() -> None:
    with pytest.raises(ValueError, match="NaN") as caught:
        small().fit(X, y, X_val=np.full_like(X, np.nan), y_val=y)
    assert caught.value.__notes__ == [
        "This is about X_val, y_val and sample_weight_val."
    ]


def test_partial_fit_refuses_classes_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="classes="):
        small(classes=[0, 1, 2]).partial_fit(X, y, classes=[0, 1, 2, 3])


def test_partial_fit_does_not_stop_early() -> None:
    with pytest.raises(ValueError, match="early_stopping"):
        small(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])


def test_one_grey_image_with_a_channel_axis_is_refused() -> None:
    segmenter = small().fit(X[..., :1], y)
    with pytest.raises(ValueError, match="one grey image"):
        segmenter.predict(X[0, ..., :1])


def test_partial_fit_asks_for_the_classes_first() -> None:
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        small().partial_fit(X, y)


@pytest.mark.parametrize("name", ["depth", "width", "skip", "norm", "dropout"])
def test_options_that_do_not_reach_the_users_network_are_refused(name: str) -> None:
    values = {"depth": 2, "width": 9, "skip": None, "norm": None, "dropout": 0.1}
    segmenter = FCNSegmenter(network=lambda *_: nn.Identity(), **{name: values[name]})
    with pytest.raises(ValueError, match=f"{name}="):
        segmenter.fit(X, y)


@pytest.mark.parametrize(
    ("network", "error"),
    [
        (lambda n_channels, n_classes: None, TypeError),
        (lambda n_channels, n_classes: nn.Conv2d(n_channels, 7, 1), ValueError),
    ],
)
def test_networks_that_are_none_are_refused(network: Any, error: Any) -> None:
    segmenter = FCNSegmenter(network=network, max_epochs=1)
    with pytest.raises(error, match="network"):
        segmenter.fit(X, y)


def test_a_loss_that_is_no_number_a_batch_is_refused() -> None:
    segmenter = small(loss=lambda scores, codes, weights: scores)
    with pytest.raises(TypeError, match="loss"):
        segmenter.fit(X, y)


def test_files_that_are_no_images_are_named(tmp_path: Path, fitted: Any) -> None:
    path = tmp_path / "notes.png"
    path.write_text("no image")
    with pytest.raises(OSError, match=r"notes\.png"):
        fitted.predict([path])
    with pytest.raises(OSError, match=r"notes\.png"):
        fitted.fit([path], [tmp_path / "other.png"])


def test_channels_first_are_told_at_fit() -> None:
    with pytest.raises(ValueError, match="channels first"):
        small().fit(X.transpose(0, 3, 1, 2), y)


def test_data_frames_are_told_to_pass_a_column() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"image": ["a.png"], "mask": ["b.png"]})
    with pytest.raises(TypeError, match="one column"):
        small().fit(frame[["image"]], frame["mask"])


def test_two_schedules_of_the_learning_rate_are_refused() -> None:
    scheduler = LRScheduler(policy="StepLR", step_size=1)
    with pytest.raises(ValueError, match="LRScheduler"):
        small(callbacks=[("own", scheduler)]).fit(X, y)
    segmenter = small(callbacks=[scheduler], learning_rate_schedule="constant")
    assert segmenter.fit(X, y).n_iter_ == 1


class Writes(Callback):  # type: ignore[misc]
    def on_epoch_end(self, net: Any, **_: Any) -> None:
        net.history.record("mine", 1.0)


# Of a checkpoint of skorch: write nothing.
NO_FILES = dict.fromkeys(["f_params", "f_optimizer", "f_criterion", "f_history"])
PLATEAU = torch.optim.lr_scheduler.ReduceLROnPlateau
WATCH_VALIDATION = [
    (EarlyStopping(), "valid_loss"),
    (EarlyStopping, "valid_loss"),
    (("named", EarlyStopping(monitor="valid_iou")), "valid_iou"),
    (Checkpoint(**NO_FILES), "valid_loss_best"),
    (LRScheduler(PLATEAU, monitor="valid_loss"), "valid_loss"),
    (LRScheduler("ReduceLROnPlateau", monitor="valid_iou"), "valid_iou"),
]


@pytest.mark.parametrize(("callback", "key"), WATCH_VALIDATION)
def test_callbacks_that_watch_validation_need_it(callback: Any, key: str) -> None:
    callbacks = [callback, Writes()]  # what that one writes does not matter
    segmenter = small(callbacks=callbacks, learning_rate_schedule="constant")
    match = (
        rf"callbacks holds \w+, which watches '{key}'; .* expected 'train_loss'\. "
        rf"Pass X_val and y_val, or early_stopping=True"
    )
    for refused in (segmenter.fit, partial(segmenter.partial_fit, classes=[0, 1, 2])):
        with pytest.raises(ValueError, match=match):
            refused(X, y)
    assert segmenter.fit(X, y, X_val=X, y_val=y).n_iter_ == 1
    assert segmenter.set_params(early_stopping=True).fit(X, y).n_iter_ == 1


SCORING = EpochScoring(lambda net, *_: 7.0, name="mine", use_caching=False)


@pytest.mark.parametrize("validates", [True, False])
def test_callbacks_that_watch_what_nobody_writes_are_refused(validates: bool) -> None:
    watching = EarlyStopping(monitor="mine")
    validation = {"X_val": X, "y_val": y} if validates else {}
    with pytest.raises(ValueError, match=r"watches 'mine'; expected one of 'train_lo"):
        small(callbacks=[watching]).fit(X, y, **validation)
    assert small(callbacks=[Writes(), watching]).fit(X, y, **validation).n_iter_ == 1
    scored = small(callbacks=[SCORING, watching])
    if validates:
        assert scored.fit(X, y, **validation).n_iter_ == 1
    else:
        with pytest.raises(ValueError, match=r"'mine'; .*\. Pass X_val and y_val"):
            scored.fit(X, y)


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(monitor="train_loss"),
        EarlyStopping(monitor="event_lr"),
        LRScheduler("StepLR", step_size=1, monitor="valid_loss"),
        Checkpoint(lambda net: False, **NO_FILES),
        Checkpoint(None, **NO_FILES),
    ],
)
def test_callbacks_that_watch_what_there_is_are_taken(callback: Any) -> None:
    callbacks = [LRScheduler("StepLR", step_size=1), callback]
    segmenter = small(callbacks=callbacks, learning_rate_schedule="constant")
    assert segmenter.fit(X, y).n_iter_ == 1
    assert segmenter.partial_fit(X, y).n_iter_ == 2


@pytest.mark.parametrize(
    ("label", "masks"),
    [("void", y), (255, y.astype(str)), ("0", y.astype("S")), (b"0", y.astype(str))],
)
def test_an_ignored_label_of_another_kind_is_refused(label: Any, masks: Any) -> None:
    with pytest.raises(TypeError, match=f"ignore_label is {label!r}"):
        small(ignore_label=label).fit(X, masks)


def test_an_ignored_label_that_no_mask_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="ignore_label is nan"):
        small(ignore_label=np.nan).fit(X, y)


def test_a_layer_as_network_is_refused() -> None:
    with pytest.raises(ValueError, match="network"):
        FCNSegmenter(network=nn.Conv2d(3, 4, 3)).fit(X, y)
