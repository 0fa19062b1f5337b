"""Images with their masks and weights, and one look at all of them before training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._images import (
    ImageList,
    as_images,
    as_masks,
    check_channels,
    check_pair,
    check_pairs,
)
from sksegment._labels import (
    LabelEncoder,
    count_labels,
    format_labels,
    is_ignored,
)
from sksegment._scale import ChannelSums, Scale, channel_sums
from sksegment._weights import as_weights, check_weight_size

# Labels by which the field marks pixels without a class.
USUAL_VOIDS = (255, -1)
# More values than this are no classes, but instance ids or an interpolated mask.
MAX_FOUND_CLASSES = 256
# The stream of random numbers that splits off the validation images.
SPLIT = 2


@dataclass(frozen=True)
class Samples:
    """Images, the masks that belong to them, and weights if there are any.

    Parameters
    ----------
    images, masks : ImageList
        As many masks as images.
    weights : sequence of ndarray or None
        For each image one weight, or one a pixel.
    """

    images: ImageList
    masks: ImageList
    weights: Sequence[NDArray[np.float64]] | None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: NDArray[np.intp]) -> Samples:
        """Return the samples at `indices`, in that order."""
        weights = self.weights
        chosen = None if weights is None else [weights[index] for index in indices]
        return Samples(self.images.take(indices), self.masks.take(indices), chosen)

    def read(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return image and mask `index`, checked against each other."""
        image, mask = self.images[index], self.masks[index]
        check_pair(image, mask, self.masks, index)
        return image, mask

    def weight(self, index: int) -> NDArray[np.float64] | None:
        """Return the weight of image `index`: one number, or one a pixel."""
        return None if self.weights is None else self.weights[index]


@dataclass(frozen=True)
class Survey:
    """What one look at all samples tells.

    Parameters
    ----------
    sizes : list of tuple of int
        Height and width of each image in pixels.
    n_channels : int
        Channels of the images.
    scale : Scale
        Scale of the channels, over the images that take part.
    encoder : LabelEncoder
        The classes and the ignored label.
    pixels : ndarray of shape (n_images, n_classes)
        Pixels of each class in each image, weighted.
    """

    sizes: list[tuple[int, int]]
    n_channels: int
    scale: Scale
    encoder: LabelEncoder
    pixels: NDArray[np.float64]

    @property
    def taking_part(self) -> NDArray[np.intp]:
        """Indices of the images with a labelled pixel of positive weight."""
        return np.flatnonzero(self.pixels.sum(axis=1))

    def take(self, indices: NDArray[np.intp]) -> Survey:
        """Return what is known of the images at `indices`; the scale stays."""
        sizes = [self.sizes[index] for index in indices]
        return replace(self, sizes=sizes, pixels=self.pixels[indices])


def as_samples(X: Any, y: Any, sample_weight: Any) -> Samples:
    """Return what `X`, `y` and `sample_weight` stand for, if they go together."""
    masks = as_masks(y)
    images = as_images(X)
    check_pairs(images, masks)
    return Samples(images, masks, as_weights(sample_weight, len(images)))


def survey(samples: Samples, classes: NDArray[Any] | None, ignore_label: Any) -> Survey:
    """Check every sample and count, in one pass over all of them.

    Parameters
    ----------
    samples : Samples
        What training was given.
    classes : ndarray or None
        The classes of the task; None for those that are found.
    ignore_label : object
        The label value that is no class.

    Returns
    -------
    Survey
        What was found.

    Raises
    ------
    ValueError, TypeError
        If a sample is faulty, a label is unknown, or no pixel is labelled.
    """
    sums: list[ChannelSums] = []
    counts: list[tuple[NDArray[Any], NDArray[np.float64]]] = []
    sizes: list[tuple[int, int]] = []
    n_channels = samples.images[0].shape[-1]
    for index in range(len(samples)):
        image, mask = samples.read(index)
        check_channels(image, n_channels, samples.images.name(index))
        weight = samples.weight(index)
        if weight is not None:
            check_weight_size(weight, mask, index)
        sizes.append(mask.shape)
        sums.append(channel_sums(image))
        counts.append(count_labels(mask, weight))
    encoder = _encoder([labels for labels, _ in counts], samples, classes, ignore_label)
    pixels = _pixels_of_classes(counts, encoder)
    used = np.flatnonzero(pixels.sum(axis=1))
    if not len(used):
        raise ValueError(_nothing_labelled(ignore_label))
    scale = reduce(add, [sums[index] for index in used]).scale()
    return Survey(sizes, n_channels, scale, encoder, pixels)


def held_out_samples(
    X_val: Any, y_val: Any, sample_weight_val: Any, found: Survey
) -> Samples | None:
    """Return the validation data that the user brings, checked against training."""
    if X_val is None and y_val is None and sample_weight_val is None:
        return None
    if X_val is None or y_val is None:
        raise ValueError(
            "X_val and y_val go together (and sample_weight_val with them); got only "
            "some of them."
        )
    samples = as_samples(X_val, y_val, sample_weight_val)
    encoder = found.encoder
    checked = survey(samples, encoder.classes, encoder.ignore_label)
    check_same_channels(checked.n_channels, found.n_channels, "X_val")
    return samples


def split_indices(
    indices: NDArray[np.intp], fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Divide images at random into training and validation.

    Parameters
    ----------
    indices : ndarray of shape (n,)
        The images that take part.
    fraction : float
        Share that is held out; at least one image is, and one is left.
    seed : int
        The seed of the draw.

    Returns
    -------
    training, validation : ndarray
        Indices in ascending order.

    Raises
    ------
    ValueError
        If there are not two images.
    """
    if len(indices) < 2:
        raise ValueError(
            f"early_stopping=True holds out validation images, but {len(indices)} "
            f"image takes part in training; expected at least 2, or X_val and y_val."
        )
    rng = np.random.default_rng([seed, SPLIT])
    n_held_out = min(max(1, round(fraction * len(indices))), len(indices) - 1)
    shuffled = rng.permutation(indices)
    return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])


def check_same_channels(n_channels: int, expected: int, name: str) -> None:
    """Refuse images with other channels than those before."""
    if n_channels != expected:
        raise ValueError(
            f"{name} has {n_channels} features, but FCNSegmenter is expecting "
            f"{expected} features as input: the channels of the images."
        )


def check_classes(classes: Any, ignore_label: Any) -> NDArray[Any] | None:
    """Return the classes that the user names, sorted."""
    if classes is None:
        return None
    named = np.asarray(classes)
    if named.ndim != 1 or named.dtype.kind not in "buifUS" or not len(named):
        raise ValueError(
            f"classes is {classes!r}; expected a list of the label values of the task."
        )
    if len(np.unique(named)) < len(named):
        raise ValueError(f"classes is {classes!r}; expected each label value once.")
    if is_ignored(named, ignore_label).any():
        raise ValueError(
            f"ignore_label={ignore_label!r} is also one of classes={classes!r}; "
            f"expected a label that is no class."
        )
    return np.unique(named)


def _encoder(
    labels: list[NDArray[Any]],
    samples: Samples,
    classes: NDArray[Any] | None,
    ignore_label: Any,
) -> LabelEncoder:
    if classes is not None:
        encoder = LabelEncoder(classes, ignore_label)
        for index, found in enumerate(labels):
            encoder.encode(found, samples.masks.name(index))
        return encoder
    kinds = {found.dtype.kind in "US" for found in labels}
    if len(kinds) > 1:
        raise TypeError("y mixes masks of strings and of numbers; expected one kind.")
    found = np.unique(np.concatenate(labels))
    found = found[~is_ignored(found, ignore_label)]
    if not len(found):
        raise ValueError(_nothing_labelled(ignore_label))
    if len(found) > MAX_FOUND_CLASSES:
        raise ValueError(
            f"y holds {len(found)} different labels ({format_labels(found)}): they "
            f"look like instance ids, or a mask that was interpolated or saved as "
            f"JPEG. Name the labels with classes= if they are meant."
        )
    _warn_of_void(found, ignore_label)
    return LabelEncoder(found, ignore_label)


def _nothing_labelled(ignore_label: Any) -> str:
    return (
        f"No pixel of y takes part: all are ignore_label={ignore_label!r} or have "
        f"weight 0; expected at least one labelled pixel."
    )


def _warn_of_void(classes: NDArray[Any], ignore_label: Any) -> None:
    """Warn of a label that usually means "no class" and is about to become one."""
    # Two labels are an honest binary mask, 0/255 most of all.
    if ignore_label is not None or len(classes) < 3 or classes.dtype.kind in "US":
        return
    for void in USUAL_VOIDS:
        if np.any(classes == void):
            warnings.warn(
                f"The label {void} of y becomes one of {len(classes)} classes. If it "
                f"marks pixels without a class, pass ignore_label={void}; if it is a "
                f"class, name all labels with classes= to silence this warning.",
                UserWarning,
                stacklevel=2,
            )


def _pixels_of_classes(
    counts: list[tuple[NDArray[Any], NDArray[np.float64]]], encoder: LabelEncoder
) -> NDArray[np.float64]:
    pixels = np.zeros((len(counts), len(encoder.classes)))
    for row, (labels, numbers) in zip(pixels, counts, strict=True):
        codes = encoder.encode(labels)
        row[codes[codes >= 0]] = numbers[codes >= 0]
    return pixels
