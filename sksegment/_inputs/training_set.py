"""What a network is trained on: samples, and one look at all of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.channel_scale import ChannelSums, Scale, channel_sums
from sksegment._inputs.classes import (
    encoder_of_masks,
    nothing_labelled_message,
    pixels_of_classes,
)
from sksegment._inputs.file_threads import Arrays, read_ahead
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import check_channels
from sksegment._inputs.labels import LabelCounts, LabelEncoder, count_labels, is_ignored
from sksegment._inputs.mixed_scales import images_of_16_bits
from sksegment._inputs.nodata_marks import likely_mark, warn_of_marks
from sksegment._inputs.progress import with_progress
from sksegment._inputs.sample_weight import check_weight_size
from sksegment._inputs.samples import Samples, as_samples
from sksegment._inputs.scribbles import label_of_rest, warn_of_strokes

# A pixel this far from the mean, in standard deviations, with this share of the
# variance, alone determines the scale.
FAR, LARGE_SHARE = 30.0, 0.1


class ImageFacts(NamedTuple):
    """What one look at an image and its mask has found.

    Parameters
    ----------
    size : tuple of int
        Height and width in pixels.
    dtype : dtype
        That of the image.
    sums : ChannelSums
        Moments of its channels, over the pixels that count.
    mark : number of numpy or None
        A value that probably marks pixels without data.
    rest : object
        Of a mask of strokes the label of the rest; None of others.
    """

    size: tuple[int, int]
    dtype: np.dtype[Any]
    sums: ChannelSums
    mark: Any
    rest: Any


@dataclass(frozen=True, kw_only=True)
class TrainingSet(Samples):
    """Samples, with what one look at all of them has found.

    Parameters
    ----------
    facts : list of ImageFacts
        What is known of each image.
    n_channels : int
        Channels of the images.
    encoder : LabelEncoder
        The classes and the ignored label.
    pixels : ndarray of shape (n_images, n_classes)
        Pixels of each class in each image, weighted.
    n_labelled : ndarray of shape (n_images,)
        Pixels with a class and a positive weight.
    """

    facts: list[ImageFacts]
    n_channels: int
    encoder: LabelEncoder
    pixels: NDArray[np.float64]
    n_labelled: NDArray[np.float64]

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each image in pixels."""
        return [fact.size for fact in self.facts]

    @cached_property
    def dtypes(self) -> list[np.dtype[Any]]:
        """The dtype of each image."""
        return [fact.dtype for fact in self.facts]

    @property
    def scale(self) -> Scale:
        """Scale of the channels over all images."""
        nodata = None if self.nodata is None else self.nodata.value
        sums = reduce(add, (fact.sums for fact in self.facts))
        return replace(sums.scale(), nodata=nodata)

    @property
    def mean_weight(self) -> float:
        """Mean weight of the labelled pixels."""
        return float(self.pixels.sum() / self.n_labelled.sum())

    def take(self, indices: NDArray[np.intp]) -> Self:
        """Return the samples at `indices`, and what is known of them."""
        return replace(
            super().take(indices),
            facts=[self.facts[index] for index in indices],
            pixels=self.pixels[indices],
            n_labelled=self.n_labelled[indices],
        )


def survey(
    samples: Samples,
    classes: NDArray[Any] | None,
    ignore_label: Any,
    verbose: int = 0,
) -> TrainingSet:
    """Check every sample and count, in one pass over all of them.

    Parameters
    ----------
    samples : Samples
        What training was given.
    classes : ndarray or None
        The classes of the task; None for those that are found.
    ignore_label : object
        The label value that is not a class.
    verbose : int, default=0
        With 2, progress is shown.

    Returns
    -------
    TrainingSet
        The samples, with what was found.

    Raises
    ------
    ValueError, TypeError
        If a sample is faulty, a label is unknown, or no pixel is labelled.
    """
    facts: list[ImageFacts] = []
    counts: list[LabelCounts] = []
    n_channels = samples.images[0].shape[-1]
    # Who names classes, or an ignored label, knows what the labels are.
    names_labels = classes is not None or ignore_label is not None
    with _pairs(samples) as pairs:
        shown = with_progress(pairs, len(samples), "checking", "images", verbose)
        for index, (image, mask) in enumerate(shown):
            check_channels(image, n_channels, samples.images.name(index))
            weight = samples.weight(index)
            if weight is not None:
                check_weight_size(weight, mask, index)
            counts.append(count_labels(mask, weight))
            counted = _counted(mask, weight, ignore_label)
            sums = channel_sums(image, counted)
            mark = likely_mark(image, counted) if samples.nodata is None else None
            rest = None if names_labels else label_of_rest(mask, counts[-1])
            facts.append(ImageFacts(mask.shape, image.dtype, sums, mark, rest))
    return _with_classes(samples, facts, counts, n_channels, classes, ignore_label)


def _with_classes(
    samples: Samples,
    facts: list[ImageFacts],
    counts: list[LabelCounts],
    n_channels: int,
    classes: NDArray[Any] | None,
    ignore_label: Any,
) -> TrainingSet:
    """Return what was found, with the classes that all masks together have."""
    labels = [count.labels for count in counts]
    encoder = encoder_of_masks(labels, samples.masks.name, classes, ignore_label)
    if samples.nodata is not None:
        samples.nodata.check_classes(encoder.classes)
    pixels, n_labelled = pixels_of_classes(counts, encoder)
    if not pixels.any():
        raise ValueError(nothing_labelled_message(ignore_label))
    return TrainingSet(
        images=samples.images,
        masks=samples.masks,
        weights=samples.weights,
        unit=samples.unit,
        nodata=samples.nodata,
        facts=facts,
        n_channels=n_channels,
        encoder=encoder,
        pixels=pixels,
        n_labelled=n_labelled,
    )


def _pairs(samples: Samples) -> AbstractContextManager[Iterator[Arrays]]:
    """Return all images with their masks; files are read ahead in threads."""
    if is_path(samples.images.items[0]) or is_path(samples.masks.items[0]):
        return read_ahead(samples.read, len(samples))
    return nullcontext(map(samples.read, range(len(samples))))


def training_set(
    samples: Samples,
    classes: NDArray[Any] | None,
    ignore_label: Any,
    verbose: int = 0,
) -> TrainingSet:
    """Return the samples that take part, with what is known of them.

    An image without a labelled pixel of positive weight takes no part. Weights are
    counted in units of their mean: a constant factor changes nothing.
    """
    found = _labelled_part(survey(samples, classes, ignore_label, verbose))
    _warn_of_two_depths(found)
    known = list(enumerate(found.facts))
    marks = {i: fact.mark for i, fact in known if fact.mark is not None}
    warn_of_marks(marks, len(found), found.images.name)
    if not marks:
        _warn_of_outlier(found)
    rests = {i: fact.rest for i, fact in known if fact.rest is not None}
    warn_of_strokes(rests, len(found), found.masks.name)
    return found


def _labelled_part(found: TrainingSet) -> TrainingSet:
    found = replace(found, unit=found.mean_weight)
    return found.take(np.flatnonzero(found.n_labelled))


def held_out_samples(
    X_val: Any, y_val: Any, sample_weight_val: Any, training: TrainingSet
) -> Samples | None:
    """Return the validation data that the user passes, checked against training."""
    if X_val is None and y_val is None and sample_weight_val is None:
        return None
    if X_val is None or y_val is None:
        raise ValueError(
            "X_val and y_val go together (and sample_weight_val with both); got only "
            "some of them."
        )
    encoder = training.encoder
    try:
        samples = as_samples(X_val, y_val, sample_weight_val, training.nodata)
        found = survey(samples, encoder.classes, encoder.ignore_label)
    except (ValueError, TypeError) as error:
        error.add_note("This is about X_val, y_val and sample_weight_val.")
        raise
    check_same_channels(found.n_channels, training.n_channels, "X_val")
    return _labelled_part(found)


def check_same_channels(n_channels: int, expected: int, name: str) -> None:
    """Reject images whose number of channels is not the expected one."""
    if n_channels != expected:
        raise ValueError(
            f"{name} has {n_channels} features, but FCNSegmenter is expecting "
            f"{expected} features as input: the channels of the images."
        )


def _counted(
    mask: NDArray[Any], weight: NDArray[np.float64] | None, ignore_label: Any
) -> NDArray[np.bool_] | None:
    """Tell which pixels have a class and a weight; None if all of them do."""
    counted = ~is_ignored(mask, ignore_label)
    if weight is not None and weight.ndim:
        counted &= weight > 0
    return None if counted.all() else counted


def _warn_of_two_depths(found: TrainingSet) -> None:
    """Warn about images of 16 bits among images of 8 bits."""
    highest = [float(fact.sums.high.max()) for fact in found.facts]
    wide = images_of_16_bits(found.dtypes, highest)
    if wide:
        warnings.warn(
            f"{len(wide)} of {len(found.dtypes)} images hold more than 8 bits "
            f"({found.images.name(wide[0])}), others are of 8 bits, and all are taken "
            f"as they are. If they show the same things, bring them to one scale, as "
            f"with image / np.iinfo(image.dtype).max.",
            UserWarning,
            stacklevel=2,
        )


def _warn_of_outlier(found: TrainingSet) -> None:
    """Warn about one pixel that alone determines the scale of a channel."""
    scale = found.scale
    n_pixels = sum(fact.sums.n_pixels for fact in found.facts)
    for index, fact in enumerate(found.facts):
        for value in (fact.sums.low, fact.sums.high):
            distance = np.abs(value - scale.mean) / scale.std
            is_far = (distance > FAR) & (distance**2 > LARGE_SHARE * n_pixels)
            if is_far.any():
                channel = int(is_far.argmax())
                warnings.warn(
                    f"Channel {channel} of {found.images.name(index)} reaches "
                    f"{value[channel]:.6g}, {distance[channel]:.0f} standard "
                    f"deviations from the mean: other differences nearly vanish beside "
                    f"it. Is it a hot pixel, or a mark of missing values? Clip it, or "
                    f"give such pixels the ignore_label in y, or pass nodata=.",
                    UserWarning,
                    stacklevel=2,
                )
                return
