"""Where a network runs, in which precision, and how data get there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor

PRECISIONS = ("auto", "float32", "bfloat16")
# bfloat16 in hardware: NVIDIA from this compute capability on.
BFLOAT16_CAPABILITY = 8
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


def training_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the arithmetic of training: bfloat16 where the hardware has it."""
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return prediction_dtype(precision)


def prediction_dtype(precision: str) -> torch.dtype:
    """Return the arithmetic of prediction: float32 unless bfloat16 is asked for."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 in hardware.

    Emulated, it would be slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= BFLOAT16_CAPABILITY
    if device.type == "cpu":
        # The questions are private names of torch; if they disappear, the answer is no,
        # which is slower but never wrong.
        questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, question, bool)() for question in questions)
    return False


def arithmetic_device(device: torch.device) -> torch.device:
    """Return where double precision is computed: Apple's GPUs have none."""
    return torch.device("cpu") if device.type == "mps" else device


def sent(tensor: Tensor, device: torch.device) -> Tensor:
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


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Keep cuDNN from TF32, which rounds to 10 bits."""
    if device.type != "cuda":
        yield
        return
    TF32.forbid()
    try:
        yield
    finally:
        TF32.allow_again()


class _TF32:
    """The switch of cuDNN, which all threads share: the last to leave restores it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_inside = 0
        self._turned_off = (False, False)

    def forbid(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._turned_off = _turn_tf32_off()
            self._n_inside += 1

    def allow_again(self) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                _turn_tf32_on(*self._turned_off)


TF32 = _TF32()


def allows_tf32() -> bool:
    """Tell whether cuDNN may round what it convolves to TF32."""
    if hasattr(torch.backends.cudnn, "conv"):
        return torch.backends.cudnn.conv.fp32_precision == "tf32"
    return bool(torch.backends.cudnn.allow_tf32)


# Since 2.9, torch has a switch for each operation. The older one, for all of cuDNN,
# does not affect an operation that the user set separately. It is turned first all the
# same: where operations differ, torch raises an error at whoever asks for it.


def _turn_tf32_off() -> tuple[bool, bool]:
    """Turn off the switch for cuDNN and that for convolutions; tell which were on."""
    cudnn: Any = torch.backends.cudnn
    try:
        was_on = bool(cudnn.allow_tf32)
    except RuntimeError:  # operations differ
        was_on = False
    if was_on:
        cudnn.allow_tf32 = False
    by_itself = allows_tf32()
    if by_itself:
        cudnn.conv.fp32_precision = "ieee"
    return was_on, by_itself


def _turn_tf32_on(was_on: bool, by_itself: bool) -> None:
    cudnn: Any = torch.backends.cudnn
    if by_itself:
        cudnn.conv.fp32_precision = "none"  # it may follow a switch above it
    if was_on:
        cudnn.allow_tf32 = True
    if by_itself and not allows_tf32():
        cudnn.conv.fp32_precision = "tf32"


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    return device.type == "mps" and torch.backends.mps.is_available()
