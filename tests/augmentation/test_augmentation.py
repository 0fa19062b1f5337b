"""Augmenters against numpy and scipy: what moves, what is painted, who draws."""

from __future__ import annotations

import copy
import math
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.ndimage import map_coordinates
from sklearn.pipeline import make_pipeline

from helpers.augmentation import ALL, COLORERS, MOVERS
from sksegment import FCNSegmenter
from sksegment._inputs.channel_scale import Scale
from sksegment._torch.batch import Batch
from sksegment.augmentation import (
    RandomBrightness,
    RandomContrast,
    RandomFlip,
    RandomGamma,
    RandomNoise,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
    _apply,
)
from sksegment.augmentation._apply import augment_batch

FILLERS = MOVERS[1:]
FOUR = [
    RandomRotation(40),
    RandomZoom((0.6, 1.7)),
    RandomShear(20),
    RandomTranslation(0.2),
]

UNSCALED = Scale(np.zeros(3), np.ones(3), np.zeros(3), np.ones(3))
SCALED = Scale(
    np.array([100.0, -3.0, 0.5]),
    np.array([40.0, 0.1, 2.0]),
    np.array([10.0, -4.0, 0.0]),
    np.array([250.0, -1.0, 1.0]),
)


class Largest:
    """A generator that draws the largest of a range, and always "do it"."""

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        return high if size is None else np.full(size, high)

    def random(self, size: Any = None) -> Any:
        return 0.0 if size is None else np.zeros(size)


@pytest.fixture
def largest_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_apply, "_generator", lambda *key: Largest())


def planned(*augmenters: Any) -> Any:
    """The plan that a Pipeline of these augmenters makes."""
    images = np.zeros((1, 2, 2))
    return reduce(lambda X, step: step.fit_transform(X), augmenters, images).steps


def carry_out(
    augmenters: Any,
    images: Any,
    codes: Any = None,
    weights: Any = None,
    *,
    scale: Scale = UNSCALED,
    seed: int = 0,
    epoch: int = 1,
    first: int = 0,
) -> Any:
    """Augment images (n, height, width, 3) as training would, in their own units."""
    if codes is None:
        codes = np.zeros(np.shape(images)[:3])
    standard = np.moveaxis(scale.apply(np.asarray(images)), -1, 1)
    batch = Batch(
        torch.from_numpy(np.ascontiguousarray(standard, np.float32)),
        torch.from_numpy(np.array(codes, np.int64)),
        None if weights is None else torch.from_numpy(np.array(weights, np.float32)),
    )
    keys = [(epoch, first + index, 0) for index in range(len(images))]
    moved = augment_batch(planned(*augmenters), batch, keys, seed, scale)
    back = np.moveaxis(moved.images.numpy(), 1, -1) * scale.std + scale.mean
    return back, moved.codes.numpy(), None if weights is None else moved.weights.numpy()


def painted(n: int, height: int, width: int) -> Any:
    """Images that say at each pixel where it is, and masks that number the pixels."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    images = np.stack([rows, columns, 0 * rows], axis=-1)
    codes = np.arange(height * width).reshape(height, width)
    return np.stack([images] * n), np.stack([codes] * n)


def random_images(n: int = 4, height: int = 12, width: int = 10) -> Any:
    return np.random.default_rng(0).random((n, height, width, 3), np.float32)


def affine(image: Any) -> Any:
    """The 2x3 matrix, x first and from the centre, that a painted image was moved by.

    Fitted to pixels around the centre, so that nothing mirrored takes part.
    """
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(float)
    x, y = columns - (width - 1) / 2, rows - (height - 1) / 2
    near = (abs(x) < 5) & (abs(y) < 5)
    design = np.stack([x[near], y[near], np.ones(near.sum())], axis=1)
    found = image[near][:, [1, 0]] - [(width - 1) / 2, (height - 1) / 2]
    solution, residuals, *_ = np.linalg.lstsq(design, found, rcond=None)
    assert residuals.max() < 1e-4
    return solution.T


# Movements


@pytest.mark.parametrize(
    "augmenters",
    [[RandomFlip(vertical=True)], *[[step] for step in FOUR], FOUR],
    ids=lambda steps: "+".join(type(step).__name__ for step in steps),
)
def test_image_mask_and_weights_move_together(augmenters):
    height, width = 24, 40
    images, codes = painted(6, height, width)
    moved, moved_codes, weights = carry_out(augmenters, images, codes, codes)
    assert (moved_codes != codes).any(axis=(1, 2)).sum() >= 3
    assert_array_equal(weights, moved_codes)
    # The mask looks at the nearest pixel, the image at the exact place.
    assert abs(moved[..., 0] - moved_codes // width).max() <= 0.5 + 1e-3
    assert abs(moved[..., 1] - moved_codes % width).max() <= 0.5 + 1e-3


def test_rotations_turn_about_the_centre_by_at_most_the_angle():
    images, _ = painted(40, 33, 41)
    matrices = [affine(image) for image in carry_out([RandomRotation(30)], images)[0]]
    angles = [math.degrees(math.atan2(m[1, 0], m[0, 0])) for m in matrices]
    for matrix in matrices:
        assert_allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2), atol=1e-4)
        assert_allclose(matrix[:, 2], 0, atol=1e-4)
    assert -30 <= min(angles) < -15
    assert 15 < max(angles) <= 30


def test_zooms_keep_the_centre_and_magnify_above_one():
    images, _ = painted(40, 33, 41)
    moved = carry_out([RandomZoom((0.5, 2.0))], images)[0]
    matrices = np.array([affine(image) for image in moved])
    factors = 1 / matrices[:, 0, 0]
    assert_allclose(matrices, [np.eye(2, 3) / f for f in factors], atol=1e-4)
    assert 0.5 <= factors.min() < 0.8
    assert 1.25 < factors.max() <= 2.0
    # Uniform in the logarithm: as often smaller as larger.
    assert 10 < (factors < 1).sum() < 30


def test_translations_shift_by_fractions_of_height_and_width():
    images, _ = painted(40, 33, 41)
    moved = carry_out([RandomTranslation(0.2)], images)[0]
    matrices = np.array([affine(image) for image in moved])
    assert_allclose(matrices[:, :, :2], [np.eye(2)] * 40, atol=1e-4)
    x, y = matrices[:, :, 2].T
    for shift, length in ((x, 41), (y, 33)):
        assert -0.2 * length <= shift.min() < -0.1 * length
        assert 0.1 * length < shift.max() <= 0.2 * length
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.5


def test_shears_slant_rows_or_columns_by_at_most_the_angle():
    images, _ = painted(40, 33, 41)
    moved = carry_out([RandomShear(30)], images)[0]
    matrices = np.array([affine(image) for image in moved])
    assert_allclose(matrices[:, [0, 1], [0, 1]], 1, atol=1e-4)
    assert_allclose(matrices[:, :, 2], 0, atol=1e-4)
    slopes = matrices[:, [0, 1], [1, 0]]
    assert (np.isclose(slopes, 0, atol=1e-4).sum(axis=1) == 1).all()
    assert (abs(slopes) > 0.1).any(axis=0).all()
    assert abs(slopes).max() <= math.tan(math.radians(30)) + 1e-4


@pytest.mark.usefixtures("largest_draw")
@pytest.mark.parametrize("rotation_first", [True, False])
def test_the_first_step_of_a_composition_acts_first(rotation_first):
    images, codes = painted(1, 16, 16)
    steps = [RandomRotation(90), RandomTranslation(0.25)]
    numpy_steps = [np.rot90, lambda a: np.pad(a, ((0, 4), (0, 4)), "symmetric")[4:, 4:]]
    order = 1 if rotation_first else -1
    _, moved, _ = carry_out(steps[::order], images, codes)
    expected = reduce(lambda mask, step: step(mask), numpy_steps[::order], codes[0])
    other = reduce(lambda mask, step: step(mask), numpy_steps[::-order], codes[0])
    assert (expected != other).any()
    assert_array_equal(moved[0], expected)


@pytest.mark.usefixtures("largest_draw")
@pytest.mark.parametrize("fill", ["reflect", 9.0])
def test_a_composition_is_one_resampling_by_the_product_of_the_matrices(fill):
    height, width = 20, 31
    images = random_images(1, height, width)
    codes = np.random.default_rng(1).integers(0, 5, (1, height, width))
    moved, moved_codes, _ = carry_out(
        [
            RandomRotation(25, fill=fill),
            RandomFlip(),
            RandomZoom((0.5, 0.8), fill=fill),
            RandomTranslation(0.1, fill=fill),
            RandomShear(15, fill=fill),
        ],
        images,
        codes,
    )
    cos, sin = math.cos(math.radians(25)), math.sin(math.radians(25))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    flip, zoom = np.diag([-1.0, 1, 1]), np.diag([1.25, 1.25, 1])
    shift = np.array([[1, 0, 0.1 * width], [0, 1, 0.1 * height], [0, 0, 1]])
    shear = np.array([[1, math.tan(math.radians(15)), 0], [0, 1, 0], [0, 0, 1]])
    rows, columns = np.mgrid[:height, :width].astype(float)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])[:, None, None]
    output = np.concatenate(
        [np.stack([columns, rows]) - centre, np.ones((1, height, width))]
    )
    matrix = turn @ flip @ zoom @ shift @ shear
    x, y = np.einsum("ij,jhw->ihw", matrix, output)[:2] + centre
    mode = "reflect" if fill == "reflect" else "nearest"
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    assert outside.mean() > 0.2
    expected = np.stack(
        [
            map_coordinates(images[0, ..., channel], [y, x], order=1, mode=mode)
            for channel in range(3)
        ],
        axis=-1,
    )
    expected_codes = map_coordinates(codes[0], [y, x], order=0, mode=mode)
    if fill != "reflect":
        expected[outside], expected_codes[outside] = fill, -1
    assert_allclose(moved[0], expected, atol=1e-4)
    assert_array_equal(moved_codes[0], expected_codes)


@pytest.mark.usefixtures("largest_draw")
@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_reflect_is_the_symmetric_padding_of_numpy(fraction):
    images = random_images(2, 8, 12)
    codes = np.random.default_rng(1).integers(0, 9, (2, 8, 12))
    moved, moved_codes, weights = carry_out(
        [RandomTranslation(fraction)], images, codes, images[..., 0]
    )
    down, right = int(8 * fraction), int(12 * fraction)

    def shifted(array):
        padding = [(0, 0), (0, down), (0, right)] + [(0, 0)] * (array.ndim - 3)
        return np.pad(array, padding, "symmetric")[:, down:, right:]

    assert_allclose(moved, shifted(images), atol=1e-5)
    assert_array_equal(moved_codes, shifted(codes))
    assert_array_equal(weights, shifted(images[..., 0]))


@pytest.mark.usefixtures("largest_draw")
def test_a_number_paints_what_comes_in_and_takes_its_labels_away():
    images = 100 * random_images(2, 8, 12)
    codes = np.random.default_rng(1).integers(0, 9, (2, 8, 12))
    moved, moved_codes, _ = carry_out(
        [RandomTranslation(0.25, fill=7)], images, codes, scale=SCALED
    )
    assert_allclose(moved[:, :6, :9], images[:, 2:, 3:], rtol=1e-4, atol=1e-3)
    assert_array_equal(moved_codes[:, :6, :9], codes[:, 2:, 3:])
    for strip in (np.s_[:, 6:], np.s_[:, :, 9:]):
        assert_allclose(moved[strip], 7, rtol=1e-5)
        assert (moved_codes[strip] == -1).all()


@pytest.mark.parametrize("augmenter", FILLERS)
def test_masks_hold_no_label_that_was_not_there(augmenter):
    images = random_images(8)
    codes = np.random.default_rng(1).choice([3, 8, 20], (8, 12, 10))
    _, mirrored, _ = carry_out([augmenter()], images, codes)
    _, filled, _ = carry_out([augmenter(fill=0)], images, codes)
    assert set(mirrored.flat) <= {3, 8, 20}
    assert set(filled.flat) <= {-1, 3, 8, 20}


@pytest.mark.parametrize(
    "options, axes",
    [
        ({}, (2,)),
        ({"horizontal": False, "vertical": True}, (1,)),
        ({"vertical": True}, (1, 2)),
    ],
)
def test_flips_are_exact_copies_and_undo_themselves(options, axes):
    images, (_, codes) = random_images(), painted(4, 12, 10)
    flip = RandomFlip(p=1.0, **options)
    moved, moved_codes, weights = carry_out([flip], images, codes, images[..., 0])
    assert_array_equal(moved, np.flip(images, axes))
    assert_array_equal(moved_codes, np.flip(codes, axes))
    assert_array_equal(weights, np.flip(images[..., 0], axes))
    back, back_codes, _ = carry_out([flip, flip], images, codes)
    assert_array_equal(back, images)
    assert_array_equal(back_codes, codes)


def test_flips_choose_their_axes_independently():
    images, codes = painted(64, 4, 4)
    _, moved, _ = carry_out([RandomFlip(vertical=True)], images, codes)
    corners = moved[:, 0, 0].tolist()
    assert all(corners.count(corner) > 6 for corner in (0, 3, 12, 15))


@pytest.mark.parametrize("augmenter", ALL)
def test_probability_zero_changes_no_bit(augmenter):
    images, (_, codes) = random_images(), painted(4, 12, 10)
    moved, moved_codes, weights = carry_out(
        [augmenter(p=0.0)], images, codes, images[..., 0]
    )
    assert_array_equal(moved, images)
    assert_array_equal(moved_codes, codes)
    assert_array_equal(weights, images[..., 0])
    fine = images.astype(np.float64) + 1e-12
    seen, seen_codes = augmenter(p=0.0).augment(fine, codes)
    assert_array_equal(seen, fine)
    assert_array_equal(seen_codes, codes)


@pytest.mark.parametrize("augmenter", [step for step in ALL if step is not RandomFlip])
def test_p_is_the_share_of_the_images_that_change(augmenter):
    images = np.concatenate([random_images()] * 25)
    moved = carry_out([augmenter(p=0.3)], images)[0]
    assert 15 <= (moved != images).any(axis=(1, 2, 3)).sum() <= 45


def test_the_batch_that_is_augmented_stays_as_it_was():
    images = torch.from_numpy(random_images()).permute(0, 3, 1, 2).contiguous()
    batch = Batch(images.clone(), torch.ones(4, 12, 10).long(), torch.ones(4, 12, 10))
    steps = planned(*FOUR, *(augmenter() for augmenter in COLORERS))
    augment_batch(steps, batch, [(1, i, 0) for i in range(4)], 0, UNSCALED)
    assert torch.equal(batch.images, images)
    assert (batch.codes == 1).all()


# Colors


@pytest.mark.usefixtures("largest_draw")
@pytest.mark.parametrize(
    "augmenter, formula",
    [
        (RandomBrightness(0.3), lambda x, low, high: x + 0.3 * (high - low)),
        (
            RandomContrast((0.5, 1.5)),
            lambda x, low, high: (low + high) / 2 + 1.5 * (x - (low + high) / 2),
        ),
        (
            RandomGamma((0.5, 2.0)),
            lambda x, low, high: low + (high - low) * ((x - low) / (high - low)) ** 2,
        ),
    ],
    ids=["brightness", "contrast", "gamma"],
)
def test_colors_change_in_units_of_the_training_range(augmenter, formula):
    # The range of these images is narrower than that of training.
    images = SCALED.low + (0.1 + 0.5 * random_images()) * (SCALED.high - SCALED.low)
    moved, codes, _ = carry_out([augmenter], images, scale=SCALED)
    assert_allclose(moved, formula(images, SCALED.low, SCALED.high), atol=1e-3)
    assert (codes == 0).all()


def test_noise_has_the_strength_in_units_of_the_training_range():
    images = np.zeros((2, 100, 100, 3)) + SCALED.mean
    moved, _, _ = carry_out([RandomNoise(0.2)], images, scale=SCALED)
    noise = (moved - images) / (SCALED.high - SCALED.low)
    assert_allclose(noise.std(axis=(0, 1, 2)), 0.2, rtol=0.03)
    assert abs(noise.mean()) < 0.005
    flat = noise.reshape(2, -1, 3)
    independent = np.corrcoef([*flat[0].T, *flat[1].T, flat[0, ::-1, 0]])
    assert abs(independent - np.eye(7)).max() < 0.05


@pytest.mark.parametrize("augmenter", COLORERS)
def test_a_constant_channel_stays_as_it_is(augmenter):
    images = random_images()
    images[..., 1] = 5.0
    scale = Scale(
        np.array([0.5, 5, 0.5]), np.ones(3), np.array([0, 5, 0]), np.array([1, 5, 1])
    )
    moved, _, _ = carry_out([augmenter(), RandomGamma()], images, scale=scale)
    assert_allclose(moved[..., 1], 5.0)
    assert np.isfinite(moved).all()


@pytest.mark.usefixtures("largest_draw")
def test_colors_follow_the_movement_in_their_order():
    images = random_images(1)
    bright, steep = RandomBrightness(0.5), RandomContrast((1.0, 2.0))
    first = carry_out([bright, RandomFlip(), steep], images)[0]
    then = carry_out([steep, RandomFlip(), bright], images)[0]
    mirrored = images[:, :, ::-1]
    assert_allclose(first, 0.5 + 2 * (mirrored + 0.5 - 0.5), atol=1e-5)
    assert_allclose(then, 0.5 + 2 * (mirrored - 0.5) + 0.5, atol=1e-5)


# Draws


@pytest.mark.parametrize("augmenter", ALL)
def test_draws_differ_by_image_epoch_and_seed_and_repeat(augmenter):
    images = np.concatenate([random_images(1)] * 8)
    one, *others = (
        carry_out([augmenter()], images, epoch=epoch, seed=seed)[0]
        for epoch, seed in ((1, 0), (2, 0), (1, 1))
    )
    assert_array_equal(carry_out([augmenter()], images)[0], one)
    assert all((one != other).any() for other in others)
    assert len({image.tobytes() for image in one}) > 1


@pytest.mark.parametrize("augmenters", [[step()] for step in ALL] + [FOUR])
def test_draws_do_not_depend_on_how_batches_are_cut(augmenters):
    images, (_, codes) = random_images(5), painted(5, 12, 10)
    whole, whole_codes, _ = carry_out(augmenters, images, codes)
    for rows in (slice(0, 2), slice(2, 5)):
        part, part_codes, _ = carry_out(
            augmenters, images[rows], codes[rows], first=rows.start
        )
        assert_array_equal(part, whole[rows])
        assert_array_equal(part_codes, whole_codes[rows])


def test_equal_steps_of_a_pipeline_draw_independently():
    images = np.zeros((200, 1, 1, 3))
    once = carry_out([RandomBrightness(1.0)], images)[0]
    twice = carry_out([RandomBrightness(1.0)] * 2, images)[0]
    second = (twice - once)[:, 0, 0, 0]
    assert abs(np.corrcoef(once[:, 0, 0, 0], second)[0, 1]) < 0.25


def test_an_integer_random_state_takes_the_place_of_the_segmenter_seed():
    images = random_images()
    for seed in (0, 1):
        assert_array_equal(
            carry_out([RandomRotation(random_state=3)], images, seed=seed)[0],
            carry_out([RandomRotation()], images, seed=3)[0],
        )


def test_a_random_state_instance_seeds_each_plan_anew():
    images = random_images()
    rng = np.random.RandomState(0)
    step = RandomRotation(random_state=rng)
    first, second = (carry_out([step], images)[0] for _ in range(2))
    assert (first != second).any()
    again = RandomRotation(random_state=np.random.RandomState(0))
    assert_array_equal(carry_out([again], images, seed=9)[0], first)
    seen, _ = RandomRotation(random_state=copy.deepcopy(rng)).augment(
        images, np.zeros((4, 12, 10), int)
    )
    assert (seen != images).any()


def test_global_random_numbers_are_neither_used_nor_moved():
    images, (_, codes) = random_images(), painted(4, 12, 10)
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    for augmenter in ALL:
        carry_out([augmenter()], images)
        augmenter().augment(images, codes)
    assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


# A look at one draw


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_whole_numbers_come_back_rounded_and_clipped(dtype):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    images = rng.integers(limits.min, limits.max, (20, 6, 6), dtype, endpoint=True)
    step = RandomContrast((3.0, 3.0))
    seen, _ = step.augment(images, np.zeros((20, 6, 6), int))
    assert seen.dtype == dtype
    # As in training, the middle is that of the range of all images.
    middle = (float(images.min()) + float(images.max())) / 2
    expected = (middle + 3 * (images - middle)).clip(limits.min, limits.max)
    assert {limits.min, limits.max} <= set(seen.flat)
    assert abs(seen - expected).max() <= 0.5 + 1e-6 * (limits.max - limits.min)


def test_booleans_come_back_as_booleans():
    images = np.random.default_rng(0).random((2, 6, 6)) < 0.5
    seen, _ = RandomFlip(p=1.0).augment(images, images)
    assert_array_equal(seen, images[:, :, ::-1])
    assert seen.dtype == bool


@pytest.mark.parametrize("shape", [(3, 9, 7), (3, 9, 7, 1), (3, 9, 7, 13)])
@pytest.mark.parametrize("augmenter", ALL)
def test_any_number_of_channels(augmenter, shape):
    images = np.random.default_rng(0).random(shape)
    codes = np.zeros(shape[:3], int)
    seen, _ = augmenter(random_state=0).augment(images, codes)
    assert seen.shape == shape
    assert seen.dtype == images.dtype
    assert (seen != images).any()


@pytest.mark.parametrize("heights", [(6, 8), (6, 6)])
def test_lists_of_images_and_of_paths(tmp_path, heights):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, 9, 3), np.uint8) for h in heights]
    masks = [rng.integers(0, 3, (h, 9), np.uint8) for h in heights]
    X, y = [], []
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        X.append(tmp_path / f"image{index}.png")
        y.append(tmp_path / f"mask{index}.png")
        Image.fromarray(image).save(X[-1])
        Image.fromarray(mask).save(y[-1])
    for pictures, labels in ((images, masks), (X, y)):
        seen, seen_masks = RandomFlip(p=1.0).augment(pictures, labels)
        assert seen.shape == seen_masks.shape == (2,)
        for index in range(2):
            assert_array_equal(seen[index], images[index][:, ::-1])
            assert_array_equal(seen_masks[index], masks[index][:, ::-1])


def test_grey_images_keep_or_lack_their_channel_axis(tmp_path):
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    path = tmp_path / "grey.png"
    Image.fromarray(image).save(path)
    flip = RandomFlip(p=1.0)
    for X in ([image], [image[..., None]], image[None], image[None, ..., None], [path]):
        (seen,), _ = flip.augment(X, [image])
        flat = X[0] is path or np.ndim(X[0]) == 2
        expected = image if flat else image[..., None]
        assert_array_equal(seen, expected[:, ::-1], strict=True)


def test_what_is_looked_at_repeats_with_the_seed_only():
    images, (_, codes) = random_images(), painted(4, 12, 10)
    fixed, free = RandomRotation(90, random_state=0), RandomRotation(90)
    assert_array_equal(fixed.augment(images, codes)[0], fixed.augment(images, codes)[0])
    assert (free.augment(images, codes)[0] != free.augment(images, codes)[0]).any()


@pytest.mark.parametrize(
    "masks, ignore_label",
    [
        (np.array([[[0, 1]]], np.uint8), 255),
        (np.array([[[0, 1]]], np.uint8), -1),
        (np.array([[[False, True]]]), 255),
        (np.array([[["a", "b"]]]), "nothing"),
        (np.array([[[0.0, 1.0]]]), -1),
        (np.array([[[255, 255]]], np.uint8), 255),
    ],
    ids=["bytes", "negative", "bool", "text", "floats", "all ignored"],
)
@pytest.mark.usefixtures("largest_draw")
def test_painted_pixels_have_the_ignored_label(masks, ignore_label):
    step = RandomTranslation(0.5, fill=0)
    _, seen = step.augment(np.ones((1, 1, 2)), masks, ignore_label=ignore_label)
    assert seen[0, 0, 1] == ignore_label
    assert seen[0, 0, 0] == masks[0, 0, 1]
    assert np.result_type(masks, seen) == seen.dtype


@pytest.mark.parametrize("augmenter", FILLERS)
def test_painted_borders_need_an_ignored_label_to_look_at(augmenter):
    images, codes = painted(1, 4, 4)
    with pytest.raises(ValueError, match=r"fill is 0.*ignore_label="):
        augmenter(fill=0).augment(images, codes)


# Parameters


@pytest.mark.parametrize(
    "augmenter, name, value",
    [
        *[(augmenter, "p", value) for augmenter in ALL for value in (-0.1, 1.1, "1")],
        *[(augmenter, "p", math.nan) for augmenter in ALL],
        *[(augmenter, "fill", "mirror") for augmenter in FILLERS],
        *[
            (augmenter, "fill", value)
            for augmenter in FILLERS
            for value in (None, True, math.nan, math.inf)
        ],
        *[(RandomRotation, "degrees", value) for value in (-1, 181, "15", None, True)],
        *[(RandomShear, "degrees", value) for value in (-1, 90, math.nan)],
        *[
            (augmenter, "scale", value)
            for augmenter in (RandomZoom, RandomContrast, RandomGamma)
            for value in (1.2, (1.25, 0.8), (0, 1), (-1, 1), (1, math.inf), (1, 2, 3))
        ],
        *[(RandomTranslation, "fraction", value) for value in (-0.1, 1.1, (0.1, 0.2))],
        *[
            (augmenter, "strength", value)
            for augmenter in (RandomBrightness, RandomNoise)
            for value in (-0.1, math.nan, math.inf, "0.2")
        ],
        *[(RandomFlip, name, 1) for name in ("horizontal", "vertical")],
        *[(augmenter, "random_state", "seed") for augmenter in ALL],
    ],
)
def test_wrong_parameters_are_refused_by_name_at_fit(augmenter, name, value):
    step = augmenter(**{name: value})
    images, codes = painted(1, 4, 4)
    named = "seed" if name == "random_state" else rf"^{name} is "
    for use in (
        lambda: step.fit_transform(images, codes),
        lambda: step.augment(images, codes, ignore_label=255),
    ):
        with pytest.raises((ValueError, TypeError), match=named):
            use()


@pytest.mark.parametrize("augmenter", ALL)
def test_numpy_numbers_are_numbers(augmenter):
    step = augmenter(p=np.float32(0.5), random_state=np.int64(3))
    assert len(step.fit_transform(np.zeros((2, 4, 4)))) == 2


def test_contradicting_fills_of_a_pipeline_are_refused():
    images, codes = painted(2, 4, 4)
    steps = [RandomRotation(fill=0), RandomZoom(fill=1)]
    with pytest.raises(ValueError, match=r"fill= *\[0(\.0)?, 1(\.0)?\]"):
        make_pipeline(*steps, FCNSegmenter(max_epochs=1)).fit(images, codes)
    with pytest.raises(ValueError, match="fill="):
        carry_out(steps, images, codes)


@pytest.mark.usefixtures("largest_draw")
def test_a_number_wins_over_reflect():
    images, codes = painted(1, 4, 4)
    steps = [RandomTranslation(0.5), RandomRotation(0, fill=9)]
    moved, moved_codes, _ = carry_out(steps, images, codes)
    assert_allclose(moved[0, 2:], 9)
    assert (moved_codes[0, 2:] == -1).all()
