"""Estimators that hold others, as plain data, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.checks import check_integer, check_number, is_integer, is_number
from sksegment.calibration import TemperatureScaling
from sksegment.ensemble import VotingSegmenter
from sksegment.persistence._json import Arrays

Packed = dict[str, Any]
# How an estimator is packed, which adds its tensors to the second argument, and how it
# is unpacked, which takes them out of it.
Pack = Callable[[Any, Arrays], Packed]
Unpack = Callable[[Packed, Arrays], Any]

MEMBER = "estimators_.{}."
DEFAULT_CV = 5


def pack_voting(voting: VotingSegmenter, arrays: Arrays, pack_member: Pack) -> Packed:
    """Return an ensemble as plain data; its tensors are added to `arrays`."""
    check_is_fitted(voting)
    members = []
    for index, member in enumerate(voting.estimators_):
        own: Arrays = {}
        members.append(pack_member(member, own))
        prefix = MEMBER.format(index)
        arrays.update({prefix + name: array for name, array in own.items()})
    return {
        "class": "VotingSegmenter",
        "names": [*voting.named_estimators_],
        "members": members,
        "weights": None if voting.weights is None else voting.weights_.tolist(),
        "n_jobs": voting.n_jobs,
    }


def unpack_voting(
    packed: Packed, tensors: Arrays, unpack_member: Unpack
) -> VotingSegmenter:
    """Return the ensemble of a file, checked; its tensors are taken out."""
    names, members = packed["names"], packed["members"]
    if not isinstance(names, list) or not isinstance(members, list):
        raise TypeError("its names or its members are not a list.")
    _check_n_jobs(packed["n_jobs"])
    _check_weights(packed["weights"])
    fitted = [
        unpack_member(member, _take(tensors, MEMBER.format(index)))
        for index, member in enumerate(members)
    ]
    _check_none_left(tensors)
    if len(names) != len(members):
        raise ValueError(f"it has {len(members)} members and {len(names)} names.")
    named = list(zip(names, fitted, strict=True))
    voting = VotingSegmenter.from_fitted(named, weights=packed["weights"])
    return voting.set_params(n_jobs=packed["n_jobs"])


def pack_scaling(
    scaling: TemperatureScaling, arrays: Arrays, pack_inner: Pack
) -> Packed:
    """Return a calibrated segmenter as plain data; its tensors are added to `arrays`.

    A splitter is code: of `cv`, an integer is kept, and of others the default.
    """
    check_is_fitted(scaling)
    return {
        "class": "TemperatureScaling",
        "estimator": pack_inner(scaling.estimator_, arrays),
        "temperature": scaling.temperature_,
        "cv": scaling.cv if is_integer(scaling.cv) else DEFAULT_CV,
        "n_jobs": scaling.n_jobs,
    }


def unpack_scaling(
    packed: Packed, tensors: Arrays, unpack_inner: Unpack
) -> TemperatureScaling:
    """Return the calibrated segmenter of a file; its tensors are taken out."""
    check_number("temperature_", packed["temperature"], 0, closed="neither")
    check_integer("cv", packed["cv"], 2)
    _check_n_jobs(packed["n_jobs"])
    fitted = unpack_inner(packed["estimator"], tensors)
    scaling = TemperatureScaling(fitted, cv=packed["cv"], n_jobs=packed["n_jobs"])
    return scaling._adopt(fitted, float(packed["temperature"]))


def pack_frozen(frozen: FrozenEstimator, arrays: Arrays, pack_inner: Pack) -> Packed:
    """Return a frozen estimator as plain data; its tensors are added to `arrays`."""
    return {
        "class": "FrozenEstimator",
        "estimator": pack_inner(frozen.estimator, arrays),
    }


def unpack_frozen(
    packed: Packed, tensors: Arrays, unpack_inner: Unpack
) -> FrozenEstimator:
    """Return the frozen estimator of a file; its tensors are taken out."""
    return FrozenEstimator(unpack_inner(packed["estimator"], tensors))


def _take(tensors: Arrays, prefix: str) -> Arrays:
    """Take out the tensors of one member."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def _check_none_left(tensors: Arrays) -> None:
    if tensors:
        raise ValueError(f"the tensor {min(tensors)!r} does not belong to the model.")


def _check_n_jobs(value: Any) -> None:
    if value is not None and not is_integer(value):
        raise TypeError(f"n_jobs is {value!r}; expected an integer, or None.")


def _check_weights(weights: Any) -> None:
    is_list = isinstance(weights, list) and all(map(is_number, weights))
    if weights is not None and not is_list:
        raise TypeError(f"weights is {weights!r}; expected a list of numbers, or None.")
