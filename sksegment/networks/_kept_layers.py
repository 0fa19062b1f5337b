"""What was made of the layers of a network, for as long as these do not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Made = TypeVar("Made")

# Weights of all networks together of which something is kept: 16 MiB in float32. With
# copies to compare with, and what is made of them, it is three times as much.
MAX_WEIGHTS = 2**22


class _Kept(NamedTuple):
    settings: Sequence[Any]
    weights: Sequence[Tensor]
    made: Any


class KeptLayers:
    """What was made of each layer of a network, and the weights it was made of."""

    def __init__(self) -> None:
        self._layers: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()

    @property
    def n_weights(self) -> int:
        """Weights of these layers."""
        kept = self._layers.values()
        return sum(weight.numel() for layer in kept for weight in layer.weights)

    def made_once(
        self,
        layer: nn.Module,
        weights: Sequence[Tensor],
        settings: Sequence[Any],
        make: Callable[[Sequence[Tensor]], Made],
    ) -> Made:
        """Return what `make` makes of weights, anew only if something has changed.

        Weights are compared number by number: torch does not count all of their
        changes, as those of `weight.data`.

        Parameters
        ----------
        layer : nn.Module
            Whose weights they are.
        weights : sequence of Tensor
            All that `make` needs, those of the norm after the layer included.
        settings : sequence
            Whatever else the result depends on, the kind of the result included.
        make : callable
            Takes copies of the weights: another thread may change the layer meanwhile.
        """
        kept = self._layers.get(layer)
        if kept is None or not _is_same(kept, weights, settings):
            copies = [weight.clone() for weight in weights]
            kept = _Kept(settings, copies, make(copies))
            self._layers[layer] = kept
        made: Made = kept.made
        return made


def _is_same(kept: _Kept, weights: Sequence[Tensor], settings: Sequence[Any]) -> bool:
    return (
        kept.settings == settings
        and len(kept.weights) == len(weights)
        and all(map(torch.equal, kept.weights, weights))
    )


class RecentNetworks:
    """The kept layers of the networks that were used last.

    Not safe to use from several threads at once. Networks do not live longer for it,
    and are neither copied nor pickled with it.
    """

    def __init__(self) -> None:
        self._networks: WeakKeyDictionary[nn.Module, KeptLayers] = WeakKeyDictionary()

    def take(self, network: nn.Module) -> KeptLayers:
        """Return the layers of a network, which are then no longer kept here."""
        return self._networks.pop(network, None) or KeptLayers()

    def keep(self, network: nn.Module, layers: KeptLayers) -> None:
        """Keep the layers of a network if they are not too many, without the oldest."""
        if layers.n_weights > MAX_WEIGHTS:
            return
        self._networks[network] = layers
        while sum(kept.n_weights for kept in self._networks.values()) > MAX_WEIGHTS:
            oldest, *_ = self._networks
            del self._networks[oldest]
