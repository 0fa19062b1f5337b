"""Whether probabilities are as often right as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.checks import check_integer
from sksegment._inputs.image_list import as_masks
from sksegment._inputs.labels import unique_labels
from sksegment.metrics._accumulator import accumulate_all
from sksegment.metrics._averaging import average_classes
from sksegment.metrics._formulas import calibration_gap, ratio
from sksegment.metrics._probability_accumulator import ProbabilityAccumulator
from sksegment.metrics._score import Score, computed_by


class CalibrationAccumulator(ProbabilityAccumulator):
    """Correct pixels, all pixels, and the sum of their probabilities, in each bin.

    Parameters
    ----------
    labels : array-like of shape (n_classes,)
        The class of each entry of the probabilities' class axis.
    ignore_label : object
        Pixels with this true label are dropped; None drops none.
    by_image : bool, default=False
        Whether the counts of images are kept apart.
    n_bins : int, default=15
        The number of bins of equal width.
    label : object, default=None
        The class whose probability is looked at; None takes that of the likeliest class
        of each pixel.
    """

    def __init__(
        self,
        labels: Any,
        ignore_label: Any,
        *,
        by_image: bool = False,
        n_bins: int = 15,
        label: Any = None,
    ) -> None:
        check_integer("n_bins", n_bins, 1)
        super().__init__(labels, ignore_label, by_image=by_image)
        self._inner_edges = np.linspace(0.0, 1.0, int(n_bins) + 1)[1:-1]
        self._position = None if label is None else self._find(label)

    @property
    def labels(self) -> NDArray[Any]:
        """The numbers of the bins."""
        return np.arange(len(self._inner_edges) + 1)

    def _find(self, label: Any) -> int:
        found = np.flatnonzero(self._labels == label)
        if not len(found):
            raise ValueError(
                f"label is {label!r}; expected one of the labels "
                f"{self._labels.tolist()}, or None."
            )
        return int(found[0])

    def _count(
        self,
        true: NDArray[np.intp],
        proba: NDArray[Any],
        weights: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        position = self._position
        chosen = proba.argmax(axis=0) if position is None else position
        confidence = proba.max(axis=0) if position is None else proba[position]
        confidence = confidence.astype(np.float64)
        # As in scikit-learn, a bin holds its upper edge.
        bins = np.searchsorted(self._inner_edges, confidence)
        parts = (true == chosen) * weights, weights, confidence * weights
        n_bins = len(self._inner_edges) + 1
        return np.stack([np.bincount(bins, part, n_bins) for part in parts])


_ECE = Score(
    CalibrationAccumulator, calibration_gap, average="weighted", of_probabilities=True
)


@computed_by(_ECE)
def expected_calibration_error(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    over: str = "pixels",
    sample_weight: Any = None,
) -> float:
    """Mean gap between how sure predictions are and how often they are right.

    The confidence of a pixel is the probability of its likeliest class. Pixels are
    sorted into bins of equal width by their confidence; the gaps between the share of
    correct pixels and the mean confidence of each bin are weighted by its pixels [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_proba : array-like of shape (n, n_classes, height, width) or sequence of \
            array-like of shape (n_classes, height, width)
        Probabilities, as `predict_proba` returns them.
    n_bins : int, default=15
        The number of bins.
    labels : array-like of shape (n_classes,), default=None
        The class of each entry of the class axis, in order: the estimator's
        `classes_`. By default the labels in `y_true`, sorted.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    over : {"pixels", "images"}, default="pixels"
        Sort the pixels of all images into the bins, or average the errors of single
        images.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.

    Returns
    -------
    float
        The error, 0 at best; NaN, with a warning, if no pixel counts.

    Raises
    ------
    ValueError, TypeError
        As in `pixel_log_loss`; if `n_bins` is not an integer of at least 1.

    See Also
    --------
    calibration_curve : The bins that this is a mean of.
    sksegment.display.CalibrationDisplay : Draws them.
    pixel_log_loss : Also tells whether probabilities are sharp.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.

    Examples
    --------
    A model that is sure to 0.9, and right in three pixels of four:

    >>> from sksegment.metrics import expected_calibration_error
    >>> y_true = [[[0, 0, 0, 1]]]
    >>> y_proba = [[[[0.9, 0.9, 0.9, 0.9]], [[0.1, 0.1, 0.1, 0.1]]]]
    >>> round(expected_calibration_error(y_true, y_proba), 3)
    0.15
    """
    return _ECE.of(
        y_true, y_proba, labels, ignore_label, sample_weight, n_bins=n_bins, over=over
    )


def calibration_curve(
    y_true: Any,
    y_proba: Any,
    *,
    label: Any = None,
    n_bins: int = 15,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    sample_weight: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare predicted probabilities of pixels with how often they come true.

    As :func:`sklearn.calibration.calibration_curve`, with bins of equal width, for the
    pixels of all images; memory does not grow with them.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_proba : array-like of shape (n, n_classes, height, width) or sequence of \
            array-like of shape (n_classes, height, width)
        Probabilities, as `predict_proba` returns them.
    label : object, default=None
        The class whose probability is compared with how often pixels belong to it. By
        default, the probability of the likeliest class of each pixel is compared with
        how often it is the right one.
    n_bins : int, default=15
        The number of bins. Empty ones are left out.
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
    prob_true : ndarray of shape (n_bins,) or smaller
        The share of the pixels of each bin that are correct, or belong to `label`.
    prob_pred : ndarray of shape (n_bins,) or smaller
        The mean probability of the pixels of each bin.

    Raises
    ------
    ValueError, TypeError
        As in `pixel_log_loss`; if `label` is not one of the labels, or `n_bins` is not
        an integer of at least 1.

    See Also
    --------
    expected_calibration_error : The mean distance of this curve from the diagonal.
    sksegment.display.CalibrationDisplay : Draws it.

    Examples
    --------
    >>> from sksegment.metrics import calibration_curve
    >>> y_true = [[[0, 0, 0, 1]]]
    >>> y_proba = [[[[0.9, 0.9, 0.9, 0.9]], [[0.1, 0.1, 0.1, 0.1]]]]
    >>> prob_true, prob_pred = calibration_curve(y_true, y_proba)
    >>> prob_true, prob_pred
    (array([0.75]), array([0.9]))
    """
    correct, weights, confidence = calibration_counts(
        y_true, y_proba, label, n_bins, labels, ignore_label, sample_weight
    )
    filled = weights > 0
    prob_true, prob_pred = ratio(correct, weights), ratio(confidence, weights)
    return prob_true[filled], prob_pred[filled]


def calibration_counts(
    y_true: Any,
    y_proba: Any,
    label: Any,
    n_bins: int,
    labels: Any,
    ignore_label: Any,
    sample_weight: Any,
) -> NDArray[np.float64]:
    """Return correct pixels, all pixels, and summed probabilities of each bin."""
    masks = as_masks(y_true, "y_true")
    labels = unique_labels(masks, ignore_label) if labels is None else labels
    accumulator = CalibrationAccumulator(
        labels, ignore_label, n_bins=n_bins, label=label
    )
    return accumulate_all(accumulator, masks, y_proba, sample_weight).class_counts()


def calibration_error(counts: NDArray[np.float64]) -> float:
    """Return the expected calibration error of counts of bins."""
    every = np.ones(counts.shape[1], np.bool_)
    return float(average_classes(calibration_gap, counts, "weighted", every))
