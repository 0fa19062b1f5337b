"""Atomic file writing: a reader finds either the old file or the new one, complete."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def replace_file(
    path: Path, *parts: bytes | memoryview, temporary: Path | None = None
) -> None:
    """Write a file under a temporary name, and rename it once it is on disk.

    Parameters
    ----------
    path : Path
        The file.
    *parts : bytes or memoryview
        What is written, one after the other.
    temporary : Path, default=None
        The temporary name, in the same folder: only there is a rename atomic. Nothing
        is left of it, unless the process dies. By default, a name of its own.

    Raises
    ------
    OSError
        If it cannot be written; the old file is left unchanged.
    """
    if temporary is None:
        # Not made from the name of the file, which may be as long as names can be; nor
        # by tempfile, whose files nobody but their owner may read.
        temporary = path.with_name(f".{uuid.uuid4().hex}.part")
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
