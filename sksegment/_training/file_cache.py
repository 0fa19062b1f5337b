"""Files decoded once while they fit into memory, and ahead of their use."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray

from sksegment._inputs.file_threads import file_threads
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import ImageList, Window

# Share of scikit-learn's ``working_memory`` (1024 MiB by default) that files may take.
SHARE = 1 / 4

Key = tuple[bool, str]


class FileCache:
    """Images and masks read from files; when it is full, the newest makes way first.

    Epochs take the files in a new order each time: what was kept longest is as likely
    to be the next as any other, and dropping the oldest would drop them all in turn.

    The cache lives as long as one training run: a changed file is read again in the
    next.
    """

    def __init__(self) -> None:
        self._kept: dict[Key, NDArray[Any]] = {}
        self._limit = SHARE * 2**20 * float(sklearn.get_config()["working_memory"])
        self.n_bytes = 0
        self._ahead: dict[Key, Future[NDArray[Any]]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is still being read: threads cannot be copied."""
        return {**vars(self), "_ahead": {}, "_threads": None}

    @property
    def n_ahead(self) -> int:
        """Number of files that are being read ahead, or wait to be taken."""
        return len(self._ahead)

    def read_ahead(self, images: ImageList, index: int) -> None:
        """Begin to read item `index` in a thread, unless it is kept or an array."""
        key = _key(images, index)
        if key is None or key in self._kept or key in self._ahead:
            return
        if self._threads is None:
            self._threads = file_threads()
        self._ahead[key] = self._threads.submit(_decode, images, index)

    def close(self) -> None:
        """End the threads, and forget what they read."""
        self._ahead.clear()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None

    def whole(self, images: ImageList, index: int) -> NDArray[Any]:
        """Return item `index` of images or masks, checked."""
        key = _key(images, index)
        if key is None:
            pixels: NDArray[Any] = images[index]
            return pixels
        if key not in self._kept:
            ahead = self._ahead.pop(key, None)
            pixels = _decode(images, index) if ahead is None else ahead.result()
            self._keep(key, pixels)
            return pixels
        return self._kept[key]

    def crop(self, images: ImageList, index: int, window: Window) -> NDArray[Any]:
        """Return a part of item `index`; from an array, only that part is read."""
        if _key(images, index) is None:
            part: NDArray[Any] = images.crop(index, window)
            return part
        return self.whole(images, index)[window]

    def _keep(self, key: Key, pixels: NDArray[Any]) -> None:
        if pixels.nbytes > self._limit:
            return
        while self.n_bytes + pixels.nbytes > self._limit:
            self.n_bytes -= self._kept.popitem()[1].nbytes
        self._kept[key] = pixels
        self.n_bytes += pixels.nbytes


def _key(images: ImageList, index: int) -> Key | None:
    """Return what identifies a file, as an image or as a mask; None for an array."""
    item = images.items[index]
    return (images.is_mask, os.fspath(item)) if is_path(item) else None


def _decode(images: ImageList, index: int) -> NDArray[Any]:
    # A view, such as colors without alpha, would keep its whole base array alive.
    pixels = np.ascontiguousarray(images[index])
    pixels.flags.writeable = False
    return pixels
