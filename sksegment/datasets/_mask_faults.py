"""What an image and its mask show by themselves: shapes, colors, edges, objects."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import LISTED
from sksegment._inputs.containers import converted
from sksegment._inputs.image import check_image, check_mask, from_torch, show_palette
from sksegment._inputs.image_files import (
    find_lossy_codec,
    grey_step,
    is_path,
    is_tiff,
    read_image,
    read_label_channels,
)
from sksegment._inputs.labels import format_labels

# A value that covers this share of a mask is frequent: a label. Interpolation and JPEG
# put many rarer values between two of these. The lower limit finds them beside small
# objects, the higher one where edges make up a large part of the mask.
FREQUENT = (0.005, 0.04)
# (how many rare values, which share of their pixels may have four equal neighbours):
# classes cover areas, however small, while interpolation makes thin edges.
RARE_LIMITS = ((8, 0.1), (3, 0.01))
# This many labels in one mask, with one area each, are instances.
MIN_INSTANCES = 10


class Note(NamedTuple):
    """What is found in one image or mask."""

    kind: str
    text: str
    cure: str = ""  # if it is not the usual one of its kind


def read_picture(
    image: Any, nodata: float | None = None
) -> tuple[NDArray[Any] | None, list[Note]]:
    """Read an image, and tell why `fit` would reject it, if it would."""
    try:
        picture = _quietly(read_image, image) if is_path(image) else show_palette(image)
        pixels = converted(from_torch(picture, "An image"))
        # A lazy array is read once.
        checked = pixels if pixels.dtype.kind in "buif" else picture
        return np.asarray(pixels), _refusal(checked, nodata)
    except (OSError, ValueError) as error:
        return None, [Note("unreadable", f"{error}")]
    except TypeError as error:  # a tensor that numpy cannot hold
        return None, [Note("image", f"{error}")]


def _refusal(picture: Any, nodata: float | None) -> list[Note]:
    """Return the message with which `fit` would reject an image, if it would."""
    try:
        check_image(picture, "An image", nodata)
    except (TypeError, ValueError) as error:
        return [Note("image", f"{error}")]
    return []


def read_labels(mask: Any) -> tuple[NDArray[Any] | None, list[Note]]:
    """Read a mask with all its channels, and tell why it cannot be one."""
    if not is_path(mask):
        return _plain_labels(mask)
    try:
        codec = find_lossy_codec(mask)
        if codec:
            pixels = _quietly(read_image, mask)
            return pixels, [_lossy_note(pixels, codec, mask)]
        return read_label_channels(mask), []
    except (OSError, ValueError) as error:
        return None, [Note("unreadable", f"{error}")]


def _lossy_note(pixels: NDArray[Any], codec: str, path: Any) -> Note:
    text = f"The mask {os.fspath(path)!r} is stored as {codec}, which changes labels."
    channel = "mask" if pixels.ndim == 2 else "mask[..., 0]"
    middle = (int(pixels.min()) + int(pixels.max())) // 2
    cure = (
        f"Export the masks again, as PNG. If they had two labels, these are "
        f"{channel} > {middle}."
    )
    return Note("jpeg" if codec == "JPEG" else "lossy", text, cure)


def refusal_of_mask(mask: NDArray[Any]) -> str | None:
    """Return the message with which `fit` would reject a mask, if it would."""
    try:
        check_mask(mask, "A mask")
    except (TypeError, ValueError) as error:
        return f"{error}"
    return None


def reading_hint(path: Any) -> str:
    """Say how the `mask` of a cure is read from a file, upright."""
    if is_tiff(path):  # load_stack reads what Pillow cannot
        return " Read the file by mask = load_stack(path)[0]."
    step = grey_step(path)
    unstretched = f" // {step}" if step > 1 else ""
    pixels = f"np.asarray(ImageOps.exif_transpose(Image.open(path))){unstretched}"
    return f" Read the file by mask = {pixels}."


def _plain_labels(mask: Any) -> tuple[NDArray[Any] | None, list[Note]]:
    """Return a mask that is in memory as an array, if it is one."""
    try:
        pixels = converted(from_torch(mask, "A mask"))
        if isinstance(pixels, np.ma.MaskedArray):
            text = "A mask is a masked array; fit takes plain ones."
            return None, [Note("masked", text)]
        if pixels.dtype.kind in "OT":
            pixels = np.array(pixels.tolist())
    except ValueError as error:
        return None, [Note("unreadable", f"{error}")]
    except TypeError as error:  # a tensor that numpy cannot hold
        return None, [Note("axes", f"{error}")]
    if not pixels.ndim or pixels.dtype.kind not in "buifUS":
        text = f"A mask is a {type(mask).__name__} ({pixels.dtype}) without labels."
        return None, [Note("axes", text)]
    return np.asarray(pixels), []


def _quietly(read: Any, path: Any) -> NDArray[Any]:
    """Read a file without its warnings; `fit` will give them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return read(path)


def size_notes(image: tuple[int, ...], mask: tuple[int, ...]) -> Iterator[Note]:
    """Compare the shapes of an image and its mask."""
    size = mask[:2]
    if image[:2] == size:
        return
    if len(image) == 3 and image[1:] == size:
        yield Note("channels_first", f"An image has shape {image}, its mask {mask}.")
    elif image[:2] == mask[1:]:
        return  # the axes of the mask are the problem
    elif image[:2] == size[::-1]:
        yield Note("transposed", f"An image has shape {image}, its mask {mask}.")
    else:
        yield Note("size", f"An image has shape {image}, but its mask {mask}.")


def axes_note(pixels: NDArray[Any]) -> Note | None:
    """Tell what a mask with several values per pixel is; None if it has one."""
    shape = pixels.shape
    if not pixels.size:
        return Note("axes", f"A mask is empty: it has shape {shape}.")
    if pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] == 1):
        return None
    if pixels.ndim != 3 or pixels.dtype.kind not in "buif":
        return Note("axes", f"A mask has shape {shape}.")
    for axis in (0, 2):
        if shape[axis] > 1 and _is_one_hot(pixels, axis):
            text = f"A mask has shape {shape}, one-hot along axis {axis}."
            cure = f"Turn them into labels: mask.argmax(axis={axis})."
            return Note("one_hot", text, cure)
    return _channels_note(pixels)


def _channels_note(pixels: NDArray[Any]) -> Note:
    """Tell whether the channels of a mask are one, colors, or something else."""
    shape = pixels.shape
    is_first = shape[0] <= 4 < shape[2]
    channels = pixels if is_first else np.moveaxis(pixels, -1, 0)
    one = "mask[0]" if is_first else "mask[..., 0]"
    if len(channels) == 1:
        return Note("axes", f"A mask has shape {shape}.", f"Take its plane: {one}.")
    if len(channels) == 2 and (channels[1] == channels[1].flat[0]).all():
        text = (
            f"A mask has shape {shape}: grey values, and one that is always the same."
        )
        return Note("alpha", text, f"Take the first channel: {one}.")
    if len(channels) not in (3, 4):
        return Note("axes", f"A mask has shape {shape}.")
    if (channels[1:3] == channels[:1]).all():
        text = f"A mask has shape {shape}, and equal channels."
        return Note("grey_rgb", text, f"Take one channel: {one}.")
    colors = _colors_text(np.moveaxis(channels, 0, -1))
    text = f"A mask of shape {shape} is a picture {colors}."
    if is_first:
        cure = (
            "Convert them: colors_to_labels([np.moveaxis(mask, 0, -1)], {label: (red, "
            "green, blue), ...})."
        )
        return Note("colors", text, cure)
    return Note("colors", text)


def _colors_text(pixels: NDArray[Any]) -> str:
    """Write the colors of a picture for a message."""
    red, green, blue = (pixels[..., channel].astype(np.float64) for channel in range(3))
    # One number per color: sorting rows of three takes ten times as long.
    _, first = np.unique(red * 65536 + green * 256 + blue, return_index=True)
    colors = pixels[..., :3].reshape(-1, 3)[first].tolist()
    some = ", ".join(str(tuple(color)) for color in colors[:LISTED])
    return f"of {len(colors)} colors: {some}{', ...' if len(colors) > LISTED else ''}"


def _is_one_hot(pixels: NDArray[Any], axis: int) -> bool:
    total = pixels.sum(axis=axis, dtype=np.float64)
    return bool(np.isin(pixels, (0, 1)).all() and (total == 1).all())


def value_note(
    mask: NDArray[Any], labels: NDArray[Any], counts: NDArray[np.float64]
) -> Note | None:
    """Tell what the values of a mask are if they are not classes."""
    if mask.dtype.kind not in "iuf":
        return None  # booleans and strings are what they are
    if mask.dtype.kind == "f":
        if not np.isfinite(labels).all():
            return Note("not_finite", "A mask holds NaN or infinity.")
        fractions = labels[labels != np.floor(labels)]
        if len(fractions):
            text = f"A mask holds {format_labels(fractions, LISTED)}."
            return Note("interpolated", text)
    for frequent in FREQUENT:
        rare = _rare_between(labels, counts / mask.size, frequent)
        if _are_edges(mask, rare):
            text = format_labels(rare, LISTED)
            return Note(
                "interpolated", f"Rare values lie between frequent ones: {text}."
            )
    n_objects = int(np.count_nonzero(labels))
    if n_objects >= MIN_INSTANCES and n_areas(mask) <= 1.2 * n_objects:
        return Note("instances", f"A mask has {n_objects} labels, with one area each.")
    return None


def _rare_between(
    labels: NDArray[Any], shares: NDArray[np.float64], limit: float
) -> NDArray[Any]:
    """Return the rare values between the lowest and the highest frequent one."""
    frequent = labels[shares >= limit]
    if len(frequent) < 2:
        return labels[:0]
    is_between = (labels > frequent[0]) & (labels < frequent[-1])
    return labels[is_between & (shares < limit)]


def _are_edges(mask: NDArray[Any], rare: NDArray[Any]) -> bool:
    """Tell whether the pixels of rare values cover no areas, only edges."""
    if len(rare) < RARE_LIMITS[-1][0] or min(mask.shape) < 3:
        return False
    inner = mask[1:-1, 1:-1]
    chosen = np.isin(inner, rare)
    others = (mask[:-2, 1:-1], mask[2:, 1:-1], mask[1:-1, :-2], mask[1:-1, 2:])
    is_area = np.logical_and.reduce(
        [other[chosen] == inner[chosen] for other in others]
    )
    if not is_area.size:
        return False
    return any(
        len(rare) >= number and is_area.mean() <= share for number, share in RARE_LIMITS
    )


def counts_up(labels: NDArray[Any]) -> bool:
    """Tell whether the labels are 1, 2, 3, ..., with or without 0."""
    if labels.dtype.kind not in "iu" or not len(labels) or labels[0] not in (0, 1):
        return False
    return len(labels) > 1 and int(labels[-1]) - int(labels[0]) == len(labels) - 1


def n_areas(mask: NDArray[Any]) -> int:
    """Count the connected areas of one value, those of 0 left out."""
    from skimage.measure import label

    if mask.dtype.kind in "iu" and mask.dtype.itemsize <= 4:
        codes = mask  # sorting the values takes longer than finding the areas
    else:
        _, codes = np.unique(mask, return_inverse=True)
        codes = codes.reshape(mask.shape) + 1
        codes[mask == 0] = 0
    _, number = label(codes, background=0, connectivity=2, return_num=True)
    return int(number)
