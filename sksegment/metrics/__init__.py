"""Scores of segmentations: of areas, of boundaries and of probabilities."""

from sksegment.metrics._accuracy import mean_accuracy_score, pixel_accuracy_score
from sksegment.metrics._boundary import (
    boundary_f1_score,
    boundary_iou_score,
    surface_dice_score,
)
from sksegment.metrics._calibration import (
    calibration_curve,
    expected_calibration_error,
)
from sksegment.metrics._comparison import compare_scores
from sksegment.metrics._confusion_matrix import pixel_confusion_matrix
from sksegment.metrics._hausdorff import hausdorff_distance
from sksegment.metrics._image_scores import image_scores
from sksegment.metrics._log_loss import pixel_log_loss
from sksegment.metrics._named_scorers import (
    dice_scorer,
    iou_scorer,
    neg_pixel_log_loss_scorer,
    pixel_accuracy_scorer,
)
from sksegment.metrics._overlap import dice_score, iou_score
from sksegment.metrics._report import segmentation_report
from sksegment.metrics._report_table import SegmentationReport as SegmentationReport
from sksegment.metrics._scorers import SegmentationScorer as SegmentationScorer
from sksegment.metrics._scorers import make_segmentation_scorer

__all__ = [
    "boundary_f1_score",
    "boundary_iou_score",
    "calibration_curve",
    "compare_scores",
    "dice_score",
    "dice_scorer",
    "expected_calibration_error",
    "hausdorff_distance",
    "image_scores",
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
    "surface_dice_score",
]

# Where pickle looks them up, and where they are documented.
for _name in (*__all__, "SegmentationReport", "SegmentationScorer"):
    globals()[_name].__module__ = __name__
del _name
