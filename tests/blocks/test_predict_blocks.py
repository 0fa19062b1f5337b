"""Blocks of a large image against the prediction of the whole."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment import FCNSegmenter, networks
from sksegment.augmentation import RandomFlip
from sksegment.blocks import predict_blocks
from sksegment.blocks._layout import BlockLayout

Fit = Callable[..., FCNSegmenter]
Form = Callable[[np.ndarray, Path], Any]


def as_zarr(image: np.ndarray, folder: Path) -> Any:
    array = zarr.create_array(
        folder / "image.zarr", shape=image.shape, chunks=(50, 60, 3), dtype=image.dtype
    )
    array[:] = image
    return array


def as_memory_map(image: np.ndarray, folder: Path) -> Any:
    image.tofile(folder / "image.bin")
    return np.memmap(folder / "image.bin", image.dtype, "r", 0, image.shape)


def as_data_array(image: np.ndarray, folder: Path) -> Any:
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(image, dims=("y", "x", "band"))


FORMS: dict[str, Form] = {
    "numpy": lambda image, folder: image,
    "zarr": as_zarr,
    "path": lambda image, folder: as_zarr(image, folder).store.root,
    "address": lambda image, folder: f"file://{as_zarr(image, folder).store.root}",
    "tensor": lambda image, folder: torch.tensor(image),
    "dask": lambda image, folder: da.from_array(image, chunks=(70, 33, 2)),
    "memory map": as_memory_map,
    "part of a memory map": lambda image, folder: as_memory_map(image, folder)[3:, 2:],
    "DataArray": as_data_array,
    "DataArray of dask": lambda image, folder: as_data_array(
        da.from_array(image, chunks=(70, 33, 2)), folder
    ),
}


# Equal to the whole image


@pytest.mark.parametrize("form", FORMS)
def test_labels_and_probabilities_are_those_of_the_whole_image(
    form: str, segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    given = FORMS[form](image, tmp_path)
    whole = np.asarray(image[3:, 2:] if form.startswith("part") else image)
    labels = predict_blocks(segmenter, given, block_size=(40, 61))
    np.testing.assert_array_equal(labels, segmenter.predict([whole])[0])
    probabilities = predict_blocks(
        segmenter, given, method="predict_proba", block_size=100
    )
    expected = segmenter.predict_proba([whole])[0]
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("block_size", [48, 50, (1, 200), (131, 33), 2048, "auto"])
def test_blocks_need_not_lie_on_the_stride_grid(
    block_size: Any, segmenter: FCNSegmenter, image: np.ndarray
) -> None:
    labels = predict_blocks(segmenter, image, block_size=block_size)
    np.testing.assert_array_equal(labels, segmenter.predict([image])[0])
    assert labels.dtype == segmenter.classes_.dtype


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the networks of the paper small: their weights would take 540 MB."""
    base = networks.FCN32s.__mro__[1]
    monkeypatch.setattr(base, "stage_widths", (2, 2, 3, 3, 4))
    monkeypatch.setattr(base, "head_width", 4)


NETWORKS: list[dict[str, Any]] = [
    {"depth": 3, "width": 8},
    {"depth": 4, "width": 2, "skip": "add"},
    {"depth": 2, "skip": None, "norm": None},
    {"depth": 2, "test_time_augmentation": True},
    {"depth": 2, "tile_size": 16},
    {"network": "fcn32s"},
    {"network": "fcn16s"},
    {"network": "fcn8s"},
]


@pytest.mark.slow
@pytest.mark.parametrize("parameters", NETWORKS, ids=str)
@pytest.mark.parametrize("block_size", [48, (99, 1000)])
def test_every_network_predicts_blocks_as_the_whole(
    parameters: dict[str, Any],
    block_size: Any,
    fit: Fit,
    image: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow(monkeypatch)
    segmenter = fit(**parameters)
    twice = np.concatenate([image, image[::-1]])
    labels = predict_blocks(segmenter, twice, block_size=block_size)
    np.testing.assert_array_equal(labels, segmenter.predict([twice])[0])


@pytest.mark.slow
def test_overlapping_by_hand_is_wrong_where_blocks_are_not(
    fit: Fit, image: np.ndarray
) -> None:
    segmenter = fit(depth=3, width=8)
    twice = np.concatenate([image, image[::-1]])
    whole = segmenter.predict([twice])[0]

    def predict(part: np.ndarray) -> np.ndarray:
        return segmenter.predict([part])[0]

    by_hand = da.map_overlap(
        predict,
        da.from_array(twice, chunks=(131, 87, 3)),
        depth={0: segmenter.margin_, 1: segmenter.margin_},
        boundary="reflect",
        drop_axis=2,
        dtype=whole.dtype,
        meta=np.empty((0, 0), whole.dtype),
        allow_rechunk=False,
    )
    assert (np.asarray(by_hand) != whole).any()
    labels = predict_blocks(segmenter, twice, block_size=67)
    np.testing.assert_array_equal(labels, whole)


def test_grey_images_and_string_classes(image: np.ndarray) -> None:
    segmenter = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    grey = image[..., 0]
    mask = np.where(grey > np.median(grey), "light", "dark")
    segmenter.fit(grey[np.newaxis], mask[np.newaxis])
    for given in (grey, grey[..., np.newaxis]):
        labels = predict_blocks(segmenter, given, block_size=64)
        np.testing.assert_array_equal(labels, segmenter.predict([grey])[0])


def test_a_pipeline_of_augmenters_is_predicted_by_its_segmenter(
    segmenter: FCNSegmenter, image: np.ndarray
) -> None:
    pipeline = make_pipeline(RandomFlip(), segmenter)
    labels = predict_blocks(pipeline, image, block_size=90)
    np.testing.assert_array_equal(labels, segmenter.predict([image])[0])


@pytest.mark.parametrize(
    "scheduler",
    ["synchronous", "threads", pytest.param("processes", marks=pytest.mark.slow)],
)
def test_schedulers_agree(
    scheduler: str, segmenter: FCNSegmenter, image: np.ndarray
) -> None:
    labels = predict_blocks(segmenter, image, block_size=70)
    with dask.config.set(scheduler=scheduler, num_workers=2):
        found = labels.compute()
    np.testing.assert_array_equal(found, segmenter.predict([image])[0])


def test_a_dark_block_is_not_taken_for_other_units(
    segmenter: FCNSegmenter, image: np.ndarray
) -> None:
    dark = image.copy()
    dark[:60, :60] /= 1000
    labels = predict_blocks(segmenter, dark, block_size=20)
    np.testing.assert_array_equal(labels, segmenter.predict([dark])[0])


# What is read, and what is sent


class Recording:
    """An image that notes which parts are read."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.sizes: list[int] = []
        self.lock = threading.Lock()

    def __getitem__(self, window: Any) -> np.ndarray:
        part = self.pixels[window]
        with self.lock:
            self.sizes.append(part.shape[0] * part.shape[1])
        return part


def test_nothing_is_read_before_and_only_windows_after(
    segmenter: FCNSegmenter, image: np.ndarray
) -> None:
    recording = Recording(image)
    labels = predict_blocks(segmenter, recording, block_size=40)
    assert recording.sizes == []
    labels[:40, :40].compute()
    assert len(recording.sizes) == 1
    assert recording.sizes[0] <= (40 + segmenter.margin_ + segmenter.stride_) ** 2


def test_a_memory_map_is_sent_as_the_name_of_its_file(
    segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    mapped = as_memory_map(image, tmp_path)
    lazy = predict_blocks(segmenter, mapped, block_size=40)
    small = len(pickle.dumps(predict_blocks(segmenter, mapped[1:], block_size=40)))
    assert len(pickle.dumps(lazy)) < small - image.nbytes // 2


def copied_on_write(image: np.ndarray, folder: Path) -> Any:
    np.save(folder / "image.npy", np.zeros_like(image))
    mapped = np.load(folder / "image.npy", mmap_mode="c")
    mapped[:] = image
    return mapped


def replaced(image: np.ndarray, folder: Path) -> Any:
    mapped = as_memory_map(image, folder)
    np.zeros_like(image).tofile(folder / "other.bin")
    (folder / "other.bin").replace(folder / "image.bin")
    return mapped


def unlinked(image: np.ndarray, folder: Path) -> Any:
    mapped = as_memory_map(image, folder)
    (folder / "image.bin").unlink()
    return mapped


MAPS: dict[str, Form] = {"copied on write": copied_on_write}
if sys.platform == "linux":  # others keep the file, or do not tell which it is
    MAPS |= {"replaced": replaced, "unlinked": unlinked}


@pytest.mark.parametrize("form", MAPS)
def test_a_memory_map_that_differs_from_its_file_is_predicted_as_it_is(
    form: str, segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    expected = segmenter.predict([image])[0]
    assert expected.any()
    lazy = predict_blocks(segmenter, MAPS[form](image, tmp_path), block_size=90)
    np.testing.assert_array_equal(lazy.compute(), expected)
    sent = pickle.loads(pickle.dumps(lazy))  # as another process gets it
    np.testing.assert_array_equal(sent.compute(), expected)


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file is kept")
def test_a_file_replaced_before_computing_does_not_change_the_image(
    segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    lazy = predict_blocks(segmenter, as_memory_map(image, tmp_path), block_size=90)
    np.zeros_like(image).tofile(tmp_path / "other.bin")
    (tmp_path / "other.bin").replace(tmp_path / "image.bin")
    np.testing.assert_array_equal(lazy.compute(), segmenter.predict([image])[0])


def test_auto_takes_whole_chunks_and_never_more_than_the_image(
    segmenter: FCNSegmenter,
) -> None:
    large = da.zeros((5000, 2100, 3), chunks=(600, 600, 3))
    blocks = predict_blocks(segmenter, large)
    assert blocks.chunks == ((1200, 1200, 1200, 1200, 200), (1200, 900))


@pytest.mark.parametrize("margin", [0, 9, 52])
@pytest.mark.parametrize("stride", [1, 2, 8])
def test_windows_hold_the_receptive_field_and_lie_on_the_grid(
    margin: int, stride: int
) -> None:
    layout = BlockLayout((211, 97), (37, 50), margin, stride)
    covered = np.zeros(layout.size, int)
    for row, column in np.ndindex(layout.shape):
        spans = layout.spans(row, column)
        covered[tuple(slice(*span.core) for span in spans)] += 1
        for span, size in zip(spans, layout.size, strict=True):
            assert span.window[0] % stride == 0
            assert span.window[1] % stride == 0 or span.window[1] == size
            assert span.window[0] <= max(span.core[0] - margin, 0)
            assert span.window[1] >= min(span.core[1] + margin, size)
    assert (covered == 1).all()


# xarray


def test_a_data_array_comes_back_with_coordinates_and_attributes(
    segmenter: FCNSegmenter, image: np.ndarray
) -> None:
    xarray = pytest.importorskip("xarray")
    given = xarray.DataArray(
        image,
        dims=("y", "x", "band"),
        coords={
            "y": np.arange(131) * -10.0,
            "x": np.arange(173) * 10.0,
            "band": ["red", "green", "blue"],
            "spatial_ref": ((), 0, {"crs_wkt": "PROJCS"}),
        },
        attrs={"platform": "S2", "scale_factor": 0.5, "_FillValue": 3},
    )
    labels = predict_blocks(segmenter, given, block_size=64)
    assert labels.dims == ("y", "x")
    np.testing.assert_array_equal(labels.y, given.y)
    assert labels.spatial_ref.attrs == {"crs_wkt": "PROJCS"}
    # Those that say how values are encoded would make other numbers of labels.
    assert labels.attrs == {"platform": "S2"}
    expected = segmenter.predict([image])[0]
    np.testing.assert_array_equal(labels.sel(y=slice(-50, -90)), expected[5:10])
    probabilities = predict_blocks(segmenter, given, method="predict_proba")
    assert probabilities.dims == ("class", "y", "x")
    assert probabilities["class"].to_numpy().tolist() == [0, 1, 2, 3]


def test_a_dataset_is_refused_with_its_variables(segmenter: FCNSegmenter) -> None:
    xarray = pytest.importorskip("xarray")
    dataset = xarray.Dataset({"red": (("y", "x"), np.zeros((4, 4)))})
    with pytest.raises(TypeError, match=r"expected one of them, such as .*'red'"):
        predict_blocks(segmenter, dataset)


# Bad input


@pytest.mark.parametrize(
    "given, error, message",
    [
        (np.zeros((5, 20, 20, 3)), ValueError, "a stack of images.*Pass one after"),
        (np.zeros((3, 20, 20)), ValueError, "channels first"),
        (np.zeros((20, 20, 4)), ValueError, "4 channels, but .* expecting 3 features"),
        (np.zeros((20, 20)), ValueError, r"expected \(height, width, 3\)"),
        (np.zeros(20), ValueError, "expected one image"),
        (np.zeros((0, 20, 3)), ValueError, "empty"),
        (np.zeros((20, 20, 3), complex), TypeError, "complex128; expected real"),
        (np.ma.zeros((20, 20, 3)), TypeError, "masked array"),
        (
            da.zeros((20, 20, 3))[da.ones(20) > 0],
            ValueError,
            r"unknown before it is computed.*compute_chunk_sizes\(\)",
        ),
        ([np.zeros((20, 20, 3))], TypeError, "is a list; expected one image"),
        (None, TypeError, "NoneType; expected one image"),
        ("nowhere.zarr", FileNotFoundError, "'nowhere.zarr', where no zarr array is"),
    ],
)
def test_what_is_not_one_image_is_refused(
    given: Any, error: type[Exception], message: str, segmenter: FCNSegmenter
) -> None:
    with pytest.raises(error, match=message):
        predict_blocks(segmenter, given)


def test_a_group_is_refused_with_its_cure(
    segmenter: FCNSegmenter, tmp_path: Path
) -> None:
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(ValueError, match="the path of one array inside"):
        predict_blocks(segmenter, tmp_path / "group.zarr")


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"method": "score"}, ValueError, "method is 'score'"),
        ({"method": None}, ValueError, "method is None"),
        ({"block_size": 0}, ValueError, "block_size is 0.*'auto' chooses one"),
        ({"block_size": "big"}, TypeError, "block_size is 'big'"),
        ({"block_size": (3, 4, 5)}, TypeError, "block_size"),
    ],
)
def test_arguments_are_refused_by_name(
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
    segmenter: FCNSegmenter,
    image: np.ndarray,
) -> None:
    with pytest.raises(error, match=message):
        predict_blocks(segmenter, image, **arguments)


def test_a_network_that_sees_the_whole_image_is_refused(
    fit: Fit, image: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=r"margin_ is None.*computed four times"):
        predict_blocks(fit(norm="group"), image)


@pytest.mark.parametrize(
    "estimator, error, message",
    [
        (FCNSegmenter(), NotFittedError, "not fitted"),
        (LogisticRegression(), TypeError, "LogisticRegression; expected an FCNSeg"),
        (
            make_pipeline(FunctionTransformer(np.sqrt), FCNSegmenter()),
            TypeError,
            "The step 'functiontransformer'",
        ),
    ],
)
def test_estimators_that_cannot_predict_parts_are_refused(
    estimator: Any, error: type[Exception], message: str, image: np.ndarray
) -> None:
    with pytest.raises(error, match=message):
        predict_blocks(estimator, image)


def test_missing_values_are_named_by_their_window(
    segmenter: FCNSegmenter, image: np.ndarray
) -> None:
    holed = image.copy()
    holed[100, 100] = np.nan
    labels = predict_blocks(segmenter, holed, block_size=64)
    labels[:64, :64].compute()
    with pytest.raises(ValueError, match=r"image\[54:131, 54:138\]"):
        labels[64:128, 64:128].compute()


@pytest.mark.parametrize("package", ["dask.array", "zarr"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    package: str,
    segmenter: FCNSegmenter,
    image: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "sksegment\[dask\]"'):
        predict_blocks(segmenter, image)
