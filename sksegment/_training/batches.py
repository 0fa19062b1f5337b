"""Mini-batches: their order, the part of each image, and what is done to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.image_list import Window
from sksegment._inputs.labels import IGNORED
from sksegment._inputs.random import CROP, ORDER, random_generator
from sksegment._inputs.training_set import TrainingSet
from sksegment._torch.batch import Batch
from sksegment._torch.devices import arithmetic_device
from sksegment._torch.processes import ALONE, Processes
from sksegment._torch.tensors import standardize
from sksegment._training.image_store import Codes, Example, ImageStore, mirror_indices
from sksegment.augmentation._apply import augment_batch
from sksegment.augmentation._plan import PlannedStep

# Batches are cut from a shuffled pool of this many, sorted by size: images of similar
# size meet, so that little padding is needed, yet batches differ in every epoch.
POOL_BATCHES = 16

# What "auto" stands for: this many images, but smaller batches in a small data set, so
# that an epoch has about this many steps, and in a short training, so that it has about
# that many in all: with fewer, a network learns next to nothing.
AUTO_BATCH_SIZE = 8
AUTO_STEPS = 4
AUTO_STEPS_IN_ALL = 40

# Files are read for this many batches at once: the one that is wanted, and those after
# it, while the network trains on the first.
READ_BATCHES = 3

Target = tuple[Tensor, Tensor | None]


class Crop(NamedTuple):
    """A part of an image that is trained on.

    Parameters
    ----------
    image : int
        Index of the image.
    copy : int
        Which of the crops of that image in this epoch.
    height, width : int
        Size in pixels.
    """

    image: int
    copy: int
    height: int
    width: int

    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self.height, self.width


@dataclass
class Batches:
    """The mini-batches of training; each iteration over them is one epoch.

    Every draw is a function of the seed, the epoch and the image, so that nothing
    depends on how many batches were drawn before.

    Parameters
    ----------
    samples : TrainingSet
        Images, masks and weights, and what is known of them.
    scale : Scale
        How the images are standardised.
    steps : sequence of PlannedStep
        The augmentations.
    batch_size : int or "auto"
        Largest number of images in a batch.
    crop_size : tuple of int or None
        Height and width in pixels of the parts that are trained on; None for whole
        images.
    crop_sampling : str
        "uniform", or "balanced": crops are centred on pixels of a class of their
        image, on each class equally often.
    seed : int
        The seed of all draws.
    device : torch.device
        Where the batches are wanted.
    epoch : int
        Number of epochs trained before.
    room : float
        Bytes that images kept on the device may take.
    processes : Processes
        Those that train together: each gets its share of every batch.
    n_epochs : int or None
        Epochs of this training; None if it may go on.
    pseudo_labels : mapping of int to ndarray of shape (height, width)
        What unlabelled pixels are taken for, by the number of the image: class codes.
    """

    samples: TrainingSet
    scale: Scale
    steps: Sequence[PlannedStep]
    batch_size: int | str
    crop_size: tuple[int, int] | None
    crop_sampling: str
    seed: int
    device: torch.device
    epoch: int = 0
    room: float = 0
    processes: Processes = ALONE
    n_epochs: int | None = None
    pseudo_labels: Mapping[int, Codes] = field(default_factory=dict)
    # Of the batch that is trained on: its images, and which of them are here.
    n_images: int = field(default=0, init=False)
    own_images: slice = field(default_factory=lambda: slice(None), init=False)

    def __len__(self) -> int:
        n_crops = len(self._crops())
        return -(-n_crops // self._images_in_batch(n_crops))

    def __iter__(self) -> Iterator[tuple[Tensor, Target]]:
        for _, batch in self.drawn():
            yield batch.images, (batch.codes, batch.weights)

    def drawn(self) -> Iterator[tuple[list[Crop], Batch]]:
        """Yield the batches of an epoch, each with what its images are parts of."""
        self.epoch += 1
        rng = random_generator(ORDER, self.seed, self.epoch)
        crops = self._crops()
        batch_size = self._images_in_batch(len(crops))
        batches = cut_batches(crops, batch_size, rng)
        for index, members in enumerate(batches):
            self._read_ahead(batches[index : index + READ_BATCHES])
            yield members, self._batch(members)

    def _read_ahead(self, batches: Sequence[Sequence[Crop]]) -> None:
        """Begin to read the files of the next batches that are wanted here."""
        for crops in batches:
            own = crops[self.processes.own_share(len(crops))]
            self._store.read_ahead(crop.image for crop in own)

    def _images_in_batch(self, n_crops: int) -> int:
        return images_in_batch(self.batch_size, n_crops, self.n_epochs)

    def largest(self) -> tuple[int, int, int]:
        """Return the largest number of images, height and width of a batch."""
        crops = self._crops()
        n_images = -(-len(crops) // len(self))
        sizes = np.array([crop.size() for crop in crops])
        height, width = sizes.max(axis=0).tolist()
        return n_images, height, width

    def release_images(self) -> None:
        """Forget the images that are kept, and end the threads that read files."""
        store = vars(self).pop("_store", None)
        if store is not None:
            store.files.close()

    def have_one_size(self) -> bool:
        """Tell whether all batches hold images of one size."""
        return len({crop.size() for crop in self._crops()}) == 1

    def are_fixed(self) -> bool:
        """Tell whether an image is the same in every epoch: whole, not augmented."""
        return not self.steps and self.crop_size is None

    def _crops(self) -> list[Crop]:
        """List what an epoch trains on: about as many pixels as the images have."""
        crops = []
        for index, (height, width) in enumerate(self.samples.sizes):
            crop_height, crop_width = self.crop_size or (height, width)
            copies = max(1, round(height * width / (crop_height * crop_width)))
            crops += [
                Crop(index, copy, crop_height, crop_width) for copy in range(copies)
            ]
        return crops

    def _batch(self, crops: Sequence[Crop]) -> Batch:
        # Augmented before padding: the result for an image must not depend on the other
        # images of its batch.
        self.n_images = len(crops)
        self.own_images = self.processes.own_share(len(crops))
        # A process without an image of its own takes part all the same, with none.
        own = crops[self.own_images] or crops[:1]
        groups = [self._augmented(list(group)) for _, group in groupby(own, Crop.size)]
        height = max(crop.height for crop in crops)
        width = max(crop.width for crop in crops)
        batch = join_batches(
            [pad_by_mirroring(group, height, width) for group in groups]
        )
        return batch if crops[self.own_images] else without_images(batch)

    def _augmented(self, crops: Sequence[Crop]) -> Batch:
        """Return crops of one size, augmented."""
        keys = [(self.epoch, crop.image, crop.copy) for crop in crops]
        # In one expression, so that the examples are freed before augmentation copies.
        batch = stack_examples([*map(self._example, crops)], self.scale, self.device)
        return augment_batch(self.steps, batch, keys, self.seed, self.scale)

    def _example(self, crop: Crop) -> Example:
        example = self._store.read_crop(crop.image, self._window(crop))
        return example.pad(crop.size())

    @cached_property
    def _store(self) -> ImageStore:
        device = arithmetic_device(self.device)
        return ImageStore(self.samples, device, self.room, self.pseudo_labels)

    def _window(self, crop: Crop) -> Window:
        """Draw where a crop lies in its image."""
        # How far the crop can be moved; an image that is too small leaves no choice.
        size = self.samples.sizes[crop.image]
        room = np.maximum(np.subtract(size, crop.size()), 0)
        starts = self._starts(crop, room) if room.any() else room
        top, left = starts.tolist()
        return slice(top, top + crop.height), slice(left, left + crop.width)

    def _starts(self, crop: Crop, room: NDArray[np.intp]) -> NDArray[np.intp]:
        rng = random_generator(CROP, self.seed, self.epoch, crop.image, crop.copy)
        if self.crop_sampling != "balanced":
            return rng.integers(room + 1)
        codes = self._store.codes(crop.image)
        middle = np.floor_divide(crop.size(), 2)
        return (class_aware_position(codes, rng) - middle).clip(0, room)


def images_in_batch(
    batch_size: int | str, n_images: int, n_epochs: int | None = None
) -> int:
    """Return the largest number of images in a batch.

    Parameters
    ----------
    batch_size : int or "auto"
        What the user asked for.
    n_images : int
        Images, or crops, in an epoch.
    n_epochs : int or None, default=None
        Epochs of the training; None if it may go on.

    Examples
    --------
    >>> from sksegment._training.batches import images_in_batch
    >>> [images_in_batch("auto", n_images) for n_images in (2, 5, 20, 1000)]
    [1, 2, 5, 8]
    >>> [images_in_batch("auto", 20, n_epochs) for n_epochs in (1, 4, 100)]
    [1, 2, 5]
    """
    if not isinstance(batch_size, str):
        return batch_size
    most = min(AUTO_BATCH_SIZE, -(-n_images // AUTO_STEPS))
    if n_epochs is None:
        return most
    return max(1, min(most, n_images * n_epochs // AUTO_STEPS_IN_ALL))


def class_aware_position(
    codes: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw a class that a mask holds, and a pixel (row, column) of that class."""
    present = np.unique(codes[codes >= 0])
    pixels = np.argwhere(codes == rng.choice(present))
    return np.asarray(pixels[rng.integers(len(pixels))])


def stack_examples(
    examples: Sequence[Example], scale: Scale, device: torch.device
) -> Batch:
    """Make a batch of examples of one size, with the images standardised."""
    pixels, codes, weights = zip(*examples, strict=True)
    # The examples are on the device already, unless its arithmetic is done elsewhere.
    return Batch(
        standardize(torch.stack(pixels), scale, device),
        torch.stack(codes).to(device, torch.int64),
        None if weights[0] is None else torch.stack(weights).to(device),
    )


def pad_by_mirroring(batch: Batch, height: int, width: int) -> Batch:
    """Pad images to a size by mirroring; the added pixels are ignored.

    They never enter the loss, and batch statistics see the image's own content there
    rather than a constant.
    """
    size = batch.images.shape[-2:]
    if size == (height, width):
        return batch
    rows, columns = (
        mirror_indices(old, new, batch.images.device)
        for old, new in zip(size, (height, width), strict=True)
    )
    padding = (0, width - size[1], 0, height - size[0])
    return Batch(
        batch.images[:, :, rows][..., columns],
        F.pad(batch.codes, padding, value=IGNORED),
        None if batch.weights is None else F.pad(batch.weights, padding),
    )


def join_batches(batches: Sequence[Batch]) -> Batch:
    """Join batches of one size."""
    if len(batches) == 1:
        return batches[0]
    weights = [batch.weights for batch in batches if batch.weights is not None]
    return Batch(
        torch.cat([batch.images for batch in batches]),
        torch.cat([batch.codes for batch in batches]),
        torch.cat(weights) if weights else None,
    )


def without_images(batch: Batch) -> Batch:
    """Return a batch of the same size of images, but without any."""
    weights = None if batch.weights is None else batch.weights[:0]
    return Batch(batch.images[:0], batch.codes[:0], weights)


def cut_batches(
    crops: Sequence[Crop], batch_size: int, rng: np.random.Generator
) -> list[list[Crop]]:
    """Shuffle crops and cut them into batches of nearly equal length.

    Parameters
    ----------
    crops : sequence of Crop
        What is to be trained on.
    batch_size : int
        Largest number of crops in a batch.
    rng : Generator
        Where the order comes from.

    Returns
    -------
    list of list of Crop
        The batches. None is much smaller than the others: a last batch of one image
        would make a noisy step, and noisier batch statistics.
    """
    order = [crops[index] for index in rng.permutation(len(crops))]
    pool = POOL_BATCHES * batch_size
    for start in range(0, len(order), pool):
        order[start : start + pool] = sorted(order[start : start + pool], key=Crop.size)
    n_batches = -(-len(order) // batch_size)
    cuts = np.linspace(0, len(order), n_batches + 1).round().astype(int)
    batches = [order[start:stop] for start, stop in itertools.pairwise(cuts)]
    return [batches[index] for index in rng.permutation(len(batches))]
