"""Colors in place of labels: masks that were saved as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.containers import check_ordered
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import ImageList, as_images
from sksegment._inputs.labels import format_labels, label_array
from sksegment.datasets._voc_palette import voc_colors

Color = tuple[int, int, int]


def colors_to_labels(masks: Any, colors: Mapping[Any, Any] | str) -> Any:
    """Turn color-coded masks into masks of labels.

    Parameters
    ----------
    masks : array-like of shape (n, height, width, 3) or sequence of array-like of \
            shape (height, width, 3) or of path
        Masks as RGB pictures of whole numbers from 0 to 255. A fourth channel,
        opacity, is ignored. Palette files given as paths are expanded to their
        colors; usually their ids are wanted, though, and `fit` reads those itself.
    colors : dict or "voc"
        The color of each label, `{label: (red, green, blue)}`; `"voc"` stands for the
        colors of PASCAL VOC, the void label 255 included.

    Returns
    -------
    ndarray of shape (n, height, width), or list of ndarray of shape (height, width)
        The labels: an array for an array, otherwise a list. The dtype is that of the
        labels, the smallest one for integers.

    Raises
    ------
    ValueError, TypeError
        If a mask holds another color (the message names color and mask) or is not an
        RGB picture of bytes, or if `colors` is not such a dict, or two labels share a
        color.

    See Also
    --------
    check_masks : Finds color-coded masks, and other faults.
    save_masks : Write labels as files that viewers show in color.

    Examples
    --------
    >>> from sksegment.datasets import colors_to_labels
    >>> masks = [[[[0, 0, 0], [255, 0, 0]], [[255, 0, 0], [0, 0, 0]]]]
    >>> colors_to_labels(masks, {0: (0, 0, 0), 7: (255, 0, 0)})
    array([[[0, 7],
            [7, 0]]], dtype=uint8)
    """
    # Not "colors == 'voc'": an array would be compared element by element.
    is_voc = isinstance(colors, str) and colors == "voc"
    labels, codes = _table(voc_colors() if is_voc else colors)
    _check_axes(masks)
    pictures = as_images(masks)
    found = [
        _labels_of(_checked(picture, _name(pictures, index)), labels, codes,
                   _name(pictures, index))
        for index, picture in enumerate(pictures)
    ]  # fmt: skip
    return np.stack(found) if pictures.is_array else found


def _check_axes(masks: Any) -> None:
    """Reject what `as_images` would accept, or reject under another name."""
    check_ordered("masks", masks)
    if is_path(masks):
        raise TypeError(f"masks is one path, {str(masks)!r}; expected a list.")
    if isinstance(masks, np.ndarray) and masks.ndim in (2, 3):
        raise ValueError(
            f"masks has shape {masks.shape}; expected (n, height, width, 3): RGB "
            f"pictures. Wrap a single one as masks[np.newaxis]."
        )


def _name(pictures: ImageList, index: int) -> str:
    return pictures.name(index).replace("image", "mask", 1)


def _table(colors: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return labels and the numbers of their colors, sorted by the latter."""
    if not isinstance(colors, Mapping) or not colors:
        raise TypeError(
            f"colors is {colors!r}; expected 'voc' or a dict {{label: (red, green, "
            f"blue)}}."
        )
    numbers = [_number(label, color) for label, color in colors.items()]
    for label, number in zip(colors, numbers, strict=True):
        if numbers.count(number) > 1:
            raise ValueError(
                f"colors gives label {label!r} the color {_color(number)} of another "
                f"label; expected one color per label."
            )
    order = np.argsort(numbers)
    return _label_array(list(colors))[order], np.array(numbers)[order]


def _number(label: Any, color: Any) -> int:
    """Write a color as one number, red in the upper bits."""
    message = (
        f"colors gives label {label!r} the color {color!r}; expected three whole "
        f"numbers from 0 to 255."
    )
    check_ordered(f"The colour of label {label!r} in colors", color)
    try:
        channels = np.asarray(color)
    except ValueError as error:  # (0, 0, (1, 2))
        raise ValueError(message) from error
    is_bytes = channels.shape == (3,) and channels.dtype.kind in "ui"
    if not is_bytes or channels.min() < 0 or channels.max() > 255:
        raise ValueError(message)
    red, green, blue = channels.tolist()
    return red << 16 | green << 8 | blue


def _label_array(labels: list[Any]) -> NDArray[Any]:
    array = label_array(labels, "colors")
    if array.ndim != 1 or array.dtype.kind not in "buiUS":
        raise TypeError(
            f"colors has the labels {labels!r}; expected integers, booleans or strings."
        )
    if array.dtype.kind != "i":
        return array
    low, high = int(array.min()), int(array.max())
    # Signed types reach one further down than up.
    smallest = np.min_scalar_type(high if low >= 0 else min(low, -high - 1))
    return array.astype(smallest)


def _color(number: int) -> Color:
    return number >> 16, number >> 8 & 255, number & 255


def _checked(picture: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an RGB picture as int32, or say why it is not one."""
    if picture.shape[-1] not in (3, 4):
        raise ValueError(
            f"{name} has shape {picture.shape}; expected (height, width, 3): an RGB "
            f"picture."
        )
    rgb = picture[..., :3]
    if rgb.dtype.kind not in "ui" or rgb.min() < 0 or rgb.max() > 255:
        raise ValueError(
            f"{name} has dtype {rgb.dtype} and values from {rgb.min()} to {rgb.max()}; "
            f"expected whole numbers from 0 to 255."
        )
    return rgb.astype(np.int32)


def _labels_of(
    rgb: NDArray[Any], labels: NDArray[Any], codes: NDArray[np.int64], name: str
) -> NDArray[Any]:
    numbers = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    positions = np.searchsorted(codes, numbers).clip(max=len(codes) - 1)
    unknown = numbers[codes[positions] != numbers]
    if unknown.size:
        raise ValueError(_unknown_colors(unknown, codes, name))
    return labels[positions]


def _unknown_colors(unknown: NDArray[Any], codes: NDArray[np.int64], name: str) -> str:
    numbers, counts = np.unique(unknown, return_counts=True)
    largest = int(counts.argmax())
    expected = np.empty(len(codes), object)
    expected[:] = [_color(number) for number in codes.tolist()]
    return (
        f"{name} holds the color {_color(int(numbers[largest]))} in {counts[largest]} "
        f"pixels, and {len(numbers) - 1} more colors that are not in colors; expected "
        f"{format_labels(expected)}. Name every color in colors; many nearly equal "
        f"ones come from JPEG or from resizing without order=0."
    )
