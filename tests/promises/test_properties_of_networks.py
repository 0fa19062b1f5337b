"""Properties of networks, prediction, training, folds and files, on drawn inputs."""

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
from hypothesis import example, given, reject
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from helpers.properties import (
    INTEGERS,
    examples,
    generators,
    label_values,
    mask_of,
    sizes,
)
from sksegment import FCNSegmenter
from sksegment._inputs.channel_scale import channel_sums
from sksegment._inputs.image_files import read_mask
from sksegment._inputs.image_list import as_images, as_masks
from sksegment._prediction.blending import blend_tiles
from sksegment._prediction.tiles import Tiling, overlapping
from sksegment._training.batches import Crop, cut_batches
from sksegment._training.schedules import SCHEDULES
from sksegment._training.validation import split_indices
from sksegment.datasets import check_masks, colors_to_labels, save_masks
from sksegment.model_selection import (
    SpatialBlockKFold,
    StratifiedImageKFold,
    cut_blocks,
)
from sksegment.networks import FCN
from sksegment.persistence._json import pack, unpack


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
def test_predictions_depend_neither_on_batch_nor_on_order(shapes, batch_size, rng):
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
def test_batches_hold_each_crop_once_in_nearly_equal_numbers(n_patches, largest, rng):
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
def test_check_masks_examines_anything(pairs, ignore_label):
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
