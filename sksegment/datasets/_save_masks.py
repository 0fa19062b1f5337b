"""Mask files: writing labels as palette pictures and TIFFs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._atomic_write import replace_file
from sksegment._inputs.containers import check_ordered
from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.palette import palette_colors
from sksegment.datasets._mask_encoding import encoded_png, encoded_tiff
from sksegment.datasets._mask_targets import (
    check_none_overwritten,
    is_tiff_name,
    mask_targets,
)
from sksegment.datasets._voc_palette import N_COLORS, VOC_VOID, voc_palette


def save_masks(
    masks: Any,
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    palette: ArrayLike | None = "voc",
    *,
    names: Sequence[str | os.PathLike[str]] | None = None,
    extension: str = ".png",
) -> None:
    """Write masks as PNG or TIFF files that hold the labels and show colors.

    The files are small, lossless and read back bit for bit by `fit` and by everything
    else here that takes paths of masks. A viewer shows the colors of the palette.

    Parameters
    ----------
    masks : array-like of shape (n, height, width) or sequence of mask or of path
        Labels, as integers or booleans: what `predict` returns. In a PNG they are from
        0 to 255; a TIFF, which is compressed by deflate, keeps any integer dtype.
    paths : sequence of str or path-like, or one str or path-like
        A file name that ends in .png or .tif for each mask; one name that ends in .tif,
        for a stack with a page for each mask; or, with `names`, a folder. Existing
        files are replaced, missing folders are made. Addresses (``s3://...``) are
        refused.
    palette : "voc", "display", array-like of shape (n_colors, 3) or None, default="voc"
        The color of each label, 0 to 255: those of PASCAL VOC, those of the displays,
        your own (the label 255 may be left out of them, for void pixels), or, with
        None, shades of grey. TIFFs have them if the labels are bytes, stacks never.
    names : sequence of str or path-like, default=None
        What the files in the folder `paths` are named after: the paths of the images.
    extension : {".png", ".tif", ".tiff"}, default=".png"
        What the names get in place of that of the images.

    Raises
    ------
    ValueError, TypeError
        If a mask holds anything but integers, or for a PNG anything but 0 to 255; if a
        label has no color; if there are more or fewer masks than paths, a path twice,
        or one with another ending, or one that a later mask is still to be read from;
        if a mask would overwrite an image that `names` holds; if masks of a stack
        differ in size or dtype. Nothing is written then.
    OSError
        If a file cannot be written.

    See Also
    --------
    load_image_pairs : Lists images and masks of two folders.
    load_stack : Reads a stack.
    colors_to_labels : The way back from pictures that lost their palette.

    Notes
    -----
    Each file is written under a temporary name and then renamed, so that an interrupted
    process leaves no partial file under the name itself.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sksegment.datasets import save_masks
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_masks(np.array([[[0, 1], [2, 255]]]), [folder / "cell_1.png"])
    >>> from PIL import Image
    >>> np.array(Image.open(folder / "cell_1.png")).tolist()
    [[0, 1], [2, 255]]

    Named after the images, in a folder that is made:

    >>> save_masks(np.zeros((2, 4, 4), int), folder / "masks", names=["a.jpg", "b.jpg"])
    >>> sorted(path.name for path in (folder / "masks").iterdir())
    ['a.png', 'b.png']
    """
    check_ordered("palette", palette)
    check_ordered("paths", paths)
    check_ordered("names", names)
    colors = _palette_array(palette)
    labels = as_masks(masks, "masks")
    targets = mask_targets(paths, len(labels), names, extension)
    if isinstance(targets, Path):
        _write_stack(labels, targets)
        return
    check_none_overwritten(labels, targets)
    for index, (mask, path) in enumerate(zip(labels, targets, strict=True)):
        _check_labels(mask, colors, labels.name(index), path)
    for folder in {path.parent for path in targets}:
        folder.mkdir(parents=True, exist_ok=True)
    full = _full(colors)
    for mask, path in zip(labels, targets, strict=True):
        is_tiff = is_tiff_name(path)
        content = encoded_tiff([mask], full) if is_tiff else encoded_png(mask, full)
        replace_file(path, content)


def _write_stack(labels: ImageList, path: Path) -> None:
    """Write all masks into one TIFF, a page each."""
    shape, dtype = labels[0].shape, labels[0].dtype
    for index, page in enumerate(labels):
        _check_integers(page, labels.name(index))
        if (page.shape, page.dtype) != (shape, dtype):
            raise ValueError(
                f"{labels.name(index)} has shape {page.shape} and dtype {page.dtype}, "
                f"but {labels.name(0)} has {shape} and {dtype}; expected the same in a "
                f"stack. Pass a list of paths for one file each."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a palette, whose pages a reader of images would turn into colors.
    replace_file(path, encoded_tiff(labels, None))


def _palette_array(palette: Any) -> NDArray[np.uint8] | None:
    """Return the colors, (n_colors, 3), or None for shades of grey."""
    if palette is None:
        return None
    if isinstance(palette, str) and palette == "voc":
        return voc_palette()
    if isinstance(palette, str) and palette == "display":
        shown = palette_colors(N_COLORS - 1)  # 255 stays void
        return np.asarray(255 * shown).round().astype(np.uint8)
    expected = (
        f"expected 'voc', 'display', None or an array of shape (n_colors, 3) of whole "
        f"numbers, with 1 to {N_COLORS} colors"
    )
    try:
        colors = np.asarray(palette)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"palette is {palette!r}; {expected}.") from error
    is_table = colors.ndim == 2 and colors.shape[-1] == 3 and colors.dtype.kind in "ui"
    if not is_table or not 1 <= len(colors) <= N_COLORS:
        raise ValueError(f"palette is {palette!r}; {expected}.")
    if colors.min() < 0 or colors.max() > 255:
        raise ValueError(
            f"palette has values from {colors.min()} to {colors.max()}; expected whole "
            f"numbers from 0 to 255."
        )
    return colors.astype(np.uint8)


def _full(colors: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    """Give every label from 0 to 255 a color.

    Fewer colors would make Pillow write fewer bits per pixel, and lose label 255.
    """
    if colors is None:
        return None
    full = voc_palette()
    full[: len(colors)] = colors
    return full


def _check_labels(
    mask: NDArray[Any], colors: NDArray[np.uint8] | None, name: str, path: Path
) -> None:
    _check_integers(mask, name)
    low, high = int(mask.min()), int(mask.max())
    are_bytes = low >= 0 and high <= N_COLORS - 1
    if not is_tiff_name(path) and not are_bytes:
        raise ValueError(
            f"{name} has labels from {low} to {high}; expected 0 to 255, which is what "
            f"a PNG with a palette holds, or a name that ends in .tif."
        )
    has_palette = not is_tiff_name(path) or mask.dtype in (np.uint8, np.bool_)
    if colors is not None and has_palette:
        _check_colored(mask[mask != VOC_VOID], len(colors), name)


def _check_integers(mask: NDArray[Any], name: str) -> None:
    if mask.dtype.kind not in "bui":
        raise TypeError(
            f"{name} has dtype {mask.dtype}; expected integers or booleans. Map other "
            f"labels to integers from 0 to 255 first."
        )


def _check_colored(labels: NDArray[Any], n_colors: int, name: str) -> None:
    if labels.size and labels.max() >= n_colors:
        raise ValueError(
            f"{name} has the label {labels.max()}, but palette has {n_colors} colors; "
            f"expected one for each label."
        )
