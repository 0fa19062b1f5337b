"""One network trained by several processes, each on its share of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sksegment._torch.processes import Processes
from sksegment._training.batches import Batches
from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._layers import BatchNorm, by_running_statistics

# Losses that are a mean over labelled pixels: shares of a batch add up to the batch.
MEAN_LOSSES = ("cross_entropy", "focal")


def check_sharable(loss: Any) -> None:
    """Reject a loss that needs a whole batch in one process."""
    if not (isinstance(loss, str) and loss in MEAN_LOSSES):
        raise ValueError(
            f"loss is {loss!r}, which several processes cannot compute from their "
            f"shares of a batch; expected one of {MEAN_LOSSES}, or training in one "
            f"process."
        )


class _Sum(torch.autograd.Function):
    """The sum of the tensors of all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def sum_of_all(values: Tensor) -> Tensor:
    """Return the sum of the tensors of all processes, with its gradient."""
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class SharedBatchNorm(BatchNorm):
    """Batch normalisation over the shares of all processes.

    torch's own, SyncBatchNorm, runs on GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` of shape (n, channels, height, width)."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        n_values = values.new_tensor([values.numel() / values.shape[1]])
        count = sum_of_all(n_values)
        if count.item() <= 1:  # in another process, maybe, with nothing here
            return by_running_statistics(self, input)
        mean = sum_of_all(values.sum(dim=(0, 2, 3))) / count
        centred = values - mean[:, None, None]
        var = sum_of_all(centred.square().sum(dim=(0, 2, 3))) / count
        self._follow(mean.detach(), var.detach() * count / (count - 1))
        factor = self.weight * (var + self.eps).rsqrt()
        output = centred * factor[:, None, None] + self.bias[:, None, None]
        return output.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None  # as they belong together
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:
            share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)


class SharedDropout(nn.Dropout):
    """Dropout that drops what it would drop in the whole batch.

    All processes draw for the whole batch, the same, and use their share.
    """

    batches: Batches

    def forward(self, input: Tensor) -> Tensor:
        """Drop values of `input` of shape (n, channels, height, width)."""
        if not self.training or not self.p:
            return input
        whole = input.new_ones((self.batches.n_images, *input.shape[1:]))
        if input.ndim == 4 and input.is_contiguous(memory_format=torch.channels_last):
            whole = whole.contiguous(memory_format=torch.channels_last)
        return input * F.dropout(whole, self.p)[self.batches.own_images]


def _check_layers(network: nn.Module) -> None:
    """Reject batch normalisation that would see its share of a batch only.

    That of a frozen encoder sees no batch at all.
    """
    is_frozen = isinstance(network, EncoderFCN) and network.frozen
    for name, layer in network.named_modules():
        if is_frozen and name.startswith("encoder."):
            continue
        known = (nn.BatchNorm2d, BatchNorm)
        if isinstance(layer, _BatchNorm) and type(layer) not in known:
            raise ValueError(
                f"The layer {name!r} of the network is a {type(layer).__name__}, which "
                f"several processes cannot share; expected torch.nn.BatchNorm2d, "
                f"encoder_learning_rate=0 if it belongs to an encoder, or training in "
                f"one process."
            )


@contextmanager
def shared_layers(
    network: nn.Module, batches: Batches, processes: Processes
) -> Iterator[None]:
    """Let layers that look at a whole batch look at the shares of all processes."""
    if processes.is_alone:
        yield
        return
    _check_layers(network)
    on_cuda = batches.device.type == "cuda"
    norm = nn.SyncBatchNorm if on_cuda else SharedBatchNorm
    layers = [
        (layer, type(layer))
        for layer in network.modules()
        if type(layer) in (nn.BatchNorm2d, BatchNorm, nn.Dropout)
    ]
    for layer, kind in layers:
        layer.__class__ = SharedDropout if kind is nn.Dropout else norm
        # What their constructors would have set.
        vars(layer).update(batches=batches, process_group=None)
    try:
        yield
    finally:
        for layer, kind in layers:
            layer.__class__ = kind
            vars(layer).pop("batches", None)
            vars(layer).pop("process_group", None)


def parallel(network: nn.Module, processes: Processes) -> nn.Module:
    """Return what runs a network so that all processes get the mean gradient."""
    if processes.is_alone:
        return network
    # Running statistics are equal already.
    return DistributedDataParallel(network, broadcast_buffers=False)
