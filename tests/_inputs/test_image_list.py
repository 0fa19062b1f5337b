"""What counts as images, masks and weights, and what is said of anything else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from PIL import Image
from sklearn.exceptions import DataConversionWarning

from sksegment._inputs.image_list import as_images, as_masks, check_pair, check_pairs
from sksegment._inputs.sample_weight import as_weights, check_weight_size

GREY = np.random.default_rng(0).integers(0, 2, (4, 5, 6), np.uint8)
COLOR = np.random.default_rng(1).integers(0, 2, (4, 5, 6, 3), np.uint8)


def objects(items):
    array = np.empty(len(items), object)
    array[:] = list(items)
    return array


def big(X):
    """Return the images as a view into something larger."""
    room = np.full((*X.shape[:1], 2 * X.shape[1], *X.shape[2:]), 9, X.dtype)
    room[:, ::2] = X
    return room[:, ::2]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


ARRAYS = {
    "array": np.copy,
    "nested lists": lambda X: X.tolist(),
    "Fortran order": np.asfortranarray,
    "negative strides": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "a view": big,
    "read-only": read_only,
    "array of objects": lambda X: X.astype(object),
    "tensor": torch.from_numpy,
    "tensor with gradient": lambda X: torch.from_numpy(X).float().requires_grad_(),
}
LISTS = {
    "list": list,
    "tuple": tuple,
    "object array": objects,
    "Series": lambda X: pd.Series(list(X), index=[7, 7, 0, -1]),
    "list of nested lists": lambda X: [X[0], *(x.tolist() for x in X[1:])],
    "list of tensors": lambda X: [torch.from_numpy(x) for x in X],
    "list of memoryviews": lambda X: [memoryview(x) for x in X],
    "list of tensors with gradient": lambda X: [
        torch.from_numpy(x).float().requires_grad_() for x in X
    ],
}
DTYPES = ["?", "i1", "u2", ">u2", "i4", "i8", ">i8", "u8", "f2", "f4", ">f4", "f8", "g"]


def assert_images(images, expected):
    assert len(images) == len(expected)
    for image, values in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image, values)


@pytest.mark.parametrize("X", [GREY, COLOR], ids=["grey", "color"])
@pytest.mark.parametrize("form", [*ARRAYS, *LISTS])
def test_all_containers_hold_the_same_images(form, X):
    before = X.copy()
    images = as_images((ARRAYS | LISTS)[form](X))
    assert_images(images, X.reshape(4, 5, 6, -1))
    assert images.is_array == (form in ARRAYS)
    assert not images.is_mask
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("form", [*ARRAYS, *LISTS])
def test_all_containers_hold_the_same_masks(form):
    masks = as_masks((ARRAYS | LISTS)[form](GREY))
    assert_images(masks, GREY)
    assert masks.is_array == (form in ARRAYS)
    assert masks.is_mask


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_real_dtypes_are_images_and_masks(dtype):
    X, y = COLOR.astype(dtype), GREY.astype(dtype)
    assert_images(as_images(X), COLOR)
    assert_images(as_images(list(X)), COLOR)
    assert_images(as_masks(y), GREY)
    assert_images(as_masks(list(y)), GREY)


def test_arrays_are_not_copied():
    assert all(np.shares_memory(image, COLOR) for image in as_images(COLOR))
    assert all(np.shares_memory(image, GREY) for image in as_images(list(GREY)))
    assert all(np.shares_memory(mask, GREY) for mask in as_masks(GREY))


def test_images_of_a_memmap_stay_on_disk(tmp_path):
    np.save(tmp_path / "X.npy", COLOR)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    images = as_images(X)
    assert_images(images, COLOR)
    assert np.shares_memory(images[0], X)


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / f"{index}.png" for index in range(4)]
    for path, image in zip(found, COLOR, strict=True):
        Image.fromarray(image).save(path)
    return found


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        objects,
        lambda paths: [str(path) for path in paths],
        lambda paths: np.array([str(path) for path in paths]),
        lambda paths: np.array([str(p) for p in paths], np.dtypes.StringDType()),
        lambda paths: objects([str(path) for path in paths]),
        lambda paths: pd.Series([str(path) for path in paths], index=[3, 3, 1, 0]),
    ],
)
def test_all_containers_of_paths_are_read_in_order(form, paths):
    images = as_images(form(paths))
    assert_images(images, COLOR)
    assert not images.is_array
    assert images.name(2) == f"image 2 ({str(paths[2])!r})"


def test_file_is_read_when_it_is_asked_for(paths):
    images = as_images(paths)
    Image.fromarray(COLOR[3]).save(paths[0])
    paths[1].unlink()
    np.testing.assert_array_equal(images[0], COLOR[3])
    with pytest.raises(FileNotFoundError, match=r"1\.png"):
        images[1]


def test_masks_are_read_from_files(tmp_path):
    Image.fromarray(200 * GREY[0]).save(tmp_path / "mask.png")
    assert_images(as_masks([tmp_path / "mask.png"]), 200 * GREY[:1])


def test_images_in_a_list_may_differ_in_size_and_form():
    X = [GREY[0], COLOR[1, :1, :1].tolist(), np.zeros((1, 9))]
    assert [image.shape for image in as_images(X)] == [(5, 6, 1), (1, 1, 3), (1, 9, 1)]


@pytest.mark.parametrize("X", [COLOR, list(COLOR)])
def test_taking_keeps_the_order_that_was_asked_for(X):
    images = as_images(X)
    taken = images.take(np.array([2, 0, 2]))
    assert_images(taken, COLOR[[2, 0, 2]])
    assert not taken.is_array


def test_what_was_taken_is_compared_with_masks_as_any_list():
    taken = as_images(GREY).take([1, 2])
    check_pairs(taken, as_masks(GREY[:2]))
    with pytest.raises(ValueError, match="2 images and y has 3 masks"):
        check_pairs(taken, as_masks(GREY[:3]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("form", [lambda tensor: tensor, list, tuple])
def test_short_floats_of_torch_keep_their_values(form, dtype):
    assert_images(as_images(form(torch.from_numpy(COLOR).to(dtype))), COLOR)
    assert_images(as_masks(form(torch.from_numpy(GREY).to(dtype))), GREY)


@pytest.mark.parametrize(
    "change, found",
    [
        (lambda tensor: tensor.to_sparse(), "torch.sparse_coo"),
        (lambda tensor: tensor.to("meta"), "device meta"),
        (lambda tensor: tensor.to(torch.complex32), "torch.complex32"),
    ],
)
@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_tensors_that_numpy_cannot_hold_are_named(change, found):
    bad = change(torch.from_numpy(GREY).float())
    for read, argument, kind in ((as_images, "X", "image"), (as_masks, "y", "mask")):
        with pytest.raises(TypeError, match=f"{argument} is a tensor .*{found}"):
            read(bad)
        with pytest.raises(TypeError, match=rf"{kind} 1 is .*{found}.* to_dense\(\)"):
            read([GREY[0], bad[0]])


def test_three_axes_are_grey_images_only_where_the_model_has_one_channel():
    assert as_images(GREY, n_channels=1)[0].shape == (5, 6, 1)
    with pytest.raises(ValueError, match=r"X\[np.newaxis\]"):
        as_images(GREY, n_channels=3)


def with_value(value, *where, dtype=np.float64):
    X = COLOR.astype(dtype)
    X[where] = value
    return X


SPARSE = scipy.sparse.csr_matrix(GREY[0])
NO_IMAGES = {
    "one grey image": (GREY[0], ValueError, r"\(5, 6\).*X\[np.newaxis\]"),
    "five axes": (COLOR[None], ValueError, r"\(1, 4, 5, 6, 3\)"),
    "0 samples": (COLOR[:0], ValueError, r"0 sample\(s\)"),
    "empty list": ([], ValueError, r"0 sample\(s\)"),
    "empty tuple": ((), ValueError, r"0 sample\(s\)"),
    "0 channels": (COLOR[..., :0], ValueError, r"0 feature\(s\)"),
    "0 channels in one": ([COLOR[0], COLOR[1, ..., :0]], ValueError, "image 1"),
    "0 height": (COLOR[:, :0], ValueError, "X is empty"),
    "0 width in one": ([GREY[0], GREY[0], GREY[0, :, :0]], ValueError, "image 2"),
    "NaN": (
        with_value(np.nan, 2, 1, 1, 1),
        ValueError,
        r"image 2, channels \[1\], 1 v",
    ),
    "infinity": (with_value(-np.inf, 1, 0), ValueError, r"1, channels \[0, 1, 2\], 18"),
    "beyond float32": (with_value(1e39, 3, 0, 0, 0), ValueError, "too large.*image 3"),
    "NaN in float16": (with_value(np.nan, 0, dtype="f2"), ValueError, "image 0"),
    "infinity in float16": (
        with_value(np.inf, 3, 0, 0, 1, dtype="f2"),
        ValueError,
        r"image 3, channels \[1\], 1 values",
    ),
    "complex": (COLOR * 1j, ValueError, "Complex data not supported: X has dtype c"),
    "complex in nested lists": (
        (GREY * 1j).tolist(),
        ValueError,
        "Complex data not supported: X",
    ),
    "bytes": ([b"a.png"] * 2, TypeError, r"X holds bytes, b'a\.png' at .*fsdecode"),
    "array of bytes": (np.array([b"a.png"]), TypeError, r"X holds bytes, b'a\.png'"),
    "pixels of bytes": (COLOR.astype("S"), ValueError, r"X has dtype \|S3; expected"),
    "records": (np.zeros((2, 3, 3, 1), "u1,u1"), ValueError, "X has dtype .*records"),
    "objects": (np.full((2, 3, 3, 1), {}), TypeError, "X cannot .*not 'dict'"),
    "complex in a list": ([*COLOR, COLOR[0] * 1j], TypeError, "image 4.*complex"),
    "strings": (COLOR.astype(str), ValueError, "strings"),
    "strings in a list": ([COLOR[0], GREY[0].astype(str)], TypeError, "image 1"),
    "times": (COLOR.astype("M8[s]"), TypeError, "image 0 has dtype datetime64"),
    "dict": ({"X": COLOR}, TypeError, "X is a dict"),
    "set": ({1, 2}, TypeError, "X is a set"),
    "None": (None, TypeError, "X is a NoneType"),
    "generator": ((x for x in COLOR), TypeError, "X is a generator"),
    "number": (3.0, ValueError, r"X has shape \(\)"),
    "numbers": ([1, 2, 3], ValueError, r"shape \(3,\)"),
    "dicts": ([{}, {}], TypeError, r"X\[0\] is a dict"),
    "None in a list": ([COLOR[0], None], TypeError, "nothing at position 1"),
    "sparse": (SPARSE, TypeError, "[Ss]parse"),
    "sparse array": (scipy.sparse.coo_array(GREY[0]), TypeError, "[Ss]parse"),
    "sparse in a list": ([GREY[0], SPARSE], TypeError, "image 1 is a csr_matrix"),
    "masked": (np.ma.masked_array(COLOR, COLOR), TypeError, "X is a masked array"),
    "masked in a list": (
        [np.ma.masked_array(GREY[0])],
        TypeError,
        r"X\[0\] is a masked",
    ),
    "mixed": ([GREY[0], "a.png"], TypeError, "X mixes paths and arrays"),
    "mixed objects": (objects(["a.png", GREY[0]]), TypeError, "mixes paths"),
    "ragged": ([[[1, 2], [3]], [[1, 2], [3, 4]]], ValueError, "image 0 is not a rect"),
    "ragged later": ([[[1, 2], [3, 4]], [[1, 2], [3]]], ValueError, "image 1 is not"),
    "None in nested lists": ([[[1, None], [2, 3]]], TypeError, "image 0"),
    "NUL": (["a.png", "b\0.png"], ValueError, r"X holds .*'b\\x00\.png' at position 1"),
    "one path": ("photo.png", TypeError, "X is one path, 'photo.png'"),
    "DataFrame": (pd.DataFrame(GREY[0]), TypeError, "one column"),
    "four axes in a list": ([COLOR[0], COLOR], ValueError, r"image 1 .*\(4, 5, 6, 3"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_what_is_no_images_is_refused_by_name(case):
    X, error, message = NO_IMAGES[case]
    with pytest.raises(error, match=message):
        list(as_images(X))


NO_MASKS = {
    "None": (None, ValueError, "requires y to be passed"),
    "one mask": (GREY[0], ValueError, r"y\[np.newaxis\]"),
    "one-hot": (COLOR, ValueError, r"argmax\(axis=-1\)"),
    "one-hot in a list": ([GREY[0], COLOR[0]], ValueError, r"mask 1 .*argmax"),
    "0 samples": (GREY[:0], ValueError, r"0 sample\(s\)"),
    "0 width in one": ([GREY[0], GREY[0, :, :0]], ValueError, "mask 1 is empty"),
    "fractions": ([GREY[0], GREY[0] / 3], ValueError, "continuous. mask 1.*order=0"),
    "NaN": (
        [GREY[0], np.full((5, 6), np.nan)],
        ValueError,
        "mask 1, at 30 of 30.*ignore",
    ),
    "complex": (GREY * 1j, ValueError, r"not supported: y has dtype complex128; exp"),
    "complex in a list": ([GREY[0] * 1j], TypeError, "mask 0 has dtype complex128"),
    "bytes": ([b"a.png"] * 2, TypeError, r"y holds bytes, b'a\.png' at .*fsdecode"),
    "missing strings": (
        np.array([[["a", None]]], np.dtypes.StringDType(na_object=None)),
        TypeError,
        "mask 0 holds mixed objects",
    ),
    "None in a mask": (objects([[[1, None]]]), TypeError, "mask 0"),
    "strings and numbers": ([np.array([["a", 1]], object)], TypeError, "mixed objects"),
    "masked": (np.ma.masked_array(GREY), TypeError, "ignore_label="),
    "sparse": (SPARSE, TypeError, "[Ss]parse"),
    "dict": ({}, TypeError, "y is a dict"),
    "mixed": (["a.png", GREY[0]], TypeError, "y mixes paths and arrays"),
    "ragged": ([[[1, 2], [3]]], ValueError, "mask 0 is not a rectangular"),
    "NUL": (["a.png", "b\0.png"], ValueError, r"y holds .*'b\\x00\.png' at position 1"),
    "one path": ("mask.png", TypeError, "y is one path"),
}


@pytest.mark.parametrize("case", NO_MASKS)
def test_what_is_no_masks_is_refused_by_name(case):
    y, error, message = NO_MASKS[case]
    with pytest.raises(error, match=message):
        list(as_masks(y))


def test_masks_of_strings_keep_their_values():
    y = np.array([[["cell", "dirt"], ["dirt", "cell"]]])
    variable = y.astype(np.dtypes.StringDType())
    for form in (y, y.tolist(), y.astype(object), list(y), variable, list(variable)):
        assert_images(as_masks(form), y)


def test_channel_axis_of_a_mask_array_is_dropped_with_a_warning():
    with pytest.warns(DataConversionWarning, match="last axis is dropped"):
        masks = as_masks(GREY[..., np.newaxis])
    assert_images(masks, GREY)
    assert_images(as_masks(list(GREY[..., np.newaxis])), GREY)


def test_as_many_masks_as_images_are_wanted():
    with pytest.raises(ValueError, match="4 images and y has 3 masks"):
        check_pairs(as_images(COLOR), as_masks(GREY[:3]))
    check_pairs(as_images(COLOR), as_masks(list(GREY)))


def test_color_image_that_was_not_wrapped_is_recognised():
    images, masks = as_images(COLOR[0]), as_masks([COLOR[0, ..., 0]])
    with pytest.raises(ValueError, match=r"wrap it as X\[np.newaxis\]"):
        check_pairs(images, masks)


def test_mask_of_another_size_is_named():
    masks = as_masks(list(GREY))
    with pytest.raises(ValueError, match=r"mask 2 .*\(5, 6\).*\(6, 5\)"):
        check_pair(np.zeros((6, 5, 3)), GREY[2], masks, 2)


@pytest.mark.parametrize(
    "weight",
    [
        np.array([1.0, 2.0]),
        [1, 2],
        pd.Series([1, 2], index=[5, 5]),
        np.array([True, True]),
        torch.ones(2),
        np.ones((2, 3, 4), np.float32),
        np.ones((2, 3, 4)).tolist(),
        [np.ones((3, 4)), np.ones((5, 6))],
        objects([np.ones((3, 4)), 0]),
        [2.0, np.ones((3, 4))],
    ],
)
def test_weights_are_one_number_or_one_a_pixel(weight):
    weights = as_weights(weight, 2)
    for found, given in zip(weights, weight, strict=True):
        np.testing.assert_array_equal(found, np.asarray(given))
        assert found.dtype == np.float64


def test_no_weights_are_none():
    assert as_weights(None, 3) is None


@pytest.mark.parametrize(
    "weight, message",
    [
        (1.0, "expected one weight per image"),
        ("ab", "expected one weight per image"),
        ([1.0], "1 entries for 2 images"),
        (np.ones(3), "3 entries for 2 images"),
        (np.ones((2, 2)), r"must be 1D.*\(2, 2\)"),
        (np.array(1.0), r"must be 1D.*\(\)"),
        ([[1], [2]], r"image 0 has shape \(1,\)"),
        ([1, np.ones((2, 2, 1))], r"image 1 has shape \(2, 2, 1\)"),
        ([1, -1], "image 1 holds a negative"),
        ([np.nan, 1], "image 0 holds a negative, NaN"),
        ([1, np.full((2, 2), np.inf)], "image 1 .* infinite"),
        ([None, 1], "image 0"),
        ([0, np.zeros((2, 2))], "zero everywhere"),
        ([1, "heavy"], "image 1 is not an array of numbers.*heavy"),
        ([1, [[1, 2], [3]]], "image 1 is not an array of numbers"),
        ([1, 1j], "image 1 is not an array of numbers"),
    ],
)
def test_what_is_no_weights_is_refused_by_name(weight, message):
    with pytest.raises(ValueError, match=message):
        as_weights(weight, 2)


def test_pixel_weights_have_the_size_of_their_mask():
    mask = np.zeros((3, 4), int)
    check_weight_size(np.array(2.0), mask, 0)
    check_weight_size(np.ones((3, 4)), mask, 0)
    with pytest.raises(ValueError, match=r"image 5 .*\(4, 3\).*\(3, 4\)"):
        check_weight_size(np.ones((4, 3)), mask, 5)
