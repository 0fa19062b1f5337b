"""Encoders of timm: which there are, the maps that they give, and their weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# What makes transformers take images of any size; other models do not know it.
ANY_SIZE: tuple[dict[str, Any], ...] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)


class EncoderMap(NamedTuple):
    """One of the maps that an encoder gives.

    Parameters
    ----------
    output : int
        Which of its outputs it is, as timm counts them.
    n_channels : int
        Channels of the map.
    reduction : int
        Pixels of the image, along each axis, for one of the map.
    """

    output: int
    n_channels: int
    reduction: int


def check_encoder(name: str, value: Any) -> None:
    """Reject anything but None and the name of a model that timm lists.

    Names that timm would look up elsewhere, such as ``hf-hub:...``, are not listed: a
    model file from somebody else must not decide what is read or downloaded.

    Raises
    ------
    TypeError, ValueError
        If it is not such a name; the closest ones are suggested.
    ImportError
        If timm is not installed.
    """
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(
            f"{name} is {value!r}; expected the name of a model of timm, or None."
        )
    timm = imported_timm()
    listed = {*timm.list_models(), *timm.list_models(pretrained=True)}
    if value not in listed:
        close = difflib.get_close_matches(value.lower(), sorted(listed), n=3)
        closest = f", such as {' or '.join(map(repr, close))}" if close else ""
        raise ValueError(
            f"{name} is {value!r}, which is no model of timm {timm.__version__}; "
            f"expected one of timm.list_models(){closest}."
        )


def imported_timm() -> Any:
    """Return timm, which takes seconds to import.

    Raises
    ------
    ImportError
        If it is not installed, saying how to install it.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"encoder needs timm, which cannot be imported: {error}. Install it with "
            f"pip install 'sksegment[timm]'."
        ) from error
    return timm


def timm_version(architecture: Mapping[str, Any]) -> str | None:
    """Return the version of timm that makes a network; None if it has no part in it."""
    if architecture.get("encoder") is None:
        return None
    return str(imported_timm().__version__)


def other_timm(saved_with: str | None) -> str:
    """Return why weights may not fit an encoder: timm has changed since. Or nothing."""
    if saved_with is None:
        return ""
    return (
        f"The segmenter was saved with timm {saved_with}, and this is timm "
        f"{imported_timm().__version__}, whose encoder may have other layers: if so, "
        f"install timm=={saved_with}. "
    )


@lru_cache(maxsize=64)
def encoder_maps(encoder: str, n_channels: int) -> tuple[EncoderMap, ...]:
    """Return the maps that an encoder gives, from fine to coarse.

    Of several maps of one resolution, the last one is taken: the blocks of a plain
    transformer all have that of its patches.

    Raises
    ------
    ValueError
        If it gives no maps, or does not take images of any size and that many channels.
    """
    with torch.device("meta"):
        network: Any = _features(encoder, in_chans=n_channels)
        info = network.feature_info
        _check_any_size(network, encoder, n_channels, max(info.reduction()))
    described = zip(info.out_indices, info.channels(), info.reduction(), strict=True)
    maps = {one.reduction: one for one in map(EncoderMap._make, described)}
    return tuple(maps[reduction] for reduction in sorted(maps))


def make_encoder(encoder: str, n_channels: int, outputs: Sequence[int]) -> nn.Module:
    """Return an encoder with new weights, for images with any number of channels.

    Parameters
    ----------
    encoder : str
        A name that `check_encoder` accepts.
    n_channels : int
        Channels of the images.
    outputs : sequence of int
        Which maps it gives: the `output` of each.

    Returns
    -------
    nn.Module
        From images ``(n, n_channels, height, width)`` to a list of maps.
    """
    return _features(encoder, in_chans=n_channels, out_indices=tuple(outputs))


def channels_first(encoder: nn.Module, maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the maps of an encoder as (n, n_channels, height, width)."""
    if getattr(encoder, "output_fmt", None) == "NHWC":
        return [one.permute(0, 3, 1, 2) for one in maps]
    return list(maps)


def _features(encoder: str, **options: Any) -> nn.Module:
    timm = imported_timm()
    for any_size in ANY_SIZE:
        try:
            network: nn.Module = timm.create_model(
                encoder, features_only=True, **any_size, **options
            )
            return network
        except TypeError:  # it has no such option
            continue
        except (AttributeError, RuntimeError, AssertionError) as error:
            raise ValueError(
                f"encoder={encoder!r} gives no maps of features (timm's "
                f"features_only=True): {error}; expected another encoder."
            ) from error
    raise ValueError(f"encoder={encoder!r} cannot be made; expected another encoder.")


def _check_any_size(
    network: nn.Module, encoder: str, n_channels: int, stride: int
) -> None:
    """Reject an encoder whose layers are made for images of one size."""
    images = torch.empty(1, n_channels, 2 * stride, 3 * stride)
    try:
        network.eval()(images)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"encoder={encoder!r} does not take images of shape "
            f"{tuple(images.shape)}; expected an encoder for images of any size and "
            f"number of channels. It says: {error}"
        ) from error
