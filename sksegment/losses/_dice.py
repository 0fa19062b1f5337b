"""The Dice loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sksegment.losses._base import PixelLoss, importances, safe_divide


class DiceLoss(PixelLoss):
    """One minus the Dice overlap of probabilities and masks, a mean over classes.

    Sums run over the labelled pixels of the whole batch [1]_; classes that the batch
    does not contain are left out of the mean. A batch without a labelled pixel has
    loss 0.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class in the mean.

    See Also
    --------
    LovaszLoss : The IoU instead.
    CombinedLoss : Together with the cross-entropy.
    sksegment.metrics.dice_score : The score that it aims at.

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
        return safe_divide((losses * present).sum(), present.sum())
