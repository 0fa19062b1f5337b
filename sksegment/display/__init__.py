"""Drawings: masks and their errors, confusion, scores, calibration."""

from sksegment.display._calibration_display import CalibrationDisplay
from sksegment.display._confusion_display import ConfusionDisplay
from sksegment.display._score_display import ScoreDisplay
from sksegment.display._segmentation_display import SegmentationDisplay

__all__ = [
    "CalibrationDisplay",
    "ConfusionDisplay",
    "ScoreDisplay",
    "SegmentationDisplay",
]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
