"""Stacks of images in one file."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from sksegment._inputs.image_files import is_path, read_stack


def load_stack(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the pages of a TIFF as images.

    A path among `X` or `y` stands for one image. A file that holds many (slices of a
    volume, frames of a film, a stack of masks) is read by this function instead, even
    if its tags call the pages channels, as some writers do.

    Parameters
    ----------
    path : str or path-like
        A TIFF whose pages have one shape.

    Returns
    -------
    ndarray of shape (n, height, width) or (n, height, width, n_channels)
        The pages in the file's own dtype, in their order: the last axis of pages
        changes fastest. Channels beside further axes of pages, as in a stack of
        slices of several channels, come last.

    Raises
    ------
    TypeError
        If `path` is not one path.
    OSError
        If the file is missing or cannot be decoded; the message names it.
    ValueError
        If it is not a TIFF, or declares too many pixels; if its pages differ in shape,
        or have no height and width.

    See Also
    --------
    load_image_pairs : Lists images and masks of two folders.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import tifffile
    >>> from sksegment.datasets import load_stack
    >>> path = Path(tempfile.mkdtemp()) / "slices.tif"
    >>> tifffile.imwrite(path, np.zeros((20, 64, 48), dtype=np.uint16))
    >>> load_stack(path).shape
    (20, 64, 48)
    """
    if not is_path(path):
        raise TypeError(f"path is {path!r}; expected one path.")
    return read_stack(path)
