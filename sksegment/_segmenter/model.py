"""A network with all that it takes to run it, train it further and make it again."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.torch_version import TorchVersion

from sksegment._inputs.channel_scale import Scale
from sksegment._torch.out_of_memory import copy_network, move_network
from sksegment._torch.random import local_rng, seed_torch
from sksegment._version import __version__
from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._factory import make_network
from sksegment.networks._receptive_field import measure_margin, measure_strip_margin
from sksegment.networks._state import _channels_last
from sksegment.networks._user_network import Resized


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
    def n_channels(self) -> int:
        """Channels of its images."""
        return len(self.scale.mean)

    @property
    def stride(self) -> int:
        """Grid, in pixels, on which the network sees all positions alike."""
        return int(getattr(self.network, "stride", 1))

    @property
    def margin(self) -> int | None:
        """Radius of the receptive field in pixels; None if it is the whole image."""
        return getattr(self.network, "margin", None)

    def copy(self, device: torch.device) -> Model:
        """Return a copy on a device, to continue from."""
        network = copy_network(self.network, device)
        return Model(network, self.architecture, self.scale, list(self.history))


def new_model(
    architecture: dict[str, Any], scale: Scale, seed: int, device: torch.device
) -> Model:
    """Return a model with initial weights drawn from `seed`.

    They are drawn on the CPU, so that they are the same on every device.
    """
    with torch.device("cpu"), local_rng(torch.device("cpu")):
        seed_torch(seed, torch.device("cpu"))
        network = make_network(**architecture)
        if isinstance(network, Resized):
            n_channels = architecture["n_channels"]
            network.margin = measure_margin(network, n_channels, network.stride)
    if isinstance(network, EncoderFCN):
        # Alike whatever these are.
        alike = {**architecture, "n_classes": 1, "dropout": 0.0}
        with suppress(MemoryError):  # taken to be the whole image
            network.margin = encoder_margin(**alike)
    return Model(move_network(_channels_last(network), device), architecture, scale)


@lru_cache
def encoder_margin(**architecture: Any) -> int | None:
    """Return the margin of a network with an encoder, measured once in a process.

    It takes seconds: as long as all of a small training. The weights that are measured
    have a seed of their own, so that it is the same whatever was trained before.

    Parameters
    ----------
    **architecture : dict
        The arguments of `make_network`.

    Returns
    -------
    int or None
        As `measure_strip_margin`.

    Raises
    ------
    MemoryError
        If there is not enough memory to measure it.
    """
    with torch.device("cpu"), local_rng(torch.device("cpu")):
        seed_torch(0, torch.device("cpu"))
        network: Any = make_network(**architecture)
        return measure_strip_margin(network, architecture["n_channels"], network.stride)


def warn_of_newer(version: str | None) -> None:
    """Warn about a fitted segmenter that was saved by a newer sksegment.

    Parameters
    ----------
    version : str or None
        The version that saved it; None if that is not known.
    """
    if version is not None and TorchVersion(version) > TorchVersion(__version__):
        warnings.warn(
            f"The segmenter was saved by sksegment {version}, and this is sksegment "
            f"{__version__}, which may read it wrongly. Update sksegment.",
            UserWarning,
            stacklevel=3,
        )
