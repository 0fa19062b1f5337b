"""The cross-entropy, and its focal form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sksegment.losses._base import PixelLoss, pixel_mean

FOCAL_GAMMA = 2.0


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

    See Also
    --------
    FocalLoss : Less weight for pixels that are already right.
    CombinedLoss : Adds a loss of overlap.
    sksegment.metrics.pixel_log_loss : The same as a score.

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
    """Cross-entropy that gives less weight to pixels that are already right.

    The loss of a pixel is multiplied by the square of one minus the probability of its
    class [1]_.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class.

    See Also
    --------
    CrossEntropyLoss : The same weight for all pixels.
    LovaszLoss : Another way to attend to what is wrong.

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
