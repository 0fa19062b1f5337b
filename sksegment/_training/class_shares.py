"""How much of the images each class takes up, when the labels do not show it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The logarithm of a probability must stay a number.
SMALLEST_PROBABILITY = 5e-3
# A share of 0, or of a class that is never the most probable, must not shift for ever.
SMALLEST_SHARE = 1e-3
N_STEPS = 40
STEP = 0.5
# Makes the shares sum to 1 in the least squares.
LARGE = 1e3


def estimate_shares(
    codes: NDArray[np.intp], predicted: NDArray[np.intp], counts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the share of each class where only the prediction is known.

    What is counted in the prediction is the sum of the true shares, each spread over
    the classes as the classifier confuses them (adjusted counts [1]_). Solved for
    shares that are not negative and sum to 1.

    Parameters
    ----------
    codes : ndarray of shape (n_labelled,)
        Classes of labelled pixels.
    predicted : ndarray of shape (n_labelled,)
        What is predicted for them by a classifier that has not seen them.
    counts : ndarray of shape (n_classes,)
        How many of the other pixels are predicted as each class.

    Returns
    -------
    ndarray of shape (n_classes,)
        The shares; 0 for a class without labelled pixels.

    References
    ----------
    .. [1] G. Forman, "Quantifying Counts and Costs via Classification", Data Mining and
       Knowledge Discovery 17(2), 164-206, 2008.

    Examples
    --------
    One in five pixels of class 0 is taken for class 1, and none the other way: of 60
    pixels predicted as class 1, ten are of class 0.

    >>> import numpy as np
    >>> from sksegment._training.class_shares import estimate_shares
    >>> codes = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    >>> predicted = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> estimate_shares(codes, predicted, np.array([40, 60])).round(2)
    array([0.5, 0.5])
    """
    from scipy.optimize import nnls

    n_classes = len(counts)
    pairs = np.bincount(predicted * n_classes + codes, minlength=n_classes**2)
    confusion = pairs.reshape(n_classes, n_classes).astype(np.float64)
    confusion /= np.maximum(1, confusion.sum(axis=0))
    known = np.flatnonzero(confusion.sum(axis=0))
    rows = np.vstack([confusion[:, known], np.full(len(known), LARGE)])
    solved, _ = nnls(rows, np.append(counts / counts.sum(), LARGE))
    shares = np.zeros(n_classes)
    shares[known] = solved / solved.sum()
    return shares


def shift_scores(
    probabilities: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what to add to log probabilities so that classes win with given shares.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
        Of some pixels.
    shares : ndarray of shape (n_classes,)
        In how many of them each class should be the most probable one.

    Returns
    -------
    ndarray of shape (n_classes,)
        The shifts.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment._training.class_shares import log_scores, shift_scores
    >>> probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [0.9, 0.1]])
    >>> shifts = shift_scores(probabilities, np.array([0.5, 0.5]))
    >>> (log_scores(probabilities) + shifts).argmax(axis=1)
    array([1, 1, 0, 0])
    """
    scores = log_scores(probabilities)
    shifts = np.zeros(len(shares))
    # Ever shorter steps: with one length, few pixels would swing from class to class.
    for step in np.linspace(STEP, 0, N_STEPS, endpoint=False):
        winners = np.bincount((scores + shifts).argmax(axis=1), minlength=len(shares))
        ratio = (shares + SMALLEST_SHARE) / (winners / len(scores) + SMALLEST_SHARE)
        shifts += step * np.log(ratio)
    return shifts


def log_scores(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log probabilities, those of 0 as of a small number."""
    return np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
