"""A loss of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from sksegment._inputs.checks import accepts_arguments


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
    if isinstance(function, type) or not accepts_arguments(
        called, "scores", "codes", "weights"
    ):
        raise TypeError(
            f"loss is {function!r}; expected a function that is called as (scores, "
            f"codes, weights), or a name: 'cross_entropy' does what "
            f"torch.nn.CrossEntropyLoss does, over the labelled pixels."
        )


def _own_copy(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a copy of a loss that holds tensors: they are moved, and trained."""
    holds_tensors = isinstance(loss, nn.Module) and bool(loss.state_dict())
    return deepcopy(loss) if holds_tensors else loss
