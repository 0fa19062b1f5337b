"""A network with all that it takes to run it, train it on and make it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sksegment._memory import copied, moved
from sksegment._net import local_rng, seed_torch
from sksegment._probing import probed_margin
from sksegment._scale import Scale
from sksegment.networks import Resized, make_network


@dataclass(frozen=True)
class Model:
    """A network, how it was made, how its images are standardised, what it has seen.

    Parameters
    ----------
    network : nn.Module
        The network.
    architecture : dict
        The arguments of `make_network` that make one like it.
    scale : Scale
        How its images are standardised.
    history : list of dict
        The epochs that it was trained for.
    """

    network: nn.Module
    architecture: dict[str, Any]
    scale: Scale
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stride(self) -> int:
        """Grid, in pixels, on which the network sees all positions alike."""
        return int(getattr(self.network, "stride", 1))

    @property
    def margin(self) -> int | None:
        """Radius of the receptive field in pixels; None if it is the whole image."""
        return getattr(self.network, "margin", None)

    def copy(self, device: torch.device) -> Model:
        """Return a copy on a device, to go on from."""
        network = copied(self.network, device)
        return Model(network, self.architecture, self.scale, list(self.history))


def new_model(
    architecture: dict[str, Any], scale: Scale, seed: int, device: torch.device
) -> Model:
    """Return a model with initial weights drawn from `seed`.

    They are drawn on the CPU, so that they are the same on every device.
    """
    with local_rng(torch.device("cpu")):
        seed_torch(seed, torch.device("cpu"))
        network = make_network(**architecture)
        if isinstance(network, Resized):
            n_channels = architecture["n_channels"]
            network.margin = probed_margin(network, n_channels, network.stride)
    return Model(moved(_channels_last(network), device), architecture, scale)


def arrays_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the weights of a network, by their names in its state dict."""
    return {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}


def restored_network(
    architecture: dict[str, Any], weights: dict[str, NDArray[Any]], margin: int | None
) -> nn.Module:
    """Return a network with weights and margin that were saved, on the CPU."""
    with local_rng(torch.device("cpu")):
        network = make_network(**architecture)
    if isinstance(network, Resized):
        network.margin = margin  # it was measured once
    # The arrays of a memory-mapped file are read-only: only these are copied here.
    arrays = {name: np.require(array, None, "W") for name, array in weights.items()}
    network.load_state_dict(
        {name: torch.from_numpy(array) for name, array in arrays.items()}
    )
    return _channels_last(network).eval()


def _channels_last(network: nn.Module) -> nn.Module:
    # The order of the images themselves: convolutions then copy nothing.
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(
                memory_format=torch.channels_last
            )
    return network
