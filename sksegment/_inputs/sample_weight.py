"""Sample weights: one per image, or one per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.containers import (
    as_array,
    check_not_masked,
    check_ordered,
    converted,
)
from sksegment._inputs.image import from_torch

WEIGHTLESS = "Give masked pixels no weight: sample_weight.filled(0)."


def as_weights(
    sample_weight: Any, n_images: int
) -> Sequence[NDArray[np.float64]] | None:
    """Return one weight per image, or one weight per pixel, for each mask.

    Parameters
    ----------
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), or None
        Weights, not negative.
    n_images : int
        The number of images that the weights go with.

    Returns
    -------
    sequence of ndarray, each of shape () or (height, width), or None
    """
    if sample_weight is None:
        return None
    items = _weight_items(sample_weight)
    weights = [_weight_array(item, index) for index, item in enumerate(items)]
    if len(weights) != n_images:
        raise ValueError(
            f"sample_weight has {len(weights)} entries for {n_images} images; "
            f"expected one weight, or one array of weights, per image."
        )
    for index, weight in enumerate(weights):
        _check_weight(weight, index)
    if not any(weight.any() for weight in weights):
        raise ValueError(
            "sample_weight is zero everywhere; expected at least one positive weight."
        )
    return weights


def check_weight_size(
    weight: NDArray[np.float64], mask: NDArray[Any], index: int
) -> None:
    """Reject pixel weights whose size differs from that of their mask."""
    if weight.ndim == 2 and weight.shape != mask.shape:
        raise ValueError(
            f"sample_weight of image {index} has height and width {weight.shape}, but "
            f"its mask has {mask.shape}; expected the same."
        )


def _weight_items(sample_weight: Any) -> list[Any]:
    if hasattr(sample_weight, "iloc") and getattr(sample_weight, "ndim", 1) == 2:
        raise TypeError(
            "sample_weight is a DataFrame; expected one weight per image, or one per "
            "pixel. Pass one column, as in sample_weight['weight']."
        )
    if np.isscalar(sample_weight):
        raise ValueError(
            f"sample_weight is {sample_weight!r}; expected one weight per image, (n,), "
            f"or one per pixel, (n, height, width)."
        )
    check_ordered("sample_weight", sample_weight, WEIGHTLESS)
    sample_weight = from_torch(sample_weight, "sample_weight")
    if not hasattr(sample_weight, "__iter__"):
        # It may convert itself.
        sample_weight = as_array(sample_weight, "sample_weight", WEIGHTLESS)
    if isinstance(sample_weight, np.ndarray) and sample_weight.ndim not in (1, 3):
        raise ValueError(
            f"Sample weights must be 1D, (n,), or (n, height, width); got shape "
            f"{sample_weight.shape}."
        )
    return list(sample_weight)


def _weight_array(item: Any, index: int) -> NDArray[np.float64]:
    name = f"sample_weight of image {index}"
    try:
        array = converted(from_torch(item, name))
        if array.dtype.kind == "c":
            raise TypeError("it is complex.")
        weight = np.asarray(array, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error
    check_not_masked(name, array, WEIGHTLESS)
    return weight


def _check_weight(weight: NDArray[np.float64], index: int) -> None:
    if weight.ndim not in (0, 2):
        raise ValueError(
            f"sample_weight of image {index} has shape {weight.shape}; expected one "
            f"number, or (height, width). Sample weights must be 1D or per pixel."
        )
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(
            f"sample_weight of image {index} holds a negative, NaN or infinite value; "
            f"expected weights of 0 or more."
        )
