"""What every reader of image files checks, and how it says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def decoding(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in the error, whatever a decoder raises.

    Damaged files raise a dozen kinds of exception: ValueError, IndexError, zlib.error,
    struct.error, AssertionError, ...
    """
    try:
        yield
    except (MemoryError, Warning):
        raise  # a Warning that the user turned into an error
    except Exception as error:
        is_missing = isinstance(error, OSError) and error.filename is not None
        is_own = type(error) in (OSError, ValueError)
        if is_missing or (is_own and repr(os.fspath(path)) in str(error)):
            raise  # it names the file already
        raise OSError(
            f"{os.fspath(path)!r} cannot be decoded; is it damaged? "
            f"{type(error).__name__}: {error}"
        ) from error


def too_large(path: str | os.PathLike[str], reason: str) -> ValueError:
    """Return the error for a file that declares more pixels than are read."""
    return ValueError(
        f"{os.fspath(path)!r} is too large: {reason} Read it yourself and pass an "
        f"array if the file is trusted."
    )


def check_extent(
    height: int, width: int, path: str | os.PathLike[str], max_pixels: int
) -> None:
    """Reject a picture of more than `max_pixels`, before it is decoded."""
    if height * width > max_pixels:
        reason = f"It declares {height} x {width} pixels; the limit is {max_pixels}."
        raise too_large(path, reason)


def check_single(n_pictures: int, path: str | os.PathLike[str]) -> None:
    """Reject a file that holds several pictures."""
    if n_pictures > 1:
        raise ValueError(
            f"{os.fspath(path)!r} holds {n_pictures} pictures; expected one picture "
            f"per file."
        )


def lossy_mask(path: str | os.PathLike[str], codec: str) -> ValueError:
    """Return the error for a mask whose compression does not keep the labels."""
    return ValueError(
        f"The mask {os.fspath(path)!r} is stored as {codec}, whose compression changes "
        f"label values; expected PNG, BMP, or TIFF with deflate or no compression. "
        f"Export the mask again."
    )
