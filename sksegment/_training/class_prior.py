"""How much of the images each class takes up, estimated where nothing is labelled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._inputs.labels import IGNORED

# Shares are averages over about this many batches: the network that they come from
# changes from batch to batch.
N_BATCHES = 10
# Of a class that is never seen; its logarithm must stay a number.
SMALLEST_SHARE = 1e-6


class ClassPrior(nn.Module):
    """Shares of the classes among labelled and unlabelled pixels, batch by batch.

    Strokes show as much of a rare class as of a frequent one. A network trained on them
    sees both equally often, and later finds too much of the rare one. Here the shares
    of the unlabelled pixels are estimated as the mean of their probabilities, as in the
    algorithm of Saerens et al. [1]_ with one step a batch, and the scores that the loss
    sees are shifted by the logarithm of the ratio of the shares [2]_. The scores of the
    network then are those for images in which the classes have the estimated shares.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    References
    ----------
    .. [1] M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the Outputs of a
       Classifier to New a Priori Probabilities: A Simple Procedure", Neural Computation
       14(1), 21-41, 2002.
    .. [2] A. K. Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> from sksegment._training.class_prior import ClassPrior
    >>> prior = ClassPrior(2)
    >>> scores = torch.tensor([[2.0, 2.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    >>> codes = torch.tensor([[[1, -1]]])
    >>> prior.to_labelled(scores, codes).shape
    torch.Size([1, 2, 1, 2])
    """

    labelled: Tensor
    unlabelled: Tensor
    n_batches: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        equal = torch.full((n_classes,), 1 / n_classes)
        self.register_buffer("labelled", equal)
        self.register_buffer("unlabelled", equal.clone())
        # How many batches had both kinds of pixels.
        self.register_buffer("n_batches", torch.zeros(()))

    def to_labelled(self, scores: Tensor, codes: Tensor) -> Tensor:
        """Take in a batch, and return its scores for the shares of the labelled pixels.

        Parameters
        ----------
        scores : Tensor of shape (n, n_classes, height, width)
            Scores before softmax.
        codes : Tensor of shape (n, height, width)
            Class codes, `IGNORED` where not labelled, `NO_DATA` where there is nothing
            to label.

        Returns
        -------
        Tensor of shape (n, n_classes, height, width)
            The scores, shifted by one number a class.
        """
        self._update(scores.detach(), codes)
        labelled = self.labelled.clamp(min=SMALLEST_SHARE)
        shift = (labelled / self.unlabelled.clamp(min=SMALLEST_SHARE)).log()
        return scores + shift[:, None, None]

    def _update(self, scores: Tensor, codes: Tensor) -> None:
        """Move the shares towards those of a batch."""
        is_labelled = codes >= 0
        one_hot = F.one_hot(codes.clamp(min=0), len(self.labelled)).float()
        labelled, n_labelled = _share(one_hot, is_labelled)
        probabilities = scores.softmax(dim=1).movedim(1, -1)
        unlabelled, n_unlabelled = _share(probabilities, codes == IGNORED)
        # Without a question that makes the program wait for the GPU.
        has_both = (n_labelled * n_unlabelled > 0).float()
        self.n_batches += has_both
        step = has_both / (self.n_batches + 1).clamp(max=N_BATCHES)
        self.labelled.lerp_(labelled, step)
        self.unlabelled.lerp_(unlabelled, step)


def _share(values: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of (n, height, width, n_classes) over pixels, and how many."""
    n_counted = counted.sum()
    total = (values * counted[..., None]).sum(dim=(0, 1, 2))
    return total / n_counted.clamp(min=1), n_counted
