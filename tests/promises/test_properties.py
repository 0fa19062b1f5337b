"""What holds for all inputs, tried on some hundred drawn ones (hypothesis)."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from functools import cache, reduce
from itertools import product
from operator import add
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.metrics import confusion_matrix, log_loss

from sksegment import FCNSegmenter
from sksegment._inputs.channel_scale import channel_sums
from sksegment._inputs.image_files import read_mask
from sksegment._inputs.image_list import as_images, as_masks
from sksegment._inputs.labels import IGNORED, LabelEncoder, count_labels
from sksegment._prediction.blending import blend_tiles
from sksegment._prediction.tiles import Tiling, overlapping
from sksegment._training.batches import Crop, cut_batches
from sksegment._training.schedules import SCHEDULES
from sksegment._training.validation import split_indices
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
)
from sksegment.augmentation._warp import warp
from sksegment.datasets import check_masks, colors_to_labels, save_masks
from sksegment.losses._class_weight import RULES, class_weights
from sksegment.losses._factory import LOSSES, make_loss
from sksegment.metrics import (
    dice_score,
    iou_score,
    pixel_confusion_matrix,
    pixel_log_loss,
)
from sksegment.model_selection import (
    SpatialBlockKFold,
    StratifiedImageKFold,
    cut_blocks,
)
from sksegment.networks import FCN
from sksegment.persistence._json import pack, unpack

# Derandomised: the same examples in every run, so that a failure repeats.
examples = settings(max_examples=200, derandomize=True, deadline=None, database=None)

INTEGERS = ("|u1", "|i1", "<u2", ">i2", "<u4", ">i4", "<i8", ">i8", "<u8", ">u8")
generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
sides = st.integers(1, 9)
sizes = st.tuples(sides, sides)


@st.composite
def label_values(draw, min_size=1):
    """Draw up to six distinct label values of any kind, sorted, in some dtype."""
    kinds = ["<f2", ">f8", "<U3", "|S3", *INTEGERS, *["|b1"] * (min_size < 3)]
    dtype = np.dtype(draw(st.sampled_from(kinds)))
    values = {
        "b": st.booleans(),
        "f": st.integers(-2048, 2048),
        "U": st.text("ab ÿ", min_size=1, max_size=3),
        "S": st.text("ab 0", min_size=1, max_size=3),
    }
    if dtype.kind in "iu":
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        edges = [edge for edge in (-1, 0, 1, 255, 256) if low <= edge <= high]
        values[dtype.kind] = st.integers(low, high) | st.sampled_from(edges)
    several = st.lists(values[dtype.kind], min_size=min_size, max_size=6, unique=True)
    return np.sort(np.array(draw(several), dtype))


def mask_of(rng, values, size):
    """Return a mask with some of the values."""
    return rng.choice(values, size)


# Labels


@examples
@given(label_values(min_size=2), sizes, generators, st.booleans())
def test_labels_of_any_kind_come_back(values, size, rng, is_last_ignored):
    ignored = values[-1].item() if is_last_ignored else None
    classes = values[:-1] if is_last_ignored else values
    mask = mask_of(rng, values, size)
    encoder = LabelEncoder(classes, ignored)
    codes = encoder.encode(mask)
    known = classes.tolist()
    expected = [
        known.index(v) if v in known else IGNORED for v in mask.ravel().tolist()
    ]
    assert codes.ravel().tolist() == expected
    decoded = encoder.decode(codes)
    np.testing.assert_array_equal(decoded[codes >= 0], mask[codes >= 0], strict=True)


@examples
@given(
    st.lists(st.integers(2, 127) | st.integers(2, 2**64 - 1), unique=True),
    st.sampled_from(INTEGERS),
    st.sampled_from(INTEGERS),
    generators,
)
def test_labels_are_known_by_value_and_not_by_dtype(values, one, other, rng):
    limit = min(np.iinfo(dtype).max for dtype in (one, other))
    *known, stranger = 0, 1, *sorted(value for value in values if value <= limit)
    encoder = LabelEncoder(np.array(known, one))
    mask = mask_of(rng, np.array(known, other), (3, 4))
    codes = [known.index(label) for label in mask.ravel().tolist()]
    assert encoder.encode(mask).ravel().tolist() == codes
    mask[0, 0] = stranger
    with pytest.raises(ValueError, match=f"holds the label {stranger}, expected"):
        encoder.encode(mask)


@examples
@given(label_values(), sizes, generators)
def test_counts_of_labels_are_the_sums_of_their_weights(values, size, rng):
    mask, weight = mask_of(rng, values, size), rng.integers(0, 3, size).astype(float)
    found = count_labels(mask, weight)
    for label, pixels, total in zip(*found, strict=True):
        assert pixels == ((mask == label) & (weight > 0)).sum()
        assert total == weight[mask == label].sum()
    assert set(found.labels.tolist()) == set(mask.ravel().tolist())


# Scores


@st.composite
def scored(draw):
    """Draw labels, and true and predicted masks of several sizes with weights."""
    values, rng = draw(label_values(min_size=2)), draw(generators)
    shapes = draw(st.lists(sizes, min_size=1, max_size=3))
    y_true = [mask_of(rng, values, shape) for shape in shapes]
    y_pred = [
        np.where(rng.random(true.shape) < 0.5, true, mask_of(rng, values, true.shape))
        for true in y_true
    ]
    weights = [rng.integers(0, 4, shape).astype(float) for shape in shapes]
    weights[0].flat[0] = 1  # all zero is refused
    return rng.permutation(values), y_true, y_pred, weights


def pooled(masks, order):
    """Return the codes of all pixels of all masks, one after the other."""
    labels = order.tolist()
    return [labels.index(value) for mask in masks for value in mask.ravel().tolist()]


@examples
@given(scored(), st.booleans(), st.booleans())
def test_confusion_matrix_is_that_of_scikit_learn(drawn, is_weighted, is_first_ignored):
    labels, y_true, y_pred, weights = drawn
    codes, predicted = (np.array(pooled(masks, labels)) for masks in (y_true, y_pred))
    weight = np.concatenate([part.ravel() for part in weights])
    if not is_weighted:
        weights, weight = None, np.ones(len(codes))
    kept = np.ones(len(codes), bool)
    ignored = labels[0].item() if is_first_ignored else None
    if is_first_ignored:
        y_pred = [np.where(mask == labels[0], labels[1], mask) for mask in y_pred]
        kept, predicted = codes != 0, np.maximum(predicted, 1)
    known = np.arange(int(is_first_ignored), len(labels))
    found = pixel_confusion_matrix(
        y_true,
        y_pred,
        labels=labels[known],
        ignore_label=ignored,
        sample_weight=weights,
    )
    expected = np.zeros_like(found)
    if weight[kept].any():
        with warnings.catch_warnings():  # of a single class
            warnings.simplefilter("ignore", UserWarning)
            expected = confusion_matrix(
                codes[kept], predicted[kept], labels=known, sample_weight=weight[kept]
            )
    np.testing.assert_array_equal(found, expected)


@examples
@given(scored(), generators)
def test_scores_do_not_depend_on_how_pixels_are_cut_into_images(drawn, rng):
    labels, y_true, y_pred, weights = drawn
    triples = [
        tuple(part[row : row + 1] for part in triple)
        for triple in zip(y_true, y_pred, weights, strict=True)
        for row in range(len(triple[0]))
    ]
    shuffled = [triples[index] for index in rng.permutation(len(triples))]
    one_a_row, predicted, row_weights = zip(*shuffled, strict=True)
    np.testing.assert_array_equal(
        pixel_confusion_matrix(
            one_a_row, predicted, labels=labels, sample_weight=row_weights
        ),
        pixel_confusion_matrix(y_true, y_pred, labels=labels, sample_weight=weights),
    )


@examples
@given(scored(), label_values(min_size=6), st.sampled_from([iou_score, dice_score]))
def test_scores_do_not_depend_on_the_names_of_the_classes(drawn, names, score):
    labels, y_true, y_pred, _ = drawn
    renamed = names[: len(labels)][::-1]
    other_true, other_pred = (
        [
            renamed[np.array(pooled([mask], labels)).reshape(mask.shape)]
            for mask in masks
        ]
        for masks in (y_true, y_pred)
    )
    for average in (None, "macro", "micro", "weighted"):
        np.testing.assert_allclose(
            score(other_true, other_pred, labels=renamed, average=average),
            score(y_true, y_pred, labels=labels, average=average),
            rtol=1e-12,
        )


@examples
@given(scored())
def test_dice_follows_from_iou_and_is_not_below_it(drawn):
    labels, y_true, y_pred, weights = drawn
    options = {"labels": labels, "sample_weight": weights, "absent": 1.0}
    iou = iou_score(y_true, y_pred, average=None, **options)
    dice = dice_score(y_true, y_pred, average=None, **options)
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou), rtol=1e-12)
    assert (iou >= 0).all()
    assert (dice <= 1).all()
    swapped = iou_score(y_pred, y_true, average=None, **options)
    np.testing.assert_allclose(swapped, iou, rtol=1e-12)


@examples
@given(scored(), st.sampled_from([np.float32, np.float64]), generators)
def test_log_loss_is_that_of_scikit_learn(drawn, dtype, rng):
    labels, y_true, _, weights = drawn
    y_proba = [
        rng.dirichlet(np.ones(len(labels)), mask.shape).transpose(2, 0, 1).astype(dtype)
        for mask in y_true
    ]
    table = np.concatenate([proba.reshape(len(labels), -1).T for proba in y_proba])
    weight = np.concatenate([part.ravel() for part in weights])
    found = pixel_log_loss(y_true, y_proba, labels=labels, sample_weight=weights)
    with warnings.catch_warnings():  # float32 sums to one but for the seventh digit
        warnings.simplefilter("ignore", UserWarning)
        expected = log_loss(
            pooled(y_true, labels),
            table,
            labels=np.arange(len(labels)),
            sample_weight=weight,
        )
    assert found == pytest.approx(expected, rel=1e-5)


# Losses


@st.composite
def batches(draw):
    """Draw scores, class codes some of which are ignored, and weights."""
    rng, (height, width) = draw(generators), draw(sizes)
    n_images, n_classes = draw(st.integers(1, 2)), draw(st.integers(2, 4))
    scores = torch.from_numpy(rng.normal(0, 2, (n_images, n_classes, height, width)))
    codes = torch.from_numpy(rng.integers(-1, n_classes, (n_images, height, width)))
    weights = torch.from_numpy(rng.integers(0, 4, codes.shape) / 2)
    share = rng.uniform(0.1, 3, n_classes)
    return rng, scores, codes, weights, share


def by_pixel(tensor):
    """Return what belongs to each pixel as one image of a single row."""
    if tensor.ndim == 4:
        return tensor.movedim(1, -1).reshape(1, 1, -1, tensor.shape[1]).movedim(-1, 1)
    return tensor.reshape(1, 1, -1)


@examples
@given(batches(), st.sampled_from(sorted(LOSSES)))
def test_ignored_pixels_cost_what_missing_ones_cost(drawn, name):
    _, scores, codes, weights, share = drawn
    loss = make_loss(name, share)
    whole = loss(scores, codes, weights)
    kept = (by_pixel(codes) >= 0) & (by_pixel(weights) > 0)
    rest = [by_pixel(part)[..., kept[0, 0]] for part in (scores, codes, weights)]
    expected = loss(*rest) if kept.any() else torch.tensor(0.0, dtype=whole.dtype)
    torch.testing.assert_close(whole, expected, check_dtype=False)
    ignored = torch.where(weights > 0, codes, IGNORED)
    torch.testing.assert_close(whole, loss(scores, ignored, weights))


@examples
@given(batches(), st.sampled_from(sorted(LOSSES)), st.floats(-50, 50))
def test_losses_see_differences_of_scores_only(drawn, name, constant):
    _, scores, codes, weights, share = drawn
    loss = make_loss(name, share)
    scores.requires_grad_()
    found = loss(scores, codes, weights)
    assert found >= 0
    torch.testing.assert_close(loss(scores + constant, codes, weights), found)
    (gradient,) = torch.autograd.grad(found, scores)
    nothing = torch.zeros_like(gradient[:, 0])
    torch.testing.assert_close(gradient.sum(dim=1), nothing, rtol=0, atol=1e-9)


@examples
@given(batches(), st.sampled_from(sorted(LOSSES)))
def test_losses_do_not_depend_on_the_order_of_classes_and_pixels(drawn, name):
    rng, scores, codes, weights, share = drawn
    order = torch.from_numpy(rng.permutation(scores.shape[1]))
    places = torch.from_numpy(rng.permutation(codes.numel()))
    other_codes = torch.where(codes < 0, codes, order.argsort()[codes.clamp(min=0)])
    other = [by_pixel(part)[..., places] for part in (scores, other_codes, weights)]
    torch.testing.assert_close(
        make_loss(name, share[order.numpy()])(other[0][:, order], *other[1:]),
        make_loss(name, share)(scores, codes, weights),
    )


@examples
@given(st.sampled_from(sorted(RULES)), sizes, generators)
def test_class_weights_follow_their_classes(rule, size, rng):
    pixels = rng.integers(0, 9, size).astype(float)
    pixels[0, 0] += 1  # no pixel at all is refused before
    labels, order = np.arange(size[1]), rng.permutation(size[1])
    found = class_weights(rule, labels, pixels)
    again = class_weights(rule, labels, pixels[rng.permutation(len(pixels))][:, order])
    np.testing.assert_allclose(again, found[order], rtol=1e-6)
    assert (found > 0).all()
    assert np.isfinite(found).all()


# Augmentation


NOTHING = (
    RandomFlip(p=0),
    RandomFlip(horizontal=False, p=1),
    RandomRotation(0),
    RandomZoom((1, 1)),
    RandomTranslation(0),
    RandomShear(0),
    RandomBrightness(0),
    RandomContrast((1, 1)),
    RandomGamma((1, 1)),
    RandomNoise(0),
)
MOVES = (
    lambda seed: RandomFlip(p=1, vertical=True, random_state=seed),
    lambda seed: RandomRotation(180, random_state=seed),
    lambda seed: RandomZoom((0.3, 3), random_state=seed),
    lambda seed: RandomTranslation(0.9, random_state=seed),
    lambda seed: RandomShear(60, random_state=seed),
)
IMAGE_DTYPES = ("|b1", "|u1", "<i2", ">u2", "<f2", ">f4", "<f8")


def assert_same_array(found, original):
    """Compare values and dtype, but not the byte order."""
    assert found.dtype == original.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, original)


def photo(rng, dtype, size):
    """Return one image with three channels, of any dtype."""
    values = rng.integers(0, 2 if np.dtype(dtype).kind == "b" else 200, (1, *size, 3))
    return values.astype(dtype)


@examples
@given(
    st.sampled_from(NOTHING), label_values(), st.sampled_from(IMAGE_DTYPES), sizes,
    generators,
)  # fmt: skip
def test_augmenters_that_do_nothing_change_nothing(augmenter, values, dtype, size, rng):
    image, mask = photo(rng, dtype, size), mask_of(rng, values, (1, *size))
    X, y = augmenter.augment(image, mask)
    if augmenter.is_geometric:
        assert_same_array(X, image)
    # A change of color takes the range off and puts it on again, which may round.
    np.testing.assert_allclose(X, image, rtol=1e-12)
    assert_same_array(y, mask)


@examples
@given(st.sampled_from(MOVES), st.integers(0, 2**31), sizes, generators)
def test_image_and_mask_move_together(make, seed, size, rng):
    mask = rng.integers(0, 4, (1, *size))
    X, y = make(seed).augment(np.eye(4)[mask], mask)
    # Of the four pixels that a value is mixed of, the nearest counts a quarter or more.
    assert np.take_along_axis(X, y[..., np.newaxis], axis=3).min() > 0.25 - 1e-6
    np.testing.assert_allclose(X.sum(axis=3), 1, rtol=0, atol=1e-6)


@examples
@given(
    st.sampled_from(MOVES[1:]), st.integers(0, 2**31), label_values(), sizes, generators
)
def test_moving_invents_no_label(make, seed, values, size, rng):
    mask = mask_of(rng, values, (1, *size))
    image = np.zeros((1, *size))
    _, mirrored = make(seed).augment(image, mask)
    assert set(mirrored.ravel().tolist()) <= set(mask.ravel().tolist())
    codes = np.searchsorted(values, mask)
    X, y = make(seed).set_params(fill=5.0).augment(image, codes, ignore_label=-1)
    # The painted pixels are the ignored ones, and no others are.
    np.testing.assert_array_equal(X == 5.0, y == -1)
    assert set(y.ravel().tolist()) <= {-1, *codes.ravel().tolist()}


@examples
@given(st.integers(1, 7), st.integers(0, 3), st.booleans(), st.booleans(), generators)
def test_quarter_turns_and_whole_shifts_are_those_of_numpy(
    side, turns, is_flipped, is_painted, rng
):
    image, codes = rng.normal(size=(2, side, side)), rng.integers(0, 5, (side, side))
    down, right = rng.integers(-side, side + 1, 2).tolist()

    def move_network(array, outside):
        turned = np.rot90(array, turns, axes=(-2, -1))
        turned = turned[..., ::-1] if is_flipped else turned
        around = [(0, 0)] * (array.ndim - 2) + [(side, side)] * 2
        how = {"constant_values": outside} if is_painted else {}
        wide = np.pad(turned, around, "constant" if is_painted else "symmetric", **how)
        top, left = side - down, side - right
        return wide[..., top : top + side, left : left + side]

    # From output to input: undo the shift, then the mirror, then the turns.
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][turns]
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(
        [-1.0 if is_flipped else 1.0, 1.0]
    )
    matrix = np.column_stack([linear, linear @ [-right, -down]])
    found, labels, _ = warp(
        torch.from_numpy(image)[None],
        torch.from_numpy(codes)[None],
        None,
        torch.from_numpy(matrix)[None],
        torch.full((2,), 9.0, dtype=torch.float64) if is_painted else None,
    )
    np.testing.assert_allclose(found[0].numpy(), move_network(image, 9.0), atol=1e-9)
    np.testing.assert_array_equal(labels[0].numpy(), move_network(codes, IGNORED))


@examples
@given(
    st.tuples(st.booleans(), st.booleans()), label_values(),
    st.sampled_from(IMAGE_DTYPES), sizes, generators,
)  # fmt: skip
def test_flips_are_those_of_numpy_and_undo_themselves(axes, values, dtype, size, rng):
    horizontal, vertical = axes
    image, mask = photo(rng, dtype, size), mask_of(rng, values, (1, *size))
    flip = RandomFlip(horizontal, vertical=vertical, p=1)
    flipped = flip.augment(image, mask)
    chosen = tuple(axis for axis, is_on in ((2, horizontal), (1, vertical)) if is_on)
    for found, original in zip(flipped, (image, mask), strict=True):
        assert_same_array(found, np.flip(original, chosen))
    for found, original in zip(flip.augment(*flipped), (image, mask), strict=True):
        assert_same_array(found, original)


# Networks, tiles and prediction


@cache
def segmenter():
    """Return a segmenter that was fitted once, on hardly anything."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (4, 8, 8, 3)), rng.integers(0, 3, (4, 8, 8))
    return FCNSegmenter(
        depth=1,
        width=2,
        max_epochs=2,
        device="cpu",
        precision="float32",
        random_state=0,
    ).fit(X, 10 * y)


def photos(rng, shapes):
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


@examples
@given(st.tuples(*[st.integers(1, 26)] * 2), st.integers(4, 26), generators)
def test_tiles_equal_the_whole_image(size, tile, rng):
    (image,) = photos(rng, [size])
    model = segmenter()
    whole = model.set_params(tile_size="auto").predict_proba([image])[0]
    tiled = model.set_params(tile_size=tile).predict_proba([image])[0]
    assert whole.shape == (3, *size)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)
    np.testing.assert_allclose(whole.sum(axis=0), 1, rtol=0, atol=1e-6)


@examples
@given(st.lists(sizes, min_size=1, max_size=3), st.integers(1, 4), generators)
def test_predictions_depend_neither_on_company_nor_on_order(shapes, batch_size, rng):
    images = photos(rng, shapes)
    order = rng.permutation(len(images))
    model = segmenter().set_params(tile_size="auto", batch_size=batch_size)
    together = model.predict_proba([images[index] for index in order])
    alone = [model.predict_proba([images[index]])[0] for index in order]
    labels = model.predict([images[index] for index in order])
    for one, other, mask in zip(together, alone, labels, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(mask, model.classes_[one.argmax(axis=0)])


@examples
@given(
    st.integers(1, 2), st.sampled_from([None, "concat", "add"]),
    st.sampled_from([None, "batch"]), generators,
)  # fmt: skip
def test_no_pixel_sees_beyond_the_margin(depth, skip, norm, rng):
    torch.manual_seed(0)  # weights are drawn
    network = FCN(1, 2, depth=depth, width=2, skip=skip, norm=norm).eval()
    size = 2 * network.margin + 2
    image = torch.from_numpy(rng.normal(size=(1, 1, 2, size))).float()
    column = int(rng.integers(size))
    with torch.no_grad():
        before = network(image)
        image[..., column] += 100.0
        changed = (network(image) != before).any(dim=2).any(dim=1)[0].nonzero()
    assert ((changed - column).abs() <= network.margin).all()


@examples
@given(
    st.tuples(*[st.integers(1, 300)] * 2), st.integers(1, 150),
    st.none() | st.integers(0, 40), st.integers(0, 4),
)  # fmt: skip
def test_smaller_tiles_look_at_less_and_come_to_an_end(size, tile, margin, power):
    tiling = Tiling(tile, margin, 2**power, pixel_limit=10_000)
    seen = [np.prod(tiling.window(*size))]
    while (tiling := tiling.smaller(*size)) is not None:
        seen.append(np.prod(tiling.window(*size)))
    assert (np.diff(seen) < 0).all()


@examples
@given(
    st.tuples(*[st.integers(1, 60)] * 2), st.integers(1, 40), st.integers(0, 3),
    generators,
)  # fmt: skip
def test_blended_tiles_are_averages_that_favour_their_middles(size, tile, power, rng):
    rows, columns = (overlapping(side, tile, 2**power) for side in size)
    assert all(start % 2**power == 0 for start, _ in (*rows, *columns))
    total = np.zeros((2, *size))
    answers = {}
    for row, column in product(rows, columns):
        answers[row, column] = rng.random((1, row[1] - row[0], column[1] - column[0]))
        weight = np.outer(rising_and_falling(row), rising_and_falling(column))
        place = (slice(None), slice(*row), slice(*column))
        total[place] += weight * np.concatenate(
            [answers[row, column], weight[None] > 0]
        )
    parts = list(blend_tiles(lambda *at: torch.from_numpy(answers[at]), rows, columns))
    starts, stops = zip(*(rows for rows, _ in parts), strict=True)
    assert (0, *stops) == (*starts, size[0])
    found = torch.cat([part for _, part in parts], dim=1).numpy()
    np.testing.assert_allclose(found[0], total[0] / total[1], rtol=1e-6)


def rising_and_falling(interval):
    """Return what each pixel of a side counts: 1 in the middle, and less outwards."""
    ahead = np.arange(1, interval[1] - interval[0] + 1)
    counts = np.minimum(ahead, ahead[::-1])
    return counts / counts.max()


# Training


@examples
@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 500))
def test_schedules_rise_fall_and_stay_between_0_and_1(name, n_steps):
    shares = [SCHEDULES[name](step, n_steps) for step in range(n_steps + 1)]
    assert min(shares) >= 0
    assert max(shares[:-1]) > 0.5
    assert max(shares) <= 1
    assert shares[-1] == pytest.approx(0, abs=1e-12)
    turns = np.flatnonzero(np.diff(np.sign(np.diff(shares))))
    assert len(turns) <= 1


@examples
@given(
    st.lists(sizes, min_size=1, max_size=5), st.integers(-9, 9), st.booleans(),
    generators,
)  # fmt: skip
def test_scale_is_that_of_numpy_however_images_are_joined(shapes, power, is_late, rng):
    offset = 10.0**power
    images = [rng.normal(offset, 1, (*shape, 2)) for shape in shapes]
    sums = [channel_sums(image) for image in images]
    total = reduce(add, sums)
    if is_late and sums[1:]:
        total = sums[0] + reduce(add, sums[1:])
    pixels = np.concatenate([image.reshape(-1, 2) for image in images])
    scale, spread = total.scale(), pixels.std(axis=0)
    np.testing.assert_allclose(scale.mean, pixels.mean(axis=0), rtol=1e-12)
    expected = np.where(spread > 0, spread, 1)
    np.testing.assert_allclose(scale.std, expected, rtol=1e-6)
    np.testing.assert_array_equal(scale.low, pixels.min(axis=0))
    np.testing.assert_array_equal(scale.high, pixels.max(axis=0))


@examples
@given(st.integers(1, 200), st.integers(1, 20), generators)
def test_batches_hold_each_patch_once_in_nearly_equal_numbers(n_patches, largest, rng):
    patches = [Crop(index, 0, *rng.integers(1, 4, 2)) for index in range(n_patches)]
    batches = cut_batches(patches, largest, rng)
    assert sorted(patch for batch in batches for patch in batch) == patches
    lengths = [len(batch) for batch in batches]
    assert max(lengths) <= largest
    assert max(lengths) - min(lengths) <= 1


@examples
@given(st.integers(2, 300), st.floats(1e-3, 0.999), st.integers(0, 2**31))
def test_held_out_images_and_the_rest_are_all(n_images, fraction, seed):
    training, validation = split_indices(n_images, fraction, seed)
    assert sorted([*training, *validation]) == [*range(n_images)]
    assert len(training) >= 1
    assert len(validation) >= 1
    assert abs(len(validation) - fraction * n_images) <= 1


# Folds and blocks


@examples
@given(st.integers(2, 5), st.data())
def test_folds_of_images_are_a_partition(n_splits, data):
    rng, values = data.draw(generators), data.draw(label_values())
    y = mask_of(rng, values, (data.draw(st.integers(n_splits, 14)), 1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class that is too rare
        folds = list(StratifiedImageKFold(n_splits).split(y, y))
    assert sorted(np.concatenate([test for _, test in folds])) == [*range(len(y))]
    for train, test in folds:
        assert sorted([*train, *test]) == [*range(len(y))]
        assert abs(len(test) - len(y) / n_splits) < 1


@examples
@given(sizes, sizes, st.integers(1, 12), st.integers(0, 8), generators)
def test_training_tiles_keep_their_distance(size, tile, block, margin, rng):
    image = np.zeros((1, *np.add(size, 9), 1))
    mask = np.zeros(image.shape[:3], int)
    X, y, positions = cut_blocks(image, mask, tile)
    splitter = SpatialBlockKFold(2, block_size=block, margin=margin)
    try:
        folds = list(splitter.split(X, y, groups=positions))
    except ValueError:  # fewer blocks than folds, or no tile beyond the margin
        reject()
    assert sorted(np.concatenate([test for _, test in folds])) == [*range(len(X))]
    for train, test in folds:
        near = np.zeros(mask.shape[1:], bool)  # the test tiles, widened by the margin
        for index in test:
            _, row, column = positions[index]
            height, width = y[index].shape
            near[
                max(row - margin, 0) : row + height + margin,
                max(column - margin, 0) : column + width + margin,
            ] = True
        for index in range(len(X)):
            _, row, column = positions[index]
            height, width = y[index].shape
            is_far = not near[row : row + height, column : column + width].any()
            assert is_far == (index in train)


# Files


@examples
@given(st.lists(sizes, min_size=1, max_size=3), st.data())
def test_colors_and_labels_translate_both_ways(shapes, data):
    rng, values = data.draw(generators), data.draw(label_values(min_size=2))
    if values.dtype.kind in "fu":  # a list of 1 and 2**64 - 1 makes floats in numpy
        values = np.arange(len(values))
    numbers = st.lists(
        st.integers(0, 2**24 - 1),
        min_size=len(values),
        max_size=len(values),
        unique=True,
    )
    table = np.array([(n >> 16, n >> 8 & 255, n & 255) for n in data.draw(numbers)])
    codes = [rng.integers(0, len(values), shape) for shape in shapes]
    colors = dict(zip(values.tolist(), table.tolist(), strict=True))
    found = colors_to_labels([table[part].astype(np.uint8) for part in codes], colors)
    for labels, part in zip(found, codes, strict=True):
        np.testing.assert_array_equal(labels, values[part])


@examples
@given(sizes, st.none() | st.integers(1, 256), st.sampled_from(INTEGERS), generators)
def test_saved_masks_are_read_back(size, n_colors, dtype, rng):
    palette = None if n_colors is None else rng.integers(0, 256, (n_colors, 3))
    highest = min(np.iinfo(dtype).max, 255)
    mask = rng.integers(0, min(highest + 1, n_colors or 256), size).astype(dtype)
    mask[0, 0] = highest if highest == 255 else 0  # void needs no color
    with TemporaryDirectory() as folder:
        save_masks([mask], [f"{folder}/mask.png"], palette)
        np.testing.assert_array_equal(read_mask(f"{folder}/mask.png"), mask)


plain_arrays = npst.arrays(
    st.sampled_from(("|b1", *INTEGERS, "<f2", ">f8", "<U3", "|S2")).map(np.dtype),
    npst.array_shapes(max_dims=2, max_side=3, min_side=0),
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64) + 1, 2**64 - 1) | st.floats()
    | st.text() | plain_arrays,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers(0, 9) | st.tuples(st.text()), inner,
                      max_size=3),
    max_leaves=6,
)  # fmt: skip


def assert_same(found, value):
    assert type(found) is type(value)
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(found, value, strict=True)
    elif isinstance(value, (list, tuple)):
        assert len(found) == len(value)
        for one, other in zip(found, value, strict=True):
            assert_same(one, other)
    elif isinstance(value, dict):
        assert_same([*found.items()], [*value.items()])
    else:
        assert found == value or (found != found and value != value)


@examples
@given(plain)
def test_plain_data_come_back_from_json(value):
    arrays = {}
    text = json.dumps(pack(value, "value", arrays), allow_nan=False)
    assert_same(unpack(json.loads(text), arrays), value)
    assert not arrays


tags = st.sampled_from(["$float", "$tuple", "$dict", "$array", "$random_state", "$"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2)
intruders = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(tags, inner, max_size=2)
    ),
    max_leaves=5,
)


def disturbed(document, intruder, rng):
    """Put an intruder in the place of some part of a document."""
    keys = [*document] if isinstance(document, dict) else None
    if isinstance(document, list):
        keys = range(len(document))
    if not keys or rng.random() < 0.2:
        return intruder
    key = keys[rng.integers(len(keys))]
    document[key] = disturbed(document[key], intruder, rng)
    return document


@examples
@given(
    plain | plain_arrays | st.integers(0, 9).map(np.random.RandomState),
    intruders,
    generators,
)
def test_what_is_not_plain_data_is_refused_by_value_or_type(value, intruder, rng):
    arrays = {}
    document = disturbed(pack(value, "value", arrays), intruder, rng)
    with suppress(ValueError, TypeError):
        unpack(document, arrays)


# Whatever comes in


any_shape = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
cells = st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.binary()
any_array = npst.arrays(npst.scalar_dtypes(), any_shape) | npst.arrays(
    object, any_shape, elements=cells | st.lists(cells, max_size=2)
)


@examples
@given(st.lists(st.tuples(any_array, any_array), min_size=1), st.none() | st.just(0))
@example([([[0]], np.zeros((1, 1), dtype)) for dtype in ("M8[ns]", "m8[m]")], None)
def test_the_mask_doctor_examines_anything(pairs, ignore_label):
    X, y = zip(*pairs, strict=True)
    for finding in check_masks(X, y, ignore_label):
        assert finding.cure


@examples
@given(
    any_array | st.lists(any_array, max_size=3), st.sampled_from([as_images, as_masks])
)
def test_containers_are_taken_or_refused_by_value_or_type(data, read):
    items = []
    with suppress(ValueError, TypeError, OSError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        items = list(read(data))
    for item in items:
        assert item.size
        assert item.ndim == (3 if read is as_images else 2)
