"""Weights to start from: from ImageNet, a file, or a fitted segmenter."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from torch import nn

from sksegment._scale import Scale
from sksegment._transplant import Weights, transplant
from sksegment._vgg import STAGE_LENGTHS

IMAGENET = "imagenet"
# torchvision's files, without and with batch normalisation; the last part of a name is
# the beginning of the SHA-256 of the file.
URLS = {
    False: "https://download.pytorch.org/models/vgg16-397923af.pth",
    True: "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
}
# Its first layer, and the channels of that layer.
FIRST_LAYER = "features.0.weight"
VGG16_WIDTH = 64
# What torchvision's weights expect, for images between 0 and 1.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
# The value of white: 1, or the largest number of 8, 10, 12, 14 or 16 bits. Images that
# were resized may overshoot it, and undershoot 0.
WHITES = (1, 255, 1023, 4095, 16383, 65535)
OVERSHOOT = 0.25

EXPECTED = (
    "expected None, 'imagenet', the path of a state dict of VGG16 as torchvision saves "
    "it, or a fitted FCNSegmenter"
)
# Layers that belong to the classes of a task.
CLASS_LAYERS = ("classifier", "score_fr", "score_pool4", "score_pool3")
# The networks of the paper, each of which continues from one before it.
STAGES = ("fcn32s", "fcn16s", "fcn8s")
# What may differ between a segmenter and the one that starts from it.
ANY_DESIGN = {"n_channels", "n_classes", "dropout"}
# The wide layers of VGG16, which become convolutions.
WIDE_LAYERS = {"fc6.0": "classifier.0", "fc7.0": "classifier.3"}


def check_pretrained(name: str, value: Any) -> None:
    """Reject anything but a source of weights, before anything is read.

    Raises
    ------
    TypeError
        If it is of another kind.
    NotFittedError
        If it is a segmenter without weights.
    """
    if value is None or isinstance(value, (str, os.PathLike)):
        return
    source = unfrozen(value)
    if not hasattr(source, "pretrained"):
        is_pipeline = hasattr(source, "steps")
        hint = " For a Pipeline, pass its last step." if is_pipeline else ""
        raise TypeError(f"{name} is {value!r}; {EXPECTED}.{hint}")
    if not hasattr(source, "network_"):
        raise NotFittedError(
            f"{name} is an FCNSegmenter that is not fitted; {EXPECTED}. scikit-learn "
            f"unfits estimators in a param_grid: put "
            f"sklearn.frozen.FrozenEstimator(fitted) there."
        )


def unfrozen(value: Any) -> Any:
    """Return the estimator within a FrozenEstimator, or else the value itself."""
    return value.estimator if isinstance(value, FrozenEstimator) else value


def source_contents(pretrained: Any) -> Any:
    """Return all that is taken from a source of weights, equal for equal weights.

    For a file, that is its content. For a segmenter, its history is left out: training
    it again takes other times for the same weights.
    """
    source = unfrozen(pretrained)
    if hasattr(source, "network_"):
        tensors = source.network_.state_dict().items()
        weights = {name: tensor.numpy(force=True) for name, tensor in tensors}
        scale = source.channel_mean_, source.channel_std_
        return source._architecture, source.classes_, scale, weights
    if source is None or source == IMAGENET or not Path(source).is_file():
        return source
    with open(source, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start_from(
    pretrained: Any,
    network: nn.Module,
    architecture: Mapping[str, Any],
    scale: Scale,
    classes: NDArray[Any],
) -> tuple[Scale, list[str]]:
    """Load weights into a new network.

    Parameters
    ----------
    pretrained : str, path-like or FCNSegmenter
        The source, which `check_pretrained` has accepted.
    network : nn.Module
        The network, changed in place.
    architecture : mapping
        The arguments that made it.
    scale : Scale
        That of the training images.
    classes : ndarray of shape (n_classes,)
        The label values of the task.

    Returns
    -------
    scale : Scale
        How images are standardised for these weights.
    new : list of str
        Parameters of the network that were not among the weights.

    Raises
    ------
    ValueError
        If the weights do not fit, naming the parameter that differs, or the first
        tensor that is missing or of another shape.
    OSError
        If a file cannot be read or downloaded.
    """
    source = unfrozen(pretrained)
    if hasattr(source, "network_"):
        check_same_design(source, architecture)
        weights = segmenter_weights(source, network, classes)
        expected = segmenter_scale(source, scale)
    else:
        weights = vgg16_weights(source, network)
        expected = imagenet_scale(scale)
    transplant(weights, network)
    new = [name for name, _ in network.named_parameters() if name not in weights.names]
    return expected, new


def check_same_design(segmenter: Any, architecture: Mapping[str, Any]) -> None:
    """Reject weights of another network, even if they have the same shapes.

    Raises
    ------
    ValueError
        Naming the parameter that differs.
    """
    for name, wanted in architecture.items():
        found = segmenter._architecture.get(name)
        goes_on = name == "network" and _is_finer(wanted, found)
        if name not in ANY_DESIGN and found != wanted and not goes_on:
            is_stage = name == "network" and wanted in STAGES
            raise ValueError(
                f"{name} is {wanted!r}, but the segmenter given as pretrained has "
                f"{name}={found!r}; expected the same"
                f"{' or a coarser network of the paper' if is_stage else ''}."
            )


def _is_finer(network: Any, other: Any) -> bool:
    """Tell whether a network of the paper continues from another one."""
    if network not in STAGES or other not in STAGES:
        return False
    return STAGES.index(other) < STAGES.index(network)


def segmenter_weights(
    segmenter: Any, network: nn.Module, classes: NDArray[Any]
) -> Weights:
    """Return the weights of a fitted segmenter.

    The layers of the classes stay new for other classes, and if the segmenter has none
    of that name: FCN-16s has one more than FCN-32s.
    """
    network_ = segmenter.network_
    # torch.compile wraps a network, which then has other names for the same weights.
    tensors = getattr(network_, "_orig_mod", network_).state_dict()
    same_classes = np.array_equal(segmenter.classes_, classes)
    names = [
        name
        for name in network.state_dict()
        if not _is_class_layer(name) or (same_classes and name in tensors)
    ]
    return Weights(
        "the segmenter given as pretrained",
        tensors,
        dict(zip(names, names, strict=True)),
        "a network of your own takes all weights: expected the same number of classes "
        "and channels",
    )


def _is_class_layer(name: str) -> bool:
    return name.partition(".")[0] in CLASS_LAYERS


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
        origin, tensors = str(source), _read(Path(source))
        _check_bare(origin, tensors)
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
    convolutions = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
        and name.startswith(("encoder.", "bottleneck."))
    ]
    names: dict[str, str] = {}
    for layer, index in zip(convolutions, _feature_indices(has_norm), strict=False):
        names |= _parts(layer, f"features.{index}", ("weight", "bias"))
        if has_norm:
            norm = f"{layer.removesuffix('0')}1"
            parts = ("weight", "bias", "running_mean", "running_var")
            names |= _parts(norm, f"features.{index + 1}", parts)
    present = dict(network.named_modules())
    for layer, key in WIDE_LAYERS.items():
        if layer in present:
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


def _read(path: Path) -> Mapping[str, Any]:
    """Return the state dict in a file, without running any code in it."""
    if not path.is_file():
        raise FileNotFoundError(
            f"pretrained is {str(path)!r}, which is not a file; {EXPECTED}."
        )
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever a broken pickle makes torch raise
        raise ValueError(
            f"pretrained={str(path)!r} cannot be read as weights; {EXPECTED} "
            f"(torch.save(network.state_dict(), path))."
        ) from error
    if not isinstance(tensors, Mapping):
        raise ValueError(
            f"pretrained={str(path)!r} holds a {type(tensors).__name__}; {EXPECTED}."
        )
    return tensors


def _check_bare(origin: str, tensors: Mapping[str, Any]) -> None:
    """Reject a state dict that is wrapped: in a checkpoint, or by longer names."""
    if FIRST_LAYER in tensors:
        return
    for key, value in tensors.items():
        if isinstance(value, Mapping) and any(map(_is_first_layer, value)):
            raise ValueError(
                f"pretrained={origin!r} has its tensors under {key!r}; expected them "
                f"alone: torch.save(torch.load(path)[{key!r}], new_path)."
            )
        if _is_first_layer(key):
            prefix = str(key).removesuffix(FIRST_LAYER)
            raise ValueError(
                f"pretrained={origin!r} has names that begin with {prefix!r}, as in "
                f"{key!r}; expected those of torchvision, without it."
            )


def _is_first_layer(key: Any) -> bool:
    return str(key).endswith(FIRST_LAYER)


def _check_norm(origin: str, tensors: Mapping[str, Any], has_norm: bool) -> None:
    """Reject VGG16 with batch normalisation for a network without, and vice versa."""
    found = any(str(key).endswith("running_mean") for key in tensors)
    if FIRST_LAYER in tensors and found != has_norm:
        raise ValueError(
            f"{origin} is VGG16 {'with' if found else 'without'} batch normalisation, "
            f"but the network is one {'with' if has_norm else 'without'}; expected "
            f"{'vgg16_bn' if has_norm else 'vgg16'}, or another norm."
        )


def imagenet_scale(scale: Scale) -> Scale:
    """Return how torchvision's weights expect images to be standardised.

    They were trained on RGB images from 0 to 1. White is taken to be the smallest value
    that is not exceeded, of 1 and the largest numbers of 8, 10, 12, 14 and 16 bits.
    Images with other channels, with negative values (such as Hounsfield units) or
    larger ones keep their own scale, which has the same mean 0 and standard deviation
    1.

    Parameters
    ----------
    scale : Scale
        That of the training images.

    Returns
    -------
    Scale
        With the same range.
    """
    low, high = scale.low.min(), scale.high.max()
    begins_at_zero = low >= -OVERSHOOT * high
    white = next((value for value in WHITES if high <= (1 + OVERSHOOT) * value), None)
    if len(scale.mean) != len(IMAGENET_MEAN) or not begins_at_zero or white is None:
        return scale
    return replace(scale, mean=IMAGENET_MEAN * white, std=IMAGENET_STD * white)


def segmenter_scale(segmenter: Any, scale: Scale) -> Scale:
    """Return the scale of a fitted segmenter, with the range of the new images.

    Images with another number of channels keep their own scale.
    """
    trained = Scale(
        segmenter.channel_mean_.copy(),
        segmenter.channel_std_.copy(),
        segmenter.channel_min_,
        segmenter.channel_max_,
    )
    if len(trained.mean) != len(scale.mean):
        return scale
    if trained.has_other_units(scale.magnitude()):
        warnings.warn(
            f"The values of X go up to {scale.magnitude():.4g}, but those that the "
            f"segmenter given as pretrained was trained on up to "
            f"{trained.magnitude():.4g}, and its scale is used. Are they in other "
            f"units?",
            UserWarning,
            stacklevel=2,
        )
    return replace(scale, mean=trained.mean, std=trained.std)
