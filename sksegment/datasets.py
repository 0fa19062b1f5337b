"""Data to try segmentation on, and loaders for the usual folder layouts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sksegment._checks import check_integer, check_number, height_and_width
from sksegment._colors import colors_to_labels
from sksegment._folders import (
    check_files,
    check_lossless,
    check_partners,
    files_by_stem,
    split_ids,
    voc_folder,
)
from sksegment._mask_doctor import Finding, check_masks
from sksegment._mask_files import save_masks
from sksegment._palette import VOC_VOID
from sksegment._shapes import MAX_CLASSES, MIN_SIZE, draw_sample
from sksegment._streams import own_random_state

__all__ = [
    "Finding",
    "check_masks",
    "colors_to_labels",
    "load_image_pairs",
    "load_voc",
    "make_shapes",
    "save_masks",
]

Finding.__module__ = __name__

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def make_shapes(
    n_samples: int = 100,
    *,
    size: int | tuple[int, int] = 64,
    n_classes: int = 4,
    noise: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw pictures of coloured shapes, and the masks that name each shape.

    One to four objects lie on a textured, unevenly lit background; they touch and
    partly hide one another. Each class has a typical hue, from which its objects vary:
    both colour and shape reveal the class. A small network learns the task in well
    under a minute; a classifier of single pixels falls far short of it.

    Parameters
    ----------
    n_samples : int, default=100
        The number of pictures.
    size : int or tuple of (int, int), default=64
        The side of the pictures, or their (height, width), in pixels; 8 or more. The
        objects have a radius of 1/8 to 1/4 of the shorter side.
    n_classes : int, default=4
        The number of classes including the background, 2 to 8: background, disk,
        square, triangle, ring, cross, star, bar.
    noise : float, default=0.1
        The standard deviation of the Gaussian noise added to each channel.
    random_state : int, RandomState instance or None, default=None
        With an integer, the data are the same on every call, and picture `i` does not
        depend on `n_samples`. None draws fresh data; numpy's global generator is
        neither read nor advanced.

    Returns
    -------
    X : ndarray of shape (n_samples, height, width, 3), dtype float32
        The pictures, values in 0 to 1.
    y : ndarray of shape (n_samples, height, width), dtype uint8
        The masks, values 0 (background) to `n_classes - 1`. Any `n_classes - 1`
        pictures in a row contain every class.

    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong type or is out of range.

    See Also
    --------
    load_image_pairs : Images and masks from two folders.

    Examples
    --------
    Four classes, three of them shapes:

    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(10, size=(48, 64), random_state=0)
    >>> X.shape, y.shape
    ((10, 48, 64, 3), (10, 48, 64))
    >>> sorted(set(y.ravel().tolist()))
    [0, 1, 2, 3]
    """
    check_integer("n_samples", n_samples, 1)
    check_integer("n_classes", n_classes, 2, MAX_CLASSES)
    check_number("noise", noise, 0)
    height, width = height_and_width("size", size, MIN_SIZE)
    seed = int(own_random_state(random_state).randint(np.iinfo(np.int32).max))
    X = np.empty((n_samples, height, width, 3), dtype=np.float32)
    y = np.empty((n_samples, height, width), dtype=np.uint8)
    for i in range(n_samples):
        # One generator per picture: picture i is the same in a longer series.
        rng = np.random.default_rng((seed, i))
        # Classes take turns, so that none is missing from a small set.
        first = 1 + i % (n_classes - 1)
        X[i], y[i] = draw_sample(rng, (height, width), n_classes, first, noise)
    return X, y


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


def _result(
    data: list[Path],
    target: list[Path],
    target_names: list[str] | None,
    ignore_label: Any,
    description: str,
    return_X_y: bool,
) -> Bunch | tuple[list[Path], list[Path]]:
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=target_names,
        ignore_label=ignore_label,
        DESCR=description,
    )


def load_voc(
    root: str | os.PathLike[str], split: str = "train", *, return_X_y: bool = False
) -> Bunch | tuple[list[Path], list[Path]]:
    """List the images and masks of PASCAL VOC 2012, or of data laid out like it.

    The layout is `JPEGImages/ID.jpg`, `SegmentationClass/ID.png` and
    `ImageSets/Segmentation/SPLIT.txt` with one ID per line. The masks are palette files
    whose pixel values are class ids; 255 marks pixels that are not scored.

    Parameters
    ----------
    root : str or path-like
        The folder `VOC2012`, the folder `VOCdevkit` around it, or the one around that.
    split : str, default="train"
        The name of a list in `ImageSets/Segmentation`: `"train"`, `"val"`, ...
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    Bunch or tuple of (list of Path, list of Path)
        The Bunch has `data` and `target` (paths of images and of masks, in the order
        of the list), `target_names` (21 names; the position is the class id),
        `ignore_label` (255) and `DESCR`.

    Raises
    ------
    FileNotFoundError
        If the layout, or a file that the list names, is missing.
    ValueError
        If there is no such split, if its list is empty or not UTF-8 text, or if it
        names a file outside the layout.

    See Also
    --------
    load_image_pairs : Images and masks from two folders.

    Examples
    --------
    The result goes into a segmenter as is:

    >>> from sksegment.datasets import load_voc
    >>> train = load_voc("VOCdevkit", "train")  # doctest: +SKIP
    >>> FCNSegmenter(ignore_label=train.ignore_label).fit(
    ...     train.data, train.target
    ... )  # doctest: +SKIP
    """
    folder = voc_folder(Path(root))
    ids = split_ids(folder / "ImageSets" / "Segmentation", split)
    images = [folder / "JPEGImages" / f"{name}.jpg" for name in ids]
    masks = [folder / "SegmentationClass" / f"{name}.png" for name in ids]
    check_files([*images, *masks], split)
    description = (
        f"PASCAL VOC, segmentation, split {split!r}: {len(ids)} pairs of image and "
        f"mask in {folder}.\n\nM. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, "
        f"A. Zisserman. The PASCAL Visual Object Classes (VOC) Challenge. IJCV 88(2), "
        f"303-338, 2010.\n"
    )
    names = list(VOC_CLASSES)
    return _result(images, masks, names, VOC_VOID, description, return_X_y)
