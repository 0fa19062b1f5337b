"""Masks of images with pixels without data, made ready to be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import as_masks
from sksegment._inputs.nodata import NoData, marked, split_off_all


def ignored_without_data(
    y: Any, y_pred: Any, nodata: NoData, classes: NDArray[Any]
) -> tuple[Any, Any]:
    """Return true (or None) and predicted masks, both ignored where data are missing.

    Parameters
    ----------
    y : sequence of mask or of path, or None
        The true masks.
    y_pred : sequence of mask
        What a segmenter with `nodata` predicted.
    nodata : NoData
        Its labels.
    classes : ndarray of shape (n_classes,)
        Its classes.

    Returns
    -------
    y : list of ndarray, or None
        The true masks, with the label `nodata.ignored` there.
    y_pred : list of ndarray
        The predicted masks, likewise.
    """
    masks = [np.asarray(mask) for mask in y_pred]
    true = y if y is None else split_off_all(as_masks(y), masks, nodata, classes)[0]
    drawn = [marked(mask, nodata.missing_in(mask), nodata.ignored) for mask in masks]
    return true, drawn
