"""Drawings: masks, errors and uncertainty; confusion, scores, calibration, epochs."""

from sksegment.display._augmentation_display import AugmentationDisplay
from sksegment.display._calibration_display import CalibrationDisplay
from sksegment.display._confusion_display import ConfusionDisplay
from sksegment.display._epoch_curve_display import EpochCurveDisplay
from sksegment.display._score_display import ScoreDisplay
from sksegment.display._segmentation_display import SegmentationDisplay
from sksegment.display._training_history_display import TrainingHistoryDisplay
from sksegment.display._uncertainty_display import UncertaintyDisplay

__all__ = [
    "AugmentationDisplay",
    "CalibrationDisplay",
    "ConfusionDisplay",
    "EpochCurveDisplay",
    "ScoreDisplay",
    "SegmentationDisplay",
    "TrainingHistoryDisplay",
    "UncertaintyDisplay",
]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
