"""Which images are drawn, the first or the worst, and their masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.image_list import (
    ImageList,
    as_images,
    as_masks,
    check_pair,
    check_pairs,
)
from sksegment.metrics import image_scores

ORDERS = ("first", "worst")


def worst_images(
    y_true: Any,
    y_pred: Any,
    n_images: int,
    classes: ArrayLike | None,
    ignore_label: Any,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the images with the lowest mean IoU, the lowest first, and their scores.

    An image without a labelled pixel has no score, and comes last.

    Raises
    ------
    ValueError
        If there is no truth to score with, or masks do not match.
    """
    if y_true is None:
        raise ValueError(
            "order='worst' ranks images by their scores, which need true masks; got "
            "none. Pass them, or order='first'."
        )
    scores = image_scores(y_true, y_pred, labels=classes, ignore_label=ignore_label)
    lowest = np.argsort(scores, kind="stable")[:n_images]
    return lowest, scores[lowest]


def checked_pairs(X: Any, y: Any) -> ImageList:
    """Return the images, as many as there are masks."""
    images = as_images(X)
    check_pairs(images, as_masks(y))
    return images


def shown_images(
    X: Any, y_true: Any, y_pred: Any, indices: Sequence[int]
) -> tuple[list[NDArray[Any]], list[NDArray[Any]] | None, list[NDArray[Any]]]:
    """Return some of the images, and their true (or None) and predicted masks."""
    images = as_images(X, nodata=np.nan)  # pixels without data are drawn, too
    shown = list(images.take(indices))
    predicted = _masks_of(images, shown, y_pred, indices)
    true = None if y_true is None else _masks_of(images, shown, y_true, indices)
    return shown, true, predicted


def _masks_of(
    images: ImageList, shown: list[NDArray[Any]], y: Any, indices: Sequence[int]
) -> list[NDArray[Any]]:
    """Return the masks of the images shown, each as large as its image."""
    masks = as_masks(y)
    check_pairs(images, masks)
    chosen = [masks[index] for index in indices]
    for index, image, mask in zip(indices, shown, chosen, strict=True):
        check_pair(image, mask, masks, index)
    return chosen
