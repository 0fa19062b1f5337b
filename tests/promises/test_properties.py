"""What holds for all inputs, tried on some hundred drawn ones (hypothesis)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, log_loss

from helpers.properties import (
    INTEGERS,
    batches,
    examples,
    generators,
    label_values,
    mask_of,
    sizes,
)
from sksegment._inputs.labels import IGNORED, LabelEncoder, count_labels
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
from sksegment.losses._class_weight import RULES, class_weights
from sksegment.losses._factory import LOSSES, make_loss
from sksegment.metrics import (
    dice_score,
    iou_score,
    pixel_confusion_matrix,
    pixel_log_loss,
)

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
