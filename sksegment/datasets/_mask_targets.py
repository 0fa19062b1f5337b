"""Where masks are written: one file each, one stack, or a folder with names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from sksegment._inputs.addresses import is_address
from sksegment._inputs.checks import format_choices
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import ImageList

PNG, TIFFS = ".png", (".tif", ".tiff")
SUFFIXES = (PNG, *TIFFS)


def mask_targets(
    paths: Any, n_masks: int, names: Any, extension: str
) -> list[Path] | Path:
    """Return one path per mask, or the path of a stack for all of them.

    Parameters
    ----------
    paths : sequence of path, or path
        A list of files; or a TIFF for a stack; or, with `names`, a folder.
    n_masks : int
        How many masks there are.
    names : sequence of path or None
        The images' paths.
    extension : str
        Of the files in a folder.

    Raises
    ------
    ValueError, TypeError
        If they do not fit.
    """
    if names is not None:
        return _in_folder(paths, n_masks, names, extension)
    if is_path(paths):
        return _stack(paths)
    if not np.iterable(paths):
        raise TypeError(f"paths is {paths!r}; expected a list of one path per mask.")
    return _distinct([_mask_path(path) for path in paths], n_masks, "paths")


def check_none_overwritten(masks: ImageList, targets: list[Path]) -> None:
    """Reject targets that would overwrite a file which a later mask is read from.

    Its own file may be replaced, as it is read before.

    Raises
    ------
    ValueError
        If there is one.
    """
    written: set[Path] = set()
    for index, (source, target) in enumerate(zip(masks.items, targets, strict=True)):
        if is_path(source) and Path(source).resolve() in written:
            raise ValueError(
                f"{masks.name(index)} would be overwritten before it is read; expected "
                f"paths in another folder."
            )
        written.add(target.resolve())


def is_tiff_name(path: Path) -> bool:
    """Tell whether a path names a TIFF."""
    return path.suffix.lower() in TIFFS


def _check_local(path: Any) -> None:
    if is_address(path):
        raise ValueError(
            f"paths holds the address {path!r}; expected paths of local files. Save "
            f"the masks in a local folder, and upload it, as with the method put of a "
            f"file system of fsspec."
        )


def _stack(path: Any) -> Path:
    _check_local(path)
    if not is_tiff_name(Path(path)):
        raise TypeError(
            f"paths is one path, {str(path)!r}; expected a list, a name that ends in "
            f".tif for a stack of all masks, or a folder together with names=."
        )
    return Path(path)


def _in_folder(
    folder: Any, n_masks: int, names: Any, extension: str
) -> list[Path] | Path:
    """Return paths in a folder, named like the images."""
    if not is_path(folder):
        raise TypeError(
            f"paths is {folder!r}, and names are given; expected one folder for them."
        )
    _check_local(folder)
    if Path(folder).suffix.lower() in SUFFIXES:
        raise ValueError(
            f"paths is {str(folder)!r}, and names are given; expected a folder for "
            f"them, not a file."
        )
    if extension not in SUFFIXES:
        raise ValueError(
            f"extension is {extension!r}; expected {format_choices(SUFFIXES)}."
        )
    if is_path(names) or not np.iterable(names):
        raise TypeError(f"names is {names!r}; expected a list of the images' paths.")
    images = list(names)
    files = [Path(folder, _stem(image) + extension) for image in images]
    targets = _distinct(files, n_masks, "names")
    _check_no_image_replaced(targets, images)
    return targets


def _check_no_image_replaced(targets: list[Path], images: list[Any]) -> None:
    """Reject targets that are files of the images, by whatever path."""
    files = {_file_number(image): image for image in images}
    for target in targets:
        number = _file_number(target)
        if number is not None and number in files:
            raise ValueError(
                f"names holds {str(files[number])!r}, which the mask {str(target)!r} "
                f"would overwrite; expected another folder for the masks than that of "
                f"the images."
            )


def _file_number(path: Any) -> tuple[int, int] | None:
    """Return what tells a file from all others; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _stem(name: Any) -> str:
    if not is_path(name):
        raise TypeError(f"names holds {name!r}; expected str or path-like.")
    stem = Path(os.fspath(name)).stem
    if not stem:
        raise ValueError(f"names holds {str(name)!r}; expected the name of a file.")
    return stem


def _mask_path(path: Any) -> Path:
    if not is_path(path):
        raise TypeError(f"paths holds {path!r}; expected str or path-like.")
    _check_local(path)
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"paths holds {str(path)!r}; expected a name that ends in .png or .tif."
        )
    return Path(path)


def _distinct(files: list[Path], n_masks: int, argument: str) -> list[Path]:
    """Return the files, as many as masks, each of them once."""
    if len(files) != n_masks:
        raise ValueError(
            f"{argument} has {len(files)} entries for {n_masks} masks; expected one "
            f"per mask."
        )
    seen: set[Path] = set()
    for path in files:
        place = path.resolve()
        if place in seen:
            raise ValueError(
                f"{argument} leads to {str(path)!r} twice; expected one file per mask."
            )
        seen.add(place)
    return files
