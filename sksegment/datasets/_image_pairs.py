"""Pairs of folders: images and their masks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from sksegment.datasets._layouts import (
    _result,
    check_lossless,
    check_partners,
    files_by_stem,
)


def load_image_pairs(
    images_dir: str | os.PathLike[str],
    masks_dir: str | os.PathLike[str],
    *,
    ignore_label: Any = None,
    return_X_y: bool = False,
) -> Bunch | tuple[list[Path], list[Path]]:
    """List the images in one folder and the masks in another, in pairs.

    An image and a mask belong together when their file names agree up to the suffix:
    `cat_1.jpg` and `cat_1.png`. Nothing is read here; pass the paths to `fit`, which
    reads the files when they are needed. Subfolders, hidden files and files whose
    suffix is not that of PNG, JPEG, BMP or TIFF are left out.

    Parameters
    ----------
    images_dir : str or path-like
        The folder of the images: PNG, JPEG, BMP or TIFF.
    masks_dir : str or path-like
        The folder of the masks: PNG, BMP or TIFF with one label value per pixel. JPEG
        is rejected: its compression changes label values.
    ignore_label : object, default=None
        The label value that is not a class, passed on in the result.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    Bunch or tuple of (list of Path, list of Path)
        The Bunch has `data` and `target` (paths of images and of masks, sorted by
        name), `target_names` (None: folders hold no class names, and finding the label
        values would mean reading every mask), `ignore_label` and `DESCR`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If a folder is missing or is not a folder.
    ValueError
        If a folder holds no images, a file has no partner, two files in a folder share
        a name, or a mask is a JPEG file.

    See Also
    --------
    load_voc : Pairs in the layout of PASCAL VOC.

    Examples
    --------
    Two folders with one picture each:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sksegment.datasets import load_image_pairs
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("images", "masks"):
    ...     (folder / name).mkdir()
    ...     Image.new("L", (8, 8)).save(folder / name / "cell_1.png")
    >>> X, y = load_image_pairs(folder / "images", folder / "masks", return_X_y=True)
    >>> [Path(path).name for path in X + y]
    ['cell_1.png', 'cell_1.png']
    """
    images = files_by_stem(Path(images_dir), "images_dir")
    masks = files_by_stem(Path(masks_dir), "masks_dir")
    check_partners(images, masks)
    stems = sorted(images)
    data, target = [images[stem] for stem in stems], [masks[stem] for stem in stems]
    check_lossless(target)
    description = (
        f"{len(stems)} pairs of image and mask.\n\nImages: {images_dir}\n"
        f"Masks: {masks_dir}\n"
    )
    return _result(data, target, None, ignore_label, description, return_X_y)
