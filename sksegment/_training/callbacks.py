"""The user's callbacks: which are accepted, what they watch, how to tell them apart."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from copy import copy
from typing import Any

from sklearn.base import clone
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    WandbLogger,
)
from torch.optim.lr_scheduler import ReduceLROnPlateau

# What the history holds for each epoch; the last two only with validation images.
SCORES = ("train_loss", "valid_loss", "valid_iou")
HISTORY_KEYS = {*SCORES, *(f"{score}_best" for score in SCORES), "epoch", "dur"}

# Callbacks that leave no trace in the weights or the history, with their subclasses.
WATCHERS = (
    EpochTimer,
    MlflowLogger,
    NeptuneLogger,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    WandbLogger,
)


def check_callbacks(name: str, value: Any) -> None:
    """Reject anything but a list of skorch callbacks."""
    if value is not None and not isinstance(value, (list, tuple)):
        raise TypeError(
            f"{name} is {value!r}; expected a list of skorch callbacks, or None."
        )
    for item in value or ():
        callback = _bare(item)
        is_class = isinstance(callback, type) and issubclass(callback, Callback)
        if not is_class and not isinstance(callback, Callback):
            raise TypeError(
                f"{name} holds {item!r}; expected a skorch callback, or a pair (name, "
                f"callback)."
            )


def check_watched(callbacks: Sequence[Any] | None, validates: bool) -> None:
    """Reject callbacks that watch a key that the history will not have.

    Parameters
    ----------
    callbacks : sequence or None
        Callbacks that `check_parameters` has accepted.
    validates : bool
        Whether there are validation images.

    Raises
    ------
    ValueError
        Naming the first such callback, what it watches and what is expected.
    """
    bare = unnamed_callbacks(callbacks)
    for callback in bare:
        key = _watched(callback)
        if key is None or _is_written(key, bare, validates):
            continue
        told = f"callbacks holds {kind_of(callback).__name__}, which watches {key!r}; "
        if _is_written(key, bare, validates=True):
            raise ValueError(
                f"{told}without validation images, as in partial_fit, expected "
                f"'train_loss'. Pass X_val and y_val, or early_stopping=True."
            )
        raise ValueError(
            f"{told}expected one of {', '.join(map(repr, SCORES))}, or a scoring "
            f"callback of that name before it."
        )


def check_schedules(parameters: dict[str, Any]) -> None:
    """Reject two schedules, one of which would override the other."""
    callbacks = unnamed_callbacks(parameters.get("callbacks"))
    schedule = parameters.get("learning_rate_schedule")
    if schedule != "constant" and any(
        issubclass(kind_of(callback), LRScheduler) for callback in callbacks
    ):
        raise ValueError(
            f"callbacks holds an LRScheduler, which learning_rate_schedule="
            f"{schedule!r} would override; expected learning_rate_schedule='constant' "
            f"with it."
        )


def check_checkpoints(parameters: dict[str, Any]) -> None:
    """Reject callbacks that steer training by state that a checkpoint does not keep."""
    if parameters.get("checkpoint_dir") is None:
        return
    for callback in unnamed_callbacks(parameters.get("callbacks")):
        kind = kind_of(callback)
        if issubclass(kind, (LRScheduler, EarlyStopping)):
            raise ValueError(
                f"callbacks holds {kind.__name__}, whose state a checkpoint "
                f"does not keep; with checkpoint_dir, expected learning_rate_schedule "
                f"or early_stopping=True instead."
            )


def unnamed_callbacks(callbacks: Sequence[Any] | None) -> list[Any]:
    """Return callbacks without the names that skorch allows them."""
    return [_bare(item) for item in callbacks or ()]


def kind_of(callback: Any) -> type[Callback]:
    """Return the class of a callback, which may itself be given as a class."""
    return callback if isinstance(callback, type) else type(callback)


def is_own(callback: Any) -> bool:
    """Tell whether a callback is the user's own, not one of skorch."""
    return not kind_of(callback).__module__.startswith("skorch.")


def only_watches(callback: Any) -> bool:
    """Tell whether a callback makes no difference to weights and history."""
    return issubclass(kind_of(callback), WATCHERS)


def settings_of(callback: Callback) -> dict[str, Any]:
    """Return the settings a callback was made with, not what it has counted since."""
    kept = vars(callback)
    names = inspect.signature(type(callback)).parameters
    if kept.keys() >= names.keys():
        settings = {name: kept[name] for name in names}
    else:  # the constructor does not say what it keeps
        settings = {key: kept[key] for key in kept if not key.endswith("_")}
    return settings | (_as_given(callback) if isinstance(callback, ParamMapper) else {})


def reset_callbacks(callbacks: Any) -> Any:
    """Return callbacks without what they remember from training.

    By the convention of scikit-learn and skorch, that is in attributes whose names end
    in an underscore; some hold tensors, or the optimizer.
    """
    if callbacks is None:
        return None
    return [
        (item[0], _reset(item[1])) if _bare(item) is not item else _reset(item)
        for item in callbacks
    ]


def _reset(callback: Any) -> Any:
    """Return a callback as its constructor left it, with the settings of today."""
    if not isinstance(callback, Callback):
        return callback
    settings = inspect.signature(type(callback)).parameters
    learned = {name for name in vars(callback) if name.endswith("_")} - {*settings}
    try:
        made = vars(clone(callback)) if learned else {}
    except Exception:  # no constructor to rely on; what users write may raise anything
        return callback
    return _without(callback, learned, made)


def _without(callback: Callback, learned: set[str], made: dict[str, Any]) -> Callback:
    """Return a copy of a callback without what it learned, if it can be copied so.

    A `__getstate__` of its own may leave attributes out, or insist on them.
    """
    try:
        fresh = copy(callback)
        for name in learned:
            vars(fresh).pop(name, None)
            if name in made:
                setattr(fresh, name, made[name])
        copy(fresh)
    except Exception:  # as above
        return callback
    return fresh


def _as_given(mapper: ParamMapper) -> dict[str, Any]:
    """Return the original settings, which skorch replaces when training begins.

    The same callback is then recognised in a second call of `fit`.
    """
    patterns, at, schedule = mapper.patterns, mapper.at, mapper.schedule
    if _is_method(getattr(at, "func", None), ParamMapper._epoch_at):
        at = at.keywords["epoch"]
    if _is_method(schedule, ParamMapper._default_schedule):
        schedule = None
    if not isinstance(patterns, (list, tuple)):
        patterns = [patterns]
    return {"patterns": patterns, "at": at, "schedule": schedule}


def _is_method(value: Any, function: Any) -> bool:
    return getattr(value, "__func__", None) is function


def _bare(item: Any) -> Any:
    """Return a callback without the name that skorch allows it."""
    return item[1] if isinstance(item, tuple) and len(item) == 2 else item


def _watched(callback: Any) -> str | None:
    """Return the key of the history that a callback watches, or None."""
    kind = kind_of(callback)
    if not issubclass(kind, (Checkpoint, EarlyStopping, LRScheduler)):
        return None
    # Of the schedules, only this one watches how training goes.
    plateau = ("ReduceLROnPlateau", ReduceLROnPlateau)
    if issubclass(kind, LRScheduler) and _setting(callback, "policy") not in plateau:
        return None
    key = _setting(callback, "monitor")
    return key if isinstance(key, str) else None


def _setting(callback: Any, name: str) -> Any:
    """Return a setting of a callback, or its default if the callback is a class."""
    if not isinstance(callback, type):
        return getattr(callback, name, None)
    parameter = inspect.signature(callback).parameters.get(name)
    return None if parameter is None else parameter.default


def _is_written(key: str, callbacks: Sequence[Any], validates: bool) -> bool:
    """Tell whether the history will hold a key, as far as that can be known."""
    if key in HISTORY_KEYS:
        return validates or not key.startswith("valid_")
    return any(_may_write(key, callback, validates) for callback in callbacks)


def _may_write(key: str, callback: Any, validates: bool) -> bool:
    if is_own(callback):
        return True  # what it writes is unknown
    if isinstance(callback, (BatchScoring, EpochScoring, PassthroughScoring)):
        return validates or callback.on_train
    return bool(_setting(callback, "event_name") == key)
