"""The cross-entropy of predicted probabilities, added up image by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.image_list import as_masks
from sksegment._inputs.labels import LabelEncoder, unique_labels
from sksegment.metrics._accumulator import (
    BLOCK_PIXELS,
    Weight,
    accumulate_all,
    check_size,
    row_blocks,
    streamed_by,
)
from sksegment.metrics._averaging import divide
from sksegment.metrics._confusion_matrix import as_labels, positions

# How far the probabilities of a pixel may be from summing to one: float16 rounding
# stays below it.
SUM_TOLERANCE = 1e-3


class LogLossAccumulator:
    """Sum of the losses of all pixels, and of their weights.

    Parameters
    ----------
    labels : array-like of shape (n_classes,)
        The class of each entry of the probabilities' class axis.
    ignore_label : object
        Pixels with this true label are dropped; None drops none.
    """

    def __init__(self, labels: Any, ignore_label: Any) -> None:
        self._labels = as_labels(labels, ignore_label)
        self._order = np.argsort(self._labels)
        self._encoder = LabelEncoder(self._labels[self._order], ignore_label)
        self.loss = 0.0
        self.weight = 0.0

    def items(self, predictions: Any) -> Sequence[NDArray[Any]]:
        """Return the probabilities as a sequence of (n_classes, height, width)."""
        return as_probabilities(predictions)

    def add(
        self, mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
    ) -> None:
        """Add the loss of image `index`."""
        proba = self._check_shape(np.asarray(prediction), index)
        check_size(mask, proba.shape[1:], "y_proba", index)
        blocks = (mask[rows] for rows in row_blocks(mask.shape))
        values = unique_labels(blocks, self._encoder.ignore_label)
        positions(values, self._labels, "y_true", index)
        block_pixels = BLOCK_PIXELS // len(self._labels)
        for rows in row_blocks(mask.shape, block_pixels):
            part = weight[rows] if weight is not None and weight.ndim else weight
            self._add_block(mask[rows], proba[:, rows], part, index)

    def _add_block(
        self, mask: NDArray[Any], proba: NDArray[Any], weight: Weight, index: int
    ) -> None:
        codes = self._encoder.encode(mask)
        weights = np.broadcast_to(1.0 if weight is None else weight, mask.shape)
        # Pixels that do not count may hold anything, NaN included.
        kept = (codes >= 0) & (weights > 0)
        _check_probabilities(proba if kept.all() else proba[:, kept], index)
        axis = self._order[codes]
        chosen = np.take_along_axis(proba, axis[np.newaxis], axis=0)[0]
        self.loss += float(_losses(chosen[kept]) @ weights[kept])
        self.weight += float(weights[kept].sum())

    def _check_shape(self, proba: NDArray[Any], index: int) -> NDArray[Any]:
        if proba.ndim != 3:
            raise ValueError(
                f"y_proba of image {index} has shape {proba.shape}; expected "
                f"(n_classes, height, width)."
            )
        if len(proba) != len(self._labels):
            raise ValueError(
                f"y_proba of image {index} has {len(proba)} classes on its first axis, "
                f"but there are {len(self._labels)} labels; expected one class per "
                f"label. Pass labels=estimator.classes_."
            )
        # As in scikit-learn, everything but float32 becomes float64.
        return (
            proba if proba.dtype == np.float32 else proba.astype(np.float64, copy=False)
        )


def as_probabilities(y_proba: Any) -> Sequence[NDArray[Any]]:
    """Return `y_proba` as a sequence of (n_classes, height, width).

    Raises
    ------
    ValueError
        If it is an array that does not have four axes.
    """
    if isinstance(y_proba, (list, tuple)):
        return y_proba
    array = np.asarray(y_proba)
    if array.ndim != 4 and not (array.ndim == 1 and array.dtype == object):
        raise ValueError(
            f"y_proba has shape {array.shape}; expected (n, n_classes, height, width) "
            f"or a list of (n_classes, height, width). Pass what predict_proba returns "
            f"(a scorer does so with response_method='predict_proba')."
        )
    return array  # type: ignore[return-value]


def _check_probabilities(proba: NDArray[Any], index: int) -> None:
    # Written so that NaN and infinity fail, too.
    with np.errstate(over="ignore"):  # by large logits, which raise below
        sums_to_one = np.abs(proba.sum(axis=0) - 1.0) <= SUM_TOLERANCE
    if not (sums_to_one.all() and proba.min(initial=0.0) >= -SUM_TOLERANCE):
        raise ValueError(
            f"y_proba of image {index} is not finite, is negative, or does not sum to "
            f"one over its classes; expected probabilities, not logits. Pass what "
            f"predict_proba returns."
        )


def _losses(chosen: NDArray[Any]) -> NDArray[np.float64]:
    eps = np.finfo(chosen.dtype).eps
    clipped = np.clip(chosen, eps, 1 - eps)
    return np.asarray(-np.log(clipped.astype(np.float64)))


def _log_loss(accumulator: LogLossAccumulator) -> float:
    return divide(accumulator.loss, accumulator.weight, "no pixel counts")


@streamed_by(LogLossAccumulator, _log_loss)
def pixel_log_loss(
    y_true: Any,
    y_proba: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    sample_weight: Any = None,
) -> float:
    """Cross-entropy: mean over all pixels of -log of the true class's probability.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_proba : array-like of shape (n, n_classes, height, width) or sequence of \
            array-like of shape (n_classes, height, width)
        Probabilities, as `predict_proba` returns them.
    labels : array-like of shape (n_classes,), default=None
        The class of each entry of the class axis, in order: the estimator's
        `classes_`. By default the labels in `y_true`, sorted.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float
        The loss, 0 at best; NaN, with a warning, if no pixel counts.

    Raises
    ------
    ValueError
        If the number of classes in `y_proba` is not that of the labels, or if `y_proba`
        does not hold probabilities or does not match `y_true`.

    Notes
    -----
    Probabilities are clipped to `[eps, 1 - eps]` with the machine epsilon of their
    dtype, as in :func:`sklearn.metrics.log_loss`.

    Examples
    --------
    >>> from sksegment.metrics import pixel_log_loss
    >>> y_true = [[[0, 1]]]
    >>> y_proba = [[[[0.5, 0.75]], [[0.5, 0.25]]]]
    >>> round(pixel_log_loss(y_true, y_proba), 4)
    1.0397
    """
    masks = as_masks(y_true, "y_true")
    if labels is None:
        labels = unique_labels(masks, ignore_label)
        if not len(labels):
            return divide(0.0, 0.0, "no pixel counts")
    accumulator = LogLossAccumulator(labels, ignore_label)
    return _log_loss(accumulate_all(accumulator, masks, y_proba, sample_weight))
