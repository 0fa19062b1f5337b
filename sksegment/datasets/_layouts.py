"""The usual folder layouts: which files must exist, and the errors if they do not."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any
from unicodedata import normalize

from sklearn.utils import Bunch

from sksegment._inputs.addresses import is_address
from sksegment._inputs.checks import format_some
from sksegment._inputs.image_files import LOSSY_SUFFIXES, SUFFIXES, is_path
from sksegment._inputs.own_masks import OWN_MASK_CURE, is_own_mask
from sksegment.datasets._names import look_alike, partners, usual_ending


def files_by_stem(path: Any, argument: str) -> dict[str, Path]:
    """Return the image files of a folder by their names without suffix."""
    folder = _local_folder(path, argument)
    visible = [p for p in folder.iterdir() if p.is_file() and p.name[0] != "."]
    files = sorted(p for p in visible if p.suffix.lower() in SUFFIXES)
    if not files:
        others = sorted({path.suffix or path.name for path in visible})
        holds = f" It holds {format_some(others)}." if others else ""
        raise ValueError(
            f"{argument} {str(folder)!r} holds no image; expected files that end in "
            f"{', '.join(SUFFIXES)}.{holds}"
        )
    counts = Counter(path.stem for path in files)
    _check_unique(
        [path.name for path in files if counts[path.stem] > 1], folder, argument
    )
    return {path.stem: path for path in files}


def _local_folder(path: Any, argument: str) -> Path:
    if not is_path(path):
        raise TypeError(f"{argument} is {path!r}; expected the path of a folder.")
    if not os.fspath(path):
        raise ValueError(
            f"{argument} is {path!r}; expected the path of a folder, '.' for the "
            f"current one."
        )
    if is_address(path):
        raise ValueError(
            f"{argument} is the address {path!r}; expected a local folder. List the "
            f"files there yourself, as with fsspec, and pass fit their addresses."
        )
    _check_folder(Path(path), argument)
    return Path(path)


def _check_folder(folder: Path, argument: str) -> None:
    if not folder.exists():
        raise FileNotFoundError(
            f"{argument} {str(folder)!r} does not exist; expected a folder."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{argument} {str(folder)!r} is not a folder; expected a folder."
        )


def _check_unique(shared: list[str], folder: Path, argument: str) -> None:
    if shared:
        raise ValueError(
            f"{argument} {str(folder)!r} has files that share a name: "
            f"{format_some(shared)}. Expected one file per name."
        )


def check_mask_suffix(mask_suffix: Any) -> None:
    """Reject anything but the end of a name, without the file type."""
    expected = "expected what the names of masks end with, such as '_mask'."
    if not isinstance(mask_suffix, str):
        raise TypeError(f"mask_suffix is {mask_suffix!r}; {expected}")
    if mask_suffix.lower().endswith(tuple(SUFFIXES)):
        raise ValueError(
            f"mask_suffix is {mask_suffix!r}, with the file type; {expected}"
        )


def divided(
    files: dict[str, Path], folder: Path, mask_suffix: str
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the images and the masks of one folder.

    Raises
    ------
    ValueError
        If nothing tells them apart: each image would be its own mask.
    """
    if not mask_suffix:
        ending = usual_ending(files) or "_mask"
        raise ValueError(
            f"images_dir and masks_dir are the same folder, {str(folder)!r}: each "
            f"image would be its own mask. Expected two folders, or what the names of "
            f"the masks end with: mask_suffix={ending!r}."
        )
    masks = masks_with_suffix(files, folder, mask_suffix)
    taken = set(masks.values())
    return {name: path for name, path in files.items() if path not in taken}, masks


def masks_with_suffix(
    files: dict[str, Path], folder: Path, mask_suffix: str
) -> dict[str, Path]:
    """Return the files whose names end so, by the names that come before."""
    ending = normalize("NFC", mask_suffix)
    masks = {
        name[: len(name) - len(tail)]: path
        for name, path in files.items()
        if (tail := _tail(name, ending))
    }
    if not masks:
        raise ValueError(
            f"No file of masks_dir {str(folder)!r} ends in mask_suffix="
            f"{mask_suffix!r}; expected names like those of the images, with it "
            f"before the file type. There are {format_some(sorted(files))}."
        )
    return masks


def _tail(name: str, ending: str) -> str:
    """Return the end of a name that equals `ending`, in whatever Unicode form."""
    for form in ("NFC", "NFD"):
        if name.endswith(normalize(form, ending)):
            return normalize(form, ending)
    return ""


def paired(
    images: dict[str, Path], masks: dict[str, Path]
) -> tuple[list[Path], list[Path]]:
    """Return images and masks whose names agree, in the order of the names.

    Raises
    ------
    ValueError
        If an image has no mask or a mask no image; if a pair is one file.
    """
    found = partners(images, masks)
    _check_partners(images, masks, found)
    stems = sorted(images)
    data, target = [images[s] for s in stems], [masks[found[s]] for s in stems]
    for image, mask in zip(data, target, strict=True):
        if is_own_mask(image, mask):
            raise ValueError(
                f"The image {str(image)!r} and the mask {str(mask)!r} are one file; "
                f"expected a mask beside each image. {OWN_MASK_CURE}"
            )
    return data, target


def _check_partners(
    images: dict[str, Path], masks: dict[str, Path], found: dict[str, str]
) -> None:
    """Reject images without a mask and masks without an image."""
    no_mask = sorted(set(images) - set(found))
    no_image = sorted(set(masks) - set(found.values()))
    if not no_mask and not no_image:
        return
    parts = [
        f"{kind} without {partner}: {format_some(names)}."
        for kind, partner, names in (
            ("Images", "a mask", [images[stem].name for stem in no_mask]),
            ("Masks", "an image", [masks[stem].name for stem in no_image]),
        )
        if names
    ]
    raise ValueError(
        f"images_dir and masks_dir do not match. {' '.join(parts)} Expected the same "
        f"file names up to the suffix; move or rename these files."
        f"{_looks_hint([*no_mask, *no_image])}"
    )


def _looks_hint(stems: list[str]) -> str:
    """Show what tells apart names without a partner that look equal."""
    alike = sorted({ascii(stem) for stem in stems if look_alike(stem, stems)})
    if not alike:
        return ""
    return (
        f" Several of them look equal, and differ only in their Unicode form (NFC or "
        f"NFD), case or blanks: {', '.join(alike[:10])}."
    )


def check_lossless(masks: list[Path]) -> None:
    """Reject masks in a format that changes label values."""
    lossy = [Path(m).name for m in masks if Path(m).suffix.lower() in LOSSY_SUFFIXES]
    if lossy:
        raise ValueError(
            f"masks_dir holds JPEG files: {format_some(lossy)}. Their compression "
            f"changes "
            f"label values; expected PNG, BMP or TIFF. Export the masks again."
        )


def voc_folder(path: Any) -> Path:
    """Return the folder of the layout: `path` itself, or one inside it."""
    root = _local_folder(path, "root")
    candidates = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    for folder in candidates:
        if (folder / "JPEGImages").is_dir():
            return folder
    raise FileNotFoundError(
        f"root {str(root)!r} is not laid out as PASCAL VOC; expected a folder "
        f"JPEGImages in it, or in VOC2012 or VOCdevkit/VOC2012 under it."
    )


def split_ids(lists: Path, split: Any) -> list[str]:
    """Return the IDs that the list of a split holds."""
    if not lists.is_dir():
        raise FileNotFoundError(
            f"{str(lists)!r} is missing; expected lists of ids in it: train.txt, ..."
        )
    splits = sorted(path.stem for path in lists.glob("*.txt"))
    if isinstance(split, str):
        split = partners([split], splits).get(split, split)
    if not isinstance(split, str) or split not in splits:
        raise ValueError(
            f"split is {split!r}; expected one of the lists in {str(lists)!r}: "
            f"{', '.join(map(repr, splits)) or 'there is none'}."
        )
    lines = _text(lists / f"{split}.txt").splitlines()
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise ValueError(f"The list of split {split!r} in {str(lists)!r} is empty.")
    _check_inside(ids, split)
    return ids


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows adds a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is not text in UTF-8 ({error}); expected one ID per line. "
            f"Save it as UTF-8."
        ) from error


def _check_inside(ids: list[str], split: str) -> None:
    """Reject ids that lead out of the folders: a list may come from anywhere."""
    outside = [name for name in ids if Path(name).anchor or ".." in Path(name).parts]
    if outside:
        raise ValueError(
            f"The list of split {split!r} names files outside the layout: "
            f"{format_some(outside)}. Expected IDs of files in JPEGImages and "
            f"SegmentationClass."
        )


def check_files(paths: list[Path], split: str) -> None:
    """Reject a split whose files are missing."""
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"The list of split {split!r} names {len(missing)} files that are missing: "
            f"{format_some(missing)}. Expected each ID as JPEGImages/ID.jpg and "
            f"SegmentationClass/ID.png."
        )


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
