"""Mask files: writing labels as palette pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._atomic_write import replace_file
from sksegment._inputs.containers import check_ordered
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import as_masks
from sksegment.datasets._voc_palette import N_COLORS, VOC_VOID, voc_palette


def save_masks(
    masks: Any,
    paths: Sequence[str | os.PathLike[str]],
    palette: ArrayLike | None = "voc",
) -> None:
    """Write masks as PNG files that hold the labels and show colors.

    The files are small, lossless and read back bit for bit by `fit` and by everything
    else here that takes paths of masks. A viewer shows the colors of the palette.

    Parameters
    ----------
    masks : array-like of shape (n, height, width) or sequence of mask or of path
        Labels from 0 to 255, as integers or booleans: what `predict` returns.
    paths : sequence of str or path-like
        A file name that ends in .png for each mask. Existing files are replaced; the
        folders must exist.
    palette : "voc", array-like of shape (n_colors, 3) or None, default="voc"
        The color of each label, 0 to 255: those of PASCAL VOC, your own (the label
        255 may be left out of them, for void pixels), or, with None, shades of grey.

    Raises
    ------
    ValueError, TypeError
        If a mask holds anything but whole numbers from 0 to 255, or a label without a
        color; if there are more or fewer masks than paths, a path twice, or one that
        does not end in .png.
    FileNotFoundError
        If a folder is missing. Nothing is written then, nor after any of the above.

    See Also
    --------
    load_image_pairs : Lists images and masks of two folders.
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
    >>> path = Path(tempfile.mkdtemp()) / "cell_1.png"
    >>> save_masks(np.array([[[0, 1], [2, 255]]]), [path])
    >>> from PIL import Image
    >>> np.array(Image.open(path)).tolist()
    [[0, 1], [2, 255]]
    """
    check_ordered("palette", palette)
    check_ordered("paths", paths)
    colors = _palette_array(palette)
    labels = as_masks(masks, "masks")
    files = _checked_paths(paths, len(labels))
    for index, mask in enumerate(labels):
        _check_labels(mask, colors, labels.name(index))
    for mask, path in zip(labels, files, strict=True):
        _write(mask.astype(np.uint8), _full(colors), path)


def _palette_array(palette: Any) -> NDArray[np.uint8] | None:
    """Return the colors, (n_colors, 3), or None for shades of grey."""
    if palette is None:
        return None
    if isinstance(palette, str) and palette == "voc":
        return voc_palette()
    expected = (
        f"expected 'voc', None or an array of shape (n_colors, 3) of whole numbers, "
        f"with 1 to {N_COLORS} colors"
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


def _checked_paths(paths: Any, n_masks: int) -> list[Path]:
    """Return one path per mask, or say what is wrong with them."""
    if is_path(paths):
        raise TypeError(f"paths is one path, {str(paths)!r}; expected a list.")
    if not np.iterable(paths):
        raise TypeError(f"paths is {paths!r}; expected a list of one path per mask.")
    files = [_png_path(path) for path in paths]
    if len(files) != n_masks:
        raise ValueError(
            f"paths has {len(files)} entries for {n_masks} masks; expected one per "
            f"mask."
        )
    _check_distinct(files)
    for folder in {path.parent for path in files}:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"The folder {str(folder)!r} of paths does not exist; create it first."
            )
    return files


def _png_path(path: Any) -> Path:
    if not is_path(path):
        raise TypeError(f"paths holds {path!r}; expected str or path-like.")
    if Path(path).suffix.lower() != ".png":
        raise ValueError(
            f"paths holds {str(path)!r}; expected a name that ends in .png."
        )
    return Path(path)


def _check_distinct(files: list[Path]) -> None:
    seen: set[Path] = set()
    for path in files:
        if path in seen:
            raise ValueError(
                f"paths holds {str(path)!r} twice; expected one file per mask."
            )
        seen.add(path)


def _check_labels(
    mask: NDArray[Any], colors: NDArray[np.uint8] | None, name: str
) -> None:
    if mask.dtype.kind not in "bui":
        raise TypeError(
            f"{name} has dtype {mask.dtype}; expected integers or booleans. Map other "
            f"labels to integers from 0 to 255 first."
        )
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > 255:
        raise ValueError(
            f"{name} has labels from {low} to {high}; expected 0 to 255, which is what "
            f"a palette file holds."
        )
    if colors is not None:
        _check_colored(mask[mask != VOC_VOID], len(colors), name)


def _check_colored(labels: NDArray[Any], n_colors: int, name: str) -> None:
    if labels.size and labels.max() >= n_colors:
        raise ValueError(
            f"{name} has the label {labels.max()}, but palette has {n_colors} colors; "
            f"expected one for each label."
        )


def _write(
    mask: NDArray[np.uint8], colors: NDArray[np.uint8] | None, path: Path
) -> None:
    """Write one file in one step, so that it is whole or not there."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(mask))
    if colors is not None:
        image.putpalette(colors.tobytes())
    content = BytesIO()
    image.save(content, format="PNG")
    replace_file(path, content.getbuffer())
