"""Weights and buffers of one layer."""

from __future__ import annotations

from torch import Tensor, nn


def own_tensors(module: nn.Module) -> list[Tensor | None]:
    """Return the weights and buffers of a module, without those of its children.

    None stands for one that is declared, but absent. `parameters` and `buffers` would
    take longer than the rest of what is asked about a layer before a prediction.
    """
    return [*module._parameters.values(), *module._buffers.values()]
