"""Images or masks that were written on two scales: 8 and 16 bits, 0/1 and 0/255."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_BYTE = 255


def masks_of_255(labels: Sequence[NDArray[Any]]) -> list[int]:
    """Return the masks of 0 and 255, if all others are of 0 and 1.

    Parameters
    ----------
    labels : sequence of ndarray
        The label values of each mask, without the ignored one.

    Returns
    -------
    list of int
        Positions of masks; empty if one scale is enough for all.
    """
    found = [
        set(array.tolist()) if array.dtype.kind in "buif" else {None}
        for array in labels
    ]
    large = [index for index, values in enumerate(found) if 255 in values]
    small = [index for index, values in enumerate(found) if 1 in values]
    is_binary = all(values <= {0, 1} or values <= {0, 255} for values in found)
    return large if is_binary and large and small else []


def images_of_16_bits(
    dtypes: Sequence[np.dtype[Any]], highest: Sequence[float]
) -> list[int]:
    """Return the images of more than 8 bits, if there are images of 8 bits as well.

    Parameters
    ----------
    dtypes : sequence of dtype
        The dtype of each image.
    highest : sequence of float
        The highest value in each image.

    Returns
    -------
    list of int
        Positions of images with values that 8 bits do not hold; empty if no image is of
        8 bits, or all are.
    """
    is_byte = [dtype == np.uint8 for dtype in dtypes]
    wide = [
        index
        for index, dtype in enumerate(dtypes)
        if dtype.kind in "iu" and dtype.itemsize > 1 and highest[index] > LARGEST_BYTE
    ]
    return wide if any(is_byte) else []
