"""Augmenters that change the values of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from sksegment._inputs.checks import check_number
from sksegment._inputs.image import FLOAT32_MAX
from sksegment.augmentation._apply import tensor_like
from sksegment.augmentation._base import (
    Photometric,
    check_range,
    draw_factor,
    draw_up_to,
)

if TYPE_CHECKING:
    from torch import Tensor

# A constant channel has no range to raise to a power; dividing by this keeps it as is.
SMALLEST_EXTENT = 1e-12


class RandomBrightness(Photometric):
    """Make images brighter or darker by a random amount.

    Parameters
    ----------
    strength : float, default=0.2
        Largest amount, in units of the channel's range in the training images.
    p : float, default=1.0
        Probability that an image is changed.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomContrast : Stretches about the middle instead.
    RandomGamma : Leaves the darkest and the brightest value alone.

    Examples
    --------
    >>> from sksegment.augmentation import RandomBrightness
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> X_lit, y_lit = RandomBrightness(0.2, random_state=0).augment(X, y)
    >>> bool((y_lit == y).all())
    True
    """

    def __init__(
        self,
        strength: float = 0.2,
        *,
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.strength = strength
        self.p = p
        self.random_state = random_state

    def _colors(
        self, image: Tensor, low: Tensor, high: Tensor, rng: Generator
    ) -> Tensor:
        amount = draw_up_to(rng, self.strength)
        return image + amount * (high - low)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("strength", self.strength, 0, FLOAT32_MAX)


class RandomContrast(Photometric):
    """Stretch or squeeze the values of images about the middle of their range.

    Parameters
    ----------
    scale : tuple of float, default=(0.8, 1.25)
        Smallest and largest factor applied to the distance from the middle of the
        training range. The logarithm of the factor is uniform.
    p : float, default=1.0
        Probability that an image is changed.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomBrightness : Adds instead.
    RandomGamma : Leaves the darkest and the brightest value alone.

    Examples
    --------
    >>> from sksegment.augmentation import RandomContrast
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> X_flat, _ = RandomContrast((0.5, 0.5), random_state=0).augment(X, y)
    >>> bool(X_flat.std() < X.std())
    True
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.8, 1.25),
        *,
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.scale = scale
        self.p = p
        self.random_state = random_state

    def _colors(
        self, image: Tensor, low: Tensor, high: Tensor, rng: Generator
    ) -> Tensor:
        middle = (low + high) / 2
        factor = draw_factor(rng, self.scale)
        return middle + factor * (image - middle)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_range("scale", self.scale)


class RandomGamma(Photometric):
    """Raise the values of images to a random power (gamma correction).

    Parameters
    ----------
    scale : tuple of float, default=(0.8, 1.25)
        Smallest and largest exponent, applied with the training range mapped to 0 to 1.
        The logarithm of the exponent is uniform.
    p : float, default=1.0
        Probability that an image is changed.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomBrightness : Adds instead.
    RandomContrast : Stretches about the middle instead.

    Examples
    --------
    >>> from sksegment.augmentation import RandomGamma
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> X_dark, _ = RandomGamma((2.0, 2.0), random_state=0).augment(X, y)
    >>> bool(X_dark.mean() < X.mean())
    True
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.8, 1.25),
        *,
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.scale = scale
        self.p = p
        self.random_state = random_state

    def _colors(
        self, image: Tensor, low: Tensor, high: Tensor, rng: Generator
    ) -> Tensor:
        exponent = draw_factor(rng, self.scale)
        extent = (high - low).clamp(min=SMALLEST_EXTENT)
        return low + extent * ((image - low) / extent).clamp(0, 1) ** exponent

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_range("scale", self.scale)


class RandomNoise(Photometric):
    """Add independent Gaussian noise to each value of images.

    Parameters
    ----------
    strength : float, default=0.05
        Standard deviation, in units of the channel's range in the training images.
    p : float, default=1.0
        Probability that an image is changed.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomBrightness : Adds the same to all pixels of an image.
    sksegment.display.AugmentationDisplay : Shows what augmenters do.

    Examples
    --------
    >>> from sksegment.augmentation import RandomNoise
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> X_noisy, _ = RandomNoise(0.05, random_state=0).augment(X, y)
    >>> bool((X_noisy != X).mean() > 0.99)
    True
    """

    def __init__(
        self,
        strength: float = 0.05,
        *,
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.strength = strength
        self.p = p
        self.random_state = random_state

    def _colors(
        self, image: Tensor, low: Tensor, high: Tensor, rng: Generator
    ) -> Tensor:
        noise = tensor_like(image, rng.standard_normal(image.shape, np.float32))
        return image + self.strength * (high - low) * noise

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("strength", self.strength, 0, FLOAT32_MAX)
