"""The named members of an ensemble: their list, their weights, what they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import _name_estimators

from sksegment._inputs.containers import as_array
from sksegment._inputs.labels import format_labels
from sksegment._inputs.pipelines import changing_steps, final_estimator

Named = list[tuple[str, Any]]
# What all members must have in common, those that have it.
SHARED = ("classes_", "ignore_label", "nodata", "nodata_label", "n_features_in_")
CURE_OF_CLASSES = " Name all label values of the task with classes= of each member."


def named_pairs(estimators: Any) -> Named:
    """Return (name, estimator) pairs, or say what is wrong with the list."""
    expected = "expected a list of (name, estimator) pairs"
    if not isinstance(estimators, (list, tuple)) or not len(estimators):
        raise TypeError(f"estimators is {estimators!r}; {expected}.")
    for item in estimators:
        is_pair = isinstance(item, tuple) and len(item) == 2
        if not is_pair or not isinstance(item[0], str):
            raise TypeError(
                f"estimators holds {item!r}; {expected}. Fitted segmenters without "
                f"names are for VotingSegmenter.from_fitted."
            )
    return list(estimators)


def named_members(estimators: Any) -> Named:
    """Return fitted estimators with their names; names are made up for a bare list."""
    if isinstance(estimators, Mapping):
        raise TypeError(
            f"estimators is a dictionary with the keys {[*estimators]}; expected a "
            f'list: of what cross_validate returns, pass the entry "estimator".'
        )
    is_list = isinstance(estimators, (list, tuple, np.ndarray))
    if is_list and len(estimators) and not isinstance(estimators[0], tuple):
        return list(_name_estimators(list(estimators)))
    return named_pairs(estimators)


def is_dropped(member: Any) -> bool:
    """Tell whether a member is left out."""
    return isinstance(member, str) and member == "drop"


def check_is_member(name: str, member: Any) -> None:
    """Reject what is no segmenter."""
    if isinstance(member, type) or not hasattr(member, "fit"):
        raise TypeError(
            f"The member {name!r} is {member!r}; expected a segmenter, or 'drop'."
        )
    if not hasattr(member, "predict_proba"):
        raise TypeError(
            f"The member {name!r}, a {type(member).__name__}, has no predict_proba; "
            f"expected a segmenter that gives probabilities."
        )


def no_members_error(model: Any) -> TypeError:
    """Return the error for a model whose answers cannot disagree."""
    return TypeError(
        f"The model is a {type(model).__name__}, which has neither members nor views "
        f"to disagree; expected a VotingSegmenter or an FCNSegmenter, or "
        f"method='entropy' or 'margin'."
    )


def fitted_positions(named: Named, fitted: Iterable[str]) -> list[int]:
    """Return where fitted members stand in a list that may have changed since.

    Raises
    ------
    ValueError
        If one is no longer there.
    """
    names = [name for name, _ in named]
    for name in fitted:
        if name not in names:
            raise ValueError(
                f"The fitted member {name!r} is not in estimators, which holds "
                f"{', '.join(map(repr, names))}; expected all fitted members. Fit "
                f"again after a change of estimators, or leave a member out with "
                f"weights."
            )
    return [names.index(name) for name in fitted]


def normalized_weights(
    weights: Any, kept: Sequence[int], n_members: int
) -> NDArray[np.float64]:
    """Return the weights at the positions of what is kept, summing to 1."""
    if weights is None:
        return np.full(len(kept), 1 / len(kept))
    array = as_array(weights, "weights")
    if array.dtype.kind not in "biuf" or array.shape != (n_members,):
        raise ValueError(
            f"weights is {weights!r}; expected {n_members} numbers, one per estimator."
        )
    array = array[list(kept)].astype(np.float64)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.sum() > 0):
        raise ValueError(
            f"weights is {weights!r}; expected finite numbers of at least 0, one of "
            f"them above 0."
        )
    return np.asarray(array / array.sum())


def check_alike(named: Named) -> None:
    """Reject members that differ in classes, ignored label or channels."""
    for name, member in named:
        if not hasattr(final_estimator(member), "classes_"):
            raise TypeError(
                f"The member {name!r}, a {type(member).__name__}, has no classes_ "
                f"after fit; expected a segmenter."
            )
    for attribute in SHARED:
        known = _known(named, attribute)
        for name, value in known[1:]:
            if not _are_same(value, known[0][1]):
                raise ValueError(
                    f"The member {name!r} has {attribute}={_format(value)}, but "
                    f"{known[0][0]!r} has {_format(known[0][1])}; expected the same."
                    + CURE_OF_CLASSES
                    * (attribute == "classes_")
                )


def _are_same(value: Any, other: Any) -> bool:
    both_nan = all(
        isinstance(one, (float, np.floating)) and np.isnan(one)
        for one in (value, other)
    )
    return both_nan or np.array_equal(value, other)


def _known(named: Named, attribute: str) -> Named:
    """Return the values of an attribute, by the names of the members that have it."""
    if attribute == "n_features_in_":  # behind steps, that of what they hand on
        named = [(name, one) for name, one in named if not changing_steps(one)]
    finals = [(name, final_estimator(member)) for name, member in named]
    return [
        (name, getattr(final, attribute))
        for name, final in finals
        if hasattr(final, attribute)
    ]


def _format(value: Any) -> str:
    return format_labels(value) if isinstance(value, np.ndarray) else repr(value)
