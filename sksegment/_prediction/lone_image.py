"""A lone image, convolved as if it were in a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# On a CPU, torch convolves a lone image of at most this many values with other kernels
# than a batch, and the results differ in the sixth digit.
LONE_VALUES = 20_480
CONVOLUTIONS = (
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
)


class ConvolvedAsInBatch(TorchFunctionMode):
    """Convolve a lone image with the kernels of a batch: together with a copy of it.

    So small an image is cheap. Layers with more values take the same kernels anyway.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        named = dict(kwargs or {})
        if func not in CONVOLUTIONS:
            return func(*args, **named)
        input, *others = args or (named.pop("input"),)
        if len(input) != 1 or input.numel() > LONE_VALUES:
            return func(input, *others, **named)
        output: Tensor = func(torch.cat([input, input]), *others, **named)
        return output[:1]
