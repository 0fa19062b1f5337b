"""Writing a file in one step: whoever looks finds the old one or the new one, whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, temporary: Path, *parts: bytes | memoryview) -> None:
    """Write a file under another name, and give it the name once it is on the disk.

    Parameters
    ----------
    path : Path
        The file.
    temporary : Path
        The other name, in the same folder: only there a rename is one step. Nothing is
        left of it, unless the process dies.
    *parts : bytes or memoryview
        What is written, one after the other.

    Raises
    ------
    OSError
        If it cannot be written: the file is as it was.
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
    """Make the new name last through a loss of power; not every system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
