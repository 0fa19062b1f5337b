"""Arrays that are read when they are sliced: only what is needed is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sksegment import FCNSegmenter
from sksegment.datasets import check_masks, find_mask_errors, make_shapes
from sksegment.metrics import iou_score, pixel_log_loss

SIZE, CROP = 64, 16


class Lazy:
    """An array that notes how many pixels are read."""

    def __init__(self, pixels: np.ndarray, log: list[int]) -> None:
        self.pixels, self.log = pixels, log
        self.shape, self.ndim, self.dtype = pixels.shape, pixels.ndim, pixels.dtype

    def __getitem__(self, window: Any) -> np.ndarray:
        part = self.pixels[window]
        self.log.append(part.shape[0] * part.shape[1])
        return part


class Convertible(Lazy):
    """Another that numpy can convert as a whole."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.log.append(self.shape[0] * self.shape[1])
        return self.pixels


@pytest.fixture(scope="module")
def shapes() -> tuple[np.ndarray, np.ndarray]:
    return make_shapes(n_samples=3, size=SIZE, n_classes=3, random_state=0)


def fit(X: Any, y: Any) -> FCNSegmenter:
    segmenter = FCNSegmenter(
        depth=1, width=2, max_epochs=2, crop_size=CROP, device="cpu", random_state=0
    )
    return segmenter.fit(X, y)


def weights(segmenter: FCNSegmenter) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in segmenter.network_.state_dict().values()]


@pytest.mark.parametrize("kind", [Lazy, Convertible])
def test_a_crop_reads_its_window_and_learns_the_same(
    kind: type[Lazy], shapes: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = shapes
    log: list[int] = []
    segmenter = fit([kind(image, log) for image in X], [kind(mask, log) for mask in y])
    # One look at each image and mask, and then 16 crops of each in 2 epochs.
    assert sorted(log, reverse=True)[:6] == [SIZE**2] * 6
    assert log.count(SIZE**2) <= 7  # the first image is looked at for its channels
    assert log.count(CROP**2) == 2 * 2 * 3 * (SIZE // CROP) ** 2
    plain = fit([*X], [*y])
    for found, expected in zip(weights(segmenter), weights(plain), strict=True):
        np.testing.assert_array_equal(found, expected)
    lazy = [kind(image, log) for image in X]
    np.testing.assert_array_equal(
        np.stack(segmenter.predict(lazy)), segmenter.predict(X)
    )


def as_zarr(image: np.ndarray, place: Path) -> Any:
    zarr = pytest.importorskip("zarr", reason="needs pip install 'sksegment[dask]'")
    chunks = (32, 32, *image.shape[2:])
    array = zarr.create_array(
        place, shape=image.shape, chunks=chunks, dtype=image.dtype
    )
    array[:] = image
    return array


def as_dask(image: np.ndarray, place: Path) -> Any:
    dask_array = pytest.importorskip(
        "dask.array", reason="needs pip install 'sksegment[dask]'"
    )
    return dask_array.from_array(image, chunks=32)


def as_data_array(image: np.ndarray, place: Path) -> Any:
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(image)


def as_view(image: np.ndarray, place: Path) -> Any:
    return memoryview(image)


@pytest.mark.parametrize("convert", [as_zarr, as_dask, as_data_array, as_view])
def test_lists_of_lazy_arrays_learn_what_arrays_learn(
    convert: Callable[..., Any],
    shapes: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
) -> None:
    X, y = shapes
    images = [convert(image, tmp_path / f"i{k}.zarr") for k, image in enumerate(X)]
    masks = [convert(mask, tmp_path / f"m{k}.zarr") for k, mask in enumerate(y)]
    segmenter, plain = fit(images, masks), fit([*X], [*y])
    for found, expected in zip(weights(segmenter), weights(plain), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert segmenter.score(images, masks) == plain.score([*X], [*y])


def test_a_part_of_a_masked_array_is_refused_as_the_whole(
    shapes: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = shapes
    with pytest.raises(TypeError, match="masked array"):
        fit([np.ma.masked_less(image, 0.1) for image in X], [*y])


class Wrapped:
    """An object that numpy converts to what it holds; counts how often."""

    def __init__(self, held: np.ndarray) -> None:
        self.held, self.shape, self.conversions = held, held.shape, 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.conversions += 1
        return self.held


def as_lazy(array: np.ndarray) -> Any:
    dask_array = pytest.importorskip(
        "dask.array", reason="needs pip install 'sksegment[dask]'"
    )
    return dask_array.from_array(array, asarray=False)


HIDDEN: dict[str, Callable[[np.ndarray], Any]] = {
    "object": Wrapped,
    "dask": as_lazy,
    "objects": lambda array: [Wrapped(one) for one in array],
    "dask arrays": lambda array: [as_lazy(one) for one in array],
}
PROBA = np.full((3, 3, SIZE, SIZE), 1 / 3)
REFUSING: dict[str, Callable[[np.ndarray, np.ndarray, Any], Any]] = {
    "X": lambda X, y, hide: fit(hide(X), y),
    "y": lambda X, y, hide: fit(X, hide(y)),
    "predict": lambda X, y, hide: FITTED.predict(hide(X)),
    "sample_weight": lambda X, y, hide: FITTED.score(X, y, hide(np.ones(y.shape))),
    "y_true": lambda X, y, hide: iou_score(hide(y), y),
    "y_pred": lambda X, y, hide: iou_score(y, hide(y)),
    "y_proba": lambda X, y, hide: pixel_log_loss(y, hide(PROBA)),
    "probabilities": lambda X, y, hide: find_mask_errors(y, hide(PROBA)),
}
FITTED = fit(*make_shapes(n_samples=3, size=SIZE, n_classes=3, random_state=0))


@pytest.mark.parametrize("form", HIDDEN)
@pytest.mark.parametrize("argument", REFUSING)
def test_masked_arrays_inside_others_are_refused(
    argument: str, form: str, shapes: tuple[np.ndarray, np.ndarray]
) -> None:
    def hide(array: np.ndarray) -> Any:
        return HIDDEN[form](np.ma.masked_array(array, array > 0.5))

    with pytest.raises(TypeError, match=r"is a masked array.*filled\("):
        REFUSING[argument](*shapes, hide)


@pytest.mark.parametrize("form", HIDDEN)
def test_masked_arrays_inside_others_are_found(
    form: str, shapes: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = shapes
    images = HIDDEN[form](np.ma.masked_array(X, X > 0.5))
    (finding,) = check_masks(images, y)
    assert (finding.kind, "masked array" in f"{finding}") == ("image", True)
    (finding,) = check_masks(X, HIDDEN[form](np.ma.masked_array(y, y == 1)))
    assert finding.kind == "masked"


def test_an_array_that_numpy_converts_is_converted_once(
    shapes: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = shapes
    images, masks = Wrapped(X), Wrapped(y)
    segmenter = fit(images, masks)
    assert (images.conversions, masks.conversions) == (1, 1)
    np.testing.assert_array_equal(segmenter.predict(images), segmenter.predict(X))
    assert images.conversions == 2
    images = [Wrapped(image) for image in X]
    check_masks(images, y)
    assert {image.conversions for image in images} == {1}
