"""Places where masks contradict what networks see that have not learned from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sksegment._inputs.checks import check_integer
from sksegment._inputs.containers import as_array
from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.labels import (
    IGNORED,
    LabelEncoder,
    is_ignored,
    label_array,
    unique_labels,
)
from sksegment._inputs.probabilities import as_probabilities, check_probabilities
from sksegment.datasets._check_masks import Finding

# Bins of the logarithm of (probability of the class seen / of the label).
N_BINS, BIN_WIDTH = 200, 0.1
# What more than this share of the other images show as well is a habit of the network.
MAX_SHARE = 0.2
SMALLEST = 1e-9
CURE = "Look at the image there, and correct the mask if it is wrong."


@dataclass(frozen=True)
class MaskError(Finding):
    """A place where a mask is probably wrong.

    Parameters
    ----------
    kind : str
        `"mask_error"`.
    images : tuple of int
        The position of the image.
    message : str
        What was found.
    cure : str
        What to do about it.
    window : tuple of (slice, slice)
        The rows and columns around the place.
    label : object
        The label in the mask, of most of its pixels.
    predicted : object
        The label that the network sees.
    score : float
        Greater is more certain.

    See Also
    --------
    find_mask_errors : Finds them.

    Examples
    --------
    >>> from sksegment.datasets import MaskError
    >>> place = slice(2, 9), slice(0, 4)
    >>> error = MaskError("mask_error", (7,), "", "", place, 0, 2, 31.5)
    >>> error.images, error.label, error.predicted
    ((7,), 0, 2)
    """

    window: tuple[slice, slice]
    label: Any
    predicted: Any
    score: float


class Contradiction(NamedTuple):
    """The pixels of one image, compared with what a network sees.

    Parameters
    ----------
    given, seen : ndarray of shape (height, width)
        The class of the label, `IGNORED` where there is none, and the most probable.
    bins : ndarray of shape (height, width)
        How much more probable the class seen is: bins of the logarithm of the ratio.
    """

    given: NDArray[np.intp]
    seen: NDArray[np.intp]
    bins: NDArray[np.intp]


def find_mask_errors(
    y: Any,
    probabilities: Any,
    *,
    labels: Any = None,
    ignore_label: Any = None,
    min_pixels: int = 30,
) -> list[MaskError]:
    """Find places where masks contradict networks that have not learned from them.

    The probabilities are out of fold: those of each image come from a network that was
    not trained on it, as :func:`~sksegment.model_selection.cross_val_predict` returns
    them with ``method="predict_proba"``. A network errs, too, but in ways that repeat.
    So a pixel counts by how rare its contradiction is: by the share of the other images
    in which pixels with the same label look at least as much like the same other class.
    Connected pixels that look like one class make one finding, if at most a fifth of
    the other images show the like; findings are ranked by how rare their pixels are on
    average, and by how many they are.

    Parameters
    ----------
    y : array-like of shape (n, height, width) or sequence of mask or of path
        Masks. Each is read twice.
    probabilities : array-like of shape (n, n_classes, height, width), or sequence of \
            array-like of shape (n_classes, height, width)
        Out-of-fold probabilities of the classes at each pixel.
    labels : array-like of shape (n_classes,), default=None
        The label of each class, in the order of the probabilities; by default those
        that occur in `y`, sorted.
    ignore_label : object, default=None
        The label value that is not a class.
    min_pixels : int, default=30
        Smaller places are not reported; in other images, too, so many pixels count.

    Returns
    -------
    list of MaskError
        The most certain ones first. An image may have several, or none. That the list
        is not empty does not mean that masks are wrong: look at the first ones.

    Raises
    ------
    ValueError, TypeError
        If masks and probabilities do not match, probabilities do not sum to 1, or a
        mask holds a label that is not in `labels`.

    See Also
    --------
    check_masks : Finds what is wrong with masks by themselves.
    sksegment.model_selection.cross_val_predict : Makes the probabilities.

    Notes
    -----
    The rank of a place is the mean of ``-log(share)`` over its pixels times the square
    root of their number. Confident learning [1]_ compares pixels with thresholds, one
    per class. Counting images by pairs of classes leaves out the confusions that a
    network is prone to; it takes some tens of images to know them.

    On road scenes with one mask in ten spoiled, 14 to 17 of the first 20 findings were
    right: erased objects and swapped classes, hardly ever outlines shifted by a few
    pixels.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang and I. Chuang, "Confident Learning: Estimating
       Uncertainty in Dataset Labels", Journal of Artificial Intelligence Research 70,
       2021.

    Examples
    --------
    An object that is missing in one of ten masks:

    >>> import numpy as np
    >>> from sksegment.datasets import find_mask_errors
    >>> y = np.zeros((10, 32, 32), dtype=int)
    >>> y[:, 8:16, 4:12] = 1
    >>> probabilities = np.stack([np.where(y, 0.1, 0.9), np.where(y, 0.9, 0.1)], axis=1)
    >>> y[3] = 0
    >>> for error in find_mask_errors(y, probabilities):
    ...     print(error)
    mask_error (image 3): In rows 8 to 15 and columns 4 to 11, 64 pixels have the \
label 0, but look like 1. Look at the image there, and correct the mask if it is wrong.
    """
    check_integer("min_pixels", min_pixels, 1)
    masks = as_masks(y)
    probabilities = as_probabilities(probabilities, "probabilities")
    _check_lengths(masks, probabilities)
    encoder, order = _encoder(masks, labels, ignore_label)
    images = partial(_contradictions, masks, probabilities, encoder, order)
    shown = partial(_shown, n_classes=len(order), min_pixels=int(min_pixels))
    n_showing = sum(map(shown, images()), start=np.int64(0))
    found = []
    for index, image in enumerate(images()):
        surprise = _surprise(image, n_showing - shown(image), len(masks))
        for place in _places(image.seen, surprise, int(min_pixels)):
            found.append(_error(index, *place, image, surprise, encoder.classes))
    return sorted(found, key=lambda error: -error.score)


def _check_lengths(masks: ImageList, probabilities: Sequence[Any]) -> None:
    if len(masks) != len(probabilities):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: y has "
            f"{len(masks)} masks, and there are {len(probabilities)} probabilities; "
            f"expected those of one image per mask."
        )


def _encoder(
    masks: ImageList, labels: Any, ignore_label: Any
) -> tuple[LabelEncoder, NDArray[np.intp]]:
    """Return the encoder of the labels, and where each class is among those given."""
    if labels is None:
        classes = unique_labels(masks, ignore_label)
    else:
        classes = label_array(labels, "labels")
        n_distinct = len(np.unique(classes))
        if classes.ndim != 1 or not n_distinct or n_distinct != len(classes):
            raise ValueError(f"labels is {labels!r}; expected each class once.")
        if is_ignored(classes, ignore_label).any():
            raise ValueError(f"labels holds ignore_label={ignore_label!r}.")
    order = np.argsort(classes)
    return LabelEncoder(classes[order], ignore_label, argument="labels"), order


def _contradictions(
    masks: ImageList,
    probabilities: Sequence[Any],
    encoder: LabelEncoder,
    order: NDArray[np.intp],
) -> Iterator[Contradiction]:
    """Yield each image, compared with its probabilities."""
    for index, mask in enumerate(masks):
        codes = encoder.encode(mask, masks.name(index)).astype(np.intp)
        name = f"The probabilities of image {index}"
        proba = as_array(probabilities[index], name)
        _check_shape(proba, mask.shape, len(order), index)
        # Without data, a segmenter with `nodata` gives NaN for all classes.
        missing = np.isnan(proba).all(axis=0)
        codes[missing & ~missing.all()] = IGNORED  # all of them are a mistake
        counted = codes != IGNORED
        # Pixels that do not count may hold anything, NaN included.
        proba = np.where(counted, proba[order], 1 / len(order)).astype(np.float32)
        check_probabilities(proba, name)
        given = np.take_along_axis(proba, np.maximum(codes, 0)[np.newaxis], axis=0)[0]
        ratio = proba.max(axis=0) / np.maximum(given, SMALLEST)
        bins = np.log(np.maximum(ratio, 1)) / BIN_WIDTH
        bins = np.minimum(bins, N_BINS - 1).astype(np.intp)
        yield Contradiction(codes, proba.argmax(axis=0), bins)


def _check_shape(
    proba: NDArray[Any], size: tuple[int, ...], n_classes: int, index: int
) -> None:
    if proba.shape != (n_classes, *size):
        raise ValueError(
            f"The probabilities of image {index} have shape {proba.shape}, but there "
            f"are {n_classes} labels and the mask has height and width {size}; "
            f"expected {(n_classes, *size)}. Pass labels=estimator.classes_ if the "
            f"masks do not show all classes."
        )


def _shown(image: Contradiction, n_classes: int, min_pixels: int) -> NDArray[np.bool_]:
    """Tell which contradictions an image shows, (n_classes, n_classes, N_BINS).

    Those for label, class seen and bin: whether `min_pixels` of its pixels or more with
    this label look at least so much like this class.
    """
    counts = np.zeros((n_classes, n_classes, N_BINS), np.int64)
    counted = image.given != IGNORED
    cells = (image.given[counted], image.seen[counted], image.bins[counted])
    np.add.at(counts, cells, 1)
    above = counts[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    return np.asarray(above >= min_pixels)


def _surprise(
    image: Contradiction, n_others: NDArray[np.int64], n_images: int
) -> NDArray[np.float64]:
    """Return how rare the contradiction at each pixel is, 0 where there is none.

    It is -log of the share of the other images that show it; half an image is added, or
    what no other image shows would be infinitely rare.
    """
    place = np.maximum(image.given, 0), image.seen, image.bins
    surprise = -np.log((n_others + 0.5) / n_images)[place]
    agrees = (image.given == image.seen) | (image.given == IGNORED)
    return np.where(agrees, 0.0, surprise)


Place = tuple[slice, slice]


def _places(
    seen: NDArray[np.intp], surprise: NDArray[np.float64], min_pixels: int
) -> Iterator[tuple[Place, NDArray[np.bool_], int]]:
    """Yield windows, connected pixels that look like one class in it, and the class."""
    rare = surprise > -np.log(MAX_SHARE)
    for code in np.unique(seen[rare]):
        areas, _ = ndimage.label(rare & (seen == code))
        for number, place in enumerate(ndimage.find_objects(areas), start=1):
            pixels = areas[place] == number
            if pixels.sum() >= min_pixels:
                yield place, pixels, int(code)


def _error(
    index: int,
    place: Place,
    pixels: NDArray[np.bool_],
    code: int,
    image: Contradiction,
    surprise: NDArray[np.float64],
    classes: NDArray[Any],
) -> MaskError:
    """Make a finding of one place in image `index`."""
    n_pixels = int(pixels.sum())
    given = int(np.bincount(image.given[place][pixels]).argmax())
    label, predicted = classes[[given, code]].tolist()
    rows, columns = place
    message = (
        f"In rows {rows.start} to {rows.stop - 1} and columns {columns.start} to "
        f"{columns.stop - 1}, {n_pixels} pixels have the label {label!r}, but look "
        f"like {predicted!r}."
    )
    score = float(surprise[place][pixels].mean() * np.sqrt(n_pixels))
    return MaskError(
        "mask_error", (index,), message, CURE, place, label, predicted, score
    )
