"""Splitters that understand masks, for the `cv` parameter of scikit-learn's tools."""

from sksegment.model_selection._blocks import cut_blocks
from sksegment.model_selection._spatial import SpatialBlockKFold
from sksegment.model_selection._stratified import StratifiedImageKFold

__all__ = ["SpatialBlockKFold", "StratifiedImageKFold", "cut_blocks"]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
