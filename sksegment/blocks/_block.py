"""Prediction of one block, as each task of dask does it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import Window
from sksegment._prediction.tiles import TileSide
from sksegment.blocks._image_source import ImageSource, read_part
from sksegment.blocks._layout import BlockLayout
from sksegment.segmenter import FCNSegmenter

METHODS = ("predict", "predict_proba")


def window_of(spans: tuple[TileSide, TileSide]) -> Window:
    """Return the part of the image that a block looks at."""
    rows, columns = spans
    return slice(*rows.window), slice(*columns.window)


def predict_block(
    segmenter: FCNSegmenter, image: Any, spans: tuple[TileSide, TileSide], method: str
) -> NDArray[Any]:
    """Return the labels or probabilities of a block.

    Parameters
    ----------
    segmenter : FCNSegmenter
        Fitted; threads share it.
    image : ImageSource or array-like
        The image, or the pixels of the window if dask has read them.
    spans : tuple of TileSide
        Rows and columns of the block and of its window.
    method : {"predict", "predict_proba"}
        What is returned.
    """
    rows, columns = spans
    window = window_of(spans)
    part = image.part(window) if isinstance(image, ImageSource) else image
    # Blocks are counted, not the tiles of one: several run at the same time.
    predictor = replace(segmenter._predictor(), verbose=0)
    classes = segmenter.classes_ if method == "predict" else None
    pixels = read_part(part, window, predictor.scale.nodata)
    answer = predictor.part(pixels, classes)
    return np.ascontiguousarray(answer[..., rows.inner(), columns.inner()])


def predict_block_at(
    segmenter: FCNSegmenter,
    source: ImageSource,
    layout: BlockLayout,
    method: str,
    block_id: tuple[int, ...],
) -> NDArray[Any]:
    """Return a block by its number, as ``dask.array.map_blocks`` asks for it."""
    return predict_block(segmenter, source, layout.spans(*block_id[-2:]), method)


def write_block(
    segmenter: FCNSegmenter,
    image: Any,
    target: Any,
    spans: tuple[TileSide, TileSide],
    method: str,
) -> None:
    """Write the labels or probabilities of a block to its chunk of a zarr array."""
    block = predict_block(segmenter, image, spans, method)
    if block.dtype.kind in "US":
        block = _codes(segmenter._result_labels, block)
    target[(..., *(slice(*span.core) for span in spans))] = block


def _codes(labels: NDArray[Any], block: NDArray[Any]) -> NDArray[np.intp]:
    """Return the position of each label of a block; the last need not be sorted in."""
    order = np.argsort(labels)
    return np.asarray(order[np.searchsorted(labels, block, sorter=order)])
