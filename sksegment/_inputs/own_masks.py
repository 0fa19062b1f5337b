"""An image that is also passed as its mask: a slip that would train and score well."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.addresses import is_address
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import ImageList

OWN_MASK_CURE = (
    "Pass the masks as y; those of files such as 'image.png' and 'image_mask.png' in "
    "one folder are found by load_image_pairs(folder, folder, mask_suffix='_mask')."
)


def check_no_own_mask(images: ImageList, masks: ImageList) -> None:
    """Reject images that are their own masks: the same array, or the same file.

    Equal pixels are no reason: a network may be asked to copy its input.

    Raises
    ------
    ValueError
        Naming the first such image.
    """
    whole = images.is_array and masks.is_array
    pairs = (
        [(images.items, masks.items)]
        if whole
        else zip(images.items, masks.items, strict=True)
    )
    for index, (image, mask) in enumerate(pairs):
        if is_own_mask(image, mask):
            raise ValueError(
                f"{images.name(index)} is its own mask: X and {masks.argument} hold "
                f"the same {'file' if is_path(image) else 'array'}; expected a mask "
                f"with one label per pixel. {OWN_MASK_CURE}"
            )


def is_own_mask(image: Any, mask: Any) -> bool:
    """Tell whether an image and a mask are one file, or one array in memory.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment._inputs.own_masks import is_own_mask
    >>> grey = np.zeros((8, 8, 1))
    >>> is_own_mask(grey, grey[..., 0]), is_own_mask(grey, grey.copy())
    (True, False)
    """
    if is_path(image) or is_path(mask):
        return is_path(image) and is_path(mask) and _is_one_file(image, mask)
    if isinstance(image, np.ndarray) and isinstance(mask, np.ndarray):
        return image.size > 0 and _place(image) == _place(mask)
    return image is mask


def _is_one_file(image: Any, mask: Any) -> bool:
    if is_address(image) or is_address(mask):
        return bool(image == mask)
    try:
        return os.path.samefile(image, mask)
    except (OSError, ValueError):  # such files are named when they are read
        return False


def _place(array: NDArray[Any]) -> tuple[Any, ...]:
    """Return where an array lies in memory, whatever axes of length 1 it has."""
    steps = zip(array.shape, array.strides, strict=True)
    return array.ctypes.data, *((size, step) for size, step in steps if size > 1)
