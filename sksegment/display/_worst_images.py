"""Which images are drawn: the first, or those with the lowest scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
