"""Odd but legal inputs: the same bits as from the plain array, and left as they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image
from sklearn.exceptions import DataConversionWarning

from sksegment import FCNSegmenter

pytestmark = pytest.mark.usefixtures("one_thread")
RNG = np.random.default_rng(0)
# Every form of one of these holds the same values: what comes out must be the same.
IMAGES = {
    "bits": RNG.integers(0, 2, (4, 8, 8, 3), np.uint8),
    "bytes": RNG.integers(0, 128, (4, 8, 8, 3), np.uint8),
    "signed": RNG.integers(-128, 128, (4, 8, 8, 3), np.int8),
    "fractions": RNG.normal(size=(4, 8, 8, 3)).astype(np.float16).astype(np.float32),
    "grey": RNG.integers(0, 256, (4, 8, 8, 1), np.uint8),
}
MASKS = (IMAGES["bits"][..., 0] + IMAGES["bits"][..., 1]).astype(np.uint8)
Form = Callable[[np.ndarray], Any]


def fitted(X: Any, y: Any) -> FCNSegmenter:
    options = {"depth": 1, "width": 2, "max_epochs": 1, "batch_size": 8}
    return FCNSegmenter(**options, random_state=0).fit(X, y)


@cache
def to_python(values: str) -> FCNSegmenter:
    return fitted(IMAGES[values], MASKS)


def learned(segmenter: FCNSegmenter) -> list[bytes]:
    """Return all that was learned from images and masks, to the bit."""
    tensors = segmenter.network_.state_dict().values()
    scale = segmenter.channel_mean_, segmenter.channel_std_
    loss = segmenter.history_[0]["train_loss"]
    arrays = [*(tensor.numpy() for tensor in tensors), *scale, np.float64(loss)]
    return [array.tobytes() for array in arrays]


def snapshot(data: Any) -> Any:
    """Return the bytes of an input, those of its files included."""
    if isinstance(data, (str, Path)) and Path(data).is_file():
        return Path(data).read_bytes()
    if isinstance(data, torch.Tensor):
        return data.detach().numpy().tobytes(), data.requires_grad
    if isinstance(data, np.ndarray) and data.dtype.kind not in "OT":
        return data.tobytes(), data.dtype, data.strides, data.flags.writeable
    if isinstance(data, (list, tuple, np.ndarray, pd.Series, pd.Index)):
        return [snapshot(item) for item in data]
    return data


def assert_same_bits(found: Any, expected: np.ndarray) -> None:
    assert len(found) == len(expected)
    for item, values in zip(found, expected, strict=True):
        assert (item.shape, item.dtype) == (values.shape, values.dtype)
        assert item.tobytes() == values.tobytes()


def assert_images_make_no_difference(X: Any, values: str) -> None:
    before = snapshot(X)
    reference, expected = to_python(values), IMAGES[values]
    assert_same_bits(reference.predict(X), reference.predict(expected))
    assert_same_bits(reference.predict_proba(X), reference.predict_proba(expected))
    assert reference.score(X, MASKS) == reference.score(expected, MASKS)
    assert learned(fitted(X, MASKS)) == learned(reference)
    assert snapshot(X) == before


def assert_masks_make_no_difference(y: Any, labels: np.ndarray) -> None:
    """Masks `y` stand for `labels[MASKS]`."""
    before = snapshot(y)
    reference, X = to_python("bytes"), IMAGES["bytes"]
    segmenter = fitted(X, y)
    assert learned(segmenter) == learned(reference)
    np.testing.assert_array_equal(segmenter.predict(X), labels[reference.predict(X)])
    assert_same_bits(segmenter.predict_proba(X), reference.predict_proba(X))
    assert segmenter.score(X, y) == reference.score(X, MASKS)
    assert snapshot(y) == before


# One array


def every_second(array: np.ndarray) -> np.ndarray:
    room = np.full((len(array), 2 * array.shape[1], *array.shape[2:]), 9, array.dtype)
    room[:, ::2] = array
    return room[:, ::2]


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def second_axis_last(array: np.ndarray) -> np.ndarray:
    """Return a view as of channels-first images, or of masks turned."""
    return np.moveaxis(np.moveaxis(array, -1, 1).copy(), 1, -1)


LAYOUTS: dict[str, Form] = {
    "Fortran order": np.asfortranarray,
    "negative strides": lambda A: A[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "channels reversed": lambda A: A[..., ::-1].copy()[..., ::-1],
    "channels stored first": second_axis_last,
    "every second row": every_second,
    "every second column": lambda A: np.repeat(A, 2, axis=2)[:, :, ::2],
    "repeated by stride": lambda A: np.lib.stride_tricks.as_strided(A, writeable=False),
    "big-endian": lambda A: A.astype(A.dtype.newbyteorder(">")),
    "wide and big-endian": lambda A: A.astype(">f8"),
    "read-only": read_only,
    "subclass": lambda A: A.copy().view(np.recarray),
    "nested lists": np.ndarray.tolist,
    "objects": lambda A: A.astype(object),
    "tensor": torch.tensor,
    "tensor with gradient": lambda A: torch.tensor(A).double().requires_grad_(),
    "tensor that is a view": lambda A: torch.tensor(every_second(A))[:],
}
LISTS: dict[str, Form] = {
    "list": list,
    "tuple": tuple,
    "object array": lambda A: objects(A),
    "Series": lambda A: pd.Series(list(A), index=[7, 7, 0, -1]),
    "list of lists": lambda A: [A[0], *(item.tolist() for item in A[1:])],
    "list in Fortran order": lambda A: [np.asfortranarray(item) for item in A],
    "list of different dtypes": lambda A: [
        *A[:2],
        A[2].astype(">f8"),
        A[3].astype(object),
    ],
    "list of tensors": lambda A: [torch.tensor(item) for item in A],
    "tuple of tensors with gradient": lambda A: tuple(
        torch.tensor(item).double().requires_grad_() for item in A
    ),
}


def objects(items: Any) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = list(items)
    return array


DTYPES = {
    **dict.fromkeys(["?", "u1", "i1", "f2"], "bits"),
    **dict.fromkeys(["u2", "u4", "u8", ">u2", "i1", "i2", "i4", "i8"], "bytes"),
    **dict.fromkeys([">i2", "f4", "f8", "g"], "signed"),
    **dict.fromkeys(["f2", ">f4", ">f8"], "fractions"),
}


@pytest.mark.parametrize("dtype, values", DTYPES.items())
def test_dtypes_of_images(dtype: str, values: str) -> None:
    assert_images_make_no_difference(IMAGES[values].astype(dtype), values)


@pytest.mark.parametrize("values", ["bytes", "fractions"])
@pytest.mark.parametrize("form", [*LAYOUTS, *LISTS])
def test_forms_of_images(form: str, values: str) -> None:
    X = (LAYOUTS | LISTS)[form](IMAGES[values])
    assert_images_make_no_difference(X, values)


@pytest.mark.parametrize("form", [list, np.copy, np.asfortranarray, torch.tensor])
def test_grey_images_with_and_without_an_axis_of_channels(form: Form) -> None:
    assert_images_make_no_difference(form(IMAGES["grey"]), "grey")
    assert_images_make_no_difference(form(IMAGES["grey"][..., 0]), "grey")


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_images_on_disk(tmp_path: Path, mode: Any) -> None:
    np.save(tmp_path / "X.npy", IMAGES["bytes"])
    stored = (tmp_path / "X.npy").read_bytes()
    X = np.load(tmp_path / "X.npy", mmap_mode=mode)
    assert isinstance(X, np.memmap)
    assert_images_make_no_difference(X, "bytes")
    assert (tmp_path / "X.npy").read_bytes() == stored


# Masks


@pytest.mark.parametrize("form", [*LAYOUTS, *LISTS])
def test_forms_of_masks(form: str) -> None:
    y = (LAYOUTS | LISTS)[form](MASKS)
    assert_masks_make_no_difference(y, np.arange(3))


@pytest.mark.parametrize(
    "dtype", ["u2", "u4", "u8", "i1", "i2", ">i4", "i8", "f2", "f4", ">f8", "g"]
)
def test_dtypes_of_masks_are_those_of_the_prediction(dtype: str) -> None:
    y = MASKS.astype(dtype)
    assert_masks_make_no_difference(y, np.arange(3))
    predicted = fitted(IMAGES["bytes"], y).predict(IMAGES["bytes"])
    assert predicted.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["cell", "dirt", "glass"]),
        np.array([b"cell", b"dirt", b"glass"]),
        np.array([-7, 205, 420]),
        np.array([0, 2**40, 2**62]),
        np.array([2**63, 2**63 + 1, 2**64 - 1], np.uint64),
        np.array([-2.0, 0.0, 1e6]),
    ],
    ids=lambda labels: f"{labels.dtype}",
)
@pytest.mark.parametrize("form", [np.copy, list, np.ndarray.tolist, np.asfortranarray])
def test_values_of_masks(labels: np.ndarray, form: Form) -> None:
    assert_masks_make_no_difference(form(labels[MASKS]), labels)


@pytest.mark.parametrize("form", [np.copy, list])
def test_masks_of_strings_of_variable_width(form: Form) -> None:
    labels = np.array(["cell", "dirt", "glass and stone"])
    y = labels[MASKS].astype(np.dtypes.StringDType())
    assert_masks_make_no_difference(form(y), labels)


@pytest.mark.parametrize("form", [lambda tensor: tensor, list, tuple])
def test_tensors_of_a_dtype_that_numpy_lacks(form: Any) -> None:
    X, y = (form(torch.tensor(A).bfloat16()) for A in (IMAGES["bytes"], MASKS))
    reference, segmenter = to_python("bytes"), fitted(X, y)
    assert learned(segmenter) == learned(reference)
    expected = reference.predict_proba(IMAGES["bytes"])
    assert_same_bits(segmenter.predict_proba(X), expected)
    assert segmenter.score(X, y) == reference.score(IMAGES["bytes"], MASKS)


@pytest.mark.parametrize("form", [np.copy, list, np.ndarray.tolist, torch.tensor])
@pytest.mark.parametrize("dtype", ["?", "f4"])
def test_masks_of_truth_values(form: Form, dtype: str) -> None:
    X, y = IMAGES["bytes"], (MASKS > 0).astype(np.uint8)
    given = form(y.astype(dtype))
    before, as_array = snapshot(given), np.asarray(given)
    reference, segmenter = fitted(X, y), fitted(X, given)
    assert learned(segmenter) == learned(reference)
    assert_same_bits(segmenter.predict(X), reference.predict(X).astype(as_array.dtype))
    assert snapshot(given) == before


def test_masks_with_an_axis_of_channels() -> None:
    given = MASKS[..., np.newaxis]
    with pytest.warns(DataConversionWarning, match="last axis is dropped"):
        assert_masks_make_no_difference(given, np.arange(3))
    assert_masks_make_no_difference(list(given), np.arange(3))


def test_masks_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", MASKS)
    y = np.load(tmp_path / "y.npy", mmap_mode="r")
    assert_masks_make_no_difference(y, np.arange(3))


def test_everything_odd_at_once() -> None:
    X = objects([np.asfortranarray(image.astype(">i4")) for image in IMAGES["bytes"]])
    y = tuple(torch.tensor(mask.astype(float)) for mask in MASKS)
    weight = second_axis_last(RNG.random(MASKS.shape))
    segmenter = FCNSegmenter(depth=1, width=2, max_epochs=1, random_state=0)
    odd = learned(segmenter.fit(X, y, weight))
    assert odd == learned(segmenter.fit(IMAGES["bytes"], MASKS, weight.copy()))


# Files


def saved(folder: Path, arrays: np.ndarray, suffix: str) -> list[Path]:
    paths = [folder / f"{index}{suffix}" for index in range(len(arrays))]
    for path, array in zip(paths, arrays.squeeze(), strict=True):
        if suffix == ".tif":
            is_color = array.ndim == 3
            tifffile.imwrite(path, array, photometric="rgb" if is_color else None)
        else:
            Image.fromarray(array).save(path)
    return paths


PATHS: dict[str, Callable[[list[Path]], Any]] = {
    "Path": list,
    "str": lambda paths: [str(path) for path in paths],
    "tuple": tuple,
    "Series": lambda paths: pd.Series(map(str, paths), index=[3, 3, 1, 0]),
    "Series of Path": pd.Series,
    "array": lambda paths: np.array([str(path) for path in paths]),
    "array of objects": objects,
    "index": pd.Index,
    "array of variable width": lambda paths: np.array(
        [str(path) for path in paths], np.dtypes.StringDType()
    ),
}


@pytest.mark.parametrize("form", PATHS)
def test_paths(tmp_path: Path, form: str) -> None:
    X = PATHS[form](saved(tmp_path, IMAGES["bytes"], "x.png"))
    assert_images_make_no_difference(X, "bytes")
    y = PATHS[form](saved(tmp_path, MASKS, "y.png"))
    assert_masks_make_no_difference(y, np.arange(3))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("values", ["bytes", "grey"])
def test_formats_of_images(tmp_path: Path, suffix: str, values: str) -> None:
    assert_images_make_no_difference(saved(tmp_path, IMAGES[values], suffix), values)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_formats_of_masks(tmp_path: Path, suffix: str) -> None:
    assert_masks_make_no_difference(saved(tmp_path, MASKS, suffix), np.arange(3))


@pytest.mark.parametrize("dtype", ["u2", ">u2", "i2", "u4", "f4", "f8"])
def test_wide_tiffs(tmp_path: Path, dtype: str) -> None:
    paths = saved(tmp_path, IMAGES["grey"].astype(dtype), ".tif")
    assert_images_make_no_difference(paths, "grey")
    paths = saved(tmp_path, MASKS.astype(dtype), ".tif")
    assert_masks_make_no_difference(paths, np.arange(3))


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_epochs": np.int8(40)},
        {"batch_size": np.uint64(2)},
        {"depth": np.uint8(1), "width": np.int8(70), "max_epochs": 1},
        {"learning_rate": np.float16(0.01), "dropout": np.float16(0.25)},
        {"tile_size": np.uint8(4), "crop_size": np.uint8(4)},
        {"early_stopping": True, "n_iter_no_change": np.uint8(1), "tol": np.float32(0)},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_numbers_of_numpy_are_those_of_python(parameters: dict[str, Any]) -> None:
    X, y = IMAGES["bytes"], MASKS
    options = {"width": 2, "depth": 1, "max_epochs": 2, "batch_size": 1}
    seen, expected = (
        FCNSegmenter(**(options | chosen), random_state=0).fit(X, y).predict_proba(X)
        for chosen in (
            parameters,
            {name: np.asarray(value).item() for name, value in parameters.items()},
        )
    )
    np.testing.assert_array_equal(seen, expected)


def test_named_classes_beyond_int64() -> None:
    labels = [0, 2**63, 2**64 - 1]
    masks = np.array(labels, np.uint64)[MASKS]
    options = {"width": 2, "depth": 1, "max_epochs": 1}
    model = FCNSegmenter(classes=labels, **options).fit(IMAGES["bytes"], masks)
    predicted = model.predict(IMAGES["bytes"])
    assert predicted.dtype == np.uint64
    assert set(np.unique(predicted).tolist()) <= set(labels)
