"""Sequences of images and masks: what is accepted, and reading them one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image import (
    as_ndarray,
    check_image,
    check_mask,
    check_not_empty,
    several_values_hint,
)
from sksegment._inputs.image_files import is_path, read_image, read_mask
from sksegment._inputs.items import array_or_items

# Rows and columns of a part of an image.
Window = tuple[slice, slice]

CHANNELS_FIRST_HINT = (
    " The image has its channels first: move them to the end with np.moveaxis."
)


@dataclass(frozen=True)
class ImageList(Sequence[NDArray[Any]]):
    """A sequence of images or masks; a file is read each time it is asked for.

    Parameters
    ----------
    items : sequence of ndarray or path
        One image or mask each.
    is_array : bool
        Whether the user gave one array. It decides what `predict` returns.
    is_mask : bool
        Whether the items are masks.
    argument : str, default="X"
        What the user calls them.
    nodata : float or int, default=None
        The value that marks pixels of images without data.
    is_flat : bool, default=False
        Whether the user's images have two axes, and are grey.
    """

    items: Sequence[Any]
    is_array: bool
    is_mask: bool
    argument: str = "X"
    nodata: float | None = None
    is_flat: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        """Return item `index`, checked: (height, width, n_channels), or a mask."""
        item = self.items[index]
        if self.is_mask:
            mask = read_mask(item) if is_path(item) else _whole(item)
            return check_mask(mask, self.name(index))
        image = read_image(item) if is_path(item) else _whole(item)
        return check_image(image, self.name(index), self.nodata)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[index] for index in range(len(self)))

    def crop(self, index: int, window: Window) -> Any:
        """Return a part of item `index`, an array; only that part is read."""
        item = self.items[index]
        # Cut before it is converted: of a lazy array, only the window is then read.
        whole = item if _can_be_cut(item) else as_ndarray(item, self.name(index))
        part = whole[window]
        if self.is_mask:
            return check_mask(part, self.name(index))
        return check_image(part, self.name(index), self.nodata)

    def name(self, index: int) -> str:
        """Name item `index` for a message."""
        name = f"{'mask' if self.is_mask else 'image'} {index}"
        if self.argument in ("y_true", "y_pred"):  # there are two kinds of masks
            name += f" of {self.argument}"
        item = self.items[index]
        return f"{name} ({str(item)!r})" if is_path(item) else name

    def contained(self, images: Sequence[NDArray[Any]]) -> Any:
        """Return checked images, or parts, in the form in which the user gave all.

        That is one array, or a list, and grey images without an axis of channels.
        """
        if self.is_flat and all(image.shape[-1] == 1 for image in images):
            images = [image[..., 0] for image in images]
        return np.stack(images) if self.is_array else list(images)

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> ImageList:
        """Return the items at `indices`, in that order, as a list: none is copied."""
        items = [self.items[index] for index in indices]
        return replace(self, items=items, is_array=False)


def _can_be_cut(item: Any) -> bool:
    """Tell whether an item is an array, maybe a lazy one, whose parts can be read."""
    has_axes = len(getattr(item, "shape", ())) >= 2
    # Tables are cut by the names of their columns, memoryviews along one axis only.
    is_cut_otherwise = hasattr(item, "iloc") or isinstance(item, memoryview)
    return has_axes and hasattr(item, "__getitem__") and not is_cut_otherwise


def _whole(item: Any) -> Any:
    """Return an item as numpy can convert it: some lazy arrays must be cut first."""
    must_be_cut = _can_be_cut(item) and not hasattr(item, "__array__")
    return item[:, :] if must_be_cut else item


def as_images(
    X: Any, n_channels: int | None = None, nodata: float | None = None
) -> ImageList:
    """Return the images that `X` stands for.

    Parameters
    ----------
    X : array-like or sequence of array-like or sequence of path
        See "Images and masks" in the documentation.
    n_channels : int, default=None
        The channels of the fitted model. A three-dimensional array is grey only where
        this is 1 or unknown.
    nodata : float or int, default=None
        The value that marks pixels without data.

    Raises
    ------
    ValueError, TypeError
        If `X` cannot be images. Single images are checked when read.
    """
    container = array_or_items(X, "X")
    if not isinstance(container, np.ndarray):
        is_flat = len(getattr(container[0], "shape", ())) == 2
        return ImageList(container, False, False, nodata=nodata, is_flat=is_flat)
    _check_image_axes(container, n_channels)
    is_flat = container.ndim == 3
    items: Any = container[..., np.newaxis] if is_flat else container
    return ImageList(items, True, False, nodata=nodata, is_flat=is_flat)


def as_masks(y: Any, argument: str = "y") -> ImageList:
    """Return the masks that `y` stands for.

    Parameters
    ----------
    y : array-like of shape (n, height, width) or sequence of mask or of path
        See "Images and masks" in the documentation.
    argument : str, default="y"
        What the user calls them.

    Raises
    ------
    ValueError, TypeError
        If `y` cannot be masks. Single masks are checked when read.
    """
    if y is None and argument != "y":
        raise ValueError(f"{argument} is None; expected masks.")
    if y is None:  # in the words of scikit-learn
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None."
        )
    container = array_or_items(y, argument)
    if not isinstance(container, np.ndarray):
        return ImageList(container, False, is_mask=True, argument=argument)
    container = _without_channel_axis(container, argument)
    return ImageList(container, True, is_mask=True, argument=argument)  # type: ignore[arg-type]


def check_pairs(images: ImageList, masks: ImageList) -> None:
    """Reject images and masks that cannot belong together.

    Numbers are compared here, sizes pair by pair when read.
    """
    first = masks.items[0]
    if (
        images.is_array
        and images.items[0].shape[-1] == 1
        and len(images) != len(masks)
        and not is_path(first)
        and np.shape(first) == images.items.shape[:2]  # type: ignore[attr-defined]
    ):
        raise ValueError(
            f"X of shape {images.items.shape[:-1]} looks like one "  # type: ignore[attr-defined]
            f"image: wrap it as X[np.newaxis], and its mask as y[np.newaxis]."
        )
    if len(images) != len(masks):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has "
            f"{len(images)} images and y has {len(masks)} masks; expected one mask per "
            f"image."
        )


def check_pair(
    image: NDArray[Any], mask: NDArray[Any], masks: ImageList, index: int
) -> None:
    """Reject a mask whose size differs from that of its image."""
    if mask.shape != image.shape[:2]:
        is_channels_first = mask.shape == image.shape[1:]
        raise ValueError(
            f"{masks.name(index)} has height and width {mask.shape}, but its image has "
            f"{image.shape[:2]}; expected the same."
            + CHANNELS_FIRST_HINT
            * is_channels_first
        )


def check_channels(image: NDArray[Any], n_channels: int, name: str) -> None:
    """Reject an image whose number of channels differs from that of the others."""
    if image.shape[-1] != n_channels:
        raise ValueError(
            f"{name} has {image.shape[-1]} channels, but image 0 has {n_channels}; "
            f"expected the same number in all images."
        )


def _check_image_axes(array: NDArray[Any], n_channels: int | None) -> None:
    if array.ndim == 3 and n_channels == 1 and array.shape[2] == 1 < array.shape[1]:
        raise ValueError(
            f"X has shape {array.shape}, which looks like one grey image: wrap it as "
            f"X[np.newaxis], or pass list(X) if these are images of width 1."
        )
    is_grey = array.ndim == 3 and n_channels in (None, 1)
    if not is_grey and array.ndim != 4:
        raise ValueError(
            f"X has shape {array.shape}; expected (n, height, width, n_channels), or "
            f"(n, height, width) for grey images. Reshape your data: wrap a single "
            f"image as X[np.newaxis]."
        )
    if len(array) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={array.shape}) in X.")
    check_not_empty(array.shape, "X")


def _without_channel_axis(array: NDArray[Any], argument: str) -> NDArray[Any]:
    if array.ndim == 4 and array.shape[-1] == 1:
        from sklearn.exceptions import DataConversionWarning

        warnings.warn(
            "A mask array of shape (n, height, width, 1) was passed; expected (n, "
            "height, width). The last axis is dropped.",
            DataConversionWarning,
            stacklevel=2,
        )
        array = array[..., 0]
    if array.ndim != 3:
        raise ValueError(
            f"{argument} has shape {array.shape}; expected (n, height, width) with one "
            f"label value per pixel.{_labels_hint(array.shape, argument)}"
        )
    if 0 in array.shape:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={array.shape}) in {argument}."
        )
    return array


def _labels_hint(shape: tuple[int, ...], argument: str) -> str:
    """Say how to make masks of this."""
    if argument == "y_pred" and len(shape) == 4:
        return (
            " Probabilities of predict_proba become labels by "
            "segmenter.classes_[y_pred.argmax(axis=1)]; of other sources, the classes "
            "may be on the last axis."
        )
    return several_values_hint(shape)
