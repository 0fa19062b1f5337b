"""Augmentation as steps of a stock scikit-learn Pipeline.

The ``fit_transform`` of a step returns an :class:`AugmentedImages`: the images together
with a plan of what to do to them. ``FCNSegmenter.fit`` carries out the plan on image,
mask and pixel weights together, batch by batch and anew in each epoch. ``transform`` is
the identity: nothing is augmented at prediction.

All geometric steps of a Pipeline are composed into one transform and one resampling
(bilinear for images, nearest for masks and weights); the changes of color follow, in
their order.
"""

from sksegment.augmentation._geometric import (
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from sksegment.augmentation._photometric import (
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomNoise,
)
from sksegment.augmentation._plan import AugmentedImages
from sksegment.augmentation._plan import PlannedStep as PlannedStep

__all__ = [
    "AugmentedImages",
    "RandomBrightness",
    "RandomContrast",
    "RandomFlip",
    "RandomGamma",
    "RandomNoise",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]

# Where pickle looks them up, and where they are documented.
for _name in (*__all__, "PlannedStep"):
    globals()[_name].__module__ = __name__
del _name
