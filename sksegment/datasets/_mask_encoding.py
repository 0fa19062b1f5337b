"""Masks as the content of files: PNG with a palette, and TIFF."""

from __future__ import annotations

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


def encoded_tiff(masks: NDArray[Any], colors: NDArray[np.uint8] | None) -> memoryview:
    """Return a TIFF of one mask, or of a page for each of several, in their own dtype.

    Bytes get a palette. Booleans become bytes: single bits are read wrongly too often.
    """
    import tifffile

    if masks.dtype == np.bool_:
        masks = masks.astype(np.uint8)
    look: dict[str, Any] = {"photometric": "minisblack"}
    if colors is not None and masks.dtype == np.uint8:
        # 16 bits per color, channels first.
        colormap = np.ascontiguousarray(colors.T.astype(np.uint16) * 257)
        look = {"photometric": "palette", "colormap": colormap}
    content = BytesIO()
    with tifffile.TiffWriter(content) as writer:
        for page in masks.reshape(-1, *masks.shape[-2:]):
            native = np.ascontiguousarray(page, page.dtype.newbyteorder("="))
            # Deflate, by its old name; each page by itself, so that none becomes a
            # channel.
            writer.write(native, compression="zlib", metadata=None, **look)
    return content.getbuffer()
