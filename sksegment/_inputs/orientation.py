"""The orientation of a picture: how its stored pixels are turned to be seen upright."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATION_TAG = 0x0112  # in EXIF and in TIFF


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn the stored pixels upright, given the orientation tag (1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
