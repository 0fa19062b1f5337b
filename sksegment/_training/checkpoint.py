"""Checkpoints: what a training run needs to resume, kept in a folder while it runs."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import torch

# filelock comes with torch. Its locks end with their process, however that ended.
from filelock import FileLock, Timeout

from sksegment._atomic_write import replace_file
from sksegment._torch.processes import Processes

DIGEST_SIZE = sha256().digest_size
FILE_NAME = "checkpoint.pt"
LOCK_NAME = "lock"


@dataclass(frozen=True)
class Checkpoint:
    """The file in which one training run keeps its progress.

    Parameters
    ----------
    path : Path
        The file.
    progress : dict
        What was found in it: tensors, numbers, text, and lists and dicts of them;
        empty for a new run.
    """

    path: Path
    progress: dict[str, Any]

    def save(self, progress: dict[str, Any]) -> None:
        """Replace the file's content; whatever happens, it holds the old or the new.

        Raises
        ------
        OSError
            If the file cannot be written; it is left unchanged.
        """
        buffer = io.BytesIO()
        torch.save(progress, buffer)
        content = buffer.getbuffer()
        try:
            digest = sha256(content).digest()
            replace_file(self.path, digest, content, temporary=_temporary(self.path))
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror or error}: the checkpoint cannot be written. The "
                f"previous one is kept: make room or choose another checkpoint_dir, "
                f"and call the same fit again",
                os.fspath(self.path),
            ) from error


@contextmanager
def open_checkpoint(
    directory: str | os.PathLike[str], name: str
) -> Iterator[Checkpoint]:
    """Hold the checkpoint of a training run, and remove it when the run ends.

    Runs of the same name at the same time get one each: the first takes the folder
    `name`, the next ``name-2``. An exception leaves the file in place.

    Parameters
    ----------
    directory : str or path-like
        Where the folders of all runs are; made if it is missing.
    name : str
        What distinguishes this run from others.

    Yields
    ------
    Checkpoint
        The checkpoint, with the progress that an interrupted run left in it.

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
            f"expected a folder in which subfolders can be made",
            error.filename,
        ) from error
    path = folder / FILE_NAME
    try:
        yield Checkpoint(path, read_progress(path) if path.exists() else {})
        path.unlink(missing_ok=True)
    finally:
        _leave(folder, lock)


@contextmanager
def lead_checkpoint(
    opened: AbstractContextManager[Checkpoint], processes: Processes
) -> Iterator[Checkpoint]:
    """Hold a checkpoint, and tell the other processes what was found in it."""
    with opened as checkpoint:
        processes.from_first(lambda: checkpoint.progress)
        yield checkpoint


@contextmanager
def follow_checkpoint(processes: Processes) -> Iterator[Checkpoint]:
    """Go on from where the first process found a checkpoint, which it alone writes."""
    yield FollowedCheckpoint(Path(), processes.from_first(dict))


class FollowedCheckpoint(Checkpoint):
    """The progress of a training run whose file another process writes."""

    def save(self, progress: dict[str, Any]) -> None:
        """Do nothing."""


def load_progress(checkpoint: Checkpoint | None) -> dict[str, Any]:
    """Return the progress to resume from; empty if there is none."""
    return {} if checkpoint is None else checkpoint.progress


def read_progress(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds; raise `OSError` if it is damaged."""
    content = path.read_bytes()
    digest, rest = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
    if digest != sha256(rest).digest():
        raise OSError(
            f"The checkpoint {os.fspath(path)!r} is damaged; expected the file that "
            f"fit wrote. Remove it to train from the start."
        )
    try:
        progress: dict[str, Any] = torch.load(
            io.BytesIO(rest), map_location="cpu", weights_only=True
        )
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise OSError(
            f"The checkpoint {os.fspath(path)!r} cannot be read; expected one written "
            f"by fit with this version of torch. Remove it to train from the start."
        ) from error
    return progress


def _free_folder(directory: Path, name: str) -> tuple[Path, FileLock]:
    """Lock and return the first folder of this name that no running training holds."""
    for number in count(1):
        folder = directory / (name if number == 1 else f"{name}-{number}")
        with suppress(Timeout):
            return folder, _lock(folder)
    raise AssertionError  # count has no end


def _lock(folder: Path) -> FileLock:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME)
        # Another run that is ending may remove the folder just before it is locked.
        with suppress(FileNotFoundError):
            lock.acquire(blocking=False)
            return lock


def _leave(folder: Path, lock: FileLock) -> None:
    """Remove the temporary file, the lock and the folder, if nothing else is in it."""
    # Whoever waits for a lock whose file is gone makes a new one. Windows cannot delete
    # open files, a failing disk none: these errors must not hide the first one.
    for path in (_temporary(folder / FILE_NAME), folder / LOCK_NAME):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):
        folder.rmdir()


def _temporary(path: Path) -> Path:
    # Always the same, so that what a killed process leaves behind is found.
    return path.with_suffix(".tmp")
