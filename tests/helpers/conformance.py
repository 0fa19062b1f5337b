"""Images in all their containers, for the checks of scikit-learn on images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from sksegment import FCNSegmenter


@dataclass(frozen=True)
class Case:
    """One task, its images in one form of input.

    Parameters
    ----------
    images, masks : list of ndarray
        The pixels.
    form, mask_form : callable
        From pixels to what the user passes.
    folder : Path
        Room for files.
    """

    images: list[np.ndarray]
    masks: list[np.ndarray]
    form: Callable[[list[np.ndarray]], Any]
    mask_form: Callable[[list[np.ndarray]], Any]
    folder: Path

    @property
    def X(self) -> Any:  # noqa: N802
        return self.form(self.images)

    @property
    def y(self) -> Any:
        return self.mask_form(self.masks)

    @property
    def is_array(self) -> bool:
        return self.form is np.stack

    def images_by(self, change: Callable[[np.ndarray], Any]) -> Any:
        """Return X with the array changed, or each image where there is none."""
        if self.is_array:
            return change(np.stack(self.images))
        return self.form([change(image) for image in self.images])

    def masks_by(self, change: Callable[[np.ndarray], Any]) -> Any:
        if self.is_array:
            return change(np.stack(self.masks))
        return self.mask_form([change(mask) for mask in self.masks])

    def with_image(self, index: int, image: np.ndarray) -> Any:
        """Return X with another image."""
        images = [*self.images]
        images[index] = image
        return self.form(images)


def as_objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def pixels(sizes: list[tuple[int, int]], n_channels: int | None) -> Any:
    """Draw masks of the labels 0, 1 and 4, and images as bright as the labels say."""
    rng = np.random.default_rng(0)
    masks = [rng.choice([0, 1, 4], (h // 4, w // 4)).astype("u1") for h, w in sizes]
    masks = [mask.repeat(4, axis=0).repeat(4, axis=1) for mask in masks]
    images = [mask + rng.normal(0, 0.1, mask.shape) for mask in masks]
    if n_channels is not None:
        images = [image[..., None] * np.arange(1, n_channels + 1) for image in images]
    return [image.astype(np.float32) for image in images], masks


ONE_SIZE = [(8, 12)] * 6
SIZES = [(8, 12), (12, 8), (8, 8), (16, 8), (4, 8), (8, 12)]
FORMS: dict[str, tuple[list[tuple[int, int]], int | None, Any]] = {
    "color array": (ONE_SIZE, 3, np.stack),
    "grey array": (ONE_SIZE, None, np.stack),
    "list": (SIZES, 3, list),
    "object array": (SIZES, None, as_objects),
    "paths": (SIZES, 3, None),
}


def new_file(folder: Path, name: str) -> Path:
    return folder / f"{len([*folder.iterdir()])}_{name}"


def case_of(form: str, folder: Path) -> Case:
    def saved(items: list[np.ndarray]) -> list[Path]:
        paths = [new_file(folder, f"{i}.tif") for i in range(len(items))]
        for path, item in zip(paths, items, strict=True):
            pixels = item[..., 0] if item.shape[2:] == (1,) else item
            layout = {"planarconfig": "contig"} if pixels.ndim == 3 else {}
            tifffile.imwrite(path, pixels, photometric="minisblack", **layout)
        return paths

    sizes, n_channels, container = FORMS[form]
    make = container or saved
    return Case(*pixels(sizes, n_channels), make, make, folder)


def tiny(**parameters: Any) -> FCNSegmenter:
    defaults = {
        "depth": 1,
        "width": 4,
        "max_epochs": 1,
        "batch_size": 4,
        "learning_rate": 0.05,
        "random_state": 0,
        "device": "cpu",
    }
    return FCNSegmenter(**{**defaults, **parameters})


# Enough to learn the brightness of three classes.
LEARNING: dict[str, Any] = {
    "width": 8,
    "max_epochs": 30,
    "dropout": 0.0,
    "learning_rate": 0.02,
}


def fitted(case: Case, **parameters: Any) -> FCNSegmenter:
    return tiny(**parameters).fit(case.X, case.y)


def bits(data: Any) -> Any:
    """Return shape, dtype and bytes of an array, or of each item of a sequence."""
    if isinstance(data, np.ndarray) and data.dtype != object:
        return data.shape, data.dtype, data.tobytes()
    if isinstance(data, Path):
        return data.read_bytes()
    return (
        [bits(item) for item in data] if isinstance(data, (list, np.ndarray)) else data
    )


def weights(segmenter: FCNSegmenter) -> Any:
    tensors = segmenter.network_.state_dict().values()
    return [bits(tensor.numpy()) for tensor in tensors]


def assert_close(found: Any, expected: Any, atol: float = 1e-6) -> None:
    for item, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(item, other, rtol=0, atol=atol)


def accuracy(found: Any, expected: list[np.ndarray]) -> float:
    pairs = zip(found, expected, strict=True)
    return float(
        np.concatenate([(mask == truth).ravel() for mask, truth in pairs]).mean()
    )


def assert_refused(
    call: Callable[[], Any], message: str, error: Any = ValueError
) -> None:
    with pytest.raises(error, match=f"(?is){message}"):
        call()


def each_use(segmenter: FCNSegmenter, X: Any, y: Any) -> list[Callable[[], Any]]:
    """Return all ways in which images get into a fitted segmenter."""
    return [
        lambda: segmenter.fit(X, y),
        lambda: segmenter.partial_fit(X, y),
        *each_prediction(segmenter, X, y),
    ]


def each_prediction(segmenter: Any, X: Any, y: Any) -> list[Callable[[], Any]]:
    return [
        lambda: segmenter.predict(X),
        lambda: segmenter.predict_proba(X),
        lambda: segmenter.score(X, y),
    ]


PORTED: dict[str, tuple[Callable[[Case], None], tuple[str, ...]]] = {}
ARRAYS = ("color array", "grey array")
IN_MEMORY = (*ARRAYS, "list", "object array")


def port(*forms: str) -> Callable[[Any], Any]:
    """Enter a check, under its name in scikit-learn, for some forms or for all."""

    def enter(check: Callable[[Case], None]) -> Callable[[Case], None]:
        PORTED[check.__name__] = check, forms or tuple(FORMS)
        return check

    return enter
