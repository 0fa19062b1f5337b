"""One image or mask as an array, checked; errors say what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.containers import as_array, check_ordered
from sksegment._inputs.nodata import missing_pixels

# The float types of torch that numpy has, too.
NUMPY_FLOATS = ("torch.float16", "torch.float32", "torch.float64")

MIXED_OBJECTS = (
    "holds mixed objects; argument must be a string or a real number in every pixel."
)
FLOAT32_MAX = float(np.finfo(np.float32).max)


def check_image(image: Any, name: str, nodata: float | None = None) -> NDArray[Any]:
    """Return one image as (height, width, n_channels), or say what is wrong with it.

    The value `nodata` marks pixels without data, and may be NaN or huge.
    """
    image = as_ndarray(image, name)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3:
        raise ValueError(
            f"{name} has shape {image.shape}; expected (height, width) or (height, "
            f"width, n_channels)."
        )
    check_not_empty(image.shape, name)
    if image.dtype.kind not in "buif":
        raise TypeError(f"{name} has dtype {image.dtype}; expected real numbers.")
    _check_finite(image, name, nodata)
    return image


def check_mask(mask: Any, name: str) -> NDArray[Any]:
    """Return one mask as (height, width), or say what is wrong with it."""
    mask = as_ndarray(mask, name)
    if mask.ndim == 3 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ValueError(
            f"{name} has shape {mask.shape}; expected (height, width) with one label "
            f"value per pixel.{several_values_hint(mask.shape)}"
        )
    check_not_empty(mask.shape, name)
    return _check_label_values(mask, name)


def show_palette(image: Any) -> Any:
    """Return the colors of a Pillow image of palette mode; anything else as it is.

    Its numbers are places in the palette, which nothing can be learned from. Files of
    images are read in the same way; in a mask, such numbers are the labels.
    """
    is_palette = getattr(image, "mode", None) in ("P", "PA")
    return image.convert("RGB") if is_palette and hasattr(image, "convert") else image


def from_torch(data: Any, name: str) -> Any:
    """Return a torch tensor as an array; anything else as it is."""
    if not (hasattr(data, "detach") and hasattr(data, "cpu")):
        return data
    try:
        # float32 holds all values of bfloat16 and of 8-bit floats.
        is_foreign = data.is_floating_point() and str(data.dtype) not in NUMPY_FLOATS
        return (data.float() if is_foreign else data).numpy(force=True)
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"{name} is a tensor that numpy cannot hold ({data.layout}, {data.dtype}, "
            f"device {data.device}); expected a dense one with values. Call "
            f"to_dense() or dequantize()."
        ) from error


def as_ndarray(item: Any, name: str) -> NDArray[Any]:
    """Return what numpy makes of one image or mask, with a dtype of fixed size."""
    check_ordered(name, item)
    array = as_array(from_torch(item, name), name)
    if array.dtype.kind not in "OT":
        check_text(array, item, name)
        return array
    if array.ndim == 0:
        raise TypeError(f"{name} is a {type(item).__name__}; expected an array.")
    return _from_objects(array, name)


def check_text(array: NDArray[Any], data: Any, name: str) -> None:
    """Reject lists of text and numbers: numpy would write the numbers as text."""
    if array.dtype.kind not in "US" or not isinstance(data, (list, tuple)):
        return
    cells = np.array(data, dtype=object).ravel().tolist()
    if len({(isinstance(cell, str), isinstance(cell, bytes)) for cell in cells}) > 1:
        raise TypeError(f"{name} {MIXED_OBJECTS}")


def _from_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Give an array of objects, or of strings of any length, a dtype of fixed size."""
    cells = array.ravel().tolist()
    is_text = [isinstance(cell, str) for cell in cells]
    if all(is_text):
        return np.array(cells).reshape(array.shape)
    is_number = [np.ndim(cell) == 0 and np.isrealobj(cell) for cell in cells]
    if any(is_text) or not all(is_number):
        raise TypeError(f"{name} {MIXED_OBJECTS}")
    try:
        return np.array(cells).reshape(array.shape)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} holds objects that are not numbers: {error}"
        ) from error


def check_not_empty(shape: tuple[int, ...], name: str) -> None:
    """Reject a shape without pixels or channels."""
    if len(shape) > 2 and shape[-1] == 0 and all(shape[:-1]):
        raise ValueError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is "
            f"required: {name}."
        )
    if 0 in shape:
        raise ValueError(f"{name} is empty: it has shape {shape}.")


def _check_finite(image: NDArray[Any], name: str, nodata: float | None) -> None:
    if image.dtype.kind != "f":
        return
    # One reduction finds NaN, infinity and values that float32 cannot hold.
    largest = max(-float(np.min(image)), float(np.max(image)))
    if not largest <= FLOAT32_MAX:
        # As float32: in a comparison with float16, a Python float would overflow.
        bad = ~(np.abs(image) <= np.float32(FLOAT32_MAX))
        if nodata is not None:
            bad &= ~missing_pixels(image, nodata)[..., np.newaxis]
        if not bad.any():
            return
        channels = np.flatnonzero(bad.any(axis=(0, 1))).tolist()
        raise ValueError(
            f"Input X contains NaN, infinity or a value too large for float32: {name}, "
            f"channels {channels}, {int(bad.sum())} values. Replace them, and mark "
            f"such pixels with ignore_label= in y; or name the value that marks pixels "
            f"without data, NaN for example, as nodata= of FCNSegmenter."
        )


def _check_label_values(mask: NDArray[Any], name: str) -> NDArray[Any]:
    kind = mask.dtype.kind
    if kind in "buiUS":
        return mask
    if kind != "f":
        raise TypeError(
            f"{name} has dtype {mask.dtype}; expected integers, booleans or strings."
        )
    finite = np.isfinite(mask)
    if not finite.all():
        raise ValueError(
            f"Input y contains NaN or infinity: {name}, at {int((~finite).sum())} of "
            f"{mask.size} pixels; expected whole numbers. Mark pixels without a class "
            f"with one such number, and pass it as ignore_label=."
        )
    if np.any(mask != np.floor(mask)):
        raise ValueError(
            f"Unknown label type: continuous. {name} holds fractions; expected whole "
            f"numbers. Was it resized with interpolation? Resize masks with order=0."
        )
    return mask


def several_values_hint(shape: tuple[int, ...]) -> str:
    """Say what to do with a mask that does not have one value per pixel."""
    if len(shape) < 3:
        return " Reshape your data: wrap a single mask as y[np.newaxis]."
    return (
        " Convert one-hot masks with y.argmax(axis=-1), color-coded ones with "
        "sksegment.datasets.colors_to_labels."
    )
