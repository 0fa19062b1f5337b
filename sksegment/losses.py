"""Losses over labelled pixels, with class weights and pixel weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sksegment._checks import takes

__all__ = [
    "CombinedLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "LovaszLoss",
]

FOCAL_GAMMA = 2.0


class PixelLoss(nn.Module, ABC):
    """What the losses share: class weights, ignored pixels and pixel weights.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class.
    """

    class_weight: Tensor | None

    def __init__(self, class_weight: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weight", class_weight)

    def forward(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        scores : Tensor of shape (n, n_classes, height, width)
            Scores before softmax.
        codes : Tensor of shape (n, height, width)
            Class codes, negative where ignored.
        weights : Tensor of shape (n, height, width) or None, default=None
            Pixel weights.

        Returns
        -------
        Tensor of shape ()
            The loss; 0 for a batch without a labelled pixel.
        """
        return self._of_batch(scores, codes, weights)

    @abstractmethod
    def _of_batch(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None
    ) -> Tensor:
        """Return the loss of a batch, as `forward` describes it."""


class CrossEntropyLoss(PixelLoss):
    """Categorical cross-entropy, averaged over the labelled pixels.

    The mean is weighted by the class weights. A pixel weight multiplies the loss of its
    pixel and does not enter the divisor: weights are relative to 1, not to the other
    weights in a batch. Pixels of weight 0 are ignored. A batch without a labelled pixel
    has loss 0.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class.

    Examples
    --------
    >>> import torch
    >>> from sksegment.losses import CrossEntropyLoss
    >>> scores = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1)
    >>> loss = CrossEntropyLoss()(scores, torch.tensor([[[0]]]))
    >>> round(loss.item(), 4)
    0.1269
    """

    def _of_batch(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None
    ) -> Tensor:
        losses = F.cross_entropy(scores, codes.clamp(min=0), reduction="none")
        return pixel_mean(losses, codes, weights, self.class_weight)


class FocalLoss(PixelLoss):
    """Cross-entropy that gives less weight to pixels that are already right [1]_.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollar, "Focal Loss for Dense
       Object Detection", ICCV 2017. Exponent 2.

    Examples
    --------
    >>> import torch
    >>> from sksegment.losses import FocalLoss
    >>> scores = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1)
    >>> loss = FocalLoss()(scores, torch.tensor([[[0]]]))
    >>> round(loss.item(), 4)
    0.0018
    """

    def _of_batch(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None
    ) -> Tensor:
        losses = F.cross_entropy(scores, codes.clamp(min=0), reduction="none")
        focus = (1 - torch.exp(-losses)) ** FOCAL_GAMMA
        return pixel_mean(focus * losses, codes, weights, self.class_weight)


class DiceLoss(PixelLoss):
    """One minus the Dice overlap of probabilities and masks [1]_, a mean over classes.

    Sums run over the labelled pixels of the whole batch; classes that the batch does
    not contain are left out of the mean. A batch without a labelled pixel has loss 0.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class in the mean.

    References
    ----------
    .. [1] F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: Fully Convolutional Neural
       Networks for Volumetric Medical Image Segmentation", 3DV 2016.

    Examples
    --------
    >>> import torch
    >>> from sksegment.losses import DiceLoss
    >>> codes = torch.tensor([[[0, 1]]])
    >>> scores = 100.0 * torch.nn.functional.one_hot(codes, 2).movedim(-1, 1)
    >>> DiceLoss()(scores, codes).item()
    0.0
    """

    def _of_batch(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None
    ) -> Tensor:
        importance = importances(codes, weights)[:, None]
        probabilities = scores.softmax(dim=1)
        truth = F.one_hot(codes.clamp(min=0), scores.shape[1]).movedim(-1, 1)
        shared = (importance * probabilities * truth).sum(dim=(0, 2, 3))
        wanted = (importance * truth).sum(dim=(0, 2, 3))
        total = (importance * probabilities).sum(dim=(0, 2, 3)) + wanted
        losses = 1 - 2 * shared / total.clamp(min=torch.finfo(total.dtype).tiny)
        present = (wanted > 0).to(losses.dtype)
        if self.class_weight is not None:
            present = present * self.class_weight
        return divided((losses * present).sum(), present.sum())


class LovaszLoss(PixelLoss):
    """The Lovász extension of one minus the IoU, a mean over classes [1]_.

    A pixel's error for a class is one minus the probability of the class where it is
    the right one, and that probability elsewhere. Where all errors are 0 or 1, the loss
    of a class is one minus the IoU of these predictions; in between, the loss is
    convex, and linear in the errors as long as their order does not change.

    The IoU is that of the labelled pixels of the whole batch; classes that the batch
    does not contain are left out of the mean. A pixel weight counts as the area of its
    pixel. A batch without a labelled pixel has loss 0.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class in the mean.

    Notes
    -----
    The pixels of the batch are sorted once for each class that it contains. The sort
    makes this loss the slowest one here: on a CPU, with 21 classes, it takes two to
    three times as long as `DiceLoss`. Besides the probabilities, 5 bytes per pixel and
    class are kept for the backward pass.

    References
    ----------
    .. [1] M. Berman, A. Rannen Triki and M. B. Blaschko, "The Lovász-Softmax Loss: A
       Tractable Surrogate for the Optimization of the Intersection-over-Union Measure
       in Neural Networks", CVPR 2018.

    Examples
    --------
    Two of three pixels are right. The IoU of both classes is 1/2:

    >>> import torch
    >>> from sksegment.losses import LovaszLoss
    >>> predicted = torch.tensor([[[0, 1, 1]]])
    >>> scores = 200.0 * torch.nn.functional.one_hot(predicted, 2).movedim(-1, 1)
    >>> LovaszLoss()(scores, torch.tensor([[[0, 0, 1]]])).item()
    0.5
    """

    def _of_batch(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None
    ) -> Tensor:
        importance = importances(codes, weights)
        probabilities = scores.softmax(dim=1).unbind(dim=1)
        # Empty sums: 0, but still tied to the scores if the batch contains no class.
        total, shares = scores[:0].sum(), importance[:0].sum()
        present = codes[importance > 0].bincount().nonzero().flatten().tolist()
        for label in present:
            is_class, probability = codes == label, probabilities[label]
            errors = torch.where(is_class, 1 - probability, probability)
            steps = jaccard_steps(errors.detach(), is_class, importance)
            share = 1.0 if self.class_weight is None else self.class_weight[label]
            total = total + share * (errors * steps).sum()
            shares = shares + share
        return divided(total, shares)


class CombinedLoss(PixelLoss):
    """The sum of several losses.

    Parameters
    ----------
    *losses : nn.Module
        Losses that take the same arguments.

    Examples
    --------
    >>> import torch
    >>> from sksegment.losses import CombinedLoss, CrossEntropyLoss, DiceLoss
    >>> loss = CombinedLoss(CrossEntropyLoss(), DiceLoss())
    >>> scores, codes = torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4, dtype=torch.int64)
    >>> round(loss(scores, codes).item(), 4)
    1.0265
    """

    def __init__(self, *losses: nn.Module) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)

    def _of_batch(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None
    ) -> Tensor:
        return torch.stack([loss(scores, codes, weights) for loss in self.losses]).sum()


def _cross_entropy_and(
    other: Callable[[Tensor | None], nn.Module], class_weight: Tensor | None
) -> nn.Module:
    return CombinedLoss(CrossEntropyLoss(class_weight), other(class_weight))


LOSSES: dict[str, Callable[[Tensor | None], nn.Module]] = {
    "cross_entropy": CrossEntropyLoss,
    "dice": DiceLoss,
    "cross_entropy+dice": partial(_cross_entropy_and, DiceLoss),
    "cross_entropy+lovasz": partial(_cross_entropy_and, LovaszLoss),
    "focal": FocalLoss,
    "lovasz": LovaszLoss,
}


class UserLoss(nn.Module):
    """A loss function supplied by the user.

    Parameters
    ----------
    function : callable
        Maps scores, codes and weights to one number.

    Raises
    ------
    TypeError
        If it cannot be called with these arguments.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        _check_signature(function)
        self.function = function

    def forward(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of a batch, after checking that it is a valid one."""
        loss = self.function(scores, codes, weights)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise TypeError(
                f"loss returned {_told(loss)}; expected a tensor with one number."
            )
        if scores.requires_grad and not loss.requires_grad:
            raise ValueError(
                "loss returned a number without a gradient; expected one that torch "
                "computes from the scores, without detach, item or argmax."
            )
        return loss.reshape(())


def _told(answer: Any) -> str:
    if isinstance(answer, Tensor):
        return f"a tensor of shape {tuple(answer.shape)}"
    return repr(answer)


def _check_signature(function: Callable[..., Tensor]) -> None:
    """Reject a class, or anything not called as (scores, codes, weights)."""
    called = function.forward if isinstance(function, nn.Module) else function
    if isinstance(function, type) or not takes(called, "scores", "codes", "weights"):
        raise TypeError(
            f"loss is {function!r}; expected a function that is called as (scores, "
            f"codes, weights), or a name: 'cross_entropy' does what "
            f"torch.nn.CrossEntropyLoss does, over the labelled pixels."
        )


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


def _own_copy(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a copy of a loss that holds tensors: they are moved, and trained."""
    holds_tensors = isinstance(loss, nn.Module) and bool(loss.state_dict())
    return deepcopy(loss) if holds_tensors else loss


def pixel_mean(
    losses: Tensor, codes: Tensor, weights: Tensor | None, class_weight: Tensor | None
) -> Tensor:
    """Return the mean over the labelled pixels, weighted by class.

    Dividing by the pixel weights as well would undo them: alone in its batch, an image
    of weight 1000 would count as much as one of weight 1.
    """
    counted = (codes >= 0).float()
    if class_weight is not None:
        counted = counted * class_weight[codes.clamp(min=0)]
    importance = counted
    if weights is not None:
        counted = counted * (weights > 0)
        # Multiplied before the losses come in: where nothing is counted, the gradient
        # of a loss is 0 times a huge number, and must not become 0 times infinity.
        importance = counted * weights
    return divided((losses * importance).sum(), counted.sum())


def importances(codes: Tensor, weights: Tensor | None) -> Tensor:
    """Return the area that each pixel counts for: 0 where it is ignored."""
    labelled = (codes >= 0).float()
    return labelled if weights is None else labelled * weights


@torch.no_grad()
def jaccard_steps(errors: Tensor, is_class: Tensor, importance: Tensor) -> Tensor:
    """Return by how much the Jaccard loss of a class rises with each wrong pixel.

    Pixels go wrong one after another, those with the largest errors first. The sum of
    errors times steps is the Lovász extension of the loss at these errors.

    Parameters
    ----------
    errors : Tensor of shape (n, height, width)
        Errors from 0 to 1.
    is_class : Tensor of shape (n, height, width), dtype bool
        Where the class is the right one; its total area is not 0.
    importance : Tensor of shape (n, height, width)
        The areas of the pixels.

    Returns
    -------
    Tensor of shape (n, height, width)
        The steps, which are also the gradient.
    """
    # Stable, so that equal errors have one order on every device.
    order = errors.flatten().argsort(descending=True, stable=True)
    area, is_class = importance.flatten()[order], is_class.flatten()[order]
    missed = (area * is_class).cumsum(0)
    total = missed[-1]
    union = total + (area * ~is_class).cumsum(0)
    # The step is written out: the difference of two losses would lose all its digits
    # in a batch of a million pixels.
    before = (union - area).clamp(min=total)
    steps = area / union * torch.where(is_class, 1, (total - missed) / before)
    return torch.empty_like(steps).scatter_(0, order, steps).view_as(errors)


def divided(total: Tensor, count: Tensor) -> Tensor:
    """Divide, with 0 where there is nothing to divide."""
    return total / count.clamp(min=torch.finfo(count.dtype).tiny)
