"""Which strips and tiles of a TIFF do not hold the very pixels that were written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

# Values of the tag Compression, by family.
JPEG = {6, 7, 33007, 34892}
JPEG_2000 = {33003, 33004, 33005, 34712}
WEBP = {34927, 50001}
LERC = {34887}
# Lossy or lossless, which only a decoder of their own could tell.
UNCLEAR = {
    22610: "JPEG XR",
    34934: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
    32908: "PixarFilm",
    32909: "PixarLog",
    34676: "LogLuv",
    34677: "LogLuv",
    48124: "Jetraw",
}
CAN_BE_LOSSY = {*JPEG, *JPEG_2000, *WEBP, *LERC, *UNCLEAR}
# Markers of JPEG that begin a frame; those of tables have numbers in between.
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
LOSSLESS_FRAMES = (0xC3, 0xC7, 0xCB, 0xCF)  # the markers of lossless JPEG
LERC_MAGIC = b"Lerc2 "
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def lossy_codec(compression: int, segment: bytes) -> str | None:
    """Return the name of a compression that may have changed pixels.

    Parameters
    ----------
    compression : int
        The tag Compression of the TIFF.
    segment : bytes
        One strip or tile, as stored.

    Returns
    -------
    str or None
        None if the pixels are those that were written.
    """
    if compression in JPEG and not _is_lossless_jpeg(segment):
        return "JPEG"
    if compression in JPEG_2000 and not _is_reversible(segment):
        return "lossy JPEG 2000"
    if compression in WEBP and not _is_lossless_webp(segment):
        return "lossy WebP"
    if compression in LERC and not _has_no_tolerance(segment):
        return "LERC with a tolerance"
    return UNCLEAR.get(compression)


def jpeg_size(segment: bytes) -> tuple[int, int]:
    """Return the height and width that JPEG data declare; zeros if they do not."""
    for marker, body in _markers(segment, 0):
        if marker in FRAMES and len(body) >= 5:
            return struct.unpack_from(">HH", body, 1)
    return 0, 0


def _is_lossless_jpeg(segment: bytes) -> bool:
    return any(marker in LOSSLESS_FRAMES for marker, _ in _markers(segment, 0))


def _is_reversible(segment: bytes) -> bool:
    """Tell whether JPEG 2000 used its wavelet of whole numbers (5-3)."""
    start = segment.find(b"\xff\x4f\xff\x51")  # behind the boxes of a JP2 file
    coding = [body for marker, body in _markers(segment, start) if marker == 0x52]
    return bool(coding) and len(coding[0]) > 9 and coding[0][9] == 1


def _markers(segment: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the markers of JPEG, or JPEG 2000, and what each holds."""
    place = start + 2
    while place >= 2 and place + 4 <= len(segment) and segment[place] == 0xFF:
        length = int.from_bytes(segment[place + 2 : place + 4], "big")
        yield segment[place + 1], segment[place + 4 : place + 2 + length]
        place += 2 + length


def _is_lossless_webp(segment: bytes) -> bool:
    names, place = [], 12
    while place + 8 <= len(segment):
        names.append(segment[place : place + 4])
        length = int.from_bytes(segment[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    return b"VP8L" in names


def _has_no_tolerance(segment: bytes) -> bool:
    """Tell whether LERC kept whole numbers: its largest error is below one."""
    if segment.startswith(b"x"):  # deflate around it
        segment = bytes(zlib.decompressobj().decompress(segment, 256))
    if segment.startswith(ZSTD_MAGIC):
        from imagecodecs import zstd_decode

        segment = bytes(zstd_decode(segment))
    if not segment.startswith(LERC_MAGIC):
        return False  # its first version, whose tolerance stands elsewhere
    (version,) = struct.unpack_from("<i", segment, len(LERC_MAGIC))
    place = 10 + 4 * (version >= 3) + 4 * (6 + (version >= 4)) + 8 * (version >= 6)
    (largest_error,) = struct.unpack_from("<d", segment, place)
    return bool(largest_error < 1)
