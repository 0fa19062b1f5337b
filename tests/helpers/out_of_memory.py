"""What the tests of out of memory share."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch

from sksegment import FCNSegmenter
from sksegment.networks import FCN

CPU = torch.device("cpu")
FORWARD = FCN.forward

TEXTS = [
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of",
    "CUDA error: out of memory",
    "MPS backend out of memory (MPS allocated: 0 bytes, max allowed: 242.48 MiB).",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
    "memory: you tried to allocate 4000 bytes. Error code 12 (Cannot allocate memory)",
    "[enforce fail at alloc_cpu.cpp:81] data. DefaultCPUAllocator: not enough memory: "
    "you tried to allocate 1073741824 bytes.",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "could not create a memory object",
    "could not create a primitive",
    "std::bad_alloc",
]
OTHER_ERRORS = [
    RuntimeError("could not create a primitive descriptor for a pooling primitive"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("Expected all tensors to be on the same device"),
    ValueError("out of memory"),
]


def refused() -> Exception:
    """Return what torch itself raises where there is not enough memory.

    It is asked for more than any machine has. Below a limit that is set on purpose,
    oneDNN may be the first to run out; it does not look, and the process dies.
    """
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    return caught.value


ERRORS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError(TEXTS[0]),
    lambda: RuntimeError(TEXTS[3]),
    lambda: MemoryError("Unable to allocate 7.11 PiB for an array"),
    refused,
]


def small(**parameters: Any) -> FCNSegmenter:
    defaults = {"depth": 1, "width": 4, "max_epochs": 2, "random_state": 0}
    return FCNSegmenter(**{**defaults, **parameters})


def too_large(shapes: list[tuple[int, ...]], n_pixels: int) -> list[tuple[int, ...]]:
    return [shape for shape in shapes if prod(shape) > n_pixels]


def fail(*arguments: Any, **parameters: Any) -> None:
    raise torch.OutOfMemoryError(TEXTS[0])
