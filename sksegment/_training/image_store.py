"""Crops and whole images with masks and weights, and where batches get them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sksegment._inputs.file_threads import MAX_WAITING
from sksegment._inputs.image_list import Window
from sksegment._inputs.labels import IGNORED, NO_DATA
from sksegment._inputs.nodata import with_nan
from sksegment._inputs.training_set import TrainingSet
from sksegment._torch.devices import to_device
from sksegment._torch.tensors import in_torch_dtype, torch_dtype
from sksegment._training.file_cache import FileCache

# The largest image, in bytes, that is read as a whole to be kept. Larger ones may not
# fit into memory, and are read part by part.
MAX_KEPT = 2**28
WHOLE: Window = (slice(None), slice(None))
CORNER: Window = (slice(1), slice(1))

Codes = NDArray[np.signedinteger]


class Example(NamedTuple):
    """A part of an image, or all of it, with what belongs to its pixels.

    Parameters
    ----------
    pixels : Tensor of shape (height, width, n_channels)
        The values as they were given, in a dtype of torch.
    codes : Tensor of shape (height, width)
        Class codes, negative where ignored.
    weights : Tensor of shape (height, width) or None
        Pixel weights.
    """

    pixels: Tensor
    codes: Tensor
    weights: Tensor | None

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> Example:
        """Return an example with the same change made to each of its tensors."""
        weights = None if self.weights is None else change(self.weights)
        return Example(change(self.pixels), change(self.codes), weights)

    def pad(self, size: tuple[int, int]) -> Example:
        """Pad an example to a size by mirroring; the added pixels are ignored."""
        height, width = self.codes.shape
        if (height, width) == size:
            return self
        rows, columns = (
            mirror_indices(old, new, self.codes.device)
            for old, new in zip((height, width), size, strict=True)
        )
        padding = (0, size[1] - width, 0, size[0] - height)
        return Example(
            self.pixels[rows][:, columns],
            F.pad(self.codes, padding, value=IGNORED),
            None if self.weights is None else F.pad(self.weights, padding),
        )


def mirror_indices(old: int, new: int, device: torch.device) -> Tensor:
    """Return which of `old` pixels each of `new` pixels shows, mirrored at the end."""
    indices = np.pad(np.arange(old), (0, new - old), mode="symmetric")
    return to_device(torch.from_numpy(indices), device)


@dataclass
class ImageStore:
    """Reads examples from memory and from files, and keeps whole images on a GPU.

    If there is room, what was sent to a GPU stays there until training ends. It is not
    read, encoded or sent again, except for masks if crops are drawn around a class.

    Parameters
    ----------
    samples : TrainingSet
        Images, masks and weights, and what is known of them.
    device : torch.device
        Where the examples are wanted.
    capacity : float
        Bytes that images kept on the device may take.
    pseudo_labels : mapping of int to ndarray of shape (height, width), default={}
        What unlabelled pixels are taken for, by the number of the image: class codes.
    files : FileCache
        What was read from files.
    """

    samples: TrainingSet
    device: torch.device
    capacity: float
    pseudo_labels: Mapping[int, Codes] = field(default_factory=dict)
    files: FileCache = field(default_factory=FileCache)
    _kept: dict[int, Example] = field(default_factory=dict)

    def read_ahead(self, indices: Iterable[int]) -> None:
        """Begin to read files of the images that come next, as many as may wait."""
        for index in indices:
            if self.files.n_ahead >= self._max_ahead:
                return
            if index not in self._kept:
                self.files.read_ahead(self.samples.masks, index)
                self.files.read_ahead(self.samples.images, index)

    @cached_property
    def _max_ahead(self) -> int:
        """Number of files that may wait if all are as large as the largest."""
        samples = self.samples
        values = max(height * width for height, width in samples.sizes)
        values *= samples.n_channels + 1
        itemsize = max(dtype.itemsize for dtype in samples.dtypes)
        return 2 * (MAX_WAITING // (values * itemsize))

    def read_crop(self, index: int, window: Window) -> Example:
        """Return the part of image `index` in a window, on the device."""
        whole = self._kept.get(index) or self._send_whole(index)
        if whole is not None:
            return whole.map_tensors(lambda tensor: tensor[window])
        return self._read(index, window).map_tensors(self._send)

    def codes(self, index: int) -> NDArray[np.int32]:
        """Return the class codes of a whole mask, ignored where the weight is 0."""
        codes = self._encoded(index, WHOLE)
        if self.samples.weights is None:
            return codes
        # Raw weights, as they are counted: in units of their mean, tiny ones may be 0.
        counts = self.samples.weights[index] > 0
        return np.where(counts | (codes == NO_DATA), codes, IGNORED)

    def _send_whole(self, index: int) -> Example | None:
        """Send a whole image to stay on the device, if there is room for it."""
        if self.capacity <= 0:
            return None
        n_bytes = self._size_on_device(index)
        if n_bytes > min(self.capacity, MAX_KEPT):
            return None
        try:
            example = self._read(index, WHOLE).map_tensors(self._send)
        except torch.OutOfMemoryError:  # the room was taken in the meantime
            self.capacity = 0
            return None
        self.capacity -= n_bytes
        self._kept[index] = example
        return example

    def _size_on_device(self, index: int) -> int:
        """Return the bytes of a whole image, its codes and weights.

        From an array, only a corner is read.
        """
        height, width = self.samples.sizes[index]
        pixel = torch_dtype(self._pixels(index, CORNER).dtype).itemsize
        weights = 0 if self.samples.weights is None else np.float32().itemsize
        each = self.samples.n_channels * pixel + self._codes_dtype.itemsize + weights
        return height * width * each

    @property
    def _codes_dtype(self) -> np.dtype[Any]:
        """Signed and as narrow as possible: codes are sent to the device, and stay."""
        n_classes = len(self.samples.encoder.classes)
        return np.min_scalar_type(min(-n_classes, NO_DATA))

    def _send(self, tensor: Tensor) -> Tensor:
        return to_device(tensor, self.device)

    def _read(self, index: int, window: Window) -> Example:
        # The mask first: around a class, it was read for the window just before.
        codes = self._with_pseudo_labels(index, window)
        image = self._pixels(index, window)
        return Example(
            torch.from_numpy(in_torch_dtype(image)),
            torch.from_numpy(codes.astype(self._codes_dtype)),
            self._read_weights(index, window),
        )

    def _pixels(self, index: int, window: Window) -> NDArray[Any]:
        """Return a part of an image, NaN where there is no data."""
        image = self.files.crop(self.samples.images, index, window)
        nodata = self.samples.nodata
        return image if nodata is None else with_nan(image, nodata.value)

    def _encoded(self, index: int, window: Window) -> NDArray[np.int32]:
        masks = self.samples.masks
        mask = self.files.crop(masks, index, window)
        nodata = self.samples.nodata
        if nodata is None:
            return self.samples.encoder.encode(mask, masks.name(index))
        image = self.files.crop(self.samples.images, index, window)
        mask = self.samples.relabelled(mask, image, index)
        codes = self.samples.encoder.encode(mask, masks.name(index))
        codes[nodata.missing(image)] = NO_DATA
        return codes

    def _with_pseudo_labels(self, index: int, window: Window) -> NDArray[np.int32]:
        codes = self._encoded(index, window)
        if index not in self.pseudo_labels:
            return codes
        return np.where(codes == IGNORED, self.pseudo_labels[index][window], codes)

    def _read_weights(self, index: int, window: Window) -> Tensor | None:
        weight = self.samples.weight(index)
        if weight is None:
            return None
        cut: NDArray[Any] = np.broadcast_to(weight, self.samples.sizes[index])[window]
        return torch.from_numpy(cut.astype(np.float32))
