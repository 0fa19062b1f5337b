"""What is predicted of an image, and in which blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sksegment._extras import check_installed
from sksegment._fitted_segmenter import fitted_segmenter
from sksegment._inputs.checks import check_choice
from sksegment.blocks._block import METHODS
from sksegment.blocks._image_source import ImageSource, as_image_source
from sksegment.blocks._layout import BlockLayout, resolved_block_size
from sksegment.segmenter import FCNSegmenter


@dataclass(frozen=True)
class BlockPlan:
    """A segmenter, an image and its blocks.

    Parameters
    ----------
    segmenter : FCNSegmenter
        Fitted.
    source : ImageSource
        The image.
    layout : BlockLayout
        Its blocks.
    method : {"predict", "predict_proba"}
        What is predicted.
    """

    segmenter: FCNSegmenter
    source: ImageSource
    layout: BlockLayout
    method: str

    @property
    def leading(self) -> tuple[int, ...]:
        """Axes of the result before height and width."""
        is_labels = self.method == "predict"
        return () if is_labels else (len(self.segmenter.classes_),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result."""
        is_labels = self.method == "predict"
        return (
            self.segmenter._result_labels.dtype if is_labels else np.dtype(np.float32)
        )

    @property
    def encodes(self) -> bool:
        """Whether labels are strings or bytes, which are stored as codes."""
        return self.method == "predict" and self.dtype.kind in "US"

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Of the result in a zarr array."""
        if not self.encodes:
            return self.dtype
        return np.min_scalar_type(len(self.segmenter._result_labels) - 1)


def block_plan(
    caller: str,
    segmenter: Any,
    image: Any,
    method: str,
    block_size: Any,
    storage_options: Mapping[str, Any] | None,
) -> BlockPlan:
    """Check what the user passed, without reading the image.

    Raises
    ------
    ValueError, TypeError, NotFittedError, OSError, ImportError
        If any of it cannot be used.
    """
    fitted = fitted_segmenter(segmenter, caller)
    check_choice("method", method, METHODS)
    if method is None:
        raise ValueError(f"method is None; expected one of {METHODS}.")
    check_installed(caller, "dask", "dask.array", "zarr")
    source = as_image_source(image, fitted.n_features_in_, storage_options)
    margin = _margin(fitted)
    n_values = 1 if method == "predict" else len(fitted.classes_)
    sides = resolved_block_size(
        block_size, source.size, source.chunks, margin, n_values
    )
    layout = BlockLayout(source.size, sides, margin, fitted.stride_)
    return BlockPlan(fitted, source, layout, method)


def _margin(segmenter: FCNSegmenter) -> int:
    if segmenter.margin_ is not None:
        return segmenter.margin_
    raise ValueError(
        "margin_ is None: this network looks at the whole image, or at where in it a "
        "pixel lies, so no block can be predicted without all others; expected a "
        "network with a margin, such as one with norm='batch'. predict([image]) holds "
        "the whole image in memory and blends tiles that overlap by half: each pixel "
        "is computed four times, and the result depends on tile_size."
    )
