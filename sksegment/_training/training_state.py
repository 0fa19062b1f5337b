"""The progress of training: taken from a skorch net, and given back to a new one."""

from __future__ import annotations

import os
from copy import deepcopy
from typing import Any

# The user's callbacks may have any name but this one.
EARLY_STOPPING = "sksegment_early_stopping"
STOPPING_STATE = (
    "misses_",
    "dynamic_threshold_",
    "best_epoch_",
    "best_model_weights_",
)


def progress_of(net: Any) -> dict[str, Any]:
    """Return what training needs to resume after an epoch.

    Parameters
    ----------
    net : skorch.NeuralNet
        In training.

    Returns
    -------
    dict
        Tensors, numbers, text, and lists and dicts of them.
    """
    return {
        "seed": net.seed,
        "network": net.module_.state_dict(),
        # What callbacks froze at some epoch, which does not come again.
        "requires_grad": _requires_grad(net.module_),
        "optimizer": net.optimizer_.state_dict(),
        "history": [_row_to_python(row) for row in net.history],
        "early_stopping": {
            name: to_python(getattr(stopping, name))
            for stopping in _early_stopping(net)
            for name in STOPPING_STATE
        },
    }


def restore_progress(net: Any, progress: dict[str, Any]) -> None:
    """Bring an initialised net to the state of another before its training begins.

    Parameters
    ----------
    net : skorch.NeuralNet
        Of the same network and optimizer.
    progress : dict
        What `progress_of` returned; left as it is.

    Raises
    ------
    ValueError
        If it is of another network.
    """
    if _shapes(net.module_.state_dict()) != _shapes(progress["network"]):
        raise ValueError(
            f"The checkpoint {os.fspath(net.checkpoint.path)!r} is of another network: "
            f"a function given as network is identified by its name, whatever it "
            f"makes. Remove the checkpoint to train from the start."
        )
    net.module_.load_state_dict(progress["network"])
    for name, parameter in net.module_.named_parameters():
        parameter.requires_grad_(progress["requires_grad"][name])
    net.optimizer_.load_state_dict(deepcopy(progress["optimizer"]))
    for row in progress["history"]:
        net.history.append({**row, "batches": []})


def restore_stopping(net: Any, progress: dict[str, Any]) -> None:
    """Let early stopping continue to count; it resets when training begins."""
    for stopping in _early_stopping(net):
        vars(stopping).update(deepcopy(progress["early_stopping"]))


def _requires_grad(network: Any) -> dict[str, bool]:
    return {name: tensor.requires_grad for name, tensor in network.named_parameters()}


def _shapes(state: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.shape for name, tensor in state.items()}


def _early_stopping(net: Any) -> list[Any]:
    return [callback for name, callback in net.callbacks_ if name == EARLY_STOPPING]


def _row_to_python(row: dict[str, Any]) -> dict[str, Any]:
    """Return the plain values of an epoch of the history, without its batches."""
    values = {key: to_python(value) for key, value in row.items()}
    return {
        key: value
        for key, value in values.items()
        if value is None or isinstance(value, (bool, int, float, str))
    }


def to_python(value: Any) -> Any:
    """Return numbers and arrays of numpy or torch as Python's, the rest as it is."""
    return value.tolist() if hasattr(value, "tolist") else value
