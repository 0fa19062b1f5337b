"""The sum of several losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sksegment.losses._base import PixelLoss


class CombinedLoss(PixelLoss):
    """The sum of several losses.

    Parameters
    ----------
    *losses : nn.Module
        Losses that take the same arguments.

    See Also
    --------
    CrossEntropyLoss : Usually one of them.
    DiceLoss : Often the other.
    LovaszLoss : Or this one.

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
