"""Probabilities of the classes of each pixel: checks, their mean, their uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.containers import as_array, check_ordered

# How far the probabilities of a pixel may be from summing to one: float16 rounding
# stays below it.
SUM_TOLERANCE = 1e-3


def as_probabilities(
    probabilities: Any, argument: str = "y_proba"
) -> Sequence[NDArray[Any]]:
    """Return probabilities as a sequence of (n_classes, height, width).

    Raises
    ------
    ValueError
        If they are an array that does not have four axes.
    """
    check_ordered(argument, probabilities)
    if isinstance(probabilities, (list, tuple)):
        return probabilities
    array = as_array(probabilities, argument)
    if array.ndim != 4 and not (array.ndim == 1 and array.dtype == object):
        raise ValueError(
            f"{argument} has shape {array.shape}; expected (n, n_classes, height, "
            f"width) or a list of (n_classes, height, width). Pass what predict_proba "
            f"returns (a scorer does so with response_method='predict_proba')."
        )
    return array  # type: ignore[return-value]


def check_probabilities(proba: NDArray[Any], name: str) -> None:
    """Reject numbers that are not probabilities of the classes on the first axis."""
    # Written so that NaN and infinity fail, too.
    with np.errstate(over="ignore"):  # by large logits, which raise below
        sums_to_one = np.abs(proba.sum(axis=0) - 1.0) <= SUM_TOLERANCE
    if not (sums_to_one.all() and proba.min(initial=0.0) >= -SUM_TOLERANCE):
        raise ValueError(
            f"{name} is not finite, is negative, or does not sum to one over its "
            f"classes; expected probabilities, not logits. Pass what predict_proba "
            f"returns."
        )


def entropy(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Return the entropy of each pixel in nats, the classes being on the first axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment._inputs.probabilities import entropy
    >>> entropy(np.array([[1.0, 0.5], [0.0, 0.5]])).round(3)
    array([0.   , 0.693])
    """
    smallest = np.finfo(probabilities.dtype).tiny
    logs = np.log(np.maximum(probabilities, smallest))
    return np.maximum(-np.einsum("k...,k...->...", probabilities, logs), 0)


def margin_uncertainty(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Return 1 minus the gap between the two most probable classes of each pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment._inputs.probabilities import margin_uncertainty
    >>> margin_uncertainty(np.array([[0.9, 0.5], [0.1, 0.5]])).round(3)
    array([0.2, 1. ])
    """
    if len(probabilities) == 1:
        return np.zeros_like(probabilities[0])
    second, first = np.partition(probabilities, (-2, -1), axis=0)[-2:]
    return 1 - (first - second)


def mean_probabilities(
    members: Sequence[NDArray[Any]], weights: NDArray[np.float64]
) -> NDArray[Any]:
    """Return the weighted mean of the members' probabilities, in their dtype."""
    dtype = members[0].dtype
    total = members[0] * dtype.type(weights[0])
    for member, weight in zip(members[1:], weights[1:], strict=True):
        total += member * dtype.type(weight)
    return total


def disagreement(
    members: Sequence[NDArray[Any]], weights: NDArray[np.float64]
) -> NDArray[Any]:
    """Return the mutual information of class and member at each pixel, in nats.

    That is the entropy of the mean less the mean of the entropies: 0 where all members
    say the same, however uncertain they are.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment._inputs.probabilities import disagreement
    >>> one, other = (
    ...     np.array([[1.0, 0.5], [0.0, 0.5]]),
    ...     np.array([[0.0, 0.5], [1.0, 0.5]]),
    ... )
    >>> disagreement([one, other], np.array([0.5, 0.5])).round(3)
    array([0.693, 0.   ])
    """
    within = sum(
        weight * entropy(member)
        for member, weight in zip(members, weights, strict=True)
    )
    return np.maximum(entropy(mean_probabilities(members, weights)) - within, 0)


UNCERTAINTIES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "entropy": entropy,
    "margin": margin_uncertainty,
}
