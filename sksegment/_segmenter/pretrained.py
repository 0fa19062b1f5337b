"""Weights to start from: from ImageNet, a file, or a fitted segmenter."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from torch import nn

from sksegment._inputs.channel_scale import Scale
from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._imagenet_scale import imagenet_scale
from sksegment.networks._timm_weights import encoder_scale, encoder_weights
from sksegment.networks._vgg16_weights import vgg16_weights
from sksegment.networks._weight_files import EXPECTED, IMAGENET
from sksegment.networks._weight_transfer import Weights, transplant

# The networks of the paper, each of which continues from one before it.
STAGES = ("fcn32s", "fcn16s", "fcn8s")
# What may differ between a segmenter and the one that starts from it.
ANY_DESIGN = {"n_channels", "n_classes", "dropout"}


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
    source = unwrap_frozen(value)
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


def unwrap_frozen(value: Any) -> Any:
    """Return the estimator within a FrozenEstimator, or else the value itself."""
    return value.estimator if isinstance(value, FrozenEstimator) else value


def source_contents(pretrained: Any) -> Any:
    """Return all that is taken from a source of weights, equal for equal weights.

    For a file, that is its content. For a segmenter, its history is left out: training
    it again takes other times for the same weights.
    """
    source = unwrap_frozen(pretrained)
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
    source = unwrap_frozen(pretrained)
    if hasattr(source, "network_"):
        check_same_design(source, architecture)
        weights = segmenter_weights(source, network, classes)
        expected = segmenter_scale(source, scale)
    elif isinstance(network, EncoderFCN):
        weights = encoder_weights(source, network, architecture["encoder"])
        expected = encoder_scale(architecture["encoder"], scale)
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
    for name in {**architecture, **segmenter._architecture}:
        wanted, found = architecture.get(name), segmenter._architecture.get(name)
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
    class_layers = getattr(network, "class_layers", ())
    names = [
        name
        for name in network.state_dict()
        if name.partition(".")[0] not in class_layers
        or (same_classes and name in tensors)
    ]
    return Weights(
        "the segmenter given as pretrained",
        tensors,
        dict(zip(names, names, strict=True)),
        "a network of your own takes all weights: expected the same number of classes "
        "and channels",
    )


def segmenter_scale(segmenter: Any, scale: Scale) -> Scale:
    """Return the scale of a fitted segmenter, with the range of the new images.

    Images with another number of channels keep their own scale.
    """
    trained = Scale(
        segmenter.channel_mean_.copy(),
        segmenter.channel_std_.copy(),
        segmenter.channel_min_,
        segmenter.channel_max_,
        scale.nodata,
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
