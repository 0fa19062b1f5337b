"""Masks as the content of files: PNG with a palette, and TIFF."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encoded_png(mask: NDArray[Any], colors: NDArray[np.uint8] | None) -> memoryview:
    """Return a PNG of labels from 0 to 255."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(mask, np.uint8))
    if colors is not None:
        image.putpalette(colors.tobytes())
    content = BytesIO()
    image.save(content, format="PNG")
    return content.getbuffer()


def encoded_tiff(
    masks: Iterable[NDArray[Any]], colors: NDArray[np.uint8] | None
) -> memoryview:
    """Return a TIFF with a page for each mask, in its own dtype.

    Bytes get a palette. Booleans become bytes: single bits are read wrongly too often.
    """
    import tifffile

    content = BytesIO()
    with tifffile.TiffWriter(content) as writer:
        for mask in masks:
            dtype = np.uint8 if mask.dtype == np.bool_ else mask.dtype.newbyteorder("=")
            page = np.ascontiguousarray(mask, dtype)
            look: dict[str, Any] = {"photometric": "minisblack"}
            if colors is not None and page.dtype == np.uint8:
                look = {"photometric": "palette", "colormap": _colormap(colors)}
            # Deflate, by its old name; each page by itself, so that none becomes a
            # channel.
            writer.write(page, compression="zlib", metadata=None, **look)
    return content.getbuffer()


def _colormap(colors: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return colors as a TIFF has them: 16 bits each, channels first."""
    return np.ascontiguousarray(colors.T.astype(np.uint16) * 257)
