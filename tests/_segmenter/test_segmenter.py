"""FCNSegmenter: training, its options, and what comes back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import nn

from helpers.names import name_without_address
from helpers.segmenter import small, weights
from sksegment import FCNSegmenter, iou_scorer
from sksegment._training.skorch_net import predicted_classes
from sksegment.metrics import iou_score


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
    ids=name_without_address,
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
        small(batch_size="auto", max_epochs=20, callbacks=[Sizes()]).fit(X, y)
    assert sorted(found, reverse=True) == sorted(20 * sizes, reverse=True)
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
