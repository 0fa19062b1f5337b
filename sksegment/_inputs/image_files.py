"""Image files: reading photos and masks as arrays, one file at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

# Formats whose decoders read pixels only. Everything else that Pillow can open (EPS
# starts a program, FITS and PDF have unbounded readers) is rejected.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
TIFF_SUFFIXES = (".tif", ".tiff")
LOSSY_SUFFIXES = (".jpg", ".jpeg")
SUFFIXES = (".png", ".bmp", *LOSSY_SUFFIXES, *TIFF_SUFFIXES)
# How a TIFF file begins: little- and big-endian, and either as BigTIFF.
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# A 12 kB file can declare a 100-megapixel picture: reject before decoding. Pillow has
# a lower limit of its own, about 179 million, for everything but TIFF, and warns from
# half of it on. The warning is let through: silencing it would change the filters of
# all threads.
MAX_PIXELS = 400_000_000
MAX_CHANNELS = 64  # of a picture as large as that

EXIF_ORIENTATION = 0x0112


def is_path(item: Any) -> bool:
    """Tell whether `item` names a file."""
    return isinstance(item, (str, os.PathLike))


def read_image(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a photo as it is meant to be seen.

    The orientation tag is applied, a color palette is expanded, and the alpha channel
    of a PNG is dropped with a warning, or rejected where warnings are errors. All
    channels of a TIFF are kept: the fourth may be infrared.

    Parameters
    ----------
    path : str or path-like
        A PNG, JPEG, BMP or TIFF file.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, n_channels)
        The pixels in the file's own dtype; a color PNG of 16 bits per channel gives
        8, with a warning.

    Raises
    ------
    OSError
        If the file is missing or cannot be decoded; the message names it.
    ValueError
        If it holds more than one picture, or too many pixels; if it has an alpha
        channel and warnings are errors.
    """
    if _is_tiff(path):
        return _read_tiff(path, is_mask=False)
    with _open(path) as image:
        return _photo_array(image, path)


def read_mask(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a mask as label values.

    A palette file gives the palette *indices* (the class ids of PASCAL VOC), never the
    colors that a viewer shows for them.

    Parameters
    ----------
    path : str or path-like
        A PNG, BMP or TIFF file with one value per pixel.

    Returns
    -------
    ndarray of shape (height, width)
        The label values in the file's own dtype.

    Raises
    ------
    OSError
        If the file is missing or cannot be decoded; the message names it.
    ValueError
        If it is a color picture or a JPEG, or holds more than one picture.
    """
    if _is_tiff(path):
        return _single_valued(_read_tiff(path, is_mask=True), path)
    with _open(path) as image:
        return _single_valued(_label_array(image, path), path)


def _is_tiff(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is a TIFF by its content, since a suffix may be wrong."""
    with open(path, "rb") as file:
        return file.read(4) in TIFF_MAGIC


@contextmanager
def _decoding(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in the error, whatever a decoder raises.

    Damaged files raise a dozen kinds of exception: ValueError, IndexError, zlib.error,
    struct.error, AssertionError, ...
    """
    try:
        yield
    except (MemoryError, Warning):
        raise  # a Warning that the user turned into an error
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # missing, or not permitted: it names the file already
        raise OSError(
            f"{os.fspath(path)!r} cannot be decoded; is it damaged? "
            f"{type(error).__name__}: {error}"
        ) from error


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[PILImage]:
    """Open an image file without decoding its pixels, and close it at the end."""
    with _opened(path) as image:
        _check_extent(image.height, image.width, path)
        with _decoding(path):
            n_pictures = _n_pictures(image)
        _check_single(n_pictures, path)
        yield image


def _opened(path: str | os.PathLike[str]) -> PILImage:
    """Return an open image, or say why its file is not one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _decoding(path):
            return Image.open(path, formats=FORMATS)
    except Image.DecompressionBombWarning as refused:  # made an error by the user
        raise _too_large(path, f"{refused}") from refused
    except OSError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise _too_large(path, str(error.__cause__)) from error
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise OSError(
                f"{os.fspath(path)!r} is not a readable image: expected one of "
                f"{', '.join(FORMATS)}."
            ) from error
        raise


def _n_pictures(image: PILImage) -> int:
    # What cameras add after the first picture of a JPEG is a preview.
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _too_large(path: str | os.PathLike[str], reason: str) -> ValueError:
    return ValueError(
        f"{os.fspath(path)!r} is too large: {reason} Read it yourself and pass an "
        f"array if the file is trusted."
    )


def _check_extent(height: int, width: int, path: str | os.PathLike[str]) -> None:
    if height * width > MAX_PIXELS:
        reason = f"It declares {height} x {width} pixels; the limit is {MAX_PIXELS}."
        raise _too_large(path, reason)


def _check_single(n_pictures: int, path: str | os.PathLike[str]) -> None:
    if n_pictures > 1:
        raise ValueError(
            f"{os.fspath(path)!r} holds {n_pictures} pictures; expected one picture "
            f"per file."
        )


def _photo_array(image: PILImage, path: str | os.PathLike[str]) -> NDArray[Any]:
    _warn_of_lost_bits(image, path)
    file_format = image.format
    with _decoding(path):
        if image.mode == "P":
            has_alpha = "transparency" in image.info
            image = image.convert("RGBA" if has_alpha else "RGB")
        elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGB")
        pixels = _upright(image)
    if image.mode in ("RGBA", "LA", "PA") and file_format != "TIFF":
        return _without_alpha(pixels, path)
    return pixels


def _raw_mode(image: PILImage) -> str:
    """Return how the pixels are stored in the file, in Pillow's words: `"L;4"`."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0][3]) if tiles else ""


def _warn_of_lost_bits(image: PILImage, path: str | os.PathLike[str]) -> None:
    if image.format == "PNG" and _raw_mode(image) in ("RGB;16B", "RGBA;16B", "LA;16B"):
        warnings.warn(
            f"{os.fspath(path)!r} has 16 bits per channel, of which 8 are read; "
            f"save color images of 16 bits as TIFF to keep them all.",
            UserWarning,
            stacklevel=2,
        )


def _label_array(image: PILImage, path: str | os.PathLike[str]) -> NDArray[Any]:
    if image.format in ("JPEG", "MPO"):
        raise ValueError(
            f"The mask {os.fspath(path)!r} is a JPEG file, whose compression changes "
            f"label values; expected PNG, BMP or TIFF. Export the mask again."
        )
    # Pillow stretches grey values of 2 and 4 bits to 0..255: undo that.
    step = {"L;2": 85, "L;4": 17}.get(_raw_mode(image), 1)
    with _decoding(path):
        pixels = _upright(image)
    return pixels if step == 1 else pixels // step


def _upright(image: PILImage) -> NDArray[Any]:
    """Decode an image, and turn it according to its EXIF orientation."""
    pixels = np.array(image)
    # Looked up after decoding: Pillow turns a TIFF itself, and drops the tag.
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # whatever a damaged block makes Pillow raise
        orientation = 1
    return _oriented(pixels, orientation)


def _oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn the stored pixels upright, given the EXIF orientation tag (1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _without_alpha(pixels: NDArray[Any], path: str | os.PathLike[str]) -> NDArray[Any]:
    _warn_of_alpha(path)
    colors = pixels[..., :-1]
    return colors[..., 0] if colors.shape[-1] == 1 else colors


def _warn_of_alpha(path: str | os.PathLike[str]) -> None:
    """Warn; where warnings are errors, raise one that names the file."""
    try:
        # No path in the text: Python shows the same text once, not once per file.
        warnings.warn(
            "The alpha channel of image files is dropped; save the images without one, "
            "or pass four-channel arrays, to decide yourself.",
            UserWarning,
            stacklevel=2,
        )
    except UserWarning as refused:
        raise ValueError(
            f"{os.fspath(path)!r} has an alpha channel; expected none, as warnings "
            f"are errors here. Save the image without one, or pass arrays."
        ) from refused


def _read_tiff(path: str | os.PathLike[str], *, is_mask: bool) -> NDArray[Any]:
    """Read a TIFF of any depth and channel count as (height, width[, channels])."""
    import tifffile

    with _decoding(path):
        tiff = tifffile.TiffFile(path)
    with tiff:
        with _decoding(path):
            pictures = [s for s in tiff.series if not _is_auxiliary(s.keyframe)]
            picture = pictures[0]
        _check_tiff(picture, len(pictures), path)
        pixels = _tiff_pixels(picture, path)
        if pixels is None:
            return _read_compressed_tiff(path, is_mask=is_mask)
        with _decoding(path):
            return _as_meant(pixels, picture, is_mask)


def _as_meant(pixels: NDArray[Any], picture: Any, is_mask: bool) -> NDArray[Any]:
    """Put the channels of a TIFF last, expand its palette and turn it upright."""
    page = picture.keyframe
    axes, shape = _axes(picture)
    pixels = pixels.reshape(shape)
    if axes in ("SYX", "CYX"):  # planar storage: one plane per channel
        pixels = np.moveaxis(pixels, 0, -1)
    if not is_mask and page.colormap is not None:
        pixels = _expanded(pixels, page.colormap)
    tag = page.tags.get(EXIF_ORIENTATION)
    return _oriented(pixels, 1 if tag is None else int(tag.value))


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


def _is_auxiliary(page: Any) -> bool:
    """Tell whether a page is a preview (bit 0) or a transparency mask (bit 2)."""
    return bool(page.subfiletype & 0b101)


def _check_tiff(picture: Any, n_pictures: int, path: str | os.PathLike[str]) -> None:
    _check_single(n_pictures, path)
    if _axes(picture)[0] not in ("YX", "YXS", "YXC", "SYX", "CYX"):
        raise ValueError(
            f"{os.fspath(path)!r} holds an array of shape {picture.shape} with axes "
            f"{picture.axes!r}; expected one picture, (height, width) or (height, "
            f"width, channels). tifffile.imwrite stores channels rather than pages "
            f"with photometric='minisblack', planarconfig='contig' (or 'separate' for "
            f"channels first)."
        )
    height, width = picture.keyframe.imagelength, picture.keyframe.imagewidth
    _check_extent(height, width, path)
    if picture.size > MAX_CHANNELS * MAX_PIXELS:
        raise _too_large(path, f"It declares an array of shape {picture.shape}.")


def _tiff_pixels(picture: Any, path: str | os.PathLike[str]) -> NDArray[Any] | None:
    """Decode the pixels; None where tifffile lacks the codec."""
    with _decoding(path):
        try:
            return np.asarray(picture.asarray())
        except ValueError as error:
            # LZW, JPEG and others, where imagecodecs is not installed.
            if "imagecodecs" not in str(error):
                raise
            return None


def _read_compressed_tiff(
    path: str | os.PathLike[str], *, is_mask: bool
) -> NDArray[Any]:
    """Read a TIFF by Pillow: more codecs than tifffile, but fewer layouts."""
    try:
        with _open(path) as image, _decoding(path):
            return np.array(image) if is_mask else _photo_array(image, path)
    except OSError as error:
        raise OSError(f"{error} Installing imagecodecs may help.") from error


def _expanded(indices: NDArray[Any], palette: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colors that palette indices stand for, 8 bits each."""
    colors: NDArray[np.uint8] = (palette.T >> 8).astype(np.uint8)[indices]
    return colors


def _single_valued(pixels: NDArray[Any], path: str | os.PathLike[str]) -> NDArray[Any]:
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 2:
        raise ValueError(
            f"The mask {os.fspath(path)!r} has {pixels.shape[-1]} channels; expected "
            f"one label value per pixel. Convert a color-coded mask with "
            f"sksegment.datasets.colors_to_labels."
        )
    return pixels
