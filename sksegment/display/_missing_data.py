"""Masks of images with pixels without data, made ready to be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import as_masks
from sksegment._inputs.nodata import NoData, label_dtype


def fitted_ignore_label(fitted: Any) -> Any:
    """Return the label that is drawn as ignored, for a fitted segmenter."""
    nodata = getattr(fitted, "_nodata", None)
    return getattr(fitted, "ignore_label", None) if nodata is None else nodata.ignored


def ignored_without_data(y: Any, y_pred: Any, nodata: NoData) -> tuple[Any, Any]:
    """Return true (or None) and predicted masks, both ignored where data are missing.

    Parameters
    ----------
    y : sequence of mask or of path, or None
        The true masks.
    y_pred : sequence of mask
        What a segmenter with `nodata` predicted.
    nodata : NoData
        Its labels.

    Returns
    -------
    y : list of ndarray, or None
        The true masks, with the label `nodata.ignored` there.
    y_pred : list of ndarray
        The predicted masks, likewise.
    """
    masks = [np.asarray(mask) for mask in y_pred]
    missing = [mask == nodata.label for mask in masks]
    predicted = [_marked(*pair, nodata) for pair in zip(masks, missing, strict=True)]
    if y is None:
        return None, predicted
    pairs = zip(as_masks(y), missing, strict=True)
    return [_marked(*pair, nodata) for pair in pairs], predicted


def _marked(
    mask: NDArray[Any], missing: NDArray[np.bool_], nodata: NoData
) -> NDArray[Any]:
    if mask.shape != missing.shape:
        return mask  # the display names it
    marked = mask.astype(label_dtype(mask.dtype, nodata.ignored))
    marked[missing] = nodata.ignored
    return marked
