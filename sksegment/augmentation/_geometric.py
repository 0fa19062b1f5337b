"""Augmenters that move the pixels of image and mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sksegment._inputs.checks import check_boolean, check_number
from sksegment.augmentation._base import Geometric, check_range, draw_factor, draw_up_to


class RandomFlip(Geometric):
    """Mirror images and masks at random.

    Parameters
    ----------
    horizontal : bool, default=True
        Whether left and right may be swapped.
    vertical : bool, default=False
        Whether top and bottom may be swapped; drawn independently of left and right.
    p : float, default=0.5
        Probability of each swap.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomRotation : Turns by any angle.
    sksegment.display.AugmentationDisplay : Shows what augmenters do.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.augmentation import RandomFlip
    >>> images = np.array([[[1, 2, 3]]])
    >>> RandomFlip(p=1.0).augment(images, images)[0]
    array([[[3, 2, 1]]])
    """

    def __init__(
        self,
        horizontal: bool = True,
        *,
        vertical: bool = False,
        p: float = 0.5,
        random_state: Any = None,
    ) -> None:
        self.horizontal = horizontal
        self.vertical = vertical
        self.p = p
        self.random_state = random_state

    def _draw_matrix(
        self, rng: Generator, height: int, width: int
    ) -> NDArray[np.float64]:
        return self._matrix(rng, height, width)

    def _matrix(self, rng: Generator, height: int, width: int) -> NDArray[np.float64]:
        mirror_x, mirror_y = rng.random(2) < self.p
        x = -1.0 if self.horizontal and mirror_x else 1.0
        y = -1.0 if self.vertical and mirror_y else 1.0
        return np.diag([x, y, 1.0])

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("horizontal", "vertical"):
            check_boolean(name, getattr(self, name))


class RandomRotation(Geometric):
    """Rotate images and masks about their centre by a random angle.

    Parameters
    ----------
    degrees : float, default=15
        Largest angle in degrees; the angle is uniform between minus and plus this.
    fill : "reflect" or float, default="reflect"
        How to fill what comes in from outside the image. ``"reflect"`` mirrors both
        image and mask; a number, in the units of the image, fills the image and leaves
        those pixels out of the loss.
    p : float, default=1.0
        Probability that an image is rotated.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomFlip : Mirrors, which needs no resampling.
    RandomShear : Slants instead.
    sksegment.display.AugmentationDisplay : Shows what augmenters do.

    Examples
    --------
    >>> from sksegment.augmentation import RandomRotation
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> X_turned, y_turned = RandomRotation(15, random_state=0).augment(X, y)
    >>> set(y_turned.flat) <= set(y.flat)
    True
    """

    def __init__(
        self,
        degrees: float = 15,
        *,
        fill: float | str = "reflect",
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.degrees = degrees
        self.fill = fill
        self.p = p
        self.random_state = random_state

    def _matrix(self, rng: Generator, height: int, width: int) -> NDArray[np.float64]:
        angle = math.radians(draw_up_to(rng, self.degrees))
        cos, sin = math.cos(angle), math.sin(angle)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("degrees", self.degrees, 0, 180)


class RandomZoom(Geometric):
    """Magnify or shrink images and masks about their centre by a random factor.

    Parameters
    ----------
    scale : tuple of float, default=(0.8, 1.25)
        Smallest and largest factor; above 1 magnifies. The logarithm of the factor is
        uniform, so that 0.5 and 2 are equally likely.
    fill : "reflect" or float, default="reflect"
        How to fill what comes in from outside the image. ``"reflect"`` mirrors both
        image and mask; a number, in the units of the image, fills the image and leaves
        those pixels out of the loss.
    p : float, default=1.0
        Probability that an image is zoomed.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomTranslation : Shifts instead.
    sksegment.display.AugmentationDisplay : Shows what augmenters do.

    Examples
    --------
    >>> from sksegment.augmentation import RandomZoom
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> X_zoomed, y_zoomed = RandomZoom((1.5, 2.0), random_state=0).augment(X, y)
    >>> X_zoomed.shape == X.shape
    True
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.8, 1.25),
        *,
        fill: float | str = "reflect",
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.scale = scale
        self.fill = fill
        self.p = p
        self.random_state = random_state

    def _matrix(self, rng: Generator, height: int, width: int) -> NDArray[np.float64]:
        factor = draw_factor(rng, self.scale)
        return np.diag([1 / factor, 1 / factor, 1.0])

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_range("scale", self.scale)


class RandomTranslation(Geometric):
    """Shift images and masks by a random distance.

    Parameters
    ----------
    fraction : float, default=0.1
        Largest shift, as a fraction of the height vertically and of the width
        horizontally.
    fill : "reflect" or float, default="reflect"
        How to fill what comes in from outside the image. ``"reflect"`` mirrors both
        image and mask; a number, in the units of the image, fills the image and leaves
        those pixels out of the loss.
    p : float, default=1.0
        Probability that an image is shifted.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomZoom : Magnifies or shrinks instead.
    sksegment.display.AugmentationDisplay : Shows what augmenters do.

    Examples
    --------
    >>> from sksegment.augmentation import RandomTranslation
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> shift = RandomTranslation(0.5, fill=0, random_state=0)
    >>> X_shifted, y_shifted = shift.augment(X, y, ignore_label=255)
    >>> bool((y_shifted == 255).any())
    True
    """

    def __init__(
        self,
        fraction: float = 0.1,
        *,
        fill: float | str = "reflect",
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.fraction = fraction
        self.fill = fill
        self.p = p
        self.random_state = random_state

    def _matrix(self, rng: Generator, height: int, width: int) -> NDArray[np.float64]:
        x, y = draw_up_to(rng, self.fraction, 2) * (width, height)
        return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("fraction", self.fraction, 0, 1)


class RandomShear(Geometric):
    """Slant images and masks by a random angle, along the rows or the columns.

    Parameters
    ----------
    degrees : float, default=10
        Largest angle in degrees, below 90; the angle is uniform between minus and plus
        this.
    fill : "reflect" or float, default="reflect"
        How to fill what comes in from outside the image. ``"reflect"`` mirrors both
        image and mask; a number, in the units of the image, fills the image and leaves
        those pixels out of the loss.
    p : float, default=1.0
        Probability that an image is slanted.
    random_state : int, RandomState instance or None, default=None
        With None, the draw comes from the seed of the segmenter.

    See Also
    --------
    RandomRotation : Turns instead.
    sksegment.display.AugmentationDisplay : Shows what augmenters do.

    Examples
    --------
    >>> from sksegment.augmentation import RandomShear
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=2, random_state=0)
    >>> X_slanted, y_slanted = RandomShear(10, random_state=0).augment(X, y)
    >>> y_slanted.dtype == y.dtype
    True
    """

    def __init__(
        self,
        degrees: float = 10,
        *,
        fill: float | str = "reflect",
        p: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.degrees = degrees
        self.fill = fill
        self.p = p
        self.random_state = random_state

    def _matrix(self, rng: Generator, height: int, width: int) -> NDArray[np.float64]:
        matrix = np.eye(3)
        slope = math.tan(math.radians(draw_up_to(rng, self.degrees)))
        along_rows = rng.random() < 0.5
        matrix[(0, 1) if along_rows else (1, 0)] = slope
        return matrix

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("degrees", self.degrees, 0, 89)
