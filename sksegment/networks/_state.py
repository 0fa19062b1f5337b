"""The weights of a network as arrays, and a network from such arrays."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sksegment._torch.gradients import enable_gradients
from sksegment._torch.random import local_rng
from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._factory import make_network
from sksegment.networks._timm_encoder import other_timm
from sksegment.networks._user_network import Resized


class NothingDrawn(TorchFunctionMode):
    """Leave new weights without values.

    If others take their place, drawing them would waste time and random numbers. On the
    meta device they have none anyway, but torch would import its compiler just to skip
    the draw, which takes seconds.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        # Functions of torch.nn.init arrive here whole; their draws are not seen here.
        if getattr(func, "__module__", "") == "torch.nn.init":
            return named["tensor"] if "tensor" in named else args[0]
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **named)


def blueprint(architecture: dict[str, Any]) -> nn.Module:
    """Return a network without weights, which takes no memory however large it is.

    Parameters
    ----------
    architecture : dict
        The arguments of `make_network`, checked.

    Raises
    ------
    ValueError
        If no such network can be made.
    """
    try:
        with torch.device("meta"), NothingDrawn():
            return make_network(**architecture)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"_architecture is {architecture}, which does not make a network; expected "
            f"the architecture of a trained one."
        ) from error


def arrays_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the weights of a network, by their names in its state dict."""
    return {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}


def arrays_to_save(
    network: nn.Module, architecture: dict[str, Any]
) -> dict[str, NDArray[Any]]:
    """Return the weights from which `restored_network` makes the same network.

    Parameters
    ----------
    network : nn.Module
        The network, which the user may have changed since it was made.
    architecture : dict
        The arguments that made it.

    Raises
    ------
    ValueError
        If it was changed into a network with other weights.
    """
    # torch.compile wraps a network, which then has other names for the same weights.
    arrays = arrays_of(getattr(network, "_orig_mod", network))
    # The user's function need not work on the meta device.
    if not callable(architecture["network"]):
        _check_unchanged(arrays, _shapes_made(**architecture))
    return arrays


@enable_gradients()
def restored_network(
    architecture: dict[str, Any],
    weights: dict[str, NDArray[Any]],
    margin: int | None,
    timm_version: str | None = None,
) -> nn.Module:
    """Return a network with weights and margin that were saved, on the CPU.

    Raises
    ------
    ValueError
        If they are the weights of another network.
    """
    with torch.device("cpu"), _undrawn(architecture):
        network = make_network(**architecture)
    if isinstance(network, (Resized, EncoderFCN)):
        network.margin = margin  # it was measured once
    # The arrays of a memory-mapped file are read-only: only these are copied here.
    arrays = {name: np.require(array, None, "W") for name, array in weights.items()}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        cause = other_timm(timm_version) or (
            f"network={architecture['network']!r} does not make the network whose "
            f"weights were saved; expected the function as it was then: "
        )
        raise ValueError(f"{cause}{error}") from error
    return _channels_last(network).eval()


def _undrawn(architecture: dict[str, Any]) -> AbstractContextManager[Any]:
    """Return the context for making a network whose weights are replaced at once.

    The user's function may draw anything, but not during training in another thread.
    """
    if callable(architecture["network"]):
        return local_rng(torch.device("cpu"))
    return NothingDrawn()


@lru_cache(maxsize=32)  # for a search that pickles the same network again and again
def _shapes_made(**architecture: Any) -> dict[str, tuple[int, ...]]:
    made = blueprint(architecture).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in made.items()}


def _check_unchanged(
    arrays: dict[str, NDArray[Any]], shapes: dict[str, tuple[int, ...]]
) -> None:
    found = {name: array.shape for name, array in arrays.items()}
    for name in [*shapes, *sorted(found)]:
        if found.get(name) != shapes.get(name):
            raise ValueError(
                f"network_ differs from the network that loading it would make: "
                f"{name!r} is {_of_shape(found.get(name))} here and "
                f"{_of_shape(shapes.get(name))} there; expected the layers that fit "
                f"made. For layers of your own, pass a function as the parameter "
                f"network; to compile, call network_.compile()."
            )


def _of_shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"of shape {shape}"


def _channels_last(network: nn.Module) -> nn.Module:
    # The memory order of the images: convolutions then copy nothing.
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(
                memory_format=torch.channels_last
            )
    return network
