"""A loss from its name, or from the user's function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sksegment.losses._combined import CombinedLoss
from sksegment.losses._cross_entropy import CrossEntropyLoss, FocalLoss
from sksegment.losses._dice import DiceLoss
from sksegment.losses._lovasz import LovaszLoss
from sksegment.losses._user_loss import UserLoss, _own_copy


def _cross_entropy_and(
    other: Callable[[Tensor | None], nn.Module], class_weight: Tensor | None
) -> nn.Module:
    return CombinedLoss(CrossEntropyLoss(class_weight), other(class_weight))


# Divided by the weights of the classes of their pixels.
PIXEL_MEANS = (CrossEntropyLoss, FocalLoss)

LOSSES: dict[str, Callable[[Tensor | None], nn.Module]] = {
    "cross_entropy": CrossEntropyLoss,
    "dice": DiceLoss,
    "cross_entropy+dice": partial(_cross_entropy_and, DiceLoss),
    "cross_entropy+lovasz": partial(_cross_entropy_and, LovaszLoss),
    "focal": FocalLoss,
    "lovasz": LovaszLoss,
}


def make_loss(
    loss: str | Callable[..., Tensor], class_weight: NDArray[np.float32] | None
) -> nn.Module:
    """Return the loss for a name or a function.

    Parameters
    ----------
    loss : str or callable
        A key of `LOSSES`, or a function of scores, codes and weights.
    class_weight : ndarray of shape (n_classes,) or None
        Weight of each class, for losses given by name.

    Returns
    -------
    nn.Module
        The loss.
    """
    if not isinstance(loss, str):
        return UserLoss(_own_copy(loss))
    weights = None if class_weight is None else torch.from_numpy(class_weight)
    return LOSSES[loss](weights)


def class_weight_of_mean(loss: nn.Module) -> NDArray[np.float32] | None:
    """Return the class weights of a loss that is a weighted mean over pixels.

    Parameters
    ----------
    loss : nn.Module
        What `make_loss` has returned.

    Returns
    -------
    ndarray of shape (n_classes,) or None
        The weights; None if there are none, or if the loss is no such mean.
    """
    inner = loss.function if isinstance(loss, UserLoss) else loss
    if not isinstance(inner, PIXEL_MEANS) or inner.class_weight is None:
        return None
    return np.asarray(inner.class_weight.cpu().numpy())
