"""Where a network runs, and how data get there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sksegment._torch.processes import is_launched, local_rank

# The largest tensor, in bytes, that is sent from pinned memory.
MAX_PINNED = 2**26


def resolve_device(device: Any) -> torch.device:
    """Return the device that `device` stands for: "auto" takes CUDA, then MPS.

    Raises
    ------
    ValueError
        If it is not a device, or one that this machine does not have.
    """
    if isinstance(device, str) and device == "auto":
        return _best_device()
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device is {device!r}; expected 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'."
        ) from error
    if resolved.type != "cpu" and not _is_there(resolved):
        raise ValueError(
            f"device is {device!r}, which this machine does not have; expected 'auto' "
            f"or 'cpu'."
        )
    return resolved


def arithmetic_device(device: torch.device) -> torch.device:
    """Return where double precision is computed: Apple's GPUs have none."""
    return torch.device("cpu") if device.type == "mps" else device


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on a device, without waiting for what runs there.

    Only pinned memory is read while the program goes on. torch never returns pinned
    memory, so large tensors, of which there are few, are copied synchronously.
    """
    # "cuda" and "cuda:0" are the same device, but not equal.
    if tensor.device.type == device.type:
        return tensor.to(device)
    if device.type == "cuda" and tensor.nbytes <= MAX_PINNED:
        return tensor.pin_memory().to(device, non_blocking=True)
    # The meta device, on which training is tried out, has nothing to wait for.
    return tensor.to(device, non_blocking=device.type == "meta")


def free_bytes(device: torch.device) -> int:
    """Return the bytes of a CUDA device that torch could still allocate."""
    free: int = torch.cuda.mem_get_info(device)[0]
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + idle


@contextmanager
def searched_kernels(device: torch.device, wanted: bool) -> Iterator[None]:
    """Let cuDNN search for its fastest kernels, which pays if many batches are alike.

    The search may choose another kernel each time, so it is left out if the user asked
    torch for deterministic ones.
    """
    cudnn: Any = torch.backends.cudnn
    settled = cudnn.deterministic or torch.are_deterministic_algorithms_enabled()
    if device.type != "cuda" or not wanted or settled or cudnn.benchmark:
        yield
        return
    cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.benchmark = False


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        # Processes that train together take one GPU each.
        return torch.device(f"cuda:{local_rank()}" if is_launched() else "cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    return device.type == "mps" and torch.backends.mps.is_available()
