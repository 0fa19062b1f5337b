"""What all losses share: the weighted mean over the labelled pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


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

        Raises
        ------
        ValueError
            If there is not one class weight per class.
        """
        self._check_class_weight(scores.shape[1])
        return self._of_batch(scores, codes, weights)

    def _check_class_weight(self, n_classes: int) -> None:
        shape = () if self.class_weight is None else tuple(self.class_weight.shape)
        if self.class_weight is not None and shape != (n_classes,):
            raise ValueError(
                f"class_weight of {type(self).__name__} has shape {shape}, but there "
                f"are {n_classes} classes; expected one weight per class."
            )

    @abstractmethod
    def _of_batch(
        self, scores: Tensor, codes: Tensor, weights: Tensor | None
    ) -> Tensor:
        """Return the loss of a batch, as `forward` describes it."""


def pixel_mean(
    losses: Tensor, codes: Tensor, weights: Tensor | None, class_weight: Tensor | None
) -> Tensor:
    """Return the mean over the labelled pixels, weighted by class.

    Dividing by the pixel weights as well would undo them: alone in its batch, an image
    of weight 1000 would count as much as one of weight 1.
    """
    counted = counted_pixels(codes, weights, class_weight)
    importance = counted
    if weights is not None:
        # Multiplied before the losses come in: where nothing is counted, the gradient
        # of a loss is 0 times a huge number, and must not become 0 times infinity.
        importance = counted * weights
    return safe_divide((losses * importance).sum(), counted.sum())


def counted_pixels(
    codes: Tensor, weights: Tensor | None, class_weight: Tensor | None
) -> Tensor:
    """Return what each pixel adds to the divisor of the mean: 0 where ignored."""
    counted = (codes >= 0).float()
    if class_weight is not None:
        counted = counted * class_weight[codes.clamp(min=0)]
    return counted if weights is None else counted * (weights > 0)


def importances(codes: Tensor, weights: Tensor | None) -> Tensor:
    """Return the area that each pixel counts for: 0 where it is ignored."""
    labelled = (codes >= 0).float()
    return labelled if weights is None else labelled * weights


def safe_divide(total: Tensor, count: Tensor) -> Tensor:
    """Divide, with 0 where there is nothing to divide."""
    return total / count.clamp(min=torch.finfo(count.dtype).tiny)
