"""What a score keeps of masks and predictions, added up image by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.sample_weight import as_weights, check_weight_size

Weight = NDArray[np.float64] | None
AccumulatorType = TypeVar("AccumulatorType", bound="Accumulator")

# Pixels counted at a time. Small enough for its temporaries to stay in the cache.
BLOCK_PIXELS = 2**16


class Accumulator(Protocol):
    """Something to which images are added one by one, for a score to be read from."""

    def items(self, predictions: Any) -> Sequence[NDArray[Any]]:
        """Return the predictions as a sequence with one item per image."""

    def add(
        self, mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
    ) -> None:
        """Add image `index`."""


def accumulate_all(
    accumulator: AccumulatorType, y_true: Any, predictions: Any, sample_weight: Any
) -> AccumulatorType:
    """Add all images to `accumulator`, and return it."""
    masks = y_true if isinstance(y_true, ImageList) else as_masks(y_true, "y_true")
    weights = as_weights(sample_weight, len(masks))
    return accumulate_part(accumulator, masks, predictions, weights, first=0)


def accumulate_part(
    accumulator: AccumulatorType,
    masks: Sequence[NDArray[Any]],
    predictions: Any,
    weights: Sequence[NDArray[np.float64]] | None,
    first: int,
) -> AccumulatorType:
    """Add some of the images to `accumulator`, the first of which has index `first`."""
    items = accumulator.items(predictions)
    check_numbers(masks, items)
    for position, mask in enumerate(masks):
        weight = None if weights is None else weights[position]
        if weight is not None:
            check_weight_size(weight, mask, first + position)
        accumulator.add(mask, items[position], weight, first + position)
    return accumulator


def check_numbers(masks: Sequence[Any], predictions: Sequence[Any]) -> None:
    """Reject predictions that are not as many as the masks."""
    if len(predictions) != len(masks):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: y_true has "
            f"{len(masks)} masks, but there are {len(predictions)} predictions; "
            f"expected one prediction per mask."
        )


def check_size(
    mask: NDArray[Any], size: tuple[int, ...], argument: str, index: int
) -> None:
    """Reject a prediction whose size differs from that of its mask."""
    if mask.shape != size:
        raise ValueError(
            f"{argument} of image {index} has height and width {size}, but its y_true "
            f"has {mask.shape}; expected the same."
        )


def row_blocks(shape: tuple[int, ...], block_pixels: int = BLOCK_PIXELS) -> list[slice]:
    """Cut a (height, width) into blocks of rows with about `block_pixels` pixels."""
    height, width = shape
    rows = max(1, block_pixels // width)
    return [slice(start, start + rows) for start in range(0, height, rows)]
