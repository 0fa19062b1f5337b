"""What an error report needs to say about the machine and the packages on it."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from sksegment._version import __version__

PACKAGES = (
    "scikit-learn",
    "torch",
    "skorch",
    "numpy",
    "scipy",
    "scikit-image",
    "joblib",
    "pillow",
    "tifffile",
    "matplotlib",
    "safetensors",
    "timm",
    "dask",
    "zarr",
    "onnxruntime",
    "imagecodecs",
)


def show_versions() -> None:
    """Print the versions and the hardware that a bug report should name.

    See Also
    --------
    sklearn.show_versions : The same for scikit-learn, with its numerical libraries.

    Examples
    --------
    >>> import sksegment
    >>> sksegment.show_versions()  # doctest: +ELLIPSIS
    sksegment: 0.1.0
    Python: ...
    """
    facts = {"sksegment": __version__, **_system(), **_versions(), **_hardware()}
    for name, value in facts.items():
        print(f"{name}: {value}")


def _system() -> dict[str, str]:
    return {
        "Python": sys.version.replace("\n", " "),
        "system": platform.platform(),
        "processors": str(os.cpu_count()),
    }


def _versions() -> dict[str, str]:
    return {name: _version_of(name) for name in PACKAGES}


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _hardware() -> dict[str, str]:
    # Imported here: nobody waits for torch who only imports the package.
    import torch

    from sksegment._torch.precision import has_bfloat16

    n_cards = torch.cuda.device_count()
    cards = [torch.cuda.get_device_name(index) for index in range(n_cards)]
    return {
        "torch threads": str(torch.get_num_threads()),
        "bfloat16 on the processor": str(has_bfloat16(torch.device("cpu"))),
        "CUDA": f"{torch.version.cuda}, cards: {', '.join(cards) or 'none'}",
    }
