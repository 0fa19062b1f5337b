"""The colors of classes in the displays, which mask files may have as well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A dark and quiet first color, which is usually the background; then the palette of
# Okabe and Ito; then colors that lie far from all before them, in CIELAB, as seen
# with full and with red-green-blind color vision.
# fmt: off
PALETTE = (
    0x2b3440, 0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0x0072b2,
    0xd55e00, 0xcc79a7, 0x0000ff, 0x00ff95, 0x6a6aff, 0x950015,
    0x5500bf, 0x950080, 0xea1555, 0xbfaa55, 0x8095ff, 0x40eaff,
    0xaaeabf, 0x406a40, 0x4040aa, 0xbfea6a, 0xaa2a6a, 0xff6a80,
)
# fmt: on


def palette_colors(n_classes: int) -> NDArray[np.float64]:
    """Return the colors of the first classes, (n_classes, 3), in 0 to 1.

    After 24 colors, the same ones follow paler.

    Examples
    --------
    >>> from sksegment._inputs.palette import palette_colors
    >>> (255 * palette_colors(2)).round().astype(int).tolist()
    [[43, 52, 64], [230, 159, 0]]
    """
    base = np.array([[code >> shift & 255 for shift in (16, 8, 0)] for code in PALETTE])
    positions = np.arange(n_classes)
    paler = (0.6 ** (positions // len(base)))[:, np.newaxis]
    colors: NDArray[np.float64] = (
        1.0 - (1.0 - base[positions % len(base)] / 255.0) * paler
    )
    return colors
