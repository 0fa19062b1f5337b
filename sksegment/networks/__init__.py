"""Fully-convolutional networks: images in, one score per class and pixel out."""

from sksegment.networks._fcn import FCN
from sksegment.networks._fcn_vgg16 import FCN8s, FCN16s, FCN32s
from sksegment.networks._filter_bank_fcn import FilterBankFCN

__all__ = ["FCN", "FCN8s", "FCN16s", "FCN32s", "FilterBankFCN"]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
