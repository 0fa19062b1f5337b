"""The state of a network at one moment, copied and checked in one piece."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor


class StateCopy:
    """A copy of all tensors of a network.

    Those of one dtype lie in one block of memory. Copying and checking tensor by tensor
    took a third of an epoch on two small images, and on a GPU each check would wait for
    the device.

    Parameters
    ----------
    state : mapping of str to Tensor
        The state dict of the network.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        names = defaultdict(list)
        for name, tensor in state.items():
            names[tensor.dtype, tensor.device].append(name)
        self._state = dict.fromkeys(state, torch.empty(0))  # in the same order
        self._blocks: list[Tensor] = []
        for members in names.values():
            self._copy([state[name] for name in members], members)

    def _copy(self, tensors: list[Tensor], names: list[str]) -> None:
        block = torch.cat([_flat(tensor) for tensor in tensors])
        self._blocks.append(block)
        parts = torch.split(block, [tensor.numel() for tensor in tensors])
        for name, part, tensor in zip(names, parts, tensors, strict=True):
            self._state[name] = _shaped_like(tensor, part)

    def is_finite(self) -> bool:
        """Tell whether no value is NaN or infinite."""
        # Either reaches the sum, which is several times as fast to compute; but without
        # them, too, it may overflow.
        return all(
            bool(torch.isfinite(block.sum())) or bool(torch.isfinite(block).all())
            for block in self._blocks
        )

    def state(self) -> dict[str, Tensor]:
        """Return the state dict, whose tensors share the memory of this copy."""
        return self._state


def _flat(tensor: Tensor) -> Tensor:
    """Return the values of a tensor in one row, in the order of memory if possible."""
    if _is_channels_last(tensor):
        return tensor.permute(0, 2, 3, 1).flatten()
    return tensor.flatten()


def _shaped_like(tensor: Tensor, values: Tensor) -> Tensor:
    """Undo `_flat`."""
    if _is_channels_last(tensor):
        n, channels, height, width = tensor.shape
        return values.view(n, height, width, channels).permute(0, 3, 1, 2)
    return values.view(tensor.shape)


def _is_channels_last(tensor: Tensor) -> bool:
    memory_format = torch.channels_last
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=memory_format)
