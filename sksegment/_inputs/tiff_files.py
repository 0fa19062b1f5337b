"""TIFF files: the pixels that their own tags describe, or a reason why not."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.addresses import path_or_content
from sksegment._inputs.file_checks import (
    check_extent,
    check_single,
    decoding,
    lossy_mask,
    too_large,
)
from sksegment._inputs.lossy_compression import (
    CAN_BE_LOSSY,
    jpeg_size,
    lossy_codec,
)
from sksegment._inputs.orientation import ORIENTATION_TAG, turn_upright
from sksegment._inputs.tiff_segments import (
    JPEG,
    UNCOMPRESSED,
    MissingCodecError,
    decode_series,
    read_segments,
)

MAX_CHANNELS = 64  # of a picture as large as the limit
PICTURE_AXES = ("YX", "YXS", "YXC", "SYX", "CYX")
# Values of the tag Photometric. White-is-zero (0) is read like black-is-zero: the
# numbers are what was stored, and the tag tells a viewer how to show them.
RGB, PALETTE, YCBCR = 2, 3, 6
FOREIGN_COLORS = {
    8: "CIE L*a*b* colors",
    9: "CIE L*a*b* colors",
    10: "CIE L*a*b* colors",
    32803: "the raw values of a color filter array",
    32844: "LogL values",
    32845: "LogLuv colors",
}
SEVERAL_PALETTE_CHANNELS = "palette colors with further channels"
JPEG_FAMILY = (6, 7, 33003, 33007, 34892)  # of which YCbCr is decoded to RGB
LARGEST_HEADER = 1 << 16  # in bytes, of JPEG data
SEPARATE = 2  # a value of the tag PlanarConfiguration


def read_tiff(
    path: str | os.PathLike[str], *, is_mask: bool, max_pixels: int
) -> NDArray[Any]:
    """Read a TIFF of one picture as (height, width[, channels])."""
    with _open(path) as tiff:
        picture = _only_picture(tiff, path)
        _check_axes(picture, path)
        _check_picture(picture, path, max_pixels)
        if is_mask:
            _check_lossless(picture, path)
        else:
            _warn_of_slices(picture, path)
        return _as_meant(_pixels(picture, path), picture, is_mask, path)


def read_tiff_pages(path: str | os.PathLike[str], *, max_pixels: int) -> NDArray[Any]:
    """Read the pages of a TIFF as images: (n, height, width[, channels])."""
    with _open(path) as tiff:
        pictures = _pictures(tiff)
        for picture in pictures:
            _check_pages(picture, path)
            _check_picture(picture, path, max_pixels)
        stacks = [_stacked(_pixels(p, path), p, path) for p in pictures]
    shapes = list(dict.fromkeys(stack.shape[1:] for stack in stacks))
    if len(shapes) > 1:
        raise ValueError(
            f"{os.fspath(path)!r} holds pages of the shapes "
            f"{' and '.join(map(str, shapes))}; expected one shape. Save pages of "
            f"different sizes as files of their own."
        )
    return np.concatenate(stacks)


def find_lossy_tiff_codec(path: str | os.PathLike[str]) -> str | None:
    """Return the compression of a TIFF that may have changed its pixels, if any."""
    with _open(path) as tiff:
        return _lossy_codec(_only_picture(tiff, path), path)


def read_tiff_orientation(path: str | os.PathLike[str]) -> int:
    """Return the orientation tag of a TIFF, 1 to 8."""
    with _open(path) as tiff:
        return _orientation(_only_picture(tiff, path).keyframe)


def _stacked(
    pixels: NDArray[Any], picture: Any, path: str | os.PathLike[str]
) -> NDArray[Any]:
    """Put the pages of a series on the first axis, and its channels on the last."""
    axes, shape = _axes(picture)
    pixels = pixels.reshape(shape)
    place = axes.index("Y")
    channels = [i for i in range(place) if axes[i] in "CS"]
    if channels and place > 1:  # otherwise the channels are the pages
        pixels = np.moveaxis(pixels, channels[0], -1)
        place -= 1
    pages = pixels.reshape(-1, *pixels.shape[place:])
    return np.stack([_as_shown(page, picture.keyframe, path) for page in pages])


def _only_picture(tiff: Any, path: str | os.PathLike[str]) -> Any:
    pictures = _pictures(tiff)
    check_single(len(pictures), path)
    return pictures[0]


def _pictures(tiff: Any) -> list[Any]:
    """Return the series of a file but for previews and transparency masks."""
    pictures = list(tiff.series)
    if not pictures:
        raise ValueError("it has no pages")
    return [s for s in pictures if not _is_auxiliary(s.keyframe)] or pictures


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Any]:
    import tifffile

    name = Path(path).name  # of content in memory
    with decoding(path), tifffile.TiffFile(path_or_content(path), name=name) as tiff:
        yield tiff


def _is_auxiliary(page: Any) -> bool:
    """Tell whether a page is a preview (bit 0) or a transparency mask (bit 2)."""
    return bool(page.subfiletype & 0b101)


def _check_axes(picture: Any, path: str | os.PathLike[str]) -> None:
    if _axes(picture)[0] not in PICTURE_AXES:
        raise ValueError(
            f"{os.fspath(path)!r} holds an array of shape {picture.shape} with axes "
            f"{picture.axes!r}; expected one picture, (height, width) or (height, "
            f"width, channels). If its pages are pictures, read them with "
            f"sksegment.datasets.load_stack; if they are channels, store them with "
            f"tifffile.imwrite(..., photometric='minisblack', planarconfig='contig') "
            f"(or 'separate' for channels first)."
        )


def _check_pages(picture: Any, path: str | os.PathLike[str]) -> None:
    if "YX" not in _axes(picture)[0]:
        raise ValueError(
            f"{os.fspath(path)!r} holds an array of shape {picture.shape} with axes "
            f"{picture.axes!r}; expected pages of shape (height, width) or (height, "
            f"width, channels)."
        )


def _axes(picture: Any) -> tuple[str, tuple[int, ...]]:
    """Return the axes of a TIFF and their lengths.

    Those of length 1, except height and width, are left out: they tell nothing.
    """
    kept = [
        (axis, length)
        for axis, length in zip(picture.axes, picture.shape, strict=True)
        if length > 1 or axis in "YX"
    ]
    return "".join(axis for axis, _ in kept), tuple(length for _, length in kept)


def _check_picture(picture: Any, path: str | os.PathLike[str], max_pixels: int) -> None:
    """Reject what would be too large, incomplete, or other than its tags say."""
    page = picture.keyframe
    if not picture.size:
        raise OSError(f"{os.fspath(path)!r} is empty: its shape is {picture.shape}.")
    check_extent(page.imagelength, page.imagewidth, path, max_pixels)
    check_extent(page.tilelength, page.tilewidth * page.tiledepth, path, max_pixels)
    if picture.size > MAX_CHANNELS * max_pixels:
        raise too_large(path, f"It declares an array of shape {picture.shape}.")
    _check_complete(picture, path)
    _check_not_truncated(picture, path)
    _check_frames(picture, path, max_pixels)
    reason = _foreign_colors(page) or _foreign_numbers(page)
    if reason:
        raise _foreign(path, reason)


def _foreign(path: str | os.PathLike[str], reason: str) -> OSError:
    return OSError(
        f"{os.fspath(path)!r} holds {reason}, which are not read; expected grey "
        f"values, RGB, a palette, or any number of channels, as whole numbers or "
        f"floats of one kind. Convert the file."
    )


def _foreign_colors(page: Any) -> str:
    if page.photometric == YCBCR and page.compression not in JPEG_FAMILY:
        return "YCbCr colors without JPEG compression"
    if page.photometric == PALETTE and page.samplesperpixel > 1:
        return SEVERAL_PALETTE_CHANNELS
    return FOREIGN_COLORS.get(page.photometric, "")


def _foreign_numbers(page: Any) -> str:
    if isinstance(page.bitspersample, tuple):
        return f"channels of different numbers of bits {page.bitspersample}"
    if page.dtype is None:
        return f"numbers of {page.bitspersample} bits of an unusual kind"
    if page.bitspersample == 24 and page.dtype.kind in "iu":
        return "whole numbers of 24 bits, whose bytes writers put in either order"
    if page.predictor != 1 and page.bitspersample % 8:
        return f"differences between numbers of {page.bitspersample} bits"
    formats = page.tags.valueof("SampleFormat", default=())
    if isinstance(formats, tuple) and len(set(formats)) > 1:
        return "channels of different kinds of numbers"
    return ""


def _check_complete(picture: Any, path: str | os.PathLike[str]) -> None:
    """Reject a picture of which parts are in files that are not there."""
    missing = _missing_files(picture, path)
    # Pages without a gap are not all there as objects, if the first describes them.
    has_gap = picture.dataoffset is None and any(page is None for page in picture)
    if has_gap or missing:
        where = f" in {', '.join(map(repr, missing))}" if missing else ""
        raise OSError(
            f"{os.fspath(path)!r} is part of a picture whose other parts{where} are "
            f"missing; put these files beside it, or export the picture as one file."
        )


def _check_not_truncated(picture: Any, path: str | os.PathLike[str]) -> None:
    """Reject a file that ends before its pixels do: decoders may make them up."""
    for handle, end in _ends_of_pixels(picture):
        if end > handle.size:
            raise OSError(
                f"{os.fspath(path)!r} is truncated: its tags name pixels up to byte "
                f"{end}, but {handle.name!r} ends at byte {handle.size}. Copy or "
                f"download it again."
            )


def _ends_of_pixels(picture: Any) -> Iterator[tuple[Any, int]]:
    """Yield each file of a picture, and where its strips or tiles end in it."""
    if picture.dataoffset is not None:
        yield picture.keyframe.parent.filehandle, picture.dataoffset + picture.nbytes
        return
    for page in picture:
        segments = zip(page.dataoffsets, page.databytecounts, strict=False)
        ends = [offset + count for offset, count in segments if offset and count]
        yield page.parent.filehandle, max(ends, default=0)


def _check_frames(picture: Any, path: str | os.PathLike[str], max_pixels: int) -> None:
    """Reject JPEG data that declare more pixels than are read."""
    if picture.keyframe.compression in JPEG_FAMILY:
        for page in picture:
            for _, segment in read_segments(page, LARGEST_HEADER):
                check_extent(*jpeg_size(segment), path, max_pixels)


def _missing_files(picture: Any, path: str | os.PathLike[str]) -> list[str]:
    """Return the files that the OME metadata of a picture name and that do not exist.

    A file that is "binary only" leaves its description to another one, which is not
    read here: that one counts as missing, too.
    """
    metadata = picture.keyframe.parent.ome_metadata or ""
    own = re.search(r'OME\b[^>]*\bUUID="([^"]+)"', metadata)
    found = re.findall(r'UUID\b[^>]*\bFileName="([^"]+)"[^>]*>([^<]*)<', metadata)
    parts = dict.fromkeys((unescape(name), identity) for name, identity in found)
    folder, own_name = Path(path).parent, Path(path).name
    # The file itself may have been renamed since.
    absent = [
        name
        for name, identity in parts
        if not (own and identity.strip() == own[1])
        and name != own_name
        and not (folder / name).exists()
    ]
    described = re.findall(r'BinaryOnly\b[^>]*\bMetadataFile="([^"]+)"', metadata)
    return absent + [unescape(name) for name in described]


def _check_lossless(picture: Any, path: str | os.PathLike[str]) -> None:
    codec = _lossy_codec(picture, path)
    if codec:
        raise lossy_mask(path, codec)


def _lossy_codec(picture: Any, path: str | os.PathLike[str]) -> str | None:
    page = picture.keyframe
    if page.compression not in CAN_BE_LOSSY:
        return None
    _, segment = next(read_segments(page), (0, b""))
    return lossy_codec(int(page.compression), segment)


def _warn_of_slices(picture: Any, path: str | os.PathLike[str]) -> None:
    """Warn where tifffile guessed that four grey pictures are red, green, blue, alpha.

    It marks arrays of bytes, or of 16 bits, of shape (4, height, width) so.
    """
    page = picture.keyframe
    is_guess = (
        picture.kind == "shaped"
        and page.photometric == RGB
        and page.planarconfig == SEPARATE
        and _axes(picture)[1][0] == 4
    )
    if is_guess:
        warnings.warn(
            f"{os.fspath(path)!r} holds 4 planes that its tags call red, green, blue "
            f"and alpha: it is read as one picture of 4 channels. If they are 4 grey "
            f"pictures, read them with sksegment.datasets.load_stack.",
            UserWarning,
            stacklevel=2,
        )


def _pixels(picture: Any, path: str | os.PathLike[str]) -> NDArray[Any]:
    """Decode a picture by imagecodecs or, where that is missing, by libtiff."""
    reason = ""
    if picture.keyframe.compression != UNCOMPRESSED and not has_imagecodecs():
        try:
            return decode_series(picture)
        except MissingCodecError as error:
            reason = f"{error}"
    try:
        return np.asarray(picture.asarray())
    except Exception as error:
        if not _may_libtiff_decode(picture.keyframe, error):
            raise
        reason = reason or f"{error}"
    try:
        return decode_series(picture)
    except MissingCodecError as error:
        raise _missing_codec(path, reason) from error


@cache
def has_imagecodecs() -> bool:
    """Tell whether imagecodecs is installed."""
    return find_spec("imagecodecs") is not None


def _may_libtiff_decode(page: Any, error: Exception) -> bool:
    if page.compression == JPEG and page.planarconfig == SEPARATE:
        return True  # imagecodecs is asked for the colors of planes that have none
    signs = ("imagecodecs", "not supported", "not implemented", "not a known")
    return isinstance(error, ImportError) or any(s in str(error) for s in signs)


def _missing_codec(path: str | os.PathLike[str], reason: str) -> OSError:
    cure = "Save it without compression, or with deflate"
    if not has_imagecodecs():
        cure = f"Install imagecodecs (pip install imagecodecs). Or: {cure.lower()}"
    return OSError(
        f"{os.fspath(path)!r} needs a codec that is missing: {reason}. {cure}."
    )


def _as_meant(
    pixels: NDArray[Any], picture: Any, is_mask: bool, path: str | os.PathLike[str]
) -> NDArray[Any]:
    """Put the channels of a TIFF last, and show it as its tags say."""
    axes, shape = _axes(picture)
    pixels = pixels.reshape(shape)
    if axes in ("SYX", "CYX"):  # planar storage: one plane per channel
        pixels = np.moveaxis(pixels, 0, -1)
    if is_mask:
        return turn_upright(pixels, _orientation(picture.keyframe))
    return _as_shown(pixels, picture.keyframe, path)


def _as_shown(
    pixels: NDArray[Any], page: Any, path: str | os.PathLike[str]
) -> NDArray[Any]:
    if page.photometric == PALETTE:
        if pixels.ndim > 2:
            raise _foreign(path, SEVERAL_PALETTE_CHANNELS)
        pixels = _expanded(pixels, page.colormap)
    return turn_upright(pixels, _orientation(page))


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION_TAG)
    return 1 if tag is None else int(tag.value)


def _expanded(indices: NDArray[Any], palette: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colors that palette indices stand for, 8 bits each."""
    # Some writers store 8 bits, against the standard; libtiff tells them so as well.
    is_wide = palette.max() > 255
    colors: NDArray[np.uint8] = (palette.T >> (8 * is_wide)).astype(np.uint8)
    return colors[indices.astype(np.intp)]
