"""Image files: reading photos and masks as arrays, one file at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sksegment._inputs.addresses import first_bytes, path_or_content
from sksegment._inputs.file_checks import (
    check_extent,
    check_single,
    decoding,
    lossy_mask,
    too_large,
)
from sksegment._inputs.orientation import ORIENTATION_TAG, turn_upright
from sksegment._inputs.tiff_files import (
    find_lossy_tiff_codec,
    read_tiff,
    read_tiff_orientation,
    read_tiff_pages,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

# Formats whose decoders read pixels only. Everything else that Pillow can open (EPS
# starts a program, FITS and PDF have unbounded readers) is rejected.
PILLOW_FORMATS = ("PNG", "JPEG", "BMP")
FORMATS = (*PILLOW_FORMATS, "TIFF")
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
# Pillow stretches grey values of 2 and 4 bits to 0..255, by these factors.
GREY_STEPS = {"L;2": 85, "L;4": 17}
# Of PNGs with several channels of 16 bits, Pillow reads the upper 8.
HALF_READ = ("RGB;16B", "RGBA;16B", "LA;16B")


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
        A PNG, JPEG, BMP or TIFF file, or the address of one (``s3://...``).

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
    if is_tiff(path):
        return read_tiff(path, is_mask=False, max_pixels=MAX_PIXELS)
    with _open(path) as image:
        return picture_pixels(image, path)


def read_mask(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a mask as label values.

    A palette file gives the palette *indices* (the class ids of PASCAL VOC), never the
    colors that a viewer shows for them.

    Parameters
    ----------
    path : str or path-like
        A PNG, BMP or TIFF file with one value per pixel, or the address of one.

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
    return _single_valued(read_label_channels(path), path)


def read_label_channels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a mask file like `read_mask`, but with all channels that it has."""
    if is_tiff(path):
        return read_tiff(path, is_mask=True, max_pixels=MAX_PIXELS)
    with _open(path) as image:
        return _label_array(image, path)


def read_stack(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the pages of a TIFF as images: (n, height, width[, n_channels])."""
    if not is_tiff(path):
        raise ValueError(
            f"{os.fspath(path)!r} is not a TIFF; expected one with a page per image."
        )
    return read_tiff_pages(path, max_pixels=MAX_PIXELS)


def find_lossy_codec(path: str | os.PathLike[str]) -> str | None:
    """Return what may have changed the labels of a mask file; None if nothing has."""
    if is_tiff(path):
        return find_lossy_tiff_codec(path)
    with _open(path) as image:
        return _lossy_codec(image)


def read_orientation(path: str | os.PathLike[str]) -> int:
    """Return the orientation tag of a file, 1 to 8: 1 where there is none."""
    if is_tiff(path):
        return read_tiff_orientation(path)
    with _open(path) as image:
        return _orientation(image)


def grey_step(path: str | os.PathLike[str]) -> int:
    """Return what Pillow multiplies the grey values of a file by: 1 for most."""
    if is_tiff(path):
        return 1
    with _open(path) as image:
        return GREY_STEPS.get(_raw_mode(image), 1)


def is_tiff(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is a TIFF by its content, since a suffix may be wrong."""
    return first_bytes(path, 4) in TIFF_MAGIC


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[PILImage]:
    """Open an image file without decoding its pixels, and close it at the end."""
    with _opened(path) as image:
        check_extent(image.height, image.width, path, MAX_PIXELS)
        with decoding(path):
            n_pictures = _n_pictures(image)
            _correct_depth(image)
        check_single(n_pictures, path)
        yield image


def _opened(path: str | os.PathLike[str]) -> PILImage:
    """Return an open image, or say why its file is not one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with decoding(path):
            return Image.open(path_or_content(path), formats=PILLOW_FORMATS)
    except Image.DecompressionBombWarning as refused:  # made an error by the user
        raise too_large(path, f"{refused}") from refused
    except OSError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise too_large(path, str(error.__cause__)) from error
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise OSError(
                f"{os.fspath(path)!r} is not a readable image: expected one of "
                f"{', '.join(FORMATS)}."
            ) from error
        raise


def _n_pictures(image: PILImage) -> int:
    # What cameras add after the first picture of a JPEG is a preview.
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _correct_depth(image: PILImage) -> None:
    """Let a BMP with a palette of greys be decoded at the bits that its header names.

    Pillow takes black and white for 1 bit per pixel, and other greys for 8 bits.
    """
    if image.format != "BMP" or image.mode not in ("1", "L"):
        return
    n_bits = _bits_of_bmp(image)
    if n_bits == (1 if image.mode == "1" else 8):
        return
    from PIL import ImagePalette

    levels = np.array((0, 255) if image.mode == "1" else range(256), np.uint8)
    tile = image.tile[0]  # type: ignore[attr-defined]
    args = ({8: "P"}.get(n_bits, f"P;{n_bits}"), *tile.args[1:])
    image.tile = [tile._replace(args=args)]  # type: ignore[attr-defined]
    image.palette = ImagePalette.raw("RGB", np.repeat(levels, 3).tobytes())
    image._mode = "P"


def _bits_of_bmp(image: PILImage) -> int:
    image.fp.seek(14)  # type: ignore[attr-defined]
    header = image.fp.read(16)  # type: ignore[attr-defined]
    place = 10 if header[0] == 12 else 14  # the oldest kind has 12 bytes
    return int.from_bytes(header[place : place + 2], "little")


def picture_pixels(image: PILImage, path: str | os.PathLike[str]) -> NDArray[Any]:
    """Decode a photo that Pillow has opened."""
    _warn_of_lost_bits(image, path)
    file_format = image.format
    with decoding(path):
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
    if image.format == "PNG" and _raw_mode(image) in HALF_READ:
        warnings.warn(
            f"{os.fspath(path)!r} has 16 bits per channel, of which 8 are read; "
            f"save color images of 16 bits as TIFF to keep them all.",
            UserWarning,
            stacklevel=2,
        )


def _lossy_codec(image: PILImage) -> str | None:
    return "JPEG" if image.format in ("JPEG", "MPO") else None


def _label_array(image: PILImage, path: str | os.PathLike[str]) -> NDArray[Any]:
    codec = _lossy_codec(image)
    if codec:
        raise lossy_mask(path, codec)
    if image.format == "PNG" and _raw_mode(image) in HALF_READ:
        raise ValueError(
            f"The mask {os.fspath(path)!r} has several channels of 16 bits, of which 8 "
            f"are read; expected one label value per pixel. Save the labels as a grey "
            f"PNG, or as TIFF, which keep them all; convert a color-coded mask with "
            f"sksegment.datasets.colors_to_labels."
        )
    step = GREY_STEPS.get(_raw_mode(image), 1)
    with decoding(path):
        pixels = _upright(image)
    return pixels if step == 1 else pixels // step


def _upright(image: PILImage) -> NDArray[Any]:
    """Decode an image, and turn it according to its EXIF orientation."""
    pixels = np.array(image)
    # Looked up after decoding, which may turn an image, and then drops the tag.
    return turn_upright(pixels, _orientation(image))


def _orientation(image: PILImage) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # whatever a damaged block makes Pillow raise
        return 1


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
