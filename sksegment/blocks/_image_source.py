"""One large image, in whatever holds it, read window by window."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image import check_image, check_not_empty, from_torch
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import CHANNELS_FIRST_HINT, Window

EXPECTED = (
    "expected one image, (height, width) or (height, width, channels): a zarr array or "
    "the path of one, a dask array, an xarray DataArray, a numpy array or a memory map"
)


@dataclass(frozen=True)
class ImageSource:
    """An image that is read window by window, also by other processes.

    Parameters
    ----------
    pixels : object
        What holds the image; sliced like an array of numpy.
    shape : tuple of int
        (height, width) or (height, width, n_channels).
    dtype : dtype
        Of the values.
    chunks : tuple of int or None
        Height and width of the chunks that are read at once.
    """

    pixels: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, int] | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.shape[0], self.shape[1]

    @property
    def is_dask(self) -> bool:
        """Whether windows are lazy arrays, which dask computes."""
        return hasattr(self.pixels, "__dask_graph__")

    @property
    def zarr_arrays(self) -> list[Any]:
        """The arrays of zarr that windows are read from, also through dask."""
        import zarr

        layers = self.pixels.__dask_graph__().layers if self.is_dask else {}
        # How dask calls the layer of an array that it was made of.
        made_of = [name for name in layers if str(name).startswith("original-")]
        held = [array for name in made_of for array in layers[name].values()]
        return [one for one in (self.pixels, *held) if isinstance(one, zarr.Array)]

    def part(self, window: Window) -> Any:
        """Return a window: an array, or a lazy one."""
        return self.pixels[window]


@dataclass(frozen=True)
class MemoryMap:
    """A memory map that other processes open again, instead of being sent its values.

    Parameters
    ----------
    filename : str
        The file.
    dtype : dtype
        Of the values.
    offset : int
        Where they begin, in bytes.
    shape : tuple of int
        Of the array.
    order : {"C", "F"}
        Its memory order.
    mapped : memmap or None
        The map itself, in the process that made it.
    """

    filename: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    order: Any
    mapped: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "mapped": None}

    def __getitem__(self, window: Window) -> NDArray[Any]:
        # Opened by name, it might be another file that has taken the place since.
        mapped = self.mapped if self.mapped is not None else self._opened()
        return np.array(mapped[window])

    def _opened(self) -> NDArray[Any]:
        return np.memmap(
            self.filename, self.dtype, "r", self.offset, self.shape, self.order
        )


def read_part(part: Any, window: Window, nodata: float | None = None) -> NDArray[Any]:
    """Return a window as a checked array (height, width, n_channels)."""
    rows, columns = window
    name = f"image[{rows.start}:{rows.stop}, {columns.start}:{columns.stop}]"
    return check_image(part, name, nodata)


def as_image_source(
    image: Any, n_channels: int, storage_options: Mapping[str, Any] | None
) -> ImageSource:
    """Return the image that the user passed, checked without reading it.

    Parameters
    ----------
    image : object
        See `predict_blocks`.
    n_channels : int
        Channels of the training images.
    storage_options : mapping or None
        Options of fsspec, if `image` is an address.

    Raises
    ------
    TypeError, ValueError
        If it is not one image with these channels.
    OSError
        If there is no array at a path.
    """
    if is_path(image):
        image = _opened(image, storage_options)
    image = _array_of(from_torch(image, "image"))
    shape, dtype = tuple(image.shape), np.dtype(image.dtype)
    _check_shape(shape, n_channels)
    if dtype.kind not in "buif":
        raise TypeError(f"image has dtype {dtype}; expected real numbers.")
    return ImageSource(_sendable(image), shape, dtype, _chunks_of(image))


def _opened(path: Any, storage_options: Mapping[str, Any] | None) -> Any:
    """Return the zarr array at a path or address."""
    import zarr

    name = os.fspath(path)
    options = None if storage_options is None else dict(storage_options)
    try:
        return zarr.open_array(name, mode="r", storage_options=options)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"image is the path {name!r}, where no zarr array is; expected one. Open "
            f"files of other formats yourself: tifffile.memmap and "
            f"tifffile.imread(..., aszarr=True) read parts of a TIFF."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"image is the path {name!r}, which holds no zarr array: {error} Of a "
            f"group, expected the path of one array inside."
        ) from error


def _array_of(image: Any) -> Any:
    """Return what holds the pixels, or say why it is not one image."""
    if hasattr(image, "data_vars"):
        raise TypeError(
            f"image is a Dataset with the variables {[*image.data_vars]}; expected one "
            f"of them, such as dataset[{next(iter(image.data_vars), 'name')!r}]."
        )
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("image is a masked array; expected a plain array.")
    if is_data_array(image):
        return image.variable if image.chunks is None else image.data
    has_parts = all(hasattr(image, name) for name in ("shape", "dtype", "__getitem__"))
    if not has_parts or hasattr(image, "iloc"):
        raise TypeError(f"image is a {type(image).__name__}; {EXPECTED}.")
    return image


def is_data_array(image: Any) -> bool:
    """Tell whether an image is a DataArray of xarray."""
    return hasattr(image, "dims") and hasattr(image, "coords")


def _check_shape(shape: tuple[int, ...], n_channels: int) -> None:
    if len(shape) == 4:
        raise ValueError(
            f"image has shape {shape}, a stack of images; {EXPECTED}. Pass one after "
            f"the other: image[0]."
        )
    if len(shape) not in (2, 3):
        raise ValueError(f"image has shape {shape}; {EXPECTED}.")
    _check_known(shape)
    check_not_empty(shape, "image")
    found = shape[2] if len(shape) == 3 else 1
    if found != n_channels:
        raise ValueError(
            f"image has shape {shape}, {found} channels, but FCNSegmenter is expecting "
            f"{n_channels} features as input; expected (height, width, {n_channels})."
            + CHANNELS_FIRST_HINT
            * (shape[0] == n_channels)
        )


def _sendable(image: Any) -> Any:
    """Return an image in a form that is small to send to other processes."""
    is_whole_map = isinstance(image, np.memmap) and isinstance(image.base, mmap.mmap)
    if not is_whole_map or not _can_be_opened_again(image):
        return image
    order = "C" if image.flags.c_contiguous else "F"
    filename = os.path.abspath(image.filename)
    return MemoryMap(filename, image.dtype, image.offset, image.shape, order, image)


def _check_known(shape: tuple[Any, ...]) -> None:
    """Reject what dask calls a shape before it has computed the chunks: NaN."""
    if any(math.isnan(side) for side in shape):
        raise ValueError(
            f"image has shape {shape}, unknown before it is computed; expected numbers "
            f"of pixels. Call image.compute_chunk_sizes() first."
        )


def _can_be_opened_again(image: np.memmap[Any, Any]) -> bool:
    """Tell whether the name of a memory map still leads to what it shows.

    Changes of a copy-on-write map stay in memory, and the file may have been replaced.
    """
    if image.filename is None or image.mode == "c":
        return False
    path = os.path.realpath(image.filename)
    return os.path.isfile(path) and _mapped_path(image) in (path, None)


def _mapped_path(image: np.memmap[Any, Any]) -> str | None:
    """Return where the file that is mapped lies now; None where no system tells."""
    maps = Path("/proc/self/maps")  # of Linux
    for line in maps.read_bytes().splitlines() if maps.exists() else []:
        span, *_, path = line.split(maxsplit=5)
        start, stop = (int(number, 16) for number in span.split(b"-"))
        if start <= image.ctypes.data < stop:
            return os.fsdecode(path)
    return None


def _chunks_of(image: Any) -> tuple[int, int] | None:
    chunks = getattr(image, "chunks", None)
    if not chunks:
        return None
    # A number for zarr, all lengths for dask.
    height, width = (
        side if isinstance(side, int) else max(side) for side in tuple(chunks)[:2]
    )
    return height, width
