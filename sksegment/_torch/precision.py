"""The arithmetic of a network: bfloat16, float32, and TF32 switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sksegment._torch.fork_safe_lock import ForkSafeLock

PRECISIONS = ("auto", "float32", "bfloat16")
# bfloat16 in hardware: NVIDIA from this compute capability on.
BFLOAT16_CAPABILITY = 8


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
        self._lock = ForkSafeLock()
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
