"""Functions among the parameters that a file cannot hold."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from typing import Any

FUNCTIONS = ("network", "loss")
# Modules that copy or pickle functions themselves, not their names. joblib brings its
# own cloudpickle, by which functions reach worker processes.
BY_VALUE = ("copy", "cloudpickle", "dill")


def check_portable(parameters: Mapping[str, Any]) -> None:
    """Reject a function without an importable name when it is about to be pickled.

    Parameters
    ----------
    parameters : mapping
        Those of the segmenter, by name.

    Raises
    ------
    pickle.PicklingError
        Naming the parameter and the cure.
    """
    for name in FUNCTIONS:
        value = parameters.get(name)
        qualified = getattr(value, "__qualname__", "")
        if "<" in qualified and not _is_by_value():
            what = "a lambda" if "<lambda>" in qualified else "a function in a function"
            raise pickle.PicklingError(
                f"{name} is {what} ({qualified}), which pickle and joblib.dump cannot "
                f"store; expected a function that is defined in a module, with def, so "
                f"that it can be imported where the file is opened."
            )


def _is_by_value() -> bool:
    """Tell whether functions are copied or pickled by value, by who has called."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        module = frame.f_globals.get("__name__", "")
        if any(part in BY_VALUE for part in module.split(".")):
            return True
    return False
