"""The constructor's parameters: what each may be, and the error if it is not."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from torch import nn

from sksegment._inputs.checks import (
    as_float,
    check_boolean,
    check_choice,
    check_integer,
    check_number,
    format_choices,
    height_and_width,
    is_integer,
)
from sksegment._inputs.nodata import nodata_of
from sksegment._inputs.random import as_random_state
from sksegment._segmenter.pretrained import check_pretrained
from sksegment._torch.devices import resolve_device
from sksegment._torch.precision import PRECISIONS
from sksegment._training.callbacks import (
    check_callbacks,
    check_checkpoints,
    check_schedules,
)
from sksegment._training.schedules import SCHEDULES
from sksegment._training.train import OPTIMIZERS
from sksegment.losses._class_weight import RULES
from sksegment.losses._factory import LOSSES
from sksegment.networks._factory import NETWORKS
from sksegment.networks._layers import NORMS, SKIPS
from sksegment.networks._timm_encoder import check_encoder

# Deeper networks would reduce most images to single pixels: 2**8 = 256.
MAX_DEPTH = 8
# What None stands for, without and with an encoder of timm.
DEFAULT_DEPTH = 3
DEFAULT_WIDTH = 16
DEFAULT_ENCODER_WIDTH = 8
# What the learning rate is multiplied by for an encoder with pretrained weights.
PRETRAINED_FACTOR = 0.3

Check = Callable[[str, Any], None]


def check_parameters(parameters: dict[str, Any]) -> None:
    """Reject parameters of `FCNSegmenter` that are out of their range.

    Parameters
    ----------
    parameters : dict
        Values by name; all of them, or those that are about to be used.

    Raises
    ------
    ValueError, TypeError
        Naming the first parameter that is wrong, what it is and what is expected.
    """
    for name, value in parameters.items():
        if name in CHECKS:
            CHECKS[name](name, value)
    _check_own_loss(parameters)
    _check_pseudo_labels(parameters)
    _check_crops(parameters)
    _check_encoder_rate(parameters)
    _check_nodata(parameters)
    check_schedules(parameters)
    check_checkpoints(parameters)


def network_options(network: str | Callable[[int, int], nn.Module]) -> list[str]:
    """Return the names of the parameters that describe a network.

    Parameters
    ----------
    network : str or callable
        A key of `NETWORKS`, or a function of channels and classes, which has none.

    Returns
    -------
    list of str
        The names.

    Examples
    --------
    >>> from sksegment._segmenter.parameters import network_options
    >>> network_options("fcn8s")
    ['dropout']
    """
    if not isinstance(network, str):
        return []
    _channels, _classes, *options = inspect.signature(NETWORKS[network]).parameters
    return options


def network_description(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the network that the parameters describe, None filled in.

    Without an encoder there is no key for one, as in files that are older than it.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment._segmenter.parameters import network_description
    >>> parameters = FCNSegmenter(skip="add").get_params()
    >>> network_description(parameters)  # doctest: +NORMALIZE_WHITESPACE
    {'depth': 3, 'width': 16, 'skip': 'add', 'norm': 'batch', 'dropout': 0.5}
    """
    options = network_options(parameters["network"])
    described = {name: parameters[name] for name in options}
    encoder = parameters["encoder"]
    if encoder is not None:
        filled = {"encoder": encoder, "width": DEFAULT_ENCODER_WIDTH}
    elif "depth" in options:
        filled = {"depth": DEFAULT_DEPTH, "width": DEFAULT_WIDTH}
    else:
        filled = {}
    missing = {k: v for k, v in filled.items() if described.get(k) is None}
    return {**described, **missing}


def filled_in(
    parameters: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parameters of an older version, with those that have come since.

    Before there were encoders, `depth` was 3 and `width` 16 for networks without them.
    """
    filled = {**defaults, **parameters}
    if "encoder" not in parameters and "depth" not in network_options(
        filled.get("network", "fcn")
    ):
        old = {"depth": DEFAULT_DEPTH, "width": DEFAULT_WIDTH}
        filled |= {name: None for name in old if filled.get(name) == old[name]}
    return filled


def check_network_options(
    network: str | Callable[[int, int], nn.Module],
    parameters: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> None:
    """Reject a parameter that describes a network other than the one in use.

    Parameters
    ----------
    network : str or callable
        The network, which `check_parameters` has accepted.
    parameters, defaults : mapping
        The parameters of the constructor by name, and the default of each.

    Raises
    ------
    ValueError
        If a parameter that has no effect on the network is not left at its default.
    """
    own = [*network_options(network), *(["encoder"] if network == "fcn" else [])]
    which = f"network={network!r}" if own else "a network of your own"
    for name, value in parameters.items():
        without_effect = name in NETWORK_OPTIONS and name not in own
        if without_effect and value != defaults[name]:
            raise ValueError(
                f"{name}={value!r} has no effect on {which}; expected its default, "
                f"{defaults[name]!r}."
            )


def crop_sides(crop_size: Any) -> tuple[int, int] | None:
    """Return the height and width of crops in pixels; None for whole images."""
    return None if crop_size is None else height_and_width("crop_size", crop_size)


def _check_own_loss(parameters: dict[str, Any]) -> None:
    """Reject class weights with a loss that does not use them."""
    if callable(parameters.get("loss")) and parameters["class_weight"] is not None:
        raise ValueError(
            f"class_weight has no effect on a loss of your own; expected None, or one "
            f"of the losses {format_choices(LOSSES)}."
        )


def _check_pseudo_labels(parameters: dict[str, Any]) -> None:
    """Reject pseudo-labels where no label marks the pixels that get them."""
    if parameters.get("pseudo_labels") and parameters["ignore_label"] is None:
        raise ValueError(
            f"pseudo_labels={parameters['pseudo_labels']!r} are for the pixels of "
            f"ignore_label, which is None; expected the label of pixels without a "
            f"class, or pseudo_labels=None."
        )


def _check_crops(parameters: dict[str, Any]) -> None:
    """Reject a way of sampling crops if there are none."""
    if parameters.get("crop_sampling") == "balanced" and not parameters["crop_size"]:
        raise ValueError(
            "crop_sampling='balanced' chooses where crops lie, but crop_size is None; "
            "expected a crop_size in pixels."
        )


def _check_encoder_rate(parameters: dict[str, Any]) -> None:
    """Reject a learning rate of the encoder if there is none."""
    rate = parameters.get("encoder_learning_rate")
    if rate is not None and parameters["encoder"] is None:
        raise ValueError(
            f"encoder_learning_rate={rate!r} has no effect without an encoder; "
            f"expected None, or an encoder."
        )


def _check_nodata(parameters: dict[str, Any]) -> None:
    """Reject a mark of pixels without data for which there is no label."""
    if "nodata" in parameters:
        names = ("nodata", "ignore_label", "nodata_label")
        nodata_of(*(parameters[name] for name in names))


def _nodata(name: str, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(
            f"{name} is {value!r}; expected the number that marks pixels without data, "
            f"such as -9999 or float('nan'), or None."
        )
    if math.isinf(as_float(value)):
        raise ValueError(f"{name} is {value!r}; expected a finite number or NaN.")


def _or_none(check: Check) -> Check:
    def check_unless_none(name: str, value: Any) -> None:
        if value is not None:
            check(name, value)

    return check_unless_none


def _choice_or_callable(choices: dict[str, Any], arguments: str) -> Check:
    def check(name: str, value: Any) -> None:
        is_named = isinstance(value, str) and value in choices
        if not is_named and not callable(value):
            raise ValueError(
                f"{name} is {value!r}; expected one of {format_choices(choices)}, or a "
                f"callable {arguments}."
            )

    return check


def _network(name: str, value: Any) -> None:
    arguments = "(n_channels, n_classes) -> nn.Module"
    _choice_or_callable(NETWORKS, arguments)(name, value)
    # Layers are callable too, but map images: they do not make networks.
    if isinstance(value, nn.Module):
        raise ValueError(
            f"{name} is {value!r}, itself a network; expected a function {arguments} "
            f"that makes it."
        )


def _class_weight(name: str, value: Any) -> None:
    is_rule = isinstance(value, str) and value in RULES
    if value is not None and not is_rule and not isinstance(value, dict):
        raise ValueError(
            f"{name} is {value!r}; expected None, {format_choices(RULES)}, or a "
            f"dict from label to weight."
        )


def _verbose(name: str, value: Any) -> None:
    if not isinstance(value, (bool, np.bool_)):
        check_integer(name, value, 0)


def _label(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, (Real, str, bytes, np.bool_)):
        raise TypeError(f"{name} is {value!r}; expected one label value, or None.")
    if isinstance(value, Real) and not math.isfinite(as_float(value)):
        raise ValueError(
            f"{name} is {value!r}, which no mask may hold; expected another label, and "
            f"masks that hold it."
        )


def _crop_size(name: str, value: Any) -> None:
    try:
        crop_sides(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error} None trains on whole images.") from None


def _auto_or_integer(what: str) -> Check:
    def check(name: str, value: Any) -> None:
        if isinstance(value, str) and value == "auto":
            return
        expected = f"expected 'auto' or an integer of at least 1 ({what})."
        message = f"{name} is {value!r}; {expected}"
        if not is_integer(value):
            raise (ValueError if isinstance(value, str) else TypeError)(message)
        if value < 1:
            raise ValueError(message)

    return check


def _folder(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is {value!r}; expected the path of a folder, or None.")


def _random_state(name: str, value: Any) -> None:
    as_random_state(value)


def _device(name: str, value: Any) -> None:
    resolve_device(value)


# The parameters that describe some network.
NETWORK_OPTIONS = {
    "encoder",
    *(option for network in NETWORKS for option in network_options(network)),
}

CHECKS: dict[str, Check] = {
    "network": _network,
    "depth": _or_none(partial(check_integer, low=1, high=MAX_DEPTH)),
    "width": _or_none(partial(check_integer, low=1)),
    "encoder": check_encoder,
    "encoder_learning_rate": _or_none(partial(check_number, low=0)),
    "skip": partial(check_choice, choices=SKIPS),
    "norm": partial(check_choice, choices=NORMS),
    "dropout": partial(check_number, low=0, high=1, closed="left"),
    "pretrained": check_pretrained,
    "ignore_label": _label,
    "nodata": _or_none(_nodata),
    "nodata_label": _label,
    "class_weight": _class_weight,
    "pseudo_labels": partial(check_choice, choices=(None, "forest")),
    "loss": _choice_or_callable(LOSSES, "(scores, codes, weights) -> loss"),
    "optimizer": partial(check_choice, choices=OPTIMIZERS),
    "learning_rate": partial(check_number, low=0, closed="neither"),
    "weight_decay": partial(check_number, low=0),
    "learning_rate_schedule": partial(check_choice, choices=("constant", *SCHEDULES)),
    "max_epochs": partial(check_integer, low=1),
    "batch_size": _auto_or_integer("images"),
    "crop_size": _crop_size,
    "crop_sampling": partial(check_choice, choices=("uniform", "balanced")),
    "random_state": _random_state,
    "warm_start": check_boolean,
    "early_stopping": check_boolean,
    "validation_fraction": partial(check_number, low=0, high=1, closed="neither"),
    "n_iter_no_change": partial(check_integer, low=1),
    "tol": partial(check_number, low=0),
    "device": _device,
    "precision": partial(check_choice, choices=PRECISIONS),
    "tile_size": _auto_or_integer("pixels"),
    "test_time_augmentation": check_boolean,
    "checkpoint_dir": _folder,
    "callbacks": check_callbacks,
    "verbose": _verbose,
}
