"""The Lovász-softmax loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sksegment.losses._base import PixelLoss, importances, safe_divide


class LovaszLoss(PixelLoss):
    """The Lovász extension of one minus the IoU, a mean over classes.

    A pixel's error for a class is one minus the probability of the class where it is
    the right one, and that probability elsewhere. Where all errors are 0 or 1, the loss
    of a class is one minus the IoU of these predictions; in between, the loss is
    convex, and linear in the errors as long as their order does not change [1]_.

    The IoU is that of the labelled pixels of the whole batch; classes that the batch
    does not contain are left out of the mean. A pixel weight counts as the area of its
    pixel. A batch without a labelled pixel has loss 0.

    Parameters
    ----------
    class_weight : Tensor of shape (n_classes,) or None, default=None
        Weight of each class in the mean.

    See Also
    --------
    DiceLoss : The Dice overlap instead, and faster.
    CombinedLoss : Together with the cross-entropy.
    sksegment.metrics.iou_score : The score that it aims at.

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
        return safe_divide(total, shares)


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
