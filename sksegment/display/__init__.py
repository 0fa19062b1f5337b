"""Drawings: images, masks and errors; how uncertain a model is; scores by epoch."""

from sksegment.display._epoch_curve_display import EpochCurveDisplay
from sksegment.display._segmentation_display import SegmentationDisplay
from sksegment.display._uncertainty_display import UncertaintyDisplay

__all__ = ["EpochCurveDisplay", "SegmentationDisplay", "UncertaintyDisplay"]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
