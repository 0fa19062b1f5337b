"""Decoded files, kept while they fit: many parts of an image are read from one file."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray

from sksegment._files import is_path
from sksegment._images import ImageList, Window

# Share of scikit-learn's ``working_memory`` (1024 MiB by default) that files may take.
SHARE = 1 / 4


class FileCache:
    """Images and masks read from files; the least recently used are dropped first.

    It lives as long as one training run: a changed file is read again in the next.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bool, str], NDArray[Any]] = OrderedDict()
        self._limit = SHARE * 2**20 * float(sklearn.get_config()["working_memory"])
        self.n_bytes = 0

    def whole(self, images: ImageList, index: int) -> NDArray[Any]:
        """Return item `index` of images or masks, checked."""
        item = images.items[index]
        if not is_path(item):
            return images[index]
        key = (images.is_mask, os.fspath(item))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        # A view, such as colours without alpha, would keep its whole base array alive.
        pixels = np.ascontiguousarray(images[index])
        pixels.flags.writeable = False
        self._keep(key, pixels)
        return pixels

    def crop(self, images: ImageList, index: int, window: Window) -> NDArray[Any]:
        """Return a part of item `index`; from an array, only that part is read."""
        if is_path(images.items[index]):
            return self.whole(images, index)[window]
        return images.crop(index, window)

    def _keep(self, key: tuple[bool, str], pixels: NDArray[Any]) -> None:
        if pixels.nbytes > self._limit:
            return
        self._kept[key] = pixels
        self.n_bytes += pixels.nbytes
        while self.n_bytes > self._limit:
            self.n_bytes -= self._kept.popitem(last=False)[1].nbytes
