"""Semantic image segmentation the scikit-learn way.

Public names are loaded when they are first used (PEP 562), so that importing the
package costs nothing and `sksegment.metrics` never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sksegment._version import __version__

if TYPE_CHECKING:
    from sksegment._show_versions import show_versions
    from sksegment.display import SegmentationDisplay
    from sksegment.metrics import iou_scorer
    from sksegment.persistence import load_model, save_model
    from sksegment.segmenter import FCNSegmenter

__all__ = [
    "FCNSegmenter",
    "SegmentationDisplay",
    "__version__",
    "iou_scorer",
    "load_model",
    "save_model",
    "show_versions",
]

_HOME_OF = {
    "FCNSegmenter": "sksegment.segmenter",
    "SegmentationDisplay": "sksegment.display",
    "iou_scorer": "sksegment.metrics",
    "load_model": "sksegment.persistence",
    "save_model": "sksegment.persistence",
    "show_versions": "sksegment._show_versions",
}

_SUBMODULES = (
    "augmentation",
    "blocks",
    "calibration",
    "datasets",
    "display",
    "ensemble",
    "export",
    "losses",
    "metrics",
    "model_selection",
    "networks",
    "persistence",
    "segmenter",
)


def __getattr__(name: str) -> Any:
    """Import a public name or a submodule when it is first asked for."""
    if name in _SUBMODULES:
        return import_module(f"sksegment.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sksegment' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next look-up finds it here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
