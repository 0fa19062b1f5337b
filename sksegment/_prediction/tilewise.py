"""Predicting image by image, large ones tile by tile, whatever predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import isqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList
from sksegment._prediction.tiles import spans
from sksegment._torch.out_of_memory import empty_predictions

# Values (pixels x classes) of the probabilities that are held at once: 64 MiB.
MAX_VALUES = 2**24
# No tile has a smaller side, however many classes there are.
MIN_SIDE = 256

Reduce = Callable[[NDArray[Any]], NDArray[Any]]


class PartPredictor(Protocol):
    """Something that gives the probabilities of images, or of parts of them."""

    @property
    def margin(self) -> int | None:
        """Radius of the receptive field in pixels; None if it is the whole image."""

    @property
    def stride(self) -> int:
        """The grid, in pixels, on which parts must begin."""

    def given(self, images: ImageList) -> PartPredictor:
        """Return the predictor for images in this form."""

    def check_images(
        self, images: Iterable[NDArray[Any]], name: Callable[[int], str]
    ) -> Iterator[NDArray[Any]]:
        """Yield whole images, each checked; `name` names one for a message."""

    def parts(self, parts: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the (n_classes, height, width) of checked images or parts of them."""

    def members(self) -> tuple[Sequence[PartPredictor], NDArray[np.float64]]:
        """Return the predictors whose mean this one is, and their weights."""


def predict_tilewise(
    predictor: PartPredictor, images: ImageList, n_classes: int, reduce: Reduce
) -> Iterator[NDArray[Any]]:
    """Yield what `reduce` makes of the probabilities of each image.

    Parameters
    ----------
    predictor : PartPredictor
        Where it has a margin, large images are predicted in tiles, exactly.
    images : ImageList
        Each is read once.
    n_classes : int
        Decides what is large.
    reduce : callable
        Maps (n_classes, height, width) to (..., height, width), pixel by pixel.
    """
    predictor = predictor.given(images)
    side = max(isqrt(MAX_VALUES // n_classes), MIN_SIDE)
    for group in _groups(predictor.check_images(images, images.name), side**2):
        height, width = group[0].shape[:2]
        if height * width > side**2 and predictor.margin is not None:
            yield _in_tiles(predictor, group[0], side, predictor.margin, reduce)
        else:
            yield from map(reduce, predictor.parts(group))


def _groups(
    images: Iterable[NDArray[Any]], n_pixels: int
) -> Iterator[list[NDArray[Any]]]:
    """Yield images in lists of at most `n_pixels`, or of one."""
    group: list[NDArray[Any]] = []
    left = n_pixels
    for image in images:
        size = image.shape[0] * image.shape[1]
        if group and size > left:
            yield group
            group, left = [], n_pixels
        group.append(image)
        left -= size
    yield group


def _in_tiles(
    predictor: PartPredictor,
    image: NDArray[Any],
    side: int,
    margin: int,
    reduce: Reduce,
) -> NDArray[Any]:
    rows, columns = (
        spans(size, side, margin, predictor.stride) for size in image.shape[:2]
    )
    answer: NDArray[Any] | None = None
    for row, column in product(rows, columns):
        window = image[slice(*row.window), slice(*column.window)]
        (probabilities,) = predictor.parts([window])
        tile = reduce(probabilities[..., row.inner(), column.inner()])
        if answer is None:
            answer = empty_predictions((*tile.shape[:-2], *image.shape[:2]), tile.dtype)
        answer[..., slice(*row.core), slice(*column.core)] = tile
    assert answer is not None  # an image has at least one tile
    return answer
