"""Atomic file writing: a reader finds either the old file or the new one, complete."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, temporary: Path, *parts: bytes | memoryview) -> None:
    """Write a file under a temporary name, and rename it once it is on disk.

    Parameters
    ----------
    path : Path
        The file.
    temporary : Path
        The temporary name, in the same folder: only there is a rename atomic. Nothing
        is left of it, unless the process dies.
    *parts : bytes or memoryview
        What is written, one after the other.

    Raises
    ------
    OSError
        If it cannot be written; the old file is left unchanged.
    """
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename survive a power failure, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
