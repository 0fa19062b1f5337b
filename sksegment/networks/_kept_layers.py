"""What was made of the weights of a layer, for as long as they stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Made = TypeVar("Made")

# Numbers in a layer. Three times as many are kept, and for larger layers what they save
# is small beside the convolution itself.
MAX_KEPT = 2**20


class _Kept(NamedTuple):
    settings: Sequence[Any]
    weights: list[Tensor]
    made: Any

    def is_of(self, weights: Sequence[Tensor], settings: Sequence[Any]) -> bool:
        """Tell whether the same would be made again."""
        return self.settings == settings and all(
            map(torch.equal, self.weights, weights)
        )


# The layers do not live longer for it, and are neither copied nor pickled with it.
_KEPT: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def made_once(
    make: Callable[[], Made],
    layer: nn.Module,
    weights: Sequence[Tensor],
    settings: Sequence[Any],
) -> Made:
    """Return what `make` makes, which is kept while nothing that it depends on changes.

    Weights are compared number by number: torch does not count all of their changes,
    as those of `weight.data`.

    Parameters
    ----------
    make : callable
        What it returns must not refer to the layer.
    layer : nn.Module
        The layer of which it is made.
    weights : sequence of Tensor
        All tensors that it is made of, those of other layers included.
    settings : sequence
        Whatever else it depends on.
    """
    kept = _KEPT.get(layer)
    if kept is not None and kept.is_of(weights, settings):
        made: Made = kept.made
        return made
    _KEPT.pop(layer, None)  # before the next takes memory
    made = make()
    if sum(tensor.numel() for tensor in weights) <= MAX_KEPT:
        copies = [tensor.clone() for tensor in weights]
        _KEPT[layer] = _Kept(settings, copies, made)
    return made
