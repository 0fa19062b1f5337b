"""Atomic file writing: a reader finds either the old file or the new one, complete."""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any


def target_file(path: Any) -> Path:
    """Return the path of a file that is about to be made, after a look at its place.

    What is written may take minutes to make.

    Parameters
    ----------
    path : object
        What the user passed as `path`.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    TypeError
        If it is no path.
    OSError
        If it is a folder, or lies in one that is not there.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {path!r}; expected the path of a file.")
    target = Path(path)
    if target.is_dir():
        what = "path is a folder; expected the path of a file"
        raise IsADirectoryError(errno.EISDIR, what, os.fspath(path))
    folder = Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        what = f"There is no folder {folder}; make it, or give path another one"
        raise FileNotFoundError(errno.ENOENT, what, os.fspath(path))
    return target


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
        If it cannot be written, which names the file itself; the old one is left
        unchanged.
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
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
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
