"""Labels for pixels that have none, from a forest that has learned from the others."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.labels import IGNORED
from sksegment._inputs.progress import with_progress
from sksegment._inputs.random import PSEUDO_LABELS, random_generator
from sksegment._inputs.training_set import TrainingSet
from sksegment._training.image_store import Codes, ImageStore
from sksegment._training.pixel_forest import PixelForest, Rows, filter_rows

# Labelled pixels that the forest learns from at most, and others that the shares of the
# classes are estimated on.
MAX_SAMPLE = 50_000
# Pixels that get pseudo-labels at most: each takes a few bytes, and some microseconds.
MAX_PIXELS = 2**26
# Probabilities that are held at a time, of which there are several copies.
MAX_PROBABILITIES = 2**22


class _Sample(NamedTuple):
    """Some pixels of all images: answers of filters, and codes."""

    rows: Rows
    codes: NDArray[np.intp]


def make_pseudo_labels(
    training: TrainingSet, scale: Scale, seed: int, verbose: int = 0
) -> dict[int, Codes]:
    """Return pseudo-labels for the images with unlabelled pixels.

    Parameters
    ----------
    training : TrainingSet
        The images with their masks.
    scale : Scale
        How the images are standardised.
    seed : int
        The seed of the forest, and of which pixels it sees.
    verbose : int, default=0
        With 2, progress is shown.

    Returns
    -------
    dict of int to ndarray of shape (height, width)
        By the number of the image: class codes where it has no label, `IGNORED`
        elsewhere. None for images that are labelled all over, or beyond the limit of
        pixels.
    """
    chosen = _choose_images(training, seed)
    n_chosen = len(chosen)
    shown = with_progress(chosen, n_chosen, "forest", "images", verbose)
    rates = _sampling_rates(training, chosen)
    store = ImageStore(training, torch.device("cpu"), capacity=0)
    sample = _join([_sample(store, index, scale, seed, rates) for index in shown])
    labelled = sample.codes >= 0
    unlabelled = sample.codes == IGNORED
    if not unlabelled.any():
        return {}
    forest = PixelForest.fit(
        sample.rows[labelled],
        sample.codes[labelled],
        sample.rows[unlabelled],
        len(training.encoder.classes),
        seed,
    )
    shown = with_progress(chosen, n_chosen, "pseudo-labels", "images", verbose)
    found = {index: _label_image(store, index, scale, forest) for index in shown}
    return {index: labels for index, labels in found.items() if labels is not None}


def _choose_images(training: TrainingSet, seed: int) -> list[int]:
    """Return which images get pseudo-labels: all, or as many as there is room for."""
    n_pixels = np.prod(training.sizes, axis=1)
    if n_pixels.min() > MAX_PIXELS:
        raise ValueError(
            f"pseudo_labels='forest' labels {MAX_PIXELS:,} pixels at most, but "
            f"{training.images.name(0)} has {n_pixels[0]:,}; expected smaller images: "
            f"cut out the parts around the labels."
        )
    order = random_generator(PSEUDO_LABELS, seed).permutation(len(training))
    order = order[n_pixels[order] <= MAX_PIXELS]
    chosen = np.sort(order[np.cumsum(n_pixels[order]) <= MAX_PIXELS])
    if len(chosen) < len(training):
        warnings.warn(
            f"{len(training) - len(chosen)} of {len(training)} images get no "
            f"pseudo-labels: together they have {n_pixels.sum():,} pixels, and at most "
            f"{MAX_PIXELS:,} are labelled by the forest. The others are trained on "
            f"with the labels that they have.",
            UserWarning,
            stacklevel=2,
        )
    return [int(index) for index in chosen]


def _sampling_rates(training: TrainingSet, chosen: list[int]) -> tuple[float, float]:
    """Return which share of labelled and of other pixels of the images is drawn."""
    n_labelled = float(training.n_labelled[chosen].sum())
    n_others = sum(np.prod(training.sizes[index]) for index in chosen) - n_labelled
    labelled, others = (
        min(1.0, MAX_SAMPLE / max(1.0, n_in_all)) for n_in_all in (n_labelled, n_others)
    )
    return labelled, others


def _sample(
    store: ImageStore,
    index: int,
    scale: Scale,
    seed: int,
    rates: tuple[float, float],
) -> _Sample:
    """Draw labelled and unlabelled pixels of an image, as its part of the sample."""
    image, codes = store.samples.images[index], store.codes(index)
    rng = random_generator(PSEUDO_LABELS, seed, index)
    drawn = [
        _draw(np.flatnonzero(among), rate, rng)
        for among, rate in zip((codes >= 0, codes == IGNORED), rates, strict=True)
    ]
    places = np.sort(np.concatenate(drawn))
    width = codes.shape[1]
    rows = [
        strip[_between(places, part, width) - part.start * width]
        for part, strip in filter_rows(image, scale)
    ]
    return _Sample(np.concatenate(rows), codes.ravel()[places].astype(np.intp))


def _draw(
    places: NDArray[np.intp], rate: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw a share of the pixels of an image, at least one if there is one."""
    wanted = int(np.ceil(len(places) * rate))
    return rng.choice(places, wanted, replace=False) if len(places) else places


def _between(places: NDArray[np.intp], rows: slice, width: int) -> NDArray[np.intp]:
    """Return those of sorted places that lie in some rows."""
    first, last = np.searchsorted(places, [rows.start * width, rows.stop * width])
    return places[first:last]


def _join(samples: list[_Sample]) -> _Sample:
    rows, codes = zip(*samples, strict=True)
    return _Sample(np.concatenate(rows), np.concatenate(codes))


def _label_image(
    store: ImageStore, index: int, scale: Scale, forest: PixelForest
) -> Codes | None:
    """Return what the forest says of an image where it has no labels."""
    codes = store.codes(index)
    if not (codes == IGNORED).any():
        return None
    image = store.samples.images[index]
    found = np.full(codes.shape, IGNORED, np.min_scalar_type(-forest.n_classes))
    for rows, strip in filter_rows(image, scale):
        unlabelled = codes[rows] == IGNORED
        if unlabelled.any():
            found[rows][unlabelled] = _winners(forest, strip[unlabelled.ravel()])
    return found


def _winners(forest: PixelForest, rows: Rows) -> NDArray[np.intp]:
    """Return the most probable class of each row."""
    # With many classes, the probabilities of a whole strip would not fit into memory.
    size = max(1, MAX_PROBABILITIES // forest.n_classes)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return np.concatenate([forest.predict_proba(part).argmax(axis=1) for part in parts])
