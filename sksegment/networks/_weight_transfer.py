"""Tensors of one network put into another: what fits, and the error if it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Weights:
    """Tensors to start from, and where in a network they belong.

    Parameters
    ----------
    origin : str
        Where they come from, for messages.
    tensors : dict
        Tensors by their name in the source.
    names : dict
        For each name in the network, that in the source.
    cure : str
        What to do if they do not fit.
    """

    origin: str
    tensors: Mapping[str, Any]
    names: dict[str, str]
    cure: str


def transplant(weights: Weights, network: nn.Module) -> None:
    """Copy weights into a network, in place.

    Raises
    ------
    ValueError
        If one is missing, has another shape, or is not finite.
    """
    state = network.state_dict()
    first = _first_kernel(network)
    for name, key in weights.names.items():
        source, target = _tensor(weights, key), state[name]
        _check_kind(weights, key, source, target)
        if name == first and source.ndim == target.ndim == 4:
            source = spread_channels(source, target.shape[1])
        _check_shape(weights, key, source, target)
        if not torch.isfinite(source).all():
            raise ValueError(
                f"{key} of {weights.origin} holds NaN or infinity; expected finite "
                f"weights."
            )
        target.copy_(source.reshape(target.shape))


def _first_kernel(network: nn.Module) -> str | None:
    """Return the name of the kernel that sees the images, or None."""
    convolutions = (
        f"{name}.weight"
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d)
    )
    return next(convolutions, None)


def _tensor(weights: Weights, key: str) -> Tensor:
    tensor = weights.tensors.get(key)
    if isinstance(tensor, Tensor):
        return tensor
    found = ", ".join(str(name) for name in list(weights.tensors)[:4]) or "nothing"
    raise ValueError(
        f"{weights.origin} has no tensor {key}, but {found}, ...; {weights.cure}."
    )


def _check_kind(weights: Weights, key: str, source: Tensor, target: Tensor) -> None:
    is_dense = source.layout == torch.strided and not source.is_meta
    if not is_dense or source.is_floating_point() != target.is_floating_point():
        raise ValueError(
            f"{key} of {weights.origin} is a tensor of {source.dtype} "
            f"({source.layout}, on {source.device}); expected a dense one of "
            f"{target.dtype}."
        )


def _check_shape(weights: Weights, key: str, source: Tensor, target: Tensor) -> None:
    # A linear layer over the pixels of an image is a convolution as large as the image.
    expected = target.flatten(1) if source.ndim == 2 and target.ndim == 4 else target
    if source.shape != expected.shape:
        raise ValueError(
            f"{key} of {weights.origin} has the shape {tuple(source.shape)}; expected "
            f"{tuple(expected.shape)}. {weights.cure}."
        )


def spread_channels(weight: Tensor, n_channels: int) -> Tensor:
    """Make the first convolution take another number of channels.

    Each gets the mean over the old ones, scaled so that images whose channels are all
    alike, such as grey ones stored as RGB, give the same output as before.

    Parameters
    ----------
    weight : Tensor of shape (out_channels, old_channels, height, width)
        The kernel.
    n_channels : int
        The channels of the images.

    Returns
    -------
    Tensor of shape (out_channels, n_channels, height, width)
        The kernel itself if it takes that many channels already.
    """
    if weight.shape[1] == n_channels:
        return weight
    total = weight.sum(dim=1, keepdim=True)
    return total.expand(-1, n_channels, -1, -1) / n_channels
