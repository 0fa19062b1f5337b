"""The memory that training takes, estimated without taking it."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sksegment._torch.devices import free_bytes
from sksegment._torch.out_of_memory import mebibytes, parameter_bytes
from sksegment._training.batches import Batches

# Of each parameter, training holds the value, the gradient, the two moments of Adam,
# and the value after the last finite epoch.
PARAMETER_COPIES = 5
# Gradients of layer outputs that the backward pass holds on top of what the forward
# pass left, in units of the largest output: 1.8 to 3.6 were measured.
BACKWARD_LAYERS = 3
# Share of the free memory of a GPU that the data set may take, and what is reserved for
# training first, in units of its estimated need.
SHARE = 1 / 4
SAFETY = 1.5


def too_large(
    network: nn.Module, batches: Batches, precision: torch.dtype, reason: str
) -> str:
    """Return the error message of training that ran out of memory."""
    n_images, height, width = batches.largest()
    shape = (n_images, len(batches.scale.mean), height, width)
    try:
        n_bytes = training_bytes(network, shape, precision)
        need = f", which takes an estimated {mebibytes(n_bytes)} MiB"
    except Exception:  # the user's own network may not run without values
        need = ""
    return (
        f"Training ran out of memory on {batches.device} with batch_size="
        f"{batches.batch_size!r} and crop_size={batches.crop_size}: the largest batch "
        f"holds {n_images} of {height}x{width} pixels{need}. {reason} "
        f"Expected a smaller batch_size, or a crop_size below {max(height, width)}."
    )


def room_for_images(
    network: nn.Module, batches: Batches, precision: torch.dtype
) -> float:
    """Return how many bytes of images may stay on the device during training.

    0 on a CPU, where the images already are, and 0 if the need is unknown.
    """
    if batches.device.type != "cuda":
        return 0
    n_images, height, width = batches.largest()
    shape = (n_images, len(batches.scale.mean), height, width)
    try:
        need = training_bytes(network, shape, precision)
    except Exception:  # the user's own network may not run without values
        return 0
    free = free_bytes(batches.device)
    return max(0, min(SHARE * free, free - SAFETY * need))


def training_bytes(
    network: nn.Module, shape: tuple[int, ...], precision: torch.dtype
) -> int:
    """Estimate the memory that a training step takes.

    The forward pass is traced on the meta device, where tensors have shapes and no
    values. The estimate counts what it leaves for the backward pass; the scores once
    more for the loss; three times the largest of those for the gradients on their way
    back; the batch; and five values of each parameter (value, gradient, two moments of
    Adam, the value after the last finite epoch).

    Parameters
    ----------
    network : nn.Module
        The network.
    shape : tuple of int
        The batch: (n, n_channels, height, width).
    precision : torch.dtype
        Arithmetic of the forward pass.

    Returns
    -------
    int
        The bytes. Workspaces of the convolutions are not included.
    """
    left, scores = _traced(network, shape)
    layers = sum(left) + BACKWARD_LAYERS * max(*left, scores)
    values = torch.Size(shape).numel() * torch.float32.itemsize
    return int(
        layers * precision.itemsize / torch.float32.itemsize
        + scores
        + values
        + PARAMETER_COPIES * parameter_bytes(network)
    )


def _traced(network: nn.Module, shape: tuple[int, ...]) -> tuple[list[int], int]:
    """Return the bytes of each tensor left for the backward pass, and of the scores."""
    own = {
        name: torch.empty_like(tensor, device="meta").requires_grad_(
            tensor.requires_grad
        )
        for name, tensor in chain(network.named_parameters(), network.named_buffers())
    }
    # By storage: an in-place activation leaves the same block of memory twice.
    weights = [tensor.untyped_storage() for tensor in own.values()]
    left: dict[int, Any] = {id(storage): storage for storage in weights}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        left[id(storage)] = storage
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    was_training = network.training  # False if it continues an earlier fit
    # Tensors that the network creates belong on the meta device, too.
    try:
        with torch.device("meta"), torch.enable_grad(), hooks:
            scores = functional_call(network.train(), own, (torch.empty(shape),))
    finally:
        network.train(was_training)
    for storage in weights:
        del left[id(storage)]
    sizes = [storage.nbytes() for storage in left.values()]
    return sizes, scores.untyped_storage().nbytes()
