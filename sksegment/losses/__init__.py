"""Losses over labelled pixels, with class weights and pixel weights."""

from sksegment.losses._combined import CombinedLoss
from sksegment.losses._cross_entropy import CrossEntropyLoss, FocalLoss
from sksegment.losses._dice import DiceLoss
from sksegment.losses._lovasz import LovaszLoss

__all__ = ["CombinedLoss", "CrossEntropyLoss", "DiceLoss", "FocalLoss", "LovaszLoss"]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
