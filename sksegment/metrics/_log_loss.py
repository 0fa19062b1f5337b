"""The cross-entropy of predicted probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment.metrics._formulas import log_loss
from sksegment.metrics._probability_accumulator import ProbabilityAccumulator
from sksegment.metrics._score import Score, computed_by


class LogLossAccumulator(ProbabilityAccumulator):
    """The sum of the losses of the pixels of each class, and of their weights."""

    def _count(
        self,
        true: NDArray[np.intp],
        proba: NDArray[Any],
        weights: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        losses = _losses(proba[true, np.arange(len(true))])
        n_classes = len(self.labels)
        sums = [
            np.bincount(true, part, n_classes) for part in (losses * weights, weights)
        ]
        return np.stack(sums)


def _losses(chosen: NDArray[Any]) -> NDArray[np.float64]:
    eps = np.finfo(chosen.dtype).eps
    clipped = np.clip(chosen, eps, 1 - eps)
    return np.asarray(-np.log(clipped.astype(np.float64)))


_LOG_LOSS = Score(LogLossAccumulator, log_loss, average="micro", of_probabilities=True)


@computed_by(_LOG_LOSS)
def pixel_log_loss(
    y_true: Any,
    y_proba: Any,
    *,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    over: str = "pixels",
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
    over : {"pixels", "images"}, default="pixels"
        Pool the pixels of all images, or average the losses of single images.
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

    See Also
    --------
    expected_calibration_error : How far probabilities are from frequencies.
    neg_pixel_log_loss_scorer : For `scoring=`.

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
    return _LOG_LOSS.of(y_true, y_proba, labels, ignore_label, sample_weight, over=over)
