"""Drawings: images beside their masks, and where a prediction is wrong."""

from sksegment.display._segmentation_display import SegmentationDisplay

__all__ = ["SegmentationDisplay"]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
