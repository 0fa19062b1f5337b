"""The weights of VGG16, trained on ImageNet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sksegment.networks._fcn_vgg16 import STAGE_LENGTHS
from sksegment.networks._weight_files import IMAGENET, check_bare, read_weights
from sksegment.networks._weight_transfer import Weights

# torchvision's files, without and with batch normalisation; the last part of a name is
# the beginning of the SHA-256 of the file.
URLS = {
    False: "https://download.pytorch.org/models/vgg16-397923af.pth",
    True: "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
}
# Its first layer, and the channels of that layer.
FIRST_LAYER = "features.0.weight"
VGG16_WIDTH = 64


def vgg16_weights(source: str | os.PathLike[str], network: nn.Module) -> Weights:
    """Return the weights of VGG16 from a file, or from torchvision's server."""
    has_norm = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    names = torchvision_names(network, has_norm)
    if not names:
        raise ValueError(
            f"pretrained={str(source)!r} has no effect on a network of your own; "
            f"expected None, and a function that loads the weights itself."
        )
    if any(isinstance(module, nn.GroupNorm) for module in network.modules()):
        raise ValueError(
            f"pretrained={str(source)!r} does not fit norm='group': VGG16 was trained "
            f"without. Expected norm=None or norm='batch'."
        )
    if source == IMAGENET:
        _check_width(network.get_parameter(next(iter(names))))
        origin, tensors = URLS[has_norm], _downloaded(URLS[has_norm])
    else:
        origin, tensors = str(source), read_weights(Path(source))
        check_bare(origin, tensors, FIRST_LAYER, "torchvision")
        _check_norm(origin, tensors, has_norm)
    cure = "expected VGG16 as torchvision saves it, and for it width=64"
    return Weights(origin, tensors, names, cure)


def _check_width(kernel: nn.Parameter) -> None:
    """Reject a network of another width before half a gigabyte is downloaded."""
    if len(kernel) != VGG16_WIDTH:
        raise ValueError(
            f"pretrained='imagenet' does not fit width={len(kernel)}; expected "
            f"width={VGG16_WIDTH}, that of VGG16."
        )


def torchvision_names(network: nn.Module, has_norm: bool) -> dict[str, str]:
    """Return torchvision's names for the layers of VGG16 in a network.

    They are the convolutions of the encoder in order; those of a network deeper than
    VGG16 are left out, and so are decoder and classes.
    """
    # A network of the user's own has no such layers.
    parts: tuple[str, ...] = getattr(network, "vgg16_parts", ())
    wide_layers: dict[str, str] = getattr(network, "vgg16_wide_layers", {})
    convolutions = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and name.partition(".")[0] in parts
    ]
    names: dict[str, str] = {}
    for layer, index in zip(convolutions, _feature_indices(has_norm), strict=False):
        names |= _parts(layer, f"features.{index}", ("weight", "bias"))
        if has_norm:
            norm = f"{layer.removesuffix('0')}1"
            kinds = ("weight", "bias", "running_mean", "running_var")
            names |= _parts(norm, f"features.{index + 1}", kinds)
    for layer, key in wide_layers.items():
        names |= _parts(layer, key, ("weight", "bias"))
    return names


def _parts(layer: str, key: str, parts: tuple[str, ...]) -> dict[str, str]:
    return {f"{layer}.{part}": f"{key}.{part}" for part in parts}


def _feature_indices(has_norm: bool) -> Iterator[int]:
    """Yield the positions of convolutions in torchvision's sequence of layers."""
    index = 0
    for length in STAGE_LENGTHS:
        for _ in range(length):
            yield index
            index += 3 if has_norm else 2  # the convolution, the norm, ReLU
        index += 1  # pooling


def _downloaded(url: str) -> Mapping[str, Any]:
    """Return a state dict from the cache of torch.hub, or from its server."""
    name = url.rpartition("/")[2]
    try:
        tensors: Mapping[str, Any] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except Exception as error:  # another hash, or whatever a broken file raises
        told = str(error) or type(error).__name__
        cached = Path(torch.hub.get_dir(), "checkpoints", name)
        raise OSError(
            f"pretrained='imagenet' needs {url}, which could not be downloaded to, or "
            f"read from, {str(cached)!r}: {told}. Delete that file if it exists, or "
            f"fetch it elsewhere and pass its path: pretrained='{name}'."
        ) from error
    return tensors


def _check_norm(origin: str, tensors: Mapping[str, Any], has_norm: bool) -> None:
    """Reject VGG16 with batch normalisation for a network without, and vice versa."""
    found = any(str(key).endswith("running_mean") for key in tensors)
    if FIRST_LAYER in tensors and found != has_norm:
        raise ValueError(
            f"{origin} is VGG16 {'with' if found else 'without'} batch normalisation, "
            f"but the network is one {'with' if has_norm else 'without'}; expected "
            f"{'vgg16_bn' if has_norm else 'vgg16'}, or another norm."
        )
