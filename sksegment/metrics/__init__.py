"""Scores of segmentations, all from one confusion matrix over all pixels."""

from sksegment.metrics._accuracy import mean_accuracy_score, pixel_accuracy_score
from sksegment.metrics._confusion_matrix import pixel_confusion_matrix
from sksegment.metrics._log_loss import pixel_log_loss
from sksegment.metrics._overlap import dice_score, iou_score
from sksegment.metrics._report import segmentation_report
from sksegment.metrics._scorers import (
    SegmentationScorer as SegmentationScorer,
)
from sksegment.metrics._scorers import (
    dice_scorer,
    iou_scorer,
    make_segmentation_scorer,
    neg_pixel_log_loss_scorer,
    pixel_accuracy_scorer,
)

__all__ = [
    "dice_score",
    "dice_scorer",
    "iou_score",
    "iou_scorer",
    "make_segmentation_scorer",
    "mean_accuracy_score",
    "neg_pixel_log_loss_scorer",
    "pixel_accuracy_score",
    "pixel_accuracy_scorer",
    "pixel_confusion_matrix",
    "pixel_log_loss",
    "segmentation_report",
]

# Where pickle looks them up, and where they are documented.
for _name in (*__all__, "SegmentationScorer"):
    globals()[_name].__module__ = __name__
del _name
