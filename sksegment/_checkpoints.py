"""Checkpoints: what a training needs to go on, kept in a folder while it runs."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import torch

# torch brings filelock along. A lock of its kind ends with its process, however that
# ended.
from filelock import FileLock, Timeout

from sksegment._atomic import replace_file

DIGEST_SIZE = sha256().digest_size
FILE_NAME = "checkpoint.pt"
LOCK_NAME = "lock"


@dataclass(frozen=True)
class Checkpoint:
    """The file that one training keeps its progress in.

    Parameters
    ----------
    path : Path
        The file.
    progress : dict
        What was found in it: tensors, numbers, text, and lists and dicts of them;
        empty for a new training.
    """

    path: Path
    progress: dict[str, Any]

    def save(self, progress: dict[str, Any]) -> None:
        """Replace what the file holds; whatever happens, it holds the old or the new.

        Raises
        ------
        OSError
            If the file cannot be written: it is as it was.
        """
        buffer = io.BytesIO()
        torch.save(progress, buffer)
        content = buffer.getbuffer()
        try:
            digest = sha256(content).digest()
            replace_file(self.path, _temporary(self.path), digest, content)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror or error}: the checkpoint cannot be written. The one "
                f"before it is kept: make room or choose another checkpoint_dir, and "
                f"the same fit goes on",
                os.fspath(self.path),
            ) from error


@contextmanager
def opened_checkpoint(
    directory: str | os.PathLike[str], name: str
) -> Iterator[Checkpoint]:
    """Hold the checkpoint of a training, which is removed when the training ends.

    Trainings of the same name that run at the same time get one each: the first takes
    the folder `name`, the next ``name-2``. An exception leaves the file in place.

    Parameters
    ----------
    directory : str or path-like
        Where the folders of all trainings are; made if it is missing.
    name : str
        What tells this training from others.

    Yields
    ------
    Checkpoint
        The checkpoint, with the progress that an interrupted training left in it.

    Raises
    ------
    OSError
        If the folder cannot be made, or its file is damaged.
    """
    try:
        folder, lock = _free_folder(Path(directory), name)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror or error}: checkpoint_dir is {os.fspath(directory)!r}; "
            f"expected a folder in which others can be made",
            error.filename,
        ) from error
    path = folder / FILE_NAME
    try:
        yield Checkpoint(path, read_progress(path) if path.exists() else {})
        path.unlink(missing_ok=True)
    finally:
        _leave(folder, lock)


def progress_in(checkpoint: Checkpoint | None) -> dict[str, Any]:
    """Return what there is to go on from; empty where nothing is."""
    return {} if checkpoint is None else checkpoint.progress


def read_progress(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds; `OSError` says that it is damaged."""
    content = path.read_bytes()
    digest, rest = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
    if digest != sha256(rest).digest():
        raise OSError(
            f"The checkpoint {os.fspath(path)!r} is damaged; expected a file as fit "
            f"wrote it. Remove it to train from the start."
        )
    try:
        progress: dict[str, Any] = torch.load(
            io.BytesIO(rest), map_location="cpu", weights_only=True
        )
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise OSError(
            f"The checkpoint {os.fspath(path)!r} cannot be read: another version of "
            f"torch wrote it, or something else. Remove it to train from the start."
        ) from error
    return progress


def _free_folder(directory: Path, name: str) -> tuple[Path, FileLock]:
    """Return the first folder of this name that no running training has, locked."""
    for number in count(1):
        folder = directory / (name if number == 1 else f"{name}-{number}")
        with suppress(Timeout):
            return folder, _locked(folder)
    raise AssertionError  # count has no end


def _locked(folder: Path) -> FileLock:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME)
        # Another training that ends may remove the folder just before it is locked.
        with suppress(FileNotFoundError):
            lock.acquire(blocking=False)
            return lock


def _leave(folder: Path, lock: FileLock) -> None:
    """Remove the temporary file, the lock and the folder, if nothing else is in it."""
    # Who waits for a lock whose file is gone makes a new one. Windows keeps open files,
    # and a disk in trouble all: what was said of it before must not be replaced.
    for path in (_temporary(folder / FILE_NAME), folder / LOCK_NAME):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):
        folder.rmdir()


def _temporary(path: Path) -> Path:
    # Always the same, so that what a killed process leaves behind is found.
    return path.with_suffix(".tmp")
