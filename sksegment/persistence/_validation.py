"""What a fitted segmenter consists of, and whether its parts fit together."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sksegment._inputs.checks import check_integer
from sksegment._inputs.classes import check_classes
from sksegment._inputs.random import MAX_SEED
from sksegment._segmenter.parameters import check_parameters, network_options

# What a model file keeps of a fitted segmenter besides the weights. Stride and margin
# follow from the network.
from sksegment.networks._timm_encoder import other_timm

FITTED = (
    "classes_",
    "n_features_in_",
    "channel_mean_",
    "channel_std_",
    "channel_min_",
    "channel_max_",
    "history_",
    "n_iter_",
    "best_epoch_",
    "_architecture",
    "_seed",
)
# What it keeps besides if there is an encoder of timm: the margin is measured.
FITTED_ENCODER = ("margin_", "_timm_version")
CHANNEL_ARRAYS = ("channel_mean_", "channel_std_", "channel_min_", "channel_max_")
SIZES = ("n_channels", "n_classes")
VERSIONS = re.compile(r"[0-9A-Za-z.+!-]{1,40}")
DEVICES = re.compile(r"auto|(cpu|cuda|mps)(:\d{1,3})?")


def fitted_names(fitted: Any) -> tuple[str, ...]:
    """Return which of its fitted attributes a model file keeps of a segmenter."""
    architecture = fitted.get("_architecture") if isinstance(fitted, dict) else None
    has_encoder = isinstance(architecture, dict) and "encoder" in architecture
    return (*FITTED, *FITTED_ENCODER) if has_encoder else FITTED


def check_constructor(parameters: dict[str, Any]) -> None:
    """Reject parameters that `fit` would reject, except for a missing device.

    A model that was trained on a GPU can be opened elsewhere, too.

    Raises
    ------
    ValueError, TypeError
        Naming the first parameter that is wrong.
    """
    device = parameters["device"]
    if not isinstance(device, str) or not DEVICES.fullmatch(device):
        raise ValueError(
            f"device is {device!r}; expected 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'."
        )
    check_parameters({**parameters, "device": "cpu"})
    check_classes(parameters["classes"], parameters["ignore_label"])


def check_fitted(fitted: dict[str, Any]) -> None:
    """Reject fitted attributes that training cannot have left behind.

    Parameters
    ----------
    fitted : dict
        The attributes of `FITTED`.

    Raises
    ------
    ValueError, TypeError
        Naming the first attribute that is wrong.
    """
    _check_architecture(fitted["_architecture"])
    _check_labels(fitted["classes_"], fitted["_architecture"]["n_classes"])
    n_channels = fitted["_architecture"]["n_channels"]
    if fitted["n_features_in_"] != n_channels:
        raise ValueError(
            f"n_features_in_ is {fitted['n_features_in_']!r}; expected {n_channels}."
        )
    for name in CHANNEL_ARRAYS:
        _check_channels(name, fitted[name], n_channels)
    if not (fitted["channel_std_"] > 0).all():
        raise ValueError("channel_std_ is not above 0; expected a standard deviation.")
    _check_history(fitted["history_"])
    check_integer("n_iter_", fitted["n_iter_"], 0)
    check_integer("_seed", fitted["_seed"], 0, MAX_SEED)
    if fitted["best_epoch_"] is not None:
        check_integer("best_epoch_", fitted["best_epoch_"], 1)
    if fitted.get("margin_") is not None:
        check_integer("margin_", fitted["margin_"], 0)
    version = fitted.get("_timm_version", "0")
    if not isinstance(version, str) or not VERSIONS.fullmatch(version):
        raise ValueError(f"_timm_version is {version!r}; expected a version.")


def check_weights(
    network: nn.Module,
    weights: dict[str, NDArray[Any]],
    timm_version: str | None = None,
) -> None:
    """Reject weights that are not those of a network, or that are not finite.

    Parameters
    ----------
    network : nn.Module
        The network, or its blueprint.
    weights : dict of ndarray
        By their names in its state dict.
    timm_version : str, default=None
        That which they were saved with, if the network has an encoder of timm.

    Raises
    ------
    ValueError
        Naming the first tensor that is wrong.
    """
    cause = other_timm(timm_version)
    expected = network.state_dict()
    differing = sorted(expected.keys() ^ weights.keys())
    if differing:
        raise ValueError(
            f"{cause}network_ has {len(weights)} tensors, and its architecture "
            f"{len(expected)}; {differing[0]!r} is not in both."
        )
    for name, tensor in expected.items():
        array, dtype = weights[name], str(tensor.dtype).removeprefix("torch.")
        if array.shape != tuple(tensor.shape) or array.dtype.name != dtype:
            raise ValueError(
                f"{cause}network_ has {name!r} as {array.dtype} of shape "
                f"{array.shape}; expected {dtype} of shape {tuple(tensor.shape)}."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"network_ has NaN or infinity in {name!r}.")


def _check_architecture(architecture: Any) -> None:
    if not isinstance(architecture, dict) or "network" not in architecture:
        raise ValueError(f"_architecture is {architecture!r}; expected a dict.")
    check_parameters(architecture)
    expected = ["network", *SIZES, *network_options(architecture["network"])]
    if "encoder" in architecture:
        if architecture["network"] != "fcn" or architecture["encoder"] is None:
            raise ValueError(
                f"_architecture is {architecture!r}; expected an encoder in an FCN."
            )
        expected.append("encoder")
    if {*architecture} != {*expected}:
        raise ValueError(
            f"_architecture has the keys {[*architecture]}; expected {expected}."
        )
    for name in SIZES:
        check_integer(f"_architecture[{name!r}]", architecture[name], 1)


def _check_labels(classes: Any, n_classes: int) -> None:
    is_array = isinstance(classes, np.ndarray) and classes.dtype.kind in "buifUS"
    if not is_array or classes.shape != (n_classes,):
        raise ValueError(
            f"classes_ is {classes!r}; expected an array of {n_classes} label values."
        )
    is_finite = classes.dtype.kind != "f" or np.isfinite(classes).all()
    if not is_finite or not np.array_equal(np.unique(classes), classes):
        raise ValueError(
            f"classes_ is {classes!r}; expected finite label values, sorted, each once."
        )


def _check_channels(name: str, values: Any, n_channels: int) -> None:
    is_array = isinstance(values, np.ndarray) and values.dtype == np.float64
    if not is_array or values.shape != (n_channels,) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} is {values!r}; expected {n_channels} finite numbers, float64."
        )


def _check_history(history: Any) -> None:
    rows = history if isinstance(history, list) else [None]
    if not all(
        isinstance(row, dict) and all(isinstance(key, str) for key in row)
        for row in rows
    ):
        raise TypeError("history_ is not a list of dictionaries, one per epoch.")
