"""The fingerprint of a training: equal where the same training is asked for again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import joblib
from numpy.typing import NDArray
from skorch.callbacks import (
    Callback,
    EpochTimer,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PrintLog,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    WandbLogger,
)
from torch import Tensor, nn

from sksegment import __version__
from sksegment._files import is_path
from sksegment._images import ImageList
from sksegment._plan import PlannedStep
from sksegment._samples import Samples

# What makes no difference to the weights; of `random_state`, the seed counts.
IRRELEVANT = ("checkpoint_dir", "random_state", "verbose")
# Callbacks that leave no trace in the weights or the history, and those derived.
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


def fingerprint(
    parameters: Mapping[str, Any],
    seed: int | None,
    data: Sequence[Samples | None],
    steps: Sequence[PlannedStep],
    start: Mapping[str, NDArray[Any]],
) -> str:
    """Return a name for a training, made of all that its result follows from.

    Parameters
    ----------
    parameters : mapping
        Parameters of the segmenter; of `callbacks` a list without names.
    seed : int or None
        The seed of the draws; None if any will do.
    data : sequence of Samples or None
        What the network is trained and judged on. Of files, the content counts.
    steps : sequence of PlannedStep
        The augmentations.
    start : mapping of str to ndarray
        The weights that training goes on from; empty for a new network.

    Returns
    -------
    str
        Forty hexadecimal digits.

    Raises
    ------
    TypeError
        If a parameter has nothing that tells it from others in another process.
    """
    callbacks = [
        _callback(callback)
        for callback in parameters["callbacks"]
        if not issubclass(_kind(callback), WATCHERS)
    ]
    parameters = {**parameters, "callbacks": callbacks}
    told = {
        name: _told(name, value)
        for name, value in parameters.items()
        if name not in IRRELEVANT
    }
    digests = [None if samples is None else _digest(samples) for samples in data]
    planned = [_planned(step) for step in steps]
    parts = (__version__, told, seed, digests, planned, dict(start))
    return str(joblib.hash(parts, hash_name="sha1"))


def _told(name: str, value: Any) -> Any:
    """Return what stands for the value of a parameter in every process."""
    try:
        if isinstance(value, nn.Module):
            value = [(path, *_layer(layer)) for path, layer in value.named_modules()]
        return joblib.hash(_plain(value))
    except Exception as error:
        raise TypeError(
            f"{name} is {value!r}, which another process could not find again; with "
            f"checkpoint_dir, expected plain values, or classes or functions of a "
            f"module."
        ) from error


def _callback(callback: Any) -> tuple[Any, dict[str, Any]]:
    """Return what stands for class and settings of a callback in every process."""
    kind = _kind(callback)
    settings = {} if callback is kind else _settings(callback)
    told = {
        key: _told(f"{key} of {kind.__name__} in callbacks", value)
        for key, value in settings.items()
    }
    return _told("One of callbacks", kind), told


def _kind(callback: Any) -> type[Callback]:
    return callback if isinstance(callback, type) else type(callback)


def _settings(callback: Callback) -> dict[str, Any]:
    """Return what a callback was made with: not what it has counted since."""
    kept = vars(callback)
    names = signature(type(callback)).parameters
    if kept.keys() >= names.keys():
        settings = {name: kept[name] for name in names}
    else:  # the constructor does not say what it keeps
        settings = {key: kept[key] for key in kept if not key.endswith("_")}
    return settings | (_as_given(callback) if isinstance(callback, ParamMapper) else {})


def _as_given(mapper: ParamMapper) -> dict[str, Any]:
    """Return settings that skorch replaces when training begins, as they were before.

    The same callback is then known again in a second call of `fit`.
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


def _layer(layer: nn.Module) -> tuple[str, dict[str, Any]]:
    """Return class, tensors and settings of one layer of a loss of the user's own."""
    tensors = {**layer._parameters, **layer._buffers}
    settings = {key: vars(layer)[key] for key in vars(layer).keys() - vars(nn.Module())}
    parts = {key: _plain(value) for key, value in {**tensors, **settings}.items()}
    return type(layer).__qualname__, parts


def _plain(value: Any) -> Any:
    # How torch pickles tensors differs each time.
    return value.numpy(force=True) if isinstance(value, Tensor) else value


def _planned(step: PlannedStep) -> tuple[str, dict[str, Any], int | None]:
    augmenter: Any = step.augmenter
    parameters = augmenter.get_params()
    parameters.pop("random_state", None)  # the seed is what was drawn from it
    return type(augmenter).__qualname__, parameters, step.seed


def _digest(samples: Samples) -> str:
    digest = hashlib.sha256()
    for images in (samples.images, samples.masks):
        for index in range(len(images)):
            for part in _parts(images, index):
                digest.update(part)
    for weight in samples.weights or ():
        digest.update(repr(weight.shape).encode() + weight.tobytes())
    return digest.hexdigest()


def _parts(images: ImageList, index: int) -> Iterable[bytes]:
    """Return the bytes of an image row by row, or the digest of a file."""
    item = images.items[index]
    if is_path(item):
        with open(item, "rb") as file:
            yield hashlib.file_digest(file, "sha256").digest()
        return
    pixels = images[index]
    yield f"{pixels.dtype.str} {pixels.shape}".encode()
    for row in pixels:
        yield row.tobytes()
