"""Files in object stores and elsewhere, by address, through fsspec."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

# "s3://bucket/a.png", and "zip://a.png::s3://bucket/all.zip". A drive of Windows has
# one letter.
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
NUL = "\0"
# What stores call the checksum of a file.
CHECKSUMS = ("ETag", "etag", "md5", "md5Hash", "content_md5", "crc32c", "checksum")


def is_address(path: Any) -> bool:
    """Tell whether a path is an address, such as ``s3://bucket/image.png``.

    Examples
    --------
    >>> from sksegment._inputs.addresses import is_address
    >>> is_address("s3://bucket/image.png"), is_address("images/a.png")
    (True, False)
    """
    return isinstance(path, str) and ADDRESS.match(path) is not None


def path_or_content(path: str | os.PathLike[str]) -> Any:
    """Return the content of the file at an address; any other path as it is.

    Raises
    ------
    OSError, ImportError
        If the file cannot be read, or a package that reads it is missing.
    """
    if not is_address(path):
        return path
    with _at(path) as (system, place):
        return BytesIO(system.cat_file(place))


def first_bytes(path: str | os.PathLike[str], n_bytes: int) -> bytes:
    """Return the beginning of a file, without reading all of it.

    Raises
    ------
    OSError, ImportError
        As `path_or_content`.
    ValueError
        If no file can have this path.
    """
    if is_address(path):
        with _at(path) as (system, place):
            return bytes(system.cat_file(place, start=0, end=n_bytes))
    if NUL in os.fsdecode(path):
        raise ValueError(
            f"{os.fspath(path)!r} holds a NUL character; expected the path of a file."
        )
    with open(path, "rb") as file:
        return file.read(n_bytes)


def checksum_at(address: str) -> str:
    """Return what a store says of the content of a file, without reading it.

    That is its checksum; where the store keeps none, its size and, if known, the time
    of the last change.
    """
    with _at(address) as (system, place):
        told = system.info(place)
        known = {name: told[name] for name in CHECKSUMS if told.get(name)}
        if known:
            return repr(known)
        try:
            changed = system.modified(place)
        except (NotImplementedError, KeyError):
            changed = None
        return repr((told.get("size"), changed))


@contextmanager
def _at(address: Any) -> Iterator[tuple[Any, str]]:
    """Yield the file system of an address and the place in it; name it in errors."""
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(
            f"{address!r} is an address, which fsspec reads. Install it with: "
            f'pip install "sksegment[remote]"'
        ) from error
    try:
        yield fsspec.core.url_to_fs(address)
    except FileNotFoundError as error:
        message = os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, message, address) from error
    except ImportError as error:
        raise ImportError(f"{address!r} cannot be read: {error}") from error
    except Exception as error:  # each store has its own
        raise OSError(
            errno.EIO, f"cannot be read: {type(error).__name__}: {error}", address
        ) from error
