"""Splitters that understand masks, and what is done with their folds."""

from sksegment.model_selection._blocks import cut_blocks
from sksegment.model_selection._cross_val_predict import cross_val_predict
from sksegment.model_selection._epoch_curve import epoch_curve
from sksegment.model_selection._rank_to_label import rank_to_label
from sksegment.model_selection._spatial import SpatialBlockKFold
from sksegment.model_selection._stratified import StratifiedImageKFold

__all__ = [
    "SpatialBlockKFold",
    "StratifiedImageKFold",
    "cross_val_predict",
    "cut_blocks",
    "epoch_curve",
    "rank_to_label",
]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
