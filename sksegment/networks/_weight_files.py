"""Files of weights to start from: read without running code, and unwrapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

IMAGENET = "imagenet"
EXPECTED = (
    "expected None, 'imagenet', the path of a state dict of VGG16 as torchvision saves "
    "it (with an encoder, of that model of timm), or a fitted FCNSegmenter"
)


def read_weights(path: Path) -> Mapping[str, Any]:
    """Return the state dict in a file, without running any code in it."""
    if not path.is_file():
        raise FileNotFoundError(
            f"pretrained is {str(path)!r}, which is not a file; {EXPECTED}."
        )
    try:
        tensors = _loaded(path)
    except OSError:
        raise
    except Exception as error:  # whatever a broken pickle makes torch raise
        raise ValueError(
            f"pretrained={str(path)!r} cannot be read as weights; {EXPECTED} "
            f"(torch.save(network.state_dict(), path))."
        ) from error
    if not isinstance(tensors, Mapping):
        raise ValueError(
            f"pretrained={str(path)!r} holds a {type(tensors).__name__}; {EXPECTED}."
        )
    return tensors


def _loaded(path: Path) -> Any:
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    # Imported here: it is an extra.
    from safetensors.torch import load_file

    return load_file(path)


def check_bare(
    origin: str, tensors: Mapping[str, Any], first_layer: str, layout: str
) -> None:
    """Reject a state dict that is wrapped: in a checkpoint, or by longer names.

    Parameters
    ----------
    origin : str
        Where it comes from.
    tensors : mapping
        The state dict.
    first_layer : str
        The name of a tensor that it has if it is not wrapped.
    layout : str
        Whose names are expected.
    """
    if first_layer in tensors:
        return
    for key, value in tensors.items():
        if isinstance(value, Mapping) and any(
            str(name).endswith(first_layer) for name in value
        ):
            raise ValueError(
                f"pretrained={origin!r} has its tensors under {key!r}; expected them "
                f"alone: torch.save(torch.load(path)[{key!r}], new_path)."
            )
        if str(key).endswith(first_layer):
            prefix = str(key).removesuffix(first_layer)
            raise ValueError(
                f"pretrained={origin!r} has names that begin with {prefix!r}, as in "
                f"{key!r}; expected those of {layout}, without it."
            )
