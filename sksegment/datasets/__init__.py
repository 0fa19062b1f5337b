"""Data to try segmentation on, and loaders for the usual folder layouts."""

from sksegment.datasets._check_masks import Finding, check_masks
from sksegment.datasets._colors_to_labels import colors_to_labels
from sksegment.datasets._find_mask_errors import MaskError, find_mask_errors
from sksegment.datasets._image_pairs import load_image_pairs
from sksegment.datasets._load_stack import load_stack
from sksegment.datasets._save_masks import save_masks
from sksegment.datasets._shapes import make_shapes
from sksegment.datasets._voc import load_voc

__all__ = [
    "Finding",
    "MaskError",
    "check_masks",
    "colors_to_labels",
    "find_mask_errors",
    "load_image_pairs",
    "load_stack",
    "load_voc",
    "make_shapes",
    "save_masks",
]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
