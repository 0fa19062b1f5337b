"""The strips and tiles of a TIFF, decoded where imagecodecs is not installed.

Python has deflate and LZMA. Pillow brings libtiff, which knows more codecs, but hands
out fewer kinds of picture: of 16-bit RGB it keeps 8 bits. So libtiff is given the
strips or tiles as those of a picture of plain bytes, and tifffile then makes pixels of
these bytes as it does with all others. No strip expands to more bytes than its tags
declare: by itself, tifffile would let it.
"""

from __future__ import annotations

import copy
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from lzma import LZMADecompressor
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNCOMPRESSED = 1
FAX = (2, 3, 4)
JPEG = 7
DEFLATE = (8, 32946)
LZW, PACKBITS, LZMA, ZSTD, OLD_ZSTD = 5, 32773, 34925, 50000, 34926
BYTES = (*DEFLATE, LZW, PACKBITS, LZMA, ZSTD, OLD_ZSTD)  # codecs of bytes
FLOAT_PREDICTOR = 3
T4_OPTIONS, JPEG_TABLES, SUBSAMPLING = 292, 347, 530
GREY, RGB, YCBCR = 1, 2, 6  # values of the tag Photometric
SHORT, LONG, UNDEFINED = 3, 4, 7  # types of tags

Shape = tuple[int, int, int, int]  # of a strip or tile: depth, height, width, samples
Tags = dict[int, tuple[int, ...]]  # the type of a tag, and its values


class MissingCodecError(Exception):
    """Nothing that is installed decodes these strips or tiles."""


def decode_series(series: Any) -> NDArray[Any]:
    """Decode all pages of a series.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        Pages of which none is missing.

    Returns
    -------
    ndarray
        What ``series.asarray()`` returns where imagecodecs is installed.

    Raises
    ------
    MissingCodecError
        If only imagecodecs decodes them.
    """
    _check_decodable(series.keyframe)
    pages = [_decode_page(page) for page in series]
    if series.transform is not None or sum(p.size for p in pages) != series.size:
        raise MissingCodecError("the layout of its pages")
    return np.concatenate([page.ravel() for page in pages]).reshape(series.shape)


def _check_decodable(page: Any) -> None:
    is_jpeg = page.compression == JPEG and _is_plain_jpeg(page)
    if not is_jpeg and page.compression not in (UNCOMPRESSED, *FAX, *BYTES):
        raise MissingCodecError(
            f"{getattr(page.compression, 'name', page.compression)} compression"
        )
    if page.compression in (ZSTD, OLD_ZSTD) and not has_zstd():
        raise MissingCodecError("ZSTD compression")
    if page.fillorder != 1:
        raise MissingCodecError("the order of its bits")
    if page.predictor > FLOAT_PREDICTOR:
        raise MissingCodecError("its predictor")
    if page.bitspersample > 32 and page.bitspersample % 32:
        raise MissingCodecError(f"{page.bitspersample} bits")
    if page.dtype.kind == "f" and page.bitspersample not in (16, 32, 64):
        raise MissingCodecError(f"{page.bitspersample} bits")


@cache
def has_zstd() -> bool:
    """Tell whether libtiff in Pillow knows Zstandard; that of Pillow 11 does not."""
    from PIL import Image

    try:
        Image.new("L", (1, 1)).save(BytesIO(), "TIFF", compression="zstd")
    except (OSError, KeyError, ValueError):
        return False
    return True


def _is_plain_jpeg(page: Any) -> bool:
    """Tell whether libtiff decodes a JPEG page to what its tags say."""
    if page.bitspersample != 8:
        return False
    if page.samplesperpixel == 1 or page.planarconfig == 2:
        return True
    if page.samplesperpixel != 3:
        return False
    # With JFIF marks, tifffile and libtiff do not agree on what "RGB" stands for.
    return page.photometric == YCBCR or (page.photometric == RGB and not page.is_jfif)


def _decode_page(page: Any) -> NDArray[Any]:
    keyframe = page.keyframe
    plain = _as_if_uncompressed(keyframe)
    pixels = np.full(keyframe.shaped, keyframe.nodata, keyframe.dtype)
    for shape, segments in _segments_by_shape(page, plain).items():
        contents = _contents(list(segments.values()), page, shape)
        for index, content in zip(segments, contents, strict=True):
            segment, (plane, z, y, x, _), _ = plain.decode(content, index)
            depth, height, width, _ = segment.shape
            target = pixels[plane, z : z + depth, y : y + height, x : x + width]
            target[:] = segment[tuple(map(slice, target.shape))]
    return pixels.reshape(keyframe.shape)


def _as_if_uncompressed(page: Any) -> Any:
    """Return a copy of a page whose `decode` takes what `_content` returns."""
    plain = copy.copy(page)
    for name in ("decode", "hash"):
        plain.__dict__.pop(name, None)  # computed from the attributes below
    plain.compression = UNCOMPRESSED
    if page.predictor == FLOAT_PREDICTOR:
        plain.predictor = 1
    if page.compression == JPEG:
        plain.photometric, plain.subsampling, plain.predictor = RGB, (1, 1), 1
    plain.bitspersample = 8 * page.dtype.itemsize
    return plain


def read_segments(page: Any, largest: int = -1) -> Iterator[tuple[int, bytes]]:
    """Yield the stored strips or tiles of a page and their numbers.

    Those that the writer left out are nodata all over, and are left out here, too.

    Parameters
    ----------
    page : tifffile.TiffPage or tifffile.TiffFrame
        A page of any file.
    largest : int, default=-1
        The number of bytes that are read of each; -1 for all.
    """
    handle = page.parent.filehandle
    was_closed = handle.closed  # as other files of one OME picture are
    if was_closed:
        handle.open()
    try:
        for index, offset in enumerate(page.dataoffsets):
            count = page.databytecounts[index]
            if offset and count:
                handle.seek(offset)
                yield index, handle.read(min(count, largest) if largest > 0 else count)
    finally:
        if was_closed:
            handle.close()


def _segments_by_shape(page: Any, plain: Any) -> dict[Shape, dict[int, bytes]]:
    """Read all segments; those of the same shape are decoded together."""
    segments: dict[Shape, dict[int, bytes]] = defaultdict(dict)
    for index, data in read_segments(page):
        _, _, shape = plain.decode(None, index)
        segments[shape][index] = data
    return segments


def _contents(segments: list[bytes], page: Any, shape: Shape) -> list[bytes]:
    """Return the uncompressed bytes of segments, each sample in whole bytes."""
    keyframe = page.keyframe
    depth, height, width, n_samples = shape
    n_rows, row = depth * height, width * n_samples
    if keyframe.compression == JPEG:
        return _decompress(segments, n_rows, _jpeg_tags(page, shape))
    if keyframe.compression in FAX:
        options = int(keyframe.tags.valueof(T4_OPTIONS, default=0))
        tags = _grey_tags(row, keyframe.compression, n_bits=1)
        segments = _decompress(segments, n_rows, {**tags, T4_OPTIONS: (LONG, options)})
    elif keyframe.compression != UNCOMPRESSED:
        n_bytes = -(-row * keyframe.bitspersample // 8)
        segments = _decompress_bytes(segments, n_rows, n_bytes, keyframe.compression)
    if keyframe.predictor == FLOAT_PREDICTOR:
        return [_unpredict_floats(s, n_rows, n_samples, keyframe) for s in segments]
    if keyframe.bitspersample % 8:
        return [_unpack(s, n_rows, row, keyframe) for s in segments]
    return segments


def _decompress_bytes(
    strips: list[bytes], n_rows: int, n_bytes: int, compression: int
) -> list[bytes]:
    """Undo a compression of bytes, up to as many as the tags declare."""
    if compression in DEFLATE:
        return [zlib.decompressobj().decompress(s, n_rows * n_bytes) for s in strips]
    if compression == LZMA:
        return [LZMADecompressor().decompress(s, n_rows * n_bytes) for s in strips]
    codec = ZSTD if compression == OLD_ZSTD else compression
    return _decompress(strips, n_rows, _grey_tags(n_bytes, codec))


def _grey_tags(width: int, compression: int, n_bits: int = 8) -> Tags:
    """Return the tags of a picture of grey values but for its height and strips."""
    return {
        256: (LONG, width),
        258: (SHORT, n_bits),
        259: (SHORT, int(compression)),
        262: (SHORT, GREY),
        277: (SHORT, 1),
    }


def _jpeg_tags(page: Any, shape: Shape) -> Tags:
    _, _, width, n_samples = shape
    tags = _grey_tags(width, JPEG)
    if n_samples == 3:
        tags[258] = (SHORT, 8, 8, 8)
        tags[262] = (SHORT, int(page.keyframe.photometric))
        tags[277] = (SHORT, 3)
        tags[SUBSAMPLING] = (SHORT, *(page.keyframe.subsampling or (1, 1)))
    if page.jpegtables is not None:
        tags[JPEG_TABLES] = (UNDEFINED, *page.jpegtables)
    return tags


def _decompress(strips: list[bytes], n_rows: int, tags: Tags) -> list[bytes]:
    """Let libtiff decode strips of the same number of rows, as one picture."""
    from PIL import Image

    tags = {**tags, 257: (LONG, n_rows * len(strips)), 278: (LONG, n_rows)}
    with Image.open(BytesIO(_tiff(tags, strips)), formats=["TIFF"]) as image:
        content = image.tobytes()
    size = len(content) // len(strips)
    return [content[i * size : (i + 1) * size] for i in range(len(strips))]


def _tiff(tags: Tags, strips: list[bytes]) -> bytes:
    """Write a little-endian TIFF."""
    sizes = [len(strip) for strip in strips]
    starts = np.cumsum([8, *sizes]).tolist()
    tags = {**tags, 273: (LONG, *starts[:-1]), 279: (LONG, *sizes)}
    entries, long_values = b"", b""
    place = starts[-1] + 2 + 12 * len(tags) + 4  # of what does not fit into an entry
    for tag, (kind, *values) in sorted(tags.items()):
        code = {SHORT: "H", LONG: "I", UNDEFINED: "B"}[kind]
        raw = struct.pack(f"<{len(values)}{code}", *values)
        if len(raw) > 4:
            long_values += raw
            raw = struct.pack("<I", place + len(long_values) - len(raw))
        entries += struct.pack("<HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", starts[-1])
    directory = struct.pack("<H", len(tags)) + entries + b"\0" * 4 + long_values
    return b"".join([head, *strips, directory])


def _unpack(data: bytes, n_rows: int, row: int, page: Any) -> bytes:
    """Return whole numbers of any number of bits with that of their dtype."""
    n_bits, n_bytes = page.bitspersample, -(-row * page.bitspersample // 8)
    stored = np.frombuffer(data, np.uint8, n_rows * n_bytes).reshape(n_rows, n_bytes)
    bits = np.unpackbits(stored, axis=1, count=row * n_bits)
    bits = bits.reshape(n_rows * row, n_bits)
    weights = 1 << np.arange(n_bits, dtype=np.uint64)[::-1]
    numbers = np.zeros(len(bits), np.uint64)
    for bit, weight in zip(bits.T, weights, strict=True):
        numbers += bit * weight
    return numbers.astype(page.dtype.newbyteorder(page.parent.byteorder)).tobytes()


def _unpredict_floats(data: bytes, n_rows: int, n_samples: int, page: Any) -> bytes:
    """Undo the floating-point predictor (Adobe Photoshop TIFF technical note 3).

    Each row holds the highest bytes of all its numbers first, then the second highest,
    and so on; all of them are differences to the byte one pixel before.
    """
    size = page.dtype.itemsize
    steps = np.frombuffer(data, np.uint8).reshape(n_rows, -1, n_samples)
    planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(n_rows, size, -1)
    numbers = np.ascontiguousarray(planes.swapaxes(1, 2)).view(f">f{size}")
    return numbers.astype(f"{page.parent.byteorder}f{size}").tobytes()
