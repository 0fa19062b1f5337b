"""Which crops an epoch trains on, how they meet, and what is added to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sksegment import FCNSegmenter
from sksegment._inputs.labels import IGNORED
from sksegment._inputs.random import ORDER, random_generator
from sksegment._inputs.samples import as_samples
from sksegment._inputs.training_set import survey
from sksegment._training.batches import (
    AUTO_BATCH_SIZE,
    AUTO_STEPS,
    AUTO_STEPS_IN_ALL,
    POOL_BATCHES,
    Batches,
    Crop,
    cut_batches,
    images_in_batch,
)
from sksegment.augmentation import RandomRotation
from sksegment.datasets import make_shapes

CPU = torch.device("cpu")


def numbered(sizes):
    """Return images whose pixels are all different, and masks of their parity."""
    X, start = [], 0
    for height, width in sizes:
        pixels = np.arange(start, start + height * width).reshape(height, width)
        start += height * width
        X.append(pixels.astype(np.float32))
    return X, [(image % 2).astype(np.uint8) for image in X]


def batches(
    X, y, weight=None, batch_size=2, crop_size=None, sampling="uniform", seed=0
):
    samples = survey(as_samples(X, y, weight), None, None)
    return Batches(
        samples, samples.scale, (), batch_size, crop_size, sampling, seed, CPU
    )


def epoch(plan):
    """Return images with their scale undone, codes and weights, batch by batch."""
    scale = plan.samples.scale
    return [
        (
            np.rint(images[:, 0].double().numpy() * scale.std + scale.mean),
            codes.numpy(),
            None if weights is None else weights.numpy(),
        )
        for images, (codes, weights) in plan
    ]


def sequence(plan):
    return [images.tobytes() for images, _, _ in epoch(plan)]


def test_whole_images_come_once_an_epoch_as_they_are():
    X, y = numbered([(4, 6)] * 5)
    found = [
        pair
        for images, codes, _ in epoch(batches(X, y))
        for pair in zip(images, codes, strict=True)
    ]
    found.sort(key=lambda pair: pair[0][0, 0])
    assert len(found) == 5
    for (image, codes), expected, mask in zip(found, X, y, strict=True):
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(codes, mask)


def test_batches_have_the_types_that_training_wants():
    X, y = numbered([(4, 6)] * 2)
    ((images, (codes, weights)),) = batches(X, y, np.ones(2))
    assert (images.shape, images.dtype) == ((2, 1, 4, 6), torch.float32)
    assert (codes.shape, codes.dtype) == ((2, 4, 6), torch.int64)
    assert (weights.shape, weights.dtype) == ((2, 4, 6), torch.float32)


def test_images_are_standardised():
    X, y = numbered([(4, 6), (8, 3)])
    pixels = torch.cat([images.flatten() for images, _ in batches(X, y, batch_size=1)])
    assert pixels.mean().item() == pytest.approx(0, abs=1e-6)
    assert pixels.std(correction=0).item() == pytest.approx(1)


def test_smaller_images_are_mirrored_and_the_mirror_is_ignored():
    X, y = numbered([(7, 3), (2, 5)])
    ((images, codes, weights),) = epoch(batches(X, y, [1.0, 2.0]))
    for image, mask, weight in zip(images, codes, weights, strict=True):
        index = int(image[0, 0] == X[1][0, 0])
        height, width = X[index].shape
        expected = np.pad(X[index], ((0, 7 - height), (0, 5 - width)), "symmetric")
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(mask[:height, :width], y[index])
        inside = np.zeros((7, 5), bool)
        inside[:height, :width] = True
        assert (mask[~inside] == IGNORED).all()
        np.testing.assert_array_equal(weight, np.where(inside, index + 1.0, 0))


def test_few_images_make_several_steps_an_epoch():
    X, y = numbered([(4, 4)] * 6)
    drawn = epoch(batches(X, y, batch_size="auto"))
    assert [len(images) for images, _, _ in drawn] == [2, 2, 2]


@pytest.mark.parametrize("n_images", [1, 2, 5, 20, 39, 100, 1000])
@pytest.mark.parametrize("n_epochs", [1, 2, 5, 10, 100])
def test_short_trainings_have_steps_enough(n_images, n_epochs):
    size = images_in_batch("auto", n_images, n_epochs)
    n_steps = n_epochs * -(-n_images // size)
    assert n_steps >= min(AUTO_STEPS_IN_ALL, n_epochs * n_images)
    assert 1 <= size <= images_in_batch("auto", n_images)
    assert images_in_batch(5, n_images, n_epochs) == 5


def test_one_epoch_of_fit_takes_single_images():
    X, y = make_shapes(6, size=16, random_state=0)
    lengths = []

    class Watch(Callback):
        def on_batch_begin(self, net, batch=None, **_):
            lengths.append(len(batch[0]))

    segmenter = FCNSegmenter(depth=1, width=2, max_epochs=1, callbacks=[Watch()])
    segmenter.fit(X, y)
    assert lengths == [1] * 6
    lengths.clear()
    segmenter.partial_fit(X, y)  # which may be called again
    assert lengths == [2] * 3


def test_few_large_images_that_are_cropped_are_not_few():
    X, y = numbered([(32, 32)])
    drawn = epoch(batches(X, y, batch_size="auto", crop_size=(4, 4)))
    assert {len(images) for images, _, _ in drawn} == {AUTO_BATCH_SIZE}


@pytest.mark.parametrize("n_images", range(1, 70))
def test_automatic_batches_make_steps_enough_and_are_never_larger(n_images):
    size = images_in_batch("auto", n_images)
    n_steps = -(-n_images // size)
    assert 1 <= size <= AUTO_BATCH_SIZE
    assert n_steps >= min(n_images, AUTO_STEPS - 1)
    if n_images > (AUTO_BATCH_SIZE - 1) * AUTO_STEPS:
        assert size == AUTO_BATCH_SIZE
    assert images_in_batch(5, n_images) == 5


@pytest.mark.parametrize("crop_size", [(4, 4), (3, 8), (20, 5), (50, 50), (1, 1)])
def test_crops_cover_about_as_many_pixels_as_the_images_have(crop_size):
    X, y = numbered([(12, 9), (5, 20), (4, 4)])
    plan = batches(X, y, crop_size=crop_size, batch_size=3)
    numbers = [max(1, round(x.size / (crop_size[0] * crop_size[1]))) for x in X]
    drawn = epoch(plan)
    assert len(plan) == len(drawn)
    assert sum(len(images) for images, _, _ in drawn) == sum(numbers)

    origin = Counter()
    for images, codes, _ in drawn:
        assert images.shape[1:] == crop_size
        for image, mask in zip(images, codes, strict=True):
            origin[_check_crop(image, mask, X, crop_size)] += 1
    assert [origin[index] for index in range(3)] == numbers


def _check_crop(image, mask, X, crop_size):
    """Find a crop in its image by its first pixel, and compare; return which it is."""
    ((index, top, left),) = [
        (index, *map(int, where))
        for index, x in enumerate(X)
        for where in np.argwhere(x == image[0, 0])
    ]
    height, width = (min(pair) for pair in zip(crop_size, X[index].shape, strict=True))
    part = X[index][top : top + height, left : left + width]
    assert part.shape == (height, width)  # the window lies inside the image
    padding = [(0, crop_size[0] - height), (0, crop_size[1] - width)]
    np.testing.assert_array_equal(image, np.pad(part, padding, "symmetric"))
    expected = np.pad(part % 2, padding, constant_values=IGNORED)
    np.testing.assert_array_equal(mask, expected)
    return index


def test_crops_of_all_epochs_reach_every_pixel():
    X, y = numbered([(6, 6)])
    plan = batches(X, y, crop_size=(3, 3))
    seen = {
        pixel
        for _ in range(60)
        for images, _, _ in epoch(plan)
        for pixel in images.ravel()
    }
    assert seen == set(range(36))


def test_pixel_weights_follow_their_pixels():
    X, y = numbered([(9, 9), (6, 12)])
    plan = batches(X, y, [1 + x / 7 for x in X], crop_size=(4, 5))
    for images, codes, weights in epoch(plan):
        assert (codes != IGNORED).all()
        np.testing.assert_allclose(weights, 1 + images / 7, rtol=1e-6)


def test_mirrored_pixels_of_a_crop_have_no_weight():
    X, y = numbered([(3, 4)])
    ((_, codes, weights),) = epoch(batches(X, y, [1 + X[0]], crop_size=(5, 6)))
    np.testing.assert_array_equal(weights > 0, codes != IGNORED)


def test_one_weight_an_image_covers_all_its_pixels():
    X, y = numbered([(4, 4)] * 4)
    for images, _, weights in epoch(batches(X, y, [0.5, 1, 2, 0])):
        first = images[:, :1, :1]
        expected = np.array([0.5, 1, 2, 0])[(first // 16).astype(int)]
        np.testing.assert_array_equal(weights, np.broadcast_to(expected, images.shape))


def test_epochs_repeat_with_their_number_and_seed_and_differ_otherwise():
    X, y = numbered([(8, 8)] * 6)
    plan = batches(X, y, crop_size=(4, 4))
    first, second = sequence(plan), sequence(plan)
    again = batches(X, y, crop_size=(4, 4))
    again.epoch = 1  # as a resumed training sets it
    other = batches(X, y, crop_size=(4, 4), seed=1)
    assert sequence(again) == second != first != sequence(other)
    assert plan.epoch == 2


def test_order_of_whole_images_changes_with_the_epoch():
    X, y = numbered([(2, 2)] * 12)
    plan = batches(X, y, batch_size=1)
    first, second = sequence(plan), sequence(plan)
    assert first != second
    assert sorted(first) == sorted(second)


def test_crop_of_an_image_does_not_depend_on_the_batch_size():
    X, y = numbered([(8, 8)] * 5)
    crops = [
        sorted(
            image.tobytes()
            for images, _, _ in epoch(batches(X, y, crop_size=(3, 3), batch_size=size))
            for image in images
        )
        for size in (1, 4)
    ]
    assert crops[0] == crops[1]


def patches_of(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, (int(rng.integers(1, 300)), 2)).tolist()
    crops = [Crop(index, 0, *size) for index, size in enumerate(sizes)]
    return crops, int(rng.integers(1, 20)), rng


@pytest.mark.parametrize("seed", range(50))
def test_batches_share_the_crops_almost_equally(seed):
    crops, batch_size, rng = patches_of(seed)
    cut = cut_batches(crops, batch_size, rng)
    lengths = [len(batch) for batch in cut]
    assert sorted(crop for batch in cut for crop in batch) == crops
    assert len(cut) == -(-len(crops) // batch_size)
    assert max(lengths) <= batch_size
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_crops_of_similar_size_share_a_batch(seed):
    rng = np.random.default_rng(seed)
    crops = [Crop(index, 0, 10 * (index % 4 + 1), 10) for index in range(16)]
    cut = cut_batches(crops, 4, rng)
    assert len(crops) <= 4 * POOL_BATCHES
    assert sorted(len({p.height for p in batch}) for batch in cut) == [1, 1, 1, 1]


def test_batches_of_one_size_are_shuffled_anew_each_epoch():
    crops = [Crop(index, 0, 8, 8) for index in range(20)]
    companies = {
        frozenset(crop.image for crop in batch)
        for seed in range(5)
        for batch in cut_batches(crops, 4, np.random.default_rng(seed))
    }
    assert len(companies) > 20


def test_what_becomes_of_an_image_does_not_depend_on_its_batch():
    X, y = numbered([(6, 9), (13, 11), (8, 8)])
    plan = RandomRotation(40).fit_transform(X)
    together, alone = (batches(X, y, batch_size=size) for size in (3, 1))
    for each in (together, alone):
        each.steps = plan.steps
    images, (codes, _) = next(iter(together))
    singles = {
        crop.image: batch
        for (crop,), batch in zip(cut(alone), list(alone), strict=True)
    }
    for row, crop in enumerate(cut(together)[0]):
        image, (image_codes, _) = singles[crop.image]
        corner = np.s_[: crop.height, : crop.width]
        torch.testing.assert_close(images[row, 0][corner], image[0, 0])
        assert torch.equal(codes[row][corner], image_codes[0])


def cut(plan):
    """Return the crops of the first epoch, batch by batch."""
    rng = random_generator(ORDER, plan.seed, 1)
    return cut_batches(plan._crops(), plan.batch_size, rng)


def test_balanced_crops_see_a_rare_class_as_often_as_the_frequent_one():
    image = np.zeros((64, 64), np.float32)
    mask = np.zeros((64, 64), np.uint8)
    mask[50, 7] = 3  # one pixel of 4096
    plan = batches(
        [image], [mask], crop_size=(8, 8), sampling="balanced", batch_size=64
    )
    (codes, _) = next(iter(plan))[1]
    share = (codes == 1).any(dim=(1, 2)).float().mean()
    assert 0.3 < share < 0.7


def test_balanced_crops_of_a_single_class_and_of_small_images():
    X, y = numbered([(20, 20), (3, 5)])
    y = [np.zeros_like(y[0]), y[1]]
    plan = batches(X, y, crop_size=(8, 8), sampling="balanced", batch_size=16)
    images_of_epoch, _ = next(iter(plan))
    assert images_of_epoch.shape[1:] == (1, 8, 8)


def test_balanced_crops_lie_around_pixels_that_count():
    image = np.zeros((64, 64), np.float32)
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 1
    weight = np.where(mask, 0, 1.0)
    weight[:8] = 0
    plan = batches(
        [image], [mask], [weight], crop_size=(4, 4), sampling="balanced", batch_size=64
    )
    for _, (_, weights) in plan:
        assert (weights > 0).any(dim=(1, 2)).all()


def test_balanced_crops_take_the_smallest_of_weights_for_positive():
    X, y = numbered([(20, 20), (20, 20)])
    plan = batches(X, y, [5e-324, 1e300], crop_size=(4, 4), sampling="balanced")
    plan.samples = replace(plan.samples, unit=plan.samples.mean_weight)
    assert sum(len(codes) for _, codes, _ in epoch(plan)) == 50
