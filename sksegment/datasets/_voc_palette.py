"""The palette of PASCAL VOC: one color for each label from 0 to 255."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

N_COLORS = 256
VOC_N_CLASSES = 21
VOC_VOID = 255


def voc_palette() -> NDArray[np.uint8]:
    """Return the colors of labels 0 to 255, (256, 3).

    Bits 0, 3 and 6 of a label are the upper bits of red, bits 1, 4 and 7 those of
    green, 2 and 5 of blue: labels that lie close together get colors that do not.
    """
    labels = np.arange(N_COLORS)
    palette = np.zeros((N_COLORS, 3), dtype=np.uint8)
    for position in range(8):
        for channel in range(3):
            bit = labels >> (3 * position + channel) & 1
            palette[:, channel] |= (bit << (7 - position)).astype(np.uint8)
    return palette


def voc_colors() -> dict[Any, tuple[int, int, int]]:
    """Return the colors of the labels that PASCAL VOC uses, the void one included."""
    palette = voc_palette().tolist()
    return {label: tuple(palette[label]) for label in (*range(VOC_N_CLASSES), VOC_VOID)}
