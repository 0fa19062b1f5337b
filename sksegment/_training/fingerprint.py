"""The fingerprint of a training run: equal if the same run is asked for again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import joblib
from numpy.typing import NDArray
from torch import Tensor, nn

from sksegment._inputs.addresses import checksum_at, is_address
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import ImageList
from sksegment._inputs.samples import Samples
from sksegment._training.callbacks import kind_of, only_watches, settings_of
from sksegment._version import __version__
from sksegment.augmentation._plan import PlannedStep

# What makes no difference to the weights; for `random_state`, the seed counts.
IRRELEVANT = ("checkpoint_dir", "random_state", "verbose")


def fingerprint(
    parameters: Mapping[str, Any],
    seed: int | None,
    data: Sequence[Samples | None],
    steps: Sequence[PlannedStep],
    start: Mapping[str, NDArray[Any]],
) -> str:
    """Return a name for a training run, made from all that determines its result.

    Parameters
    ----------
    parameters : mapping
        Parameters of the segmenter; `callbacks` is a list without names.
    seed : int or None
        The seed of the draws; None if any will do.
    data : sequence of Samples or None
        What the network is trained and judged on. For files, the content counts.
    steps : sequence of PlannedStep
        The augmentations.
    start : mapping of str to ndarray
        The weights that training continues from; empty for a new network.

    Returns
    -------
    str
        Forty hexadecimal digits.

    Raises
    ------
    TypeError
        If a parameter cannot be identified in another process.
    """
    callbacks = [
        _callback(callback)
        for callback in parameters["callbacks"]
        if not only_watches(callback)
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
    """Return what identifies the value of a parameter in every process."""
    try:
        if isinstance(value, nn.Module):
            value = [(path, *_layer(layer)) for path, layer in value.named_modules()]
        return joblib.hash(_plain(value))
    except Exception as error:
        raise TypeError(
            f"{name} is {value!r}, which cannot be identified in another process; with "
            f"checkpoint_dir, expected plain values, or classes or functions of a "
            f"module."
        ) from error


def _callback(callback: Any) -> tuple[Any, dict[str, Any]]:
    """Return what identifies class and settings of a callback in every process."""
    kind = kind_of(callback)
    settings = {} if callback is kind else settings_of(callback)
    told = {
        key: _told(f"{key} of {kind.__name__} in callbacks", value)
        for key, value in settings.items()
    }
    return _told("One of callbacks", kind), told


def _layer(layer: nn.Module) -> tuple[str, dict[str, Any]]:
    """Return class, tensors and settings of one layer of the user's own loss."""
    tensors = {**layer._parameters, **layer._buffers}
    settings = {key: vars(layer)[key] for key in vars(layer).keys() - vars(nn.Module())}
    parts = {key: _plain(value) for key, value in {**tensors, **settings}.items()}
    return type(layer).__qualname__, parts


def _plain(value: Any) -> Any:
    # torch pickles the same tensor differently each time.
    return value.numpy(force=True) if isinstance(value, Tensor) else value


def _planned(step: PlannedStep) -> tuple[str, dict[str, Any], int | None]:
    augmenter: Any = step.augmenter
    parameters = augmenter.get_params()
    parameters.pop("random_state", None)  # step.seed was drawn from it
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
    """Return the bytes of an image row by row, or the digest of a file.

    A file at an address is not read once more: what its store says of it counts.
    """
    item = images.items[index]
    if is_address(item):
        yield f"{item} {checksum_at(item)}".encode()
        return
    if is_path(item):
        with open(item, "rb") as file:
            yield hashlib.file_digest(file, "sha256").digest()
        return
    pixels = images[index]
    yield f"{pixels.dtype.str} {pixels.shape}".encode()
    for row in pixels:
        yield row.tobytes()
