"""FCNSegmenter: training, its options, and what comes back."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import cross_val_score
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    LRScheduler,
    ProgressBar,
    Unfreezer,
)
from torch import nn

from sksegment import FCNSegmenter, iou_scorer
from sksegment._training.batches import Batches
from sksegment._training.skorch_net import predicted_classes
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes
from sksegment.metrics import iou_score


def small(**parameters: Any) -> FCNSegmenter:
    """A segmenter that trains in a fraction of a second."""
    sizes = {"depth": 1, "width": 4, "batch_size": 8}
    defaults = {"max_epochs": 2, "random_state": 0, **sizes}
    return FCNSegmenter(**{**defaults, **parameters})


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return make_shapes(12, size=16, n_classes=3, random_state=0)


@pytest.fixture(scope="module")
def fitted(data: tuple[np.ndarray, np.ndarray]) -> FCNSegmenter:
    return small().fit(*data)


def weights(segmenter: FCNSegmenter) -> np.ndarray:
    return np.concatenate(
        [tensor.numpy().ravel() for tensor in segmenter.network_.state_dict().values()]
    )


def halves(n: int = 8, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Dark left halves of class 0 and bright right halves of class 1, with noise."""
    rng = np.random.default_rng(0)
    y = np.zeros((n, size, size), np.uint8)
    y[:, :, size // 2 :] = 1
    return y + rng.normal(0, 0.1, y.shape), y


# What training learns


def test_learns_to_tell_dark_from_bright() -> None:
    X, y = halves()
    segmenter = small(max_epochs=40, learning_rate=1e-2).fit(X, y)
    assert segmenter.score(X, y) > 0.95


def test_learns_shapes_better_than_always_background(data: Any) -> None:
    X, y = data
    segmenter = small(max_epochs=40, depth=2, width=8, learning_rate=5e-3).fit(X, y)
    assert segmenter.score(X, y) > 2 * iou_score(y, np.zeros_like(y))


@pytest.mark.parametrize("skip", [None, "concat", "add"])
@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_every_network_option_trains(skip: Any, norm: Any) -> None:
    X, y = halves()
    segmenter = small(skip=skip, norm=norm, max_epochs=25, learning_rate=1e-2, width=8)
    assert segmenter.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize(
    "parameters",
    [
        {"loss": "dice"},
        {"loss": "cross_entropy+dice"},
        {"loss": "focal"},
        {"loss": "lovasz"},
        {
            "loss": lambda scores, codes, weights: nn.functional.cross_entropy(
                scores, codes
            )
        },
        {"optimizer": "adamw", "weight_decay": 1e-2},
        {"optimizer": "sgd", "learning_rate": 5e-2},
        {"learning_rate_schedule": "constant"},
        {"learning_rate_schedule": "poly"},
        {"class_weight": "balanced"},
        {"class_weight": "median_frequency"},
        {"class_weight": {0: 1.0, 1: 3.0}},
        {"batch_size": 3},
        {"crop_size": 8},
        {"crop_size": (12, 40)},
        {"crop_size": 8, "crop_sampling": "balanced"},
        {"precision": "float32"},
        {"dropout": 0.0},
    ],
    ids=repr,
)
def test_every_training_option_trains(parameters: dict[str, Any]) -> None:
    X, y = halves()
    segmenter = small(**{"max_epochs": 25, "learning_rate": 1e-2, **parameters})
    assert segmenter.fit(X, y).score(X, y) > 0.9


def test_a_network_of_the_users_own() -> None:
    def strided(n_channels: int, n_classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(n_channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, n_classes, 1),
        )

    X, y = halves()
    segmenter = FCNSegmenter(
        network=strided, max_epochs=30, learning_rate=1e-2, random_state=0
    )
    assert segmenter.fit(X, y).score(X, y) > 0.8
    assert segmenter.predict(X[:, :13, :7]).shape == (8, 13, 7)
    # A score sees the neighbours of its pixels, upsampling mixes in the next score;
    # one stride of 32 pixels is added to what was measured.
    assert 32 + 2 <= segmenter.margin_ <= 32 + 4
    large = np.tile(X[:1], (1, 15, 13))
    whole = segmenter.predict_proba(large)
    tiled = segmenter.set_params(tile_size=64).predict_proba(large)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize("n_images, sizes", [(1, [1]), (5, [2, 2, 1]), (8, [2] * 4)])
def test_few_images_make_several_steps_unless_told_otherwise(
    n_images: int, sizes: list[int]
) -> None:
    found: list[int] = []

    class Sizes(Callback):  # type: ignore[misc]
        def on_batch_end(self, net: Any, batch: Any = None, **_: Any) -> None:
            found.append(len(batch[0]))

    X, y = np.ones((n_images, 4, 4)), np.zeros((n_images, 4, 4), int)
    with pytest.warns(UserWarning, match="one class"):
        small(batch_size="auto", max_epochs=1, callbacks=[Sizes()]).fit(X, y)
    assert sorted(found, reverse=True) == sizes
    assert FCNSegmenter().batch_size == "auto"
    found.clear()
    with pytest.warns(UserWarning, match="one class"):
        small(batch_size=8, max_epochs=1, callbacks=[Sizes()]).fit(X, y)
    assert found == [n_images]


def test_class_weight_decides_where_images_say_nothing() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 16, 16)), rng.integers(2, size=(8, 16, 16))
    segmenter = small(
        class_weight={0: 1.0, 1: 100.0}, max_epochs=40, learning_rate=1e-2
    )
    assert (segmenter.fit(X, y).predict(X) == 1).mean() > 0.95


def test_pixel_weights_decide_where_images_say_nothing() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 16, 16)), rng.integers(2, size=(8, 16, 16))
    heavy = np.where(y == 0, 100.0, 1.0)
    segmenter = small(max_epochs=40, learning_rate=1e-2)
    segmenter.fit(X, y, sample_weight=heavy)
    assert (segmenter.predict(X) == 0).mean() > 0.95


def test_an_image_of_weight_zero_is_as_if_left_out(data: Any) -> None:
    X, y = data
    weight = np.ones(len(X))
    weight[[0, 5]] = 0
    kept = weight > 0
    weighted = small().fit(X, y, sample_weight=weight)
    without = small().fit(X[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_array_equal(weights(weighted), weights(without))


def test_a_constant_factor_of_the_weights_changes_nothing(data: Any) -> None:
    X, y = data
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    first = small(precision="float32").fit(X, y, sample_weight=weight)
    second = small(precision="float32").fit(X, y, sample_weight=8 * weight)
    np.testing.assert_allclose(weights(first), weights(second), atol=1e-5)


@pytest.mark.parametrize(("batch_size", "max_epochs"), [(1, 60), (4, 200)])
def test_weights_count_whatever_the_batch_size(
    batch_size: int, max_epochs: int
) -> None:
    # The same image with contradicting masks: the heavier mask should win.
    X = np.random.default_rng(0).normal(size=(1, 8, 8)).repeat(4, axis=0)
    y = np.zeros(X.shape, np.uint8)
    y[2:] = 1
    segmenter = small(batch_size=batch_size, max_epochs=max_epochs, learning_rate=1e-2)
    segmenter.fit(X, y, sample_weight=[20, 20, 1, 1])
    assert segmenter.predict_proba(X)[:, 0].mean() > 0.85


def test_weights_of_any_magnitude_train_alike(data: Any) -> None:
    X, y = data
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    fits = [
        small(class_weight="balanced").fit(X, y, sample_weight=factor * weight)
        for factor in (1.0, 2.0**-140, 2.0**130)
    ]
    for fit in fits[1:]:
        np.testing.assert_array_equal(weights(fit), weights(fits[0]))


def test_what_lies_under_ignored_pixels_does_not_matter(data: Any) -> None:
    X, y = data
    region = np.random.default_rng(0).random(y.shape) < 0.3
    labels = np.where(region, 9, y)
    weight = np.where(region, 0.0, 1.0)
    ignoring = small(ignore_label=9).fit(X, labels, sample_weight=np.ones(y.shape))
    weighting = small().fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(weights(ignoring), weights(weighting), atol=1e-6)
    assert 9 not in ignoring.classes_


def test_images_without_any_labelled_pixel_do_no_harm(data: Any) -> None:
    X, y = data
    y = y.astype(int)
    y[2:5] = -1
    segmenter = small(ignore_label=-1).fit(X, y)
    kept = [0, 1, *range(5, 12)]
    without = small(ignore_label=-1).fit(X[kept], y[kept])
    np.testing.assert_array_equal(weights(segmenter), weights(without))


def test_a_few_labelled_pixels_of_one_image_are_enough() -> None:
    X, y = halves(n=1, size=32)
    is_labelled = np.random.default_rng(0).random(y.shape) < 0.05
    scribbles = np.where(is_labelled, y, 255).astype(np.uint8)
    segmenter = small(ignore_label=255, max_epochs=60, learning_rate=1e-2)
    assert segmenter.fit(X, scribbles).score(X, y) > 0.85


# Labels


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 255], np.uint8),
        np.array([False, True]),
        np.array([-1, 7], np.int8),
        np.array([205, 420], np.int64),
        np.array([0.0, 3.0], np.float32),
        np.array(["cell", "wall"]),
        np.array([5, 2**40], np.uint64),
    ],
    ids=lambda values: f"{values.dtype}-{values[1]}",
)
def test_any_label_values_come_back(values: np.ndarray) -> None:
    X, y = halves()
    segmenter = small(max_epochs=20, learning_rate=1e-2).fit(X, values[y])
    predicted = segmenter.predict(X)
    assert predicted.dtype == values.dtype
    np.testing.assert_array_equal(segmenter.classes_, values)
    assert (predicted == values[y]).mean() > 0.95
    assert segmenter.score(X, values[y]) > 0.9


def test_object_strings_are_labels() -> None:
    X, y = halves()
    names = np.array(["left", "right"], dtype=object)[y]
    assert small().fit(X, names).classes_.tolist() == ["left", "right"]


def test_a_single_class_is_told_and_predicted_everywhere() -> None:
    X, y = halves()
    with pytest.warns(UserWarning, match="label 3: one class"):
        segmenter = small().fit(X, np.full_like(y, 3))
    assert (segmenter.predict(X) == 3).all()
    assert segmenter.score(X, np.full_like(y, 3)) == 1.0


def test_classes_keeps_an_output_for_a_class_that_is_missing(data: Any) -> None:
    X, y = data
    segmenter = small(classes=[0, 1, 2, 7]).fit(X, y)
    assert segmenter.classes_.tolist() == [0, 1, 2, 7]
    assert segmenter.predict_proba(X).shape[1] == 4


@pytest.mark.parametrize("void", [255, -1])
def test_a_probable_void_label_is_named_in_a_warning(data: Any, void: int) -> None:
    X, y = data
    labels = y.astype(int)
    labels[:, 0, 0] = void
    with pytest.warns(UserWarning, match=f"ignore_label={void}"):
        small(max_epochs=1).fit(X, labels)


@pytest.mark.parametrize(
    "parameters", [{"ignore_label": 255}, {"classes": [0, 1, 2, 255]}]
)
def test_no_warning_where_the_void_is_spoken_of(data: Any, parameters: Any) -> None:
    X, y = data
    labels = y.copy()
    labels[:, 0, 0] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        small(max_epochs=1, **parameters).fit(X, labels)
        X, y = halves()
        small(max_epochs=1).fit(X, 255 * y)  # an honest binary mask


def test_one_class_of_several_that_are_named_is_a_fold_and_no_fault(data: Any) -> None:
    X, y = data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(max_epochs=1, classes=[3, 7]).fit(X, np.full_like(y, 7))


# Classes that are never predicted


def without_hope(X: Any, **parameters: Any) -> FCNSegmenter:
    """Train on masks of which half the pixels, and no other ones, have each label."""
    y = np.zeros(X.shape[:3], int)
    y[:, :, ::2] = 5
    model = small(norm=None, learning_rate=1e-6, **parameters)
    return model.fit(np.ones_like(X), y)


@pytest.mark.parametrize("stops", [False, True])
def test_a_fit_that_ends_in_fewer_classes_says_what_to_try(
    data: Any, stops: bool
) -> None:
    with pytest.warns(ConvergenceWarning, match="1 of the 2 classes.*max_epochs"):
        segmenter = without_hope(data[0], early_stopping=stops)
    assert len(np.unique(segmenter.predict(np.ones_like(data[0])))) == 1


def test_a_fit_that_a_callback_ends_in_fewer_classes_says_it_too(data: Any) -> None:
    class Enough(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="1 of the 2 classes"):
        segmenter = without_hope(data[0], callbacks=[Enough()])
    assert segmenter.n_iter_ == 1


def test_no_warning_where_all_classes_are_predicted(data: Any) -> None:
    X, y = halves()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(max_epochs=20).fit(X, y)
        # A class that is named, but not there, cannot be missed.
        small(max_epochs=20, classes=[0, 1, 7]).fit(X, y)


def test_only_predictions_at_labelled_pixels_count() -> None:
    scores = torch.zeros(1, 3, 2, 2)
    scores[0, 1, 0, 0] = scores[0, 2, 1] = scores[0, 0, 0, 1] = 1
    codes = torch.tensor([[[0, -1], [1, -1]]])
    assert predicted_classes(scores, codes).tolist() == [False, True, True]


# What prediction gives


def test_probabilities_sum_to_one_over_the_classes(fitted: Any, data: Any) -> None:
    probabilities = fitted.predict_proba(data[0])
    assert probabilities.shape == (12, 3, 16, 16)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_predict_is_the_most_probable_class_of_the_network(
    fitted: Any, data: Any
) -> None:
    # skorch's own prediction takes a softmax over the width of the image.
    X, _ = data
    standard = (X - fitted.channel_mean_) / fitted.channel_std_
    images = torch.from_numpy(standard.astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        scores = fitted.network_(images)
    np.testing.assert_array_equal(
        fitted.predict(X), fitted.classes_[scores.argmax(dim=1).numpy()]
    )
    np.testing.assert_array_equal(
        fitted.classes_[fitted.predict_proba(X).argmax(axis=1)], fitted.predict(X)
    )


def test_the_container_decides_what_comes_back(fitted: Any, data: Any) -> None:
    X, _ = data
    expected = fitted.predict(X)
    assert expected.shape == (12, 16, 16)
    as_objects = np.empty(len(X), dtype=object)
    as_objects[:] = list(X)
    for container in (list(X), tuple(X), as_objects):
        predicted = fitted.predict(container)
        assert predicted.shape == (12,)
        assert predicted.dtype == object
        np.testing.assert_array_equal(np.stack(list(predicted)), expected)
        assert fitted.predict_proba(container)[0].shape == (3, 16, 16)


def test_images_of_any_size_from_one_pixel(fitted: Any) -> None:
    sizes = [(1, 1), (1, 9), (16, 3), (33, 31), (1, 1)]
    images = [np.full((*size, 3), 0.5) for size in sizes]
    assert [mask.shape for mask in fitted.predict(images)] == sizes


def test_training_on_images_of_different_sizes() -> None:
    X, y = halves(n=6)
    sizes = [16, 5, 1, 16, 9, 12]
    images = [image[:size] for image, size in zip(X, sizes, strict=True)]
    masks = [mask[:size] for mask, size in zip(y, sizes, strict=True)]
    segmenter = small(depth=2, max_epochs=30, learning_rate=1e-2, batch_size=4)
    segmenter.fit(images, masks)
    assert segmenter.score(images, masks) > 0.9
    assert [mask.shape for mask in segmenter.predict(images)] == [
        mask.shape for mask in masks
    ]


def test_training_on_a_single_one_pixel_image() -> None:
    X, y = np.full((1, 1, 1, 3), 0.5), np.array([[[4]]])
    segmenter = small(depth=3, classes=[3, 4])
    assert segmenter.fit(X, y).predict_proba(X).shape == (1, 2, 1, 1)


def test_grey_images_with_and_without_a_channel_axis() -> None:
    X, y = halves()
    flat, deep = small().fit(X, y), small().fit(X[..., np.newaxis], y)
    np.testing.assert_array_equal(weights(flat), weights(deep))
    np.testing.assert_array_equal(flat.predict(X), deep.predict(X))
    assert flat.n_features_in_ == 1


def test_thirteen_channels_of_very_different_scale() -> None:
    X, y = halves()
    bands = X[..., np.newaxis] * 10.0 ** np.arange(-6, 7) + 10.0 ** np.arange(13)
    segmenter = small(max_epochs=20, learning_rate=1e-2).fit(bands[..., :7], y)
    assert segmenter.score(bands[..., :7], y) > 0.9


@pytest.mark.parametrize("offset", [10**6, 10**9])
def test_a_large_offset_does_no_harm(offset: int) -> None:
    X, y = halves()
    levels = np.rint(100 * X).astype(np.int64) + offset
    segmenter = small(max_epochs=20, learning_rate=1e-2).fit(levels, y)
    assert segmenter.score(levels, y) > 0.9


def test_masks_come_back_as_bytes_where_classes_are_a_list(data: Any) -> None:
    X, y = data
    segmenter = small(classes=[0, 1, 2, 255]).fit(X, y)
    assert segmenter.predict(X).dtype == y.dtype == np.uint8


def test_a_constant_channel_does_no_harm() -> None:
    X, y = halves()
    pair = np.stack([X, np.full_like(X, 0.1)], axis=-1)
    segmenter = small(max_epochs=20, learning_rate=1e-2).fit(pair, y)
    assert segmenter.channel_std_[1] == 1
    assert segmenter.score(pair, y) > 0.9


def test_standardisation_is_that_of_the_training_images(data: Any, fitted: Any) -> None:
    X, _ = data
    pixels = X.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(fitted.channel_mean_, pixels.mean(axis=0))
    np.testing.assert_allclose(fitted.channel_std_, pixels.std(axis=0))
    np.testing.assert_array_equal(fitted.channel_min_, pixels.min(axis=0))
    np.testing.assert_array_equal(fitted.channel_max_, pixels.max(axis=0))


def test_score_is_the_pooled_mean_iou(fitted: Any, data: Any) -> None:
    X, y = data
    expected = iou_score(y, fitted.predict(X), labels=fitted.classes_)
    assert fitted.score(X, y) == pytest.approx(expected, abs=1e-12)
    assert fitted.score(X, y) == iou_scorer(fitted, X, y)
    weight = np.random.default_rng(0).random(y.shape)
    expected = iou_score(y, fitted.predict(X), sample_weight=weight)
    assert fitted.score(X, y, sample_weight=weight) == pytest.approx(expected)


def test_tiles_do_not_change_the_answer(data: Any) -> None:
    X, y = data
    segmenter = small(depth=2, max_epochs=3).fit(X, y)
    large = np.tile(X[:2], (1, 5, 6, 1))[:, :75, :91]
    whole = segmenter.predict_proba(large)
    tiled = segmenter.set_params(tile_size=16).predict_proba(large)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_tiles_of_a_network_that_sees_the_whole_image_are_blended() -> None:
    X, y = halves(size=32)
    segmenter = small(norm="group", width=8, max_epochs=30, learning_rate=1e-2)
    segmenter.fit(X, y)
    large, truth = np.tile(X[:1], (1, 3, 1)), np.tile(y[:1], (1, 3, 1))
    segmenter.set_params(tile_size=24)
    with pytest.warns(UserWarning, match="blended"):
        probabilities = segmenter.predict_proba(large)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    with pytest.warns(UserWarning, match="blended"):
        predicted = segmenter.predict(large)
    np.testing.assert_array_equal(predicted, probabilities.argmax(axis=1))
    assert (predicted == truth).mean() > 0.9


def test_test_time_augmentation_averages_eight_views(data: Any) -> None:
    X, y = data
    segmenter = small(depth=2, max_epochs=3).fit(X, y)
    square = X[:3]
    views = []
    for quarters in range(4):
        for mirrored in (False, True):
            view = np.rot90(square, quarters, axes=(1, 2))
            view = view[:, :, ::-1] if mirrored else view
            answer = segmenter.predict_proba(view)
            answer = answer[..., ::-1] if mirrored else answer
            views.append(np.rot90(answer, -quarters, axes=(2, 3)))
    averaged = segmenter.set_params(test_time_augmentation=True).predict_proba(square)
    np.testing.assert_allclose(averaged, np.mean(views, axis=0), atol=1e-6)
    turned = segmenter.predict_proba(np.rot90(square, axes=(1, 2)))
    np.testing.assert_allclose(np.rot90(averaged, axes=(2, 3)), turned, atol=1e-6)


def test_test_time_augmentation_does_not_depend_on_tiles(data: Any) -> None:
    X, y = data
    segmenter = small(depth=2, max_epochs=2, test_time_augmentation=True).fit(X, y)
    large = np.tile(X[:1], (1, 5, 6, 1))[:, :75, :91]
    whole = segmenter.predict_proba(large)
    tiled = segmenter.set_params(tile_size=16).predict_proba(large)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_images_in_other_units_are_warned_of(data: Any) -> None:
    X, y = data
    eight_bit = (X * 255).astype(np.uint8)
    segmenter = small().fit(eight_bit, y)
    with pytest.warns(UserWarning, match=r"up to 1.*0 to 255.*other units"):
        segmenter.predict(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segmenter.predict(eight_bit.astype(np.float64))
        segmenter.predict(eight_bit // 8)  # a dark picture


def test_parameters_of_prediction_are_read_at_prediction(data: Any) -> None:
    X, y = data
    segmenter = small().fit(X, y)
    expected = segmenter.predict_proba(X)
    segmenter.set_params(batch_size=1)
    np.testing.assert_allclose(segmenter.predict_proba(X), expected, atol=1e-6)
    coarse = segmenter.set_params(precision="bfloat16").predict_proba(X)
    assert 0 < np.abs(coarse - expected).max() < 0.1


def test_prediction_leaves_the_estimator_as_it_was(data: Any) -> None:
    X, y = data
    segmenter = small().fit(X, y)
    before, keys = weights(segmenter), set(vars(segmenter))
    segmenter.predict(X)
    segmenter.predict_proba(list(X))
    segmenter.score(X, y)
    np.testing.assert_array_equal(weights(segmenter), before)
    assert set(vars(segmenter)) == keys


# Attributes, history, randomness


def test_fitted_attributes(fitted: Any) -> None:
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert fitted.n_features_in_ == 3
    assert fitted.n_iter_ == len(fitted.history_) == 2
    assert fitted.best_epoch_ is None
    assert fitted.stride_ == 2
    assert fitted.margin_ == 9
    assert isinstance(fitted.network_, nn.Module)
    for epoch, row in enumerate(fitted.history_, start=1):
        assert row["epoch"] == epoch
        assert np.isfinite(row["train_loss"])
        assert row["dur"] > 0
        assert "valid_iou" not in row


def test_one_seed_one_result_and_another_another(data: Any) -> None:
    first, again = small().fit(*data), small().fit(*data)
    np.testing.assert_array_equal(weights(first), weights(again))
    other = small(random_state=1).fit(*data)
    assert not np.array_equal(weights(first), weights(other))


def test_fits_in_threads_give_the_bits_of_a_serial_fit(data: Any) -> None:
    expected = weights(small().fit(*data))
    state = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        fits = list(pool.map(lambda _: small().fit(*data), range(3)))
    assert torch.equal(torch.get_rng_state(), state)
    for segmenter in fits:
        np.testing.assert_allclose(weights(segmenter), expected, atol=1e-6)


def test_fitting_twice_is_fitting_once(data: Any) -> None:
    segmenter = small().fit(*data)
    before = weights(segmenter)
    np.testing.assert_array_equal(weights(segmenter.fit(*data)), before)


def test_the_global_random_numbers_are_left_alone(data: Any) -> None:
    def draw() -> tuple[float, float]:
        return np.random.random(), torch.rand(()).item()  # noqa: NPY002

    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    expected = draw()
    np.random.set_state(numpy_state)  # noqa: NPY002
    torch.set_rng_state(torch_state)
    small(random_state=0).fit(*data).predict(data[0])
    assert draw() == expected


def test_no_seed_draws_another_network_each_time(data: Any) -> None:
    first, second = small(random_state=None), small(random_state=None)
    assert not np.array_equal(weights(first.fit(*data)), weights(second.fit(*data)))


def test_inputs_are_left_as_they_were(data: Any) -> None:
    X, y = data[0].copy(), data[1].copy()
    X.flags.writeable = y.flags.writeable = False
    small(early_stopping=True).fit(X, y).score(X, y)
    np.testing.assert_array_equal(X, data[0])


# Validation and early stopping


def test_validation_data_are_judged_after_each_epoch(data: Any) -> None:
    X, y = data
    segmenter = small(max_epochs=3).fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    last = segmenter.history_[-1]
    assert last["valid_iou"] == pytest.approx(segmenter.score(X[8:], y[8:]))
    log_loss = -np.log(
        np.take_along_axis(
            segmenter.predict_proba(X[8:]), y[8:, np.newaxis].astype(int), axis=1
        )
    ).mean()
    assert last["valid_loss"] == pytest.approx(log_loss, rel=1e-4)
    assert segmenter.n_iter_ == 3


def test_early_stopping_keeps_the_best_epoch(data: Any) -> None:
    X, y = data
    segmenter = small(
        max_epochs=60, early_stopping=True, n_iter_no_change=3, learning_rate=3e-2
    )
    segmenter.fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    ious = [row["valid_iou"] for row in segmenter.history_]
    assert segmenter.n_iter_ < 60
    assert segmenter.n_iter_ - segmenter.best_epoch_ == 3
    assert ious[segmenter.best_epoch_ - 1] == max(ious)
    assert segmenter.score(X[8:], y[8:]) == pytest.approx(max(ious))


def test_held_out_images_leave_no_trace_in_the_scale(data: Any) -> None:
    X, y = data
    found: list[Any] = []

    class Watch(Callback):  # type: ignore[misc]
        def on_train_begin(self, net: Any, X: Any = None, y: Any = None) -> None:
            found.append(X.samples.images)

    segmenter = small(early_stopping=True, callbacks=[Watch()]).fit(X, y)
    trained = np.stack(list(found[0])).reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(segmenter.channel_mean_, trained.mean(axis=0))
    assert not np.allclose(segmenter.channel_mean_, X.reshape(-1, 3).mean(axis=0))


def test_weights_of_validation_images_count(data: Any) -> None:
    X, y = data
    weight = np.r_[np.zeros(3), np.ones(3), np.full(6, 2.0)]
    weighted = small().fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    again = small().fit(X, y, X_val=X[3:], y_val=y[3:], sample_weight_val=weight[3:])
    single = small().fit(X, y, X_val=X[3:6], y_val=y[3:6])
    double = small().fit(X, y, X_val=X[6:], y_val=y[6:])
    for name in ("valid_loss", "valid_iou"):
        value = weighted.history_[-1][name]
        assert value == pytest.approx(again.history_[-1][name], rel=1e-6)
    losses = [fit.history_[-1]["valid_loss"] for fit in (single, double)]
    expected = np.average(losses, weights=[3 * 1, 6 * 2])
    assert weighted.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


def test_early_stopping_holds_out_images_of_its_own(data: Any) -> None:
    X, y = data
    sizes: list[tuple[int, int]] = []

    class Watch(Callback):  # type: ignore[misc]
        def on_epoch_end(
            self, net: Any, dataset_train: Any, dataset_valid: Any
        ) -> None:
            held_out = [image.mean() for image in dataset_valid.samples.images]
            trained = [image.mean() for image in dataset_train.samples.images]
            assert not set(held_out) & set(trained)
            sizes.append((len(trained), len(held_out)))

    segmenter = small(
        early_stopping=True, validation_fraction=0.25, callbacks=[Watch()]
    )
    segmenter.fit(X, y)
    assert sizes == [(9, 3), (9, 3)]
    assert all(0 <= row["valid_iou"] <= 1 for row in segmenter.history_)


def test_validation_images_are_not_augmented(data: Any) -> None:
    X, y = data
    seen: list[float] = []

    class Watch(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, dataset_valid: Any = None, **_: Any) -> None:
            seen.append(float(np.mean(dataset_valid.samples.images[0])))

    plan = RandomFlip(p=1.0).fit_transform(X[:8])
    segmenter = small(callbacks=[Watch()])
    segmenter.fit(plan, y[:8], X_val=X[8:], y_val=y[8:])
    assert seen == [pytest.approx(X[8].mean())] * 2


# Going on


def test_warm_start_goes_on_from_the_fitted_network(data: Any) -> None:
    segmenter = small(warm_start=True).fit(*data)
    first = weights(segmenter)
    loss = segmenter.history_[-1]["train_loss"]
    segmenter.set_params(max_epochs=5).fit(*data)
    assert not np.array_equal(first, weights(segmenter))
    assert [row["epoch"] for row in segmenter.history_] == list(range(1, 8))
    assert segmenter.n_iter_ == 7
    assert segmenter.history_[-1]["train_loss"] < loss


class HeldOut(Callback):  # type: ignore[misc]
    """Note which images are validated on."""

    def __init__(self) -> None:
        self.images: list[bytes] = []

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **_: Any) -> None:
        images = dataset_valid.samples.images
        self.images = [images[index].tobytes() for index in range(len(images))]


@pytest.mark.parametrize("later", [None, 7, np.random.RandomState(7)])
@pytest.mark.parametrize("first", [None, 0, np.random.RandomState(0)])
def test_warm_start_holds_out_the_same_images(
    data: Any, first: Any, later: Any
) -> None:
    held_out = HeldOut()
    options = {"early_stopping": True, "validation_fraction": 0.3, "max_epochs": 1}
    segmenter = small(warm_start=True, random_state=first, callbacks=[held_out])
    images = segmenter.set_params(**options).fit(*data).callbacks[0].images
    for random_state in (first, later):
        segmenter.set_params(random_state=random_state).fit(*data)
        assert held_out.images == images


def test_without_warm_start_fit_forgets(data: Any) -> None:
    segmenter = small().fit(*data).fit(*data)
    assert segmenter.n_iter_ == 2


def test_partial_fit_trains_an_epoch_a_call(data: Any) -> None:
    X, y = data
    segmenter = small(learning_rate=1e-2)
    for _ in range(10):
        segmenter.partial_fit(X, y, classes=[0, 1, 2, 3])
    assert segmenter.n_iter_ == 10
    assert segmenter.classes_.tolist() == [0, 1, 2, 3]
    losses = [row["train_loss"] for row in segmenter.history_]
    assert losses[-1] < losses[0]


def test_partial_fit_keeps_the_momentum_of_the_optimizer(data: Any) -> None:
    X, y = data
    going_on = small(precision="float32")
    going_on.partial_fit(X, y, classes=[0, 1, 2])
    forgetful = pickle.loads(pickle.dumps(going_on))  # momentum is not in the file
    going_on.partial_fit(X, y)
    forgetful.partial_fit(X, y)
    assert not np.array_equal(weights(going_on), weights(forgetful))


def test_partial_fit_takes_another_learning_rate(data: Any) -> None:
    segmenter = small().partial_fit(*data, classes=[0, 1, 2])
    before = weights(segmenter)
    segmenter.set_params(learning_rate=1e-30, norm="batch").partial_fit(*data)
    trained = [name for name, _ in segmenter.network_.named_parameters()]
    state = segmenter.network_.state_dict()
    after = np.concatenate([state[name].numpy().ravel() for name in trained])
    assert np.isin(after, before).all()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_refuses_other_classes(data: Any, method: str) -> None:
    X, y = data
    segmenter = small(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="classes"):
        getattr(segmenter, method)(X, y + 1)


def test_a_validation_loss_that_does_not_fit_is_computed_on_the_cpu(data: Any) -> None:
    class Full(nn.Module):
        refused = 0

        def forward(self, scores: Any, codes: Any, weights: Any) -> Any:
            if not torch.is_grad_enabled() and not Full.refused:
                Full.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return nn.functional.cross_entropy(scores, codes.long())

    X, y = data
    segmenter = small(loss=Full()).fit(X, y, X_val=X, y_val=y)
    assert Full.refused == 1
    expected = small(loss=Full()).fit(X, y, X_val=X, y_val=y)
    found, wanted = segmenter.history_, expected.history_
    assert [row["valid_loss"] for row in found] == [row["valid_loss"] for row in wanted]


def test_many_labels_are_told(data: Any) -> None:
    X, y = data
    # As many as interpolation makes of a mask of 0 and 255.
    blurred = (np.arange(y.size) % 100 + 10).astype(np.uint8).reshape(y.shape)
    with pytest.warns(UserWarning, match="Each of the 100 labels .*check_masks"):
        small(max_epochs=1).fit(X, blurred)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        small(max_epochs=1, classes=range(110)).fit(X, blurred)


@pytest.mark.parametrize("unit", [1e-300, 1e-170, 1e-3, 1e30])
def test_images_in_any_unit_train(data: Any, unit: float) -> None:
    X, y = data
    segmenter = small(max_epochs=20).fit(X.astype(float) * unit, y)
    expected = small(max_epochs=20).fit(X, y)
    assert abs(segmenter.score(X * unit, y) - expected.score(X, y)) < 0.1


def test_weights_may_be_tensors(data: Any) -> None:
    X, y = data
    plain = np.linspace(0.5, 2, y.size).reshape(y.shape)
    tensor = torch.from_numpy(plain).requires_grad_()
    expected = weights(small().fit(X, y, plain))
    np.testing.assert_array_equal(weights(small().fit(X, y, tensor)), expected)
    np.testing.assert_array_equal(weights(small().fit(X, y, list(tensor))), expected)


# Callbacks, messages, interruptions


def test_callbacks_of_skorch_run(data: Any) -> None:
    class Count(Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.epochs = 0

        def on_epoch_end(self, net: Any, **_: Any) -> None:
            self.epochs += 1

    count = Count()
    small(max_epochs=3, callbacks=[count]).fit(*data)
    assert count.epochs == 3


def test_pickles_hold_no_memory_of_callbacks(data: Any) -> None:
    callbacks = [
        ("schedule", LRScheduler("StepLR", step_size=1)),
        EarlyStopping(monitor="train_loss"),
        EpochTimer,
    ]
    segmenter = small(callbacks=callbacks, learning_rate_schedule="constant")
    segmenter.fit(*data)
    assert callbacks[0][1].lr_scheduler_ is not None  # the user may look at it
    pickled = pickle.dumps(segmenter)
    assert b"torch" not in pickled.replace(b"skorch", b"")
    again = pickle.loads(pickled)
    assert again.callbacks[0][1].step_size == 1
    np.testing.assert_array_equal(weights(again.fit(*data)), weights(segmenter))


class Listing(Callback):  # type: ignore[misc]
    """Names what its constructor makes as what it learns, against the convention."""

    def __init__(self, lambda_: float = 0.5) -> None:
        self.lambda_ = lambda_
        self.losses_: list[float] = []

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        self.losses_.append(self.lambda_ * net.history[-1, "train_loss"])


def test_callbacks_work_after_a_pickle(data: Any) -> None:
    segmenter = small(callbacks=(Listing(0.25),))
    unfitted = pickle.loads(pickle.dumps(segmenter)).fit(*data)
    again = pickle.loads(pickle.dumps(unfitted))
    assert again.callbacks[0].lambda_ == 0.25
    assert again.callbacks[0].losses_ == []
    learned = list(unfitted.callbacks[0].losses_)
    assert len(learned) == unfitted.n_iter_
    assert again.fit(*data).callbacks[0].losses_ == learned
    scores = cross_val_score(segmenter, *data, cv=2, n_jobs=2, error_score="raise")
    assert len(scores) == 2


def test_what_callbacks_record_becomes_plain(data: Any) -> None:
    class Record(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            net.history.record("tensor", torch.tensor(0.5))
            net.history.record("pair", torch.tensor([1, 2]))
            net.history.record("numpy", np.float32(0.25))

    row = small(callbacks=[Record()]).fit(*data).history_[0]
    assert (row["tensor"], row["pair"], row["numpy"]) == (0.5, [1, 2], 0.25)
    assert all(isinstance(row[key], float) for key in ("tensor", "numpy"))


def test_a_loss_of_the_user_is_left_alone(data: Any) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, scores: Any, codes: Any, weights: Any) -> Any:
            return self.scale * nn.functional.cross_entropy(scores, codes)

    own = Scaled()
    small(loss=own).fit(*data)
    assert own.scale.item() == 1
    assert own.scale.grad is None


def test_a_loss_that_counts_goes_on_counting(data: Any) -> None:
    class Counting:
        calls, lock = 0, threading.Lock()  # a lock cannot be copied

        def __call__(self, scores: Any, codes: Any, weights: Any) -> Any:
            self.calls += 1
            return nn.functional.cross_entropy(scores, codes)

    loss = Counting()
    small(loss=loss).fit(*data)
    assert loss.calls > 0


def test_an_autocast_of_the_caller_changes_nothing(data: Any) -> None:
    # Its cache of weights in bfloat16 outlived a step: the next ones trained in vain.
    segmenter = small(precision="bfloat16", max_epochs=3).fit(*data)
    with torch.autocast("cpu", enabled=False):
        within = small(precision="bfloat16", max_epochs=3).fit(*data)
    np.testing.assert_array_equal(weights(within), weights(segmenter))


def test_a_default_device_of_torch_changes_nothing(data: Any) -> None:
    expected = small().fit(*data)
    torch.set_default_device("meta")
    try:
        segmenter = small().fit(*data)
        again = pickle.loads(pickle.dumps(segmenter))
        labels = again.predict(data[0])
    finally:
        torch.set_default_device(None)
    np.testing.assert_array_equal(weights(segmenter), weights(expected))
    np.testing.assert_array_equal(labels, expected.predict(data[0]))


def test_interrupted_fits_let_the_images_go(data: Any) -> None:
    class Interrupt(Callback):  # type: ignore[misc]
        def on_batch_end(self, net: Any, **_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        small(callbacks=[Interrupt()]).fit(*data)
    seen, kept = [], caught.value.__traceback__
    while kept is not None:
        seen.append(kept.tb_frame.f_locals.get("batches"))
        kept = kept.tb_next
    batches = [one for one in seen if isinstance(one, Batches)]
    assert batches
    assert not any("_store" in vars(one) for one in batches)


def test_a_callback_may_end_training(data: Any) -> None:
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=1e9)
    segmenter = small(max_epochs=50, callbacks=[("own", stopping)]).fit(*data)
    assert segmenter.n_iter_ < 50
    assert segmenter.predict(data[0]).shape == (12, 16, 16)


def test_a_scoring_callback_of_skorch_sees_the_validation(data: Any) -> None:
    X, y = data
    scoring = EpochScoring(lambda net, *_: 7.0, name="seven", use_caching=False)
    segmenter = small(callbacks=[scoring]).fit(X, y, X_val=X, y_val=y)
    assert segmenter.history_[-1]["seven"] == 7.0


def test_verbose_prints_a_line_an_epoch(data: Any, capsys: Any) -> None:
    X, y = data
    small(max_epochs=3, verbose=1).fit(X, y, X_val=X, y_val=y)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == [
        "epoch",
        "train_loss",
        "valid_iou",
        "valid_loss",
        "dur",
    ]
    assert len(printed) == 2 + 3
    small(max_epochs=1).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_callbacks_freeze_is_free_again_after_training(
    data: Any, method: str
) -> None:
    segmenter = small(callbacks=[Freezer("encoder*")], classes=[0, 1, 2])
    getattr(segmenter, method)(*data)
    assert all(required_gradients(segmenter).values())


def required_gradients(segmenter: FCNSegmenter) -> dict[str, bool]:
    parameters = segmenter.network_.named_parameters()
    return {name: parameter.requires_grad for name, parameter in parameters}


def test_a_training_after_a_frozen_one_does_not_depend_on_a_pickle(data: Any) -> None:
    kept = small(warm_start=True, callbacks=[Freezer("encoder*")]).fit(*data)
    kept.set_params(callbacks=None)
    stored = pickle.loads(pickle.dumps(kept))
    np.testing.assert_array_equal(weights(kept.fit(*data)), weights(stored.fit(*data)))


def test_layers_that_the_users_network_freezes_stay_frozen(data: Any) -> None:
    def network(n_channels: int, n_classes: int) -> nn.Module:
        frozen = nn.Conv2d(n_channels, 4, 1).requires_grad_(False)
        return nn.Sequential(frozen, nn.Conv2d(4, n_classes, 1))

    segmenter = FCNSegmenter(network=network, max_epochs=2, random_state=0)
    for callback in (Freezer("*1.bias"), Unfreezer("*")):
        segmenter.set_params(callbacks=[callback]).fit(*data)
        assert [*required_gradients(segmenter).values()] == [False] * 2 + [True] * 2


def test_a_training_that_breaks_down_while_frozen_leaves_nothing_frozen(
    data: Any,
) -> None:
    class Break(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            if len(net.history) == 2:
                next(net.module_.parameters()).data.fill_(float("nan"))

    segmenter = small(callbacks=[Freezer("encoder*"), Break()], max_epochs=5)
    with pytest.raises(ValueError, match="NaN or infinite"):
        segmenter.fit(*data)
    assert segmenter.n_iter_ == 2
    assert all(required_gradients(segmenter).values())


class Interrupt(Callback):  # type: ignore[misc]
    """Press Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_batch_end(self, net: Any, **_: Any) -> None:
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_ctrl_c_reaches_the_caller_and_leaves_the_old_fit(data: Any) -> None:
    segmenter = small().fit(*data)
    before = weights(segmenter)
    segmenter.set_params(callbacks=[Interrupt(epoch=2)])
    with pytest.raises(KeyboardInterrupt):
        segmenter.fit(*data)
    np.testing.assert_array_equal(weights(segmenter), before)


def test_a_loss_that_is_no_number_raises_and_leaves_no_fit(data: Any) -> None:
    segmenter = small(learning_rate=1e30, norm=None, max_epochs=5).fit
    with pytest.raises(ValueError, match=r"epoch 1 at learning_rate=1e\+30"):
        segmenter(*data)
    with pytest.raises(NotFittedError):
        segmenter.__self__.predict(data[0])


def test_a_loss_that_becomes_no_number_leaves_the_last_finite_epoch(data: Any) -> None:
    def loss(scores: Any, codes: Any, weights: Any) -> Any:
        return nn.functional.cross_entropy(scores, codes) * factor[0]

    class Break(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            factor[0] = float("nan")

    factor = [1.0]
    segmenter = small(loss=loss, callbacks=[Break()], max_epochs=5)
    with pytest.raises(ValueError, match="epoch 2"):
        segmenter.fit(*data)
    assert segmenter.n_iter_ == 1
    assert np.isfinite(weights(segmenter)).all()
    assert segmenter.predict(data[0]).shape == (12, 16, 16)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_to_no_number_leaves_the_earlier_fit(data: Any, method: str) -> None:
    segmenter = small(norm=None, warm_start=True).fit(*data)
    before = weights(segmenter)
    segmenter.set_params(learning_rate=1e30)
    with pytest.raises(ValueError, match=r"(?s)in epoch 3.*weights of epoch 2"):
        getattr(segmenter, method)(*data)
    np.testing.assert_array_equal(weights(segmenter), before)
    assert segmenter.n_iter_ == 2


def test_the_best_epoch_is_kept_where_a_later_one_breaks_down(data: Any) -> None:
    X, y = data

    class Break(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            if len(net.history) == 6:
                for parameter in net.module_.parameters():
                    parameter.data.fill_(float("nan"))

    segmenter = small(
        max_epochs=20,
        early_stopping=True,
        n_iter_no_change=20,
        learning_rate=3e-2,
        callbacks=[Break()],
    )
    with pytest.raises(ValueError, match="NaN or infinite"):
        segmenter.fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    ious = [row["valid_iou"] for row in segmenter.history_]
    assert segmenter.best_epoch_ == 1 + int(np.argmax(ious))
    assert segmenter.score(X[8:], y[8:]) == pytest.approx(max(ious))


def test_another_optimizer_starts_anew(data: Any) -> None:
    segmenter = small(optimizer="sgd").partial_fit(*data, classes=[0, 1, 2])
    assert segmenter.set_params(optimizer="adam").partial_fit(*data).n_iter_ == 2


def test_an_interrupted_partial_fit_changes_nothing(data: Any) -> None:
    def fitted_twice() -> FCNSegmenter:
        segmenter = small(batch_size=4)
        return segmenter.partial_fit(*data, classes=[0, 1, 2]).partial_fit(*data)

    expected = weights(fitted_twice().partial_fit(*data))
    segmenter = fitted_twice().set_params(callbacks=[Interrupt(epoch=1)])
    with pytest.raises(KeyboardInterrupt):
        segmenter.partial_fit(*data)
    segmenter.set_params(callbacks=None).partial_fit(*data)
    np.testing.assert_array_equal(weights(segmenter), expected)


@pytest.mark.parametrize("name", ["depth", "width", "skip", "norm"])
def test_going_on_with_another_network_is_refused(data: Any, name: str) -> None:
    values = {"depth": 2, "width": 5, "skip": None, "norm": None}
    segmenter = small(warm_start=True).fit(*data).set_params(**{name: values[name]})
    with pytest.raises(ValueError, match=f"{name} is"):
        segmenter.fit(*data)


@pytest.mark.parametrize(
    "callback",
    [ProgressBar(), Checkpoint(f_params=None, f_optimizer=None, f_history=None)],
    ids=["ProgressBar", "Checkpoint"],
)
@pytest.mark.parametrize("validates", [True, False])
def test_usual_callbacks_of_skorch_run(
    data: Any, tmp_path: Any, callback: Any, validates: bool
) -> None:
    X, y = data
    monitor = "valid_iou_best" if validates else "train_loss_best"
    if isinstance(callback, Checkpoint):
        callback = Checkpoint(monitor=monitor, dirname=str(tmp_path))
    validation = {"X_val": X, "y_val": y} if validates else {}
    assert small(callbacks=[callback]).fit(X, y, **validation).n_iter_ == 2


# State


def test_pickle_deepcopy_and_clone(fitted: Any, data: Any) -> None:
    X, _ = data
    expected = fitted.predict_proba(X)
    for twin in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(twin.predict_proba(X), expected)
        assert twin.history_ == fitted.history_
    assert not hasattr(clone(fitted), "network_")


def test_changed_parameters_do_not_change_a_fitted_network(data: Any) -> None:
    X, y = data
    segmenter = small().fit(X, y)
    expected = segmenter.predict_proba(X)
    segmenter.set_params(depth=4, width=7, skip=None, norm="group")
    np.testing.assert_array_equal(segmenter.predict_proba(X), expected)
    restored = pickle.loads(pickle.dumps(segmenter))
    np.testing.assert_array_equal(restored.predict_proba(X), expected)


def test_the_state_is_numpy_and_plain_python(fitted: Any) -> None:
    def leaves(value: Any) -> Any:
        if isinstance(value, dict):
            for part in value.values():
                yield from leaves(part)
        elif isinstance(value, (list, tuple)):
            for part in value:
                yield from leaves(part)
        else:
            yield value

    plain = (np.ndarray, int, float, str, bool, type(None))
    state = fitted.__getstate__()
    assert all(isinstance(leaf, plain) for leaf in leaves(state))
    assert state["_sksegment_version"]


def test_validation_survives_a_saved_and_loaded_warm_start(data: Any) -> None:
    segmenter = pickle.loads(pickle.dumps(small(warm_start=True).fit(*data)))
    assert segmenter.fit(*data).n_iter_ == 4


# Devices


@pytest.mark.cuda
def test_training_and_prediction_on_cuda(data: Any) -> None:
    X, y = data
    segmenter = small(max_epochs=20, device="cuda", learning_rate=1e-2).fit(X, y)
    on_gpu = segmenter.predict_proba(X)
    restored = pickle.loads(pickle.dumps(segmenter)).set_params(device="cpu")
    np.testing.assert_allclose(restored.predict_proba(X), on_gpu, atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="device is 'cuda'"):
        small(device="cuda").fit(*data)
