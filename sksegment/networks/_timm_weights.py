"""Weights for an encoder: those of timm, or those in a file of its layout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sksegment._inputs.channel_scale import Scale
from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._imagenet_scale import imagenet_scale
from sksegment.networks._timm_encoder import imported_timm
from sksegment.networks._weight_files import IMAGENET, check_bare, read_weights
from sksegment.networks._weight_transfer import Weights


def encoder_weights(
    source: str | os.PathLike[str], network: EncoderFCN, encoder: str
) -> Weights:
    """Return the weights of an encoder: from timm, or from a file of its layout.

    Raises
    ------
    ValueError
        If timm has none for it, or the file holds those of another network.
    OSError
        If they cannot be downloaded or read.
    """
    names = names_in_timm(network.encoder, encoder)
    cure = f"expected the state dict of timm.create_model({encoder!r})"
    if source == IMAGENET:
        origin, tensors = pretrained_tensors(encoder)
    else:
        origin, tensors = str(source), read_weights(Path(source))
        first = next(name for name in names.values() if name.endswith(".weight"))
        check_bare(origin, tensors, first, "timm")
        _check_known(origin, tensors, encoder, cure)
    inside = {f"encoder.{name}": key for name, key in names.items()}
    return Weights(origin, tensors, inside, cure)


def encoder_scale(encoder: str, scale: Scale) -> Scale:
    """Return how timm's weights of an encoder expect images to be standardized."""
    stated = imported_timm().get_pretrained_cfg(encoder)
    if stated is None:
        return imagenet_scale(scale)
    return imagenet_scale(scale, np.array(stated.mean), np.array(stated.std))


def pretrained_tensors(encoder: str) -> tuple[str, Mapping[str, Tensor]]:
    """Return the name of timm's weights for an encoder, and its state dict with them.

    They are downloaded by timm unless they are in its cache.

    Raises
    ------
    ValueError
        If there are none.
    OSError
        If they cannot be had: no network, or a broken file.
    """
    timm, name = imported_timm(), pretrained_name(encoder)
    try:
        return name, timm.create_model(encoder, pretrained=True).state_dict()
    except Exception as error:  # whatever a download or a broken file raises
        told = str(error) or type(error).__name__
        raise OSError(
            f"pretrained='imagenet' needs the weights {name} of timm, which could not "
            f"be downloaded to, or read from, {str(_cache_folder())!r}: {told} Fetch "
            f"them elsewhere, and pass the path of the file: "
            f"pretrained='{name}.safetensors'."
        ) from error


def pretrained_name(encoder: str) -> str:
    """Return the name of timm's weights for an encoder, with their tag.

    Raises
    ------
    ValueError
        If there are none.
    """
    timm = imported_timm()
    stated = timm.get_pretrained_cfg(encoder)
    if stated is None or not stated.has_weights:
        raise ValueError(
            f"pretrained='imagenet', but timm {timm.__version__} has no weights for "
            f"encoder={encoder!r}; expected one of timm.list_models(pretrained=True), "
            f"or pretrained=None."
        )
    return f"{stated.architecture}.{stated.tag}" if stated.tag else encoder


def names_in_timm(network: nn.Module, encoder: str) -> dict[str, str]:
    """Return the name of each weight of an encoder in the whole model of timm.

    An encoder is the model without its last layers, under other names: ``stages_0.``
    is ``stages.0.`` there.
    """
    known = {name.replace(".", "_"): name for name in whole_names(encoder)}
    own = (name for name, _ in network.state_dict().items() if _is_weight(name))
    return {
        name: known[name.removeprefix("model.").removeprefix("body.").replace(".", "_")]
        for name in own
    }


@lru_cache(maxsize=64)
def whole_names(encoder: str) -> tuple[str, ...]:
    """Return the names in the state dict of timm's whole model, classes included."""
    with torch.device("meta"):
        return tuple(imported_timm().create_model(encoder).state_dict())


def _check_known(
    origin: str, tensors: Mapping[str, Any], encoder: str, cure: str
) -> None:
    """Reject weights with layers that the model of timm does not have."""
    known = {*whole_names(encoder)}
    names = (str(name) for name in tensors if _is_weight(str(name)))
    extra = [name for name in names if name not in known]
    if extra:
        raise ValueError(
            f"{origin} has {len(extra)} tensors that {encoder} does not: "
            f"{', '.join(extra[:4])}{', ...' * (len(extra) > 4)}; {cure}."
        )


def _is_weight(name: str) -> bool:
    """Tell a weight from the count of batches, which many files leave out."""
    return not name.endswith("num_batches_tracked")


def _cache_folder() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)
