"""PASCAL VOC."""

from __future__ import annotations

import os
from pathlib import Path

from sklearn.utils import Bunch

from sksegment.datasets._layouts import _result, check_files, split_ids, voc_folder
from sksegment.datasets._names import files_or_look_alikes
from sksegment.datasets._voc_palette import VOC_VOID

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
    ValueError, TypeError
        If `root` is no path, or an address (``s3://...``); if there is no such split,
        if its list is empty or not UTF-8 text, or if it names a file outside the
        layout.

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
    folder = voc_folder(root)
    ids = split_ids(folder / "ImageSets" / "Segmentation", split)
    images = [folder / "JPEGImages" / f"{name}.jpg" for name in ids]
    masks = [folder / "SegmentationClass" / f"{name}.png" for name in ids]
    images, masks = files_or_look_alikes(images), files_or_look_alikes(masks)
    check_files([*images, *masks], split)
    description = (
        f"PASCAL VOC, segmentation, split {split!r}: {len(ids)} pairs of image and "
        f"mask in {folder}.\n\nM. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, "
        f"A. Zisserman. The PASCAL Visual Object Classes (VOC) Challenge. IJCV 88(2), "
        f"303-338, 2010.\n"
    )
    names = list(VOC_CLASSES)
    return _result(images, masks, names, VOC_VOID, description, return_X_y)
