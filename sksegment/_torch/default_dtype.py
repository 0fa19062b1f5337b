"""Networks in float32, whatever the caller has made torch's default dtype."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# What torch's layers make their weights with, before they draw them.
FACTORIES = (torch.empty, torch.ones, torch.zeros, torch.rand, torch.randn)


class Float32ByDefault(TorchFunctionMode):
    """Make tensors in float32 unless another dtype is asked for.

    In another precision, torch would draw other weights from the same seed, and
    converting them afterwards would not bring back the same ones. The default dtype
    itself is left alone, as other threads share it.

    Examples
    --------
    >>> import torch
    >>> from sksegment._torch.default_dtype import Float32ByDefault
    >>> torch.set_default_dtype(torch.float64)
    >>> with Float32ByDefault():
    ...     print(torch.nn.Linear(2, 1).weight.dtype)
    torch.float32
    >>> torch.set_default_dtype(torch.float32)
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        if func in FACTORIES and named.get("dtype") is None:
            named = {**named, "dtype": torch.float32}
        return func(*args, **named)
