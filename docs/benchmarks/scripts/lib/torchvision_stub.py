"""A stand-in for torchvision, so that timm can be imported where it is not installed.

timm imports it for transforms of images and for one layer, none of which its networks
call. There is no build of torchvision for every build of torch.
"""

from __future__ import annotations

import sys
from enum import Enum
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import nn

MODES = "NEAREST NEAREST_EXACT BILINEAR BICUBIC BOX HAMMING LANCZOS"


class _Stub(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "InterpolationMode":
            return Enum(name, {mode: mode.lower() for mode in MODES.split()})
        return type(name, (nn.Module,) if name == "FrozenBatchNorm2d" else (), {})


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname.partition(".")[0] == "torchvision":
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Stub(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: attributes are made when they are asked for."""


def install() -> None:
    """Let `import torchvision` succeed, unless it does so already."""
    if find_spec("torchvision") is None:
        sys.meta_path.append(_Finder())
