"""How images are standardized for weights that were trained on ImageNet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.channel_scale import Scale

# What torchvision's weights expect, for images between 0 and 1.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
# The value of white: 1, or the largest number of 8, 10, 12, 14 or 16 bits. Images that
# were resized may overshoot it, and undershoot 0.
WHITES = (1, 255, 1023, 4095, 16383, 65535)
OVERSHOOT = 0.25


def imagenet_scale(
    scale: Scale,
    mean: NDArray[Any] = IMAGENET_MEAN,
    std: NDArray[Any] = IMAGENET_STD,
) -> Scale:
    """Return how ImageNet weights expect images to be standardized.

    They were trained on RGB images from 0 to 1. White is taken to be the smallest value
    that is not exceeded, of 1 and the largest numbers of 8, 10, 12, 14 and 16 bits.
    Images with other channels, with negative values (such as Hounsfield units) or
    larger ones keep their own scale, which has the same mean 0 and standard deviation
    1.

    Parameters
    ----------
    scale : Scale
        That of the training images.
    mean, std : ndarray of shape (3,)
        What the weights expect of images from 0 to 1; by default, what torchvision's
        do.

    Returns
    -------
    Scale
        With the same range.
    """
    low, high = scale.low.min(), scale.high.max()
    begins_at_zero = low >= -OVERSHOOT * high
    white = next((value for value in WHITES if high <= (1 + OVERSHOOT) * value), None)
    if len(scale.mean) != len(mean) or not begins_at_zero or white is None:
        return scale
    return replace(scale, mean=mean * white, std=std * white)
