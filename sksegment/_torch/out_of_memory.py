"""Running out of memory: telling it from other errors, and freeing what was taken."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from itertools import chain
from math import ceil
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sksegment._torch.fork_safe_lock import ForkSafeLock

# What torch and the libraries below it write when memory runs out, in lower case, as
# regular expressions. Only CUDA and XPU have an exception of their own.
SIGNS = (
    "out of memory",  # "CUDA out of memory", "MPS backend out of memory"
    "can't allocate memory",  # DefaultCPUAllocator on Linux and macOS
    "defaultcpuallocator: not enough memory",  # the same on Windows
    "could not create a memory object",  # oneDNN
    # oneDNN, for lack of room for code; with "descriptor" it lacks the code itself
    "could not create a primitive(?! descriptor)",
    "status_alloc_failed",  # cuDNN, cuBLAS
    "bad_alloc",  # C++
)

# A network is not copied while it has the hooks of a probe.
HOOKS_LOCK = ForkSafeLock()

Result = TypeVar("Result")


class OutOfMemory(NamedTuple):
    """Stands for a result for which there was not enough memory.

    Parameters
    ----------
    reason : str
        The message of the library that asked for the memory.
    """

    reason: str


class NoRoomError(MemoryError):
    """The result itself does not fit into memory: running less would not help."""


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that there was not enough memory.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 0)"))
    True
    >>> is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and bool(re.search("|".join(SIGNS), text))


def attempt(
    function: Callable[[], Result], device: torch.device
) -> Result | OutOfMemory:
    """Call a function; if memory runs out, free what it took.

    Parameters
    ----------
    function : callable
        Its errors of other kinds pass through, and so does `NoRoomError`.
    device : torch.device
        Where it takes memory.

    Returns
    -------
    object
        What the function returns, or an `OutOfMemory`.
    """
    try:
        return function()
    except NoRoomError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        told = str(error).strip() or type(error).__name__
    reason = told.splitlines()[0].rstrip(".") + "."
    # Outside the handler, in which the traceback still holds the function's tensors.
    release_memory(device)
    return OutOfMemory(reason)


def release_memory(device: torch.device) -> None:
    """Release memory that no tensor uses any more."""
    gc.collect()
    with suppress(RuntimeError):  # a failing device says so at the next attempt
        if device.type == "cuda":
            torch.cuda.empty_cache()
        elif device.type == "mps":
            torch.mps.empty_cache()


def empty_predictions(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an empty array for predictions.

    Raises
    ------
    NoRoomError
        If it does not fit into memory.
    """
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        raise NoRoomError(
            f"The predictions, an array of shape {shape}, do not fit into memory: "
            f"{error}. Expected fewer images in one call, or labels, which are smaller "
            f"than probabilities."
        ) from None


def move_network(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device.

    Raises
    ------
    MemoryError
        If it does not fit there; it is left where it was.
    """
    tensors = chain(network.parameters(), network.buffers())
    origin = next((tensor.device for tensor in tensors), device)
    result = attempt(partial(network.to, device), device)
    if isinstance(result, OutOfMemory):
        attempt(partial(network.to, origin), origin)  # some of it may have moved
        raise MemoryError(_too_large(network, device, result.reason))
    return network


def copy_network(network: nn.Module, device: torch.device) -> nn.Module:
    """Copy a network to a device.

    Raises
    ------
    MemoryError
        If it does not fit there.
    """
    with HOOKS_LOCK:
        result = attempt(partial(_copy, network, device), device)
    if isinstance(result, OutOfMemory):
        raise MemoryError(_too_large(network, device, result.reason))
    return result


def _copy(network: nn.Module, device: torch.device) -> nn.Module:
    # deepcopy alone would copy on the device that the network is on, which may be the
    # full one.
    copies: dict[int, Any] = {
        id(buffer): buffer.detach().to(device, copy=True)
        for buffer in network.buffers()
    }
    for parameter in network.parameters():
        values = parameter.detach().to(device, copy=True)
        copies[id(parameter)] = nn.Parameter(values, parameter.requires_grad)
    return deepcopy(network, copies)


def _too_large(network: nn.Module, device: torch.device, reason: str) -> str:
    return (
        f"The network, {mebibytes(parameter_bytes(network))} MiB of weights, does not "
        f"fit into the memory of {device}: {reason} Expected device='cpu', another "
        f"device with more memory, or a smaller network."
    )


def mebibytes(n_bytes: float) -> int:
    """Return whole MiB, rounded up."""
    return ceil(n_bytes / 2**20)


def parameter_bytes(network: nn.Module) -> int:
    """Return the bytes of a network's parameters."""
    return sum(
        parameter.numel() * parameter.element_size()
        for parameter in network.parameters()
    )
