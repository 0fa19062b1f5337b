"""Pairs of folders: images and their masks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from sksegment.datasets._layouts import (
    _result,
    check_lossless,
    check_mask_suffix,
    divided,
    files_by_stem,
    masks_with_suffix,
    paired,
)


def load_image_pairs(
    images_dir: str | os.PathLike[str],
    masks_dir: str | os.PathLike[str],
    *,
    mask_suffix: str = "",
    ignore_label: Any = None,
    return_X_y: bool = False,
) -> Bunch | tuple[list[Path], list[Path]]:
    """List the images in one folder and the masks in another, in pairs.

    An image and a mask belong together when their file names agree up to the suffix:
    `cat_1.jpg` and `cat_1.png`. Names that differ only in their Unicode form, in case
    or in blanks agree, too, if no others look equal. Nothing is read here; pass the
    paths to `fit`, which reads the files when they are needed. Subfolders, hidden files
    and files whose suffix is not that of PNG, JPEG, BMP or TIFF are left out.

    Parameters
    ----------
    images_dir : str or path-like
        The folder of the images: PNG, JPEG, BMP or TIFF.
    masks_dir : str or path-like
        The folder of the masks: PNG, BMP or TIFF with one label value per pixel. JPEG
        is rejected: its compression changes label values.
    mask_suffix : str, default=""
        What the names of masks end with, before the file type: "_mask" for `cat_1.jpg`
        and `cat_1_mask.png`. Both may then lie in one folder, passed twice; in
        `masks_dir`, files without this ending are left out.
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
    ValueError, TypeError
        If a folder is none, or an address (``s3://...``); if it holds no images, a file
        has no partner, two files in a folder share a name, a mask is a JPEG file, an
        image would be its own mask, or no mask has the ending `mask_suffix`.

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

    Both in one folder:

    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cell_1.png", "cell_1_mask.png"):
    ...     Image.new("L", (8, 8)).save(folder / name)
    >>> X, y = load_image_pairs(folder, folder, mask_suffix="_mask", return_X_y=True)
    >>> [Path(path).name for path in X + y]
    ['cell_1.png', 'cell_1_mask.png']
    """
    check_mask_suffix(mask_suffix)
    images = files_by_stem(images_dir, "images_dir")
    masks = files_by_stem(masks_dir, "masks_dir")
    if os.path.samefile(images_dir, masks_dir):
        images, masks = divided(images, Path(images_dir), mask_suffix)
    elif mask_suffix:
        masks = masks_with_suffix(masks, Path(masks_dir), mask_suffix)
    data, target = paired(images, masks)
    check_lossless(target)
    description = (
        f"{len(data)} pairs of image and mask.\n\nImages: {images_dir}\n"
        f"Masks: {masks_dir}\n"
    )
    return _result(data, target, None, ignore_label, description, return_X_y)
