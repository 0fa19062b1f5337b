"""What the tests of augmentation share."""

from __future__ import annotations

from sksegment.augmentation import (
    RandomBrightness,
    RandomContrast,
    RandomFlip,
    RandomGamma,
    RandomNoise,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)

MOVERS = [RandomFlip, RandomRotation, RandomZoom, RandomTranslation, RandomShear]
COLORERS = [RandomBrightness, RandomContrast, RandomGamma, RandomNoise]
ALL = MOVERS + COLORERS
