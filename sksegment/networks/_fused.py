"""`FCN` on a CPU, with each norm, ReLU and sum computed within a convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._torch.out_of_memory import HOOKS_LOCK
from sksegment._torch.own_tensors import own_tensors
from sksegment._torch.tensors import pad_to_multiple
from sksegment.networks._fcn import FCN
from sksegment.networks._kept_layers import KeptLayers, RecentNetworks
from sksegment.networks._layers import (
    BatchNorm,
    ConvBlock,
    UpConv,
    UpStage,
    fold_upsampling,
)

Forward = Callable[[Tensor], Tensor]
Layer = TypeVar("Layer")

# Private operators of torch, with which torch.compile convolves, too.
OPERATORS = (
    "_convolution_pointwise",
    "_convolution_pointwise_",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_weight",
    "_reorder_convolution_transpose_weight",
    "_is_mkldnn_bf16_supported",
)
# What an FCN consists of. Group normalisation is missing: it looks at the whole image,
# and cannot be folded into weights.
LAYERS: tuple[type[nn.Module], ...] = (
    FCN,
    ConvBlock,
    UpStage,
    UpConv,
    BatchNorm,
    nn.Conv2d,
    nn.ReLU,
    nn.Dropout,
    nn.Identity,
    nn.Sequential,
    nn.ModuleList,
)
# As they are defined, whatever is put in their place later.
FORWARDS = {layer: layer.forward for layer in LAYERS}
NONE, ONE, TWO = (0, 0), (1, 1), (2, 2)

RECENT = RecentNetworks()  # under HOOKS_LOCK


class _AnotherNetworkError(ValueError):
    """A layer is not where `FCN` has it."""


def fused(network: nn.Module, dtype: torch.dtype) -> Forward | None:
    """Return a function that computes the scores of an `FCN` on a CPU faster.

    Batch normalisation is folded into the weights of the convolution before it; ReLU
    and the sum with a skip connection are computed within the convolution, while its
    result is in the cache; the weights are rearranged once for as long as they do not
    change. The scores are those of the network but for rounding.

    Parameters
    ----------
    network : nn.Module
        The network as it is now: later changes have no effect on the function.
    dtype : torch.dtype
        Arithmetic of the convolutions: torch.float32 or torch.bfloat16.

    Returns
    -------
    callable or None
        From images of shape (n, n_channels, height, width), float32, to scores of shape
        (n, n_classes, height, width) in `dtype`. None if the network is not exactly an
        `FCN` on the CPU in evaluation mode; if hooks, parametrizations or layers of
        other kinds were put into it; or if torch lacks the operators.
    """
    with HOOKS_LOCK:  # a probe in another thread is no change of the network
        layers = RECENT.take(network)
        if not (_has_operators(dtype) and _is_plain_network(network)):
            return None
        try:
            with torch.inference_mode():
                found = _FusedFCN(network, _Maker(dtype, layers))
        except ValueError:  # an empty block, where layers are unpacked, included
            return None
        RECENT.keep(network, layers)
        return found


def _has_operators(dtype: torch.dtype) -> bool:
    mkldnn: Any = torch.backends.mkldnn
    if not (mkldnn.is_available() and mkldnn.enabled):
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS):
        return False
    return dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _is_plain_network(network: nn.Module) -> bool:
    modules: Any = torch.nn.modules.module
    return (
        type(network) is FCN
        and not modules._has_any_global_hook()
        and all(map(_is_plain, network.modules()))
    )


def _is_plain(module: nn.Module) -> bool:
    """Tell whether its class alone says what a layer computes."""
    return (
        type(module).forward is FORWARDS.get(type(module))
        and not module.training
        and not (module._forward_hooks or module._forward_pre_hooks)
        and "forward" not in vars(module)
        and getattr(module, "_compiled_call_impl", None) is None
        and type(getattr(module, "projection", None)) in (type(None), nn.Identity)
        and all(map(_is_plain_tensor, own_tensors(module)))
    )


def _is_plain_tensor(tensor: Tensor | None) -> bool:
    # Integers count the steps of a batch norm.
    return (
        tensor is not None
        and type(tensor) in (Tensor, nn.Parameter)
        and tensor.dtype in (torch.float32, torch.int64)
        and tensor.device.type == "cpu"
    )


class _FusedFCN:
    """The layers of an `FCN` that are left."""

    def __init__(self, network: Any, maker: _Maker) -> None:
        *bottleneck, dropout = network.bottleneck
        _expect(dropout, nn.Dropout)
        self.stride = network.stride
        self.dtype = maker.dtype
        self.encoder = [maker.blocks(stage) for stage in network.encoder]
        self.bottleneck = maker.blocks(bottleneck)
        self.decoder = [_FusedUpStage(stage, maker) for stage in network.decoder]
        self.classifier = maker.convolution(network.classifier, None, "none")

    def __call__(self, images: Tensor) -> Tensor:
        """Do what `FCN.forward` does."""
        height, width = images.shape[-2:]
        output = pad_to_multiple(images, self.stride)
        output = output.to(self.dtype, memory_format=torch.channels_last)
        encoded: list[Tensor] = []
        for blocks in self.encoder:
            output = _through(blocks, output)
            encoded.append(output)
            output = F.max_pool2d(output, 2)
        output = _through(self.bottleneck, output)
        for stage in self.decoder:
            output = stage(output, encoded.pop())
        return self.classifier(output)[..., :height, :width]


class _Maker:
    """Makes the layers that are left, or takes those that were made before.

    Parameters
    ----------
    dtype : torch.dtype
        Arithmetic of the convolutions.
    kept : KeptLayers
        What was made before.
    """

    def __init__(self, dtype: torch.dtype, kept: KeptLayers) -> None:
        self.dtype = dtype
        self._kept = kept

    def blocks(self, blocks: Iterable[Any]) -> list[_Convolution]:
        """Return the convolutions of blocks."""
        return [self._block(block) for block in blocks]

    def _block(self, block: Any) -> _Convolution:
        _expect(block, ConvBlock)
        layer, *activation = block
        return self.convolution(layer, _norm_of(activation), "relu")

    def convolution(
        self, layer: Any, norm: BatchNorm | None, activation: str
    ) -> _Convolution:
        """Return a convolution with the norm after it."""
        _expect(layer, nn.Conv2d)
        padding = layer.padding
        others = layer.stride, layer.dilation, layer.groups, layer.padding_mode
        if isinstance(padding, str) or others != (ONE, ONE, 1, "zeros"):
            raise _AnotherNetworkError
        return self._folded(_Convolution, layer, norm, padding, activation)

    def up_convolution(
        self, layer: Any, norm: BatchNorm | None, skip: str | None
    ) -> _UpConvolution:
        """Return an `UpConv` with its skip connection and the norm after it."""
        _expect(layer, UpConv)
        return self._folded(_UpConvolution, layer, norm, layer.in_channels, skip)

    def _folded(
        self,
        kind: Callable[..., Layer],
        layer: Any,
        norm: BatchNorm | None,
        *arguments: Any,
    ) -> Layer:
        """Return a layer of a kind with the weights of a layer and the norm after."""
        weights, eps = [layer.weight, layer.bias], 0.0
        if norm is not None:
            weights += norm.weight, norm.bias, norm.running_mean, norm.running_var
            eps = norm.eps
        settings = kind, self.dtype, eps, *arguments

        def make(copies: Sequence[Tensor]) -> Layer:
            return kind(*_folded(copies, eps, self.dtype), *arguments)

        return self._kept.made_once(layer, weights, settings, make)


class _Weight:
    """The weight of a convolution, in the order that suits the size of its input.

    In another order, it would be rearranged in each call.

    Parameters
    ----------
    reorder : callable
        Returns the rearranged weight for an input size, (n, channels, height, width).
    """

    def __init__(self, reorder: Callable[[Sequence[int]], Tensor]) -> None:
        self._reorder = reorder
        self._latest: tuple[Sequence[int], Tensor] | None = None

    def of(self, input: Tensor) -> Tensor:
        """Return the weight for an input."""
        latest = self._latest  # once: another thread may replace it
        if latest is None or latest[0] != input.shape:
            latest = input.shape, self._reorder(input.shape)
            self._latest = latest
        return latest[1]


class _Convolution:
    """A convolution with the norm after it folded in, and the activation after both."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        padding: tuple[int, int],
        activation: str,
    ) -> None:
        self.geometry = padding, ONE, ONE, 1
        reorder = torch.ops.mkldnn._reorder_convolution_weight
        self.weight = _Weight(partial(reorder, weight, *self.geometry))
        self.bias = bias
        self.activation = activation

    def __call__(self, input: Tensor) -> Tensor:
        weight = self.weight.of(input)
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(
            input, weight, self.bias, *self.geometry, self.activation, [], None
        )
        return output

    def add_to(self, output: Tensor, input: Tensor) -> Tensor:
        """Add the convolved input to a tensor, and activate the sum, in place."""
        torch.ops.mkldnn._convolution_pointwise_.binary(
            output,
            input,
            self.weight.of(input),
            self.bias,
            *self.geometry,
            "add",
            None,
            self.activation,
            [],
            None,
        )
        return output


class _UpConvolution:
    """An `UpConv` with the norm after it folded in, and the activation after both."""

    def __init__(
        self, weight: Tensor, bias: Tensor, n_from_below: int, skip: str | None
    ) -> None:
        self.bias = bias
        self.geometry = ONE, NONE, TWO, ONE, 1
        reorder = torch.ops.mkldnn._reorder_convolution_transpose_weight
        from_below = fold_upsampling(weight[:, :n_from_below])
        self.weight = _Weight(partial(reorder, from_below, *self.geometry))
        self.skip = skip
        self.of_skip = None
        if skip == "concat":
            of_skip = weight[:, n_from_below:].contiguous()
            self.of_skip = _Convolution(of_skip, None, ONE, "relu")

    def __call__(self, input: Tensor, encoded: Tensor) -> Tensor:
        """Convolve what comes from below and the skip connection, and add them."""
        activation = "none" if self.of_skip else "relu"
        weight = self.weight.of(input)
        output: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
            input, weight, self.bias, *self.geometry, activation, [], None
        )
        if self.of_skip:
            return self.of_skip.add_to(output, encoded)
        return output.add_(encoded) if self.skip == "add" else output


class _FusedUpStage:
    """The layers of an `UpStage` that are left."""

    def __init__(self, stage: Any, maker: _Maker) -> None:
        norm = _norm_of(list(stage.activation))
        self.up = maker.up_convolution(stage.up, norm, stage.skip)
        self.convolutions = maker.blocks(stage.convolutions)

    def __call__(self, input: Tensor, encoded: Tensor) -> Tensor:
        """Do what `UpStage.forward` does."""
        return _through(self.convolutions, self.up(input, encoded))


def _norm_of(layers: list[nn.Module]) -> BatchNorm | None:
    """Return the norm, if there is one, of what must be a norm and ReLU."""
    match layers:
        case [BatchNorm() as norm, nn.ReLU()]:
            return norm
        case [nn.ReLU()]:
            return None
    raise _AnotherNetworkError


def _folded(
    weights: Sequence[Tensor], eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution and the norm after it."""
    weight, bias, *norm = weights
    if norm:
        factor, shift, mean, var = (tensor.double() for tensor in norm)
        factor = factor / torch.sqrt(var + eps)
        weight = weight * factor.float()[:, None, None, None]
        bias = (bias.double() - mean) * factor + shift
    memory_format = torch.channels_last
    return weight.to(dtype, memory_format=memory_format), bias.to(dtype)


def _expect(module: nn.Module, kind: type[nn.Module]) -> None:
    if type(module) is not kind:
        raise _AnotherNetworkError


def _through(layers: list[_Convolution], output: Tensor) -> Tensor:
    for layer in layers:
        output = layer(output)
    return output
