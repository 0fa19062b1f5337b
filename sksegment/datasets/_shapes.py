"""The pictures of `make_shapes`: colored forms on an unevenly lit background."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_integer, check_number, height_and_width
from sksegment._inputs.random import own_random_state

# The smallest side in which the shapes still differ by a few pixels.
MIN_SIZE = 8

# Standard deviation of the hue of a class, in units of the distance between classes:
# after noise and light, the color of a single pixel is still a poor guide.
HUE_SPREAD = 0.15

Outline = Callable[[float, float, float, float, tuple[int, int]], NDArray[np.bool_]]


def _filled_disk(
    row: float, column: float, radius: float, angle: float, size: tuple[int, int]
) -> NDArray[np.bool_]:
    from skimage.draw import disk

    covered = np.zeros(size, dtype=np.bool_)
    covered[disk((row, column), radius, shape=size)] = True
    return covered


def _ring(
    row: float, column: float, radius: float, angle: float, size: tuple[int, int]
) -> NDArray[np.bool_]:
    hole = _filled_disk(row, column, 0.5 * radius, angle, size)
    return _filled_disk(row, column, radius, angle, size) & ~hole


def _polygon(corners: Iterable[tuple[float, float]]) -> Outline:
    """Return a function that draws the polygon of these (x, y) corners, turned."""
    points = np.array(list(corners))

    def fill(
        row: float, column: float, radius: float, angle: float, size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        from skimage.draw import polygon

        cosine, sine = np.cos(angle), np.sin(angle)
        turned = points @ np.array([[cosine, sine], [-sine, cosine]]) * radius
        covered = np.zeros(size, dtype=np.bool_)
        covered[polygon(turned[:, 1] + row, turned[:, 0] + column, shape=size)] = True
        return covered

    return fill


def _around(radii: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return corners at these distances from the centre, at equal angles."""
    turns = np.linspace(0.0, 2.0 * np.pi, len(radii), endpoint=False)
    return [
        (r * np.cos(turn), r * np.sin(turn))
        for r, turn in zip(radii, turns, strict=True)
    ]


def _plus(length: float, half_width: float) -> list[tuple[float, float]]:
    """Return the corners of a cross: those of one arm, turned four times."""
    arm = [(length, -half_width), (length, half_width), (half_width, half_width)]
    turns = ((1, 0), (0, 1), (-1, 0), (0, -1))
    return [(c * x - s * y, s * x + c * y) for c, s in turns for x, y in arm]


# The classes 1, 2, ... of make_shapes; radii are chosen for areas of similar size.
OUTLINES: tuple[tuple[str, Outline], ...] = (
    ("disk", _filled_disk),
    ("square", _polygon(_around((1.2,) * 4))),
    ("triangle", _polygon(_around((1.35,) * 3))),
    ("ring", _ring),
    ("cross", _polygon(_plus(1.15, 0.38))),
    ("star", _polygon(_around((1.35, 0.5) * 5))),
    ("bar", _polygon([(1.4, -0.4), (1.4, 0.4), (-1.4, 0.4), (-1.4, -0.4)])),
)
MAX_CLASSES = 1 + len(OUTLINES)


def draw_sample(
    rng: np.random.Generator,
    size: tuple[int, int],
    n_classes: int,
    first: int,
    noise: float,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw one picture and its mask.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws all of it.
    size : (int, int)
        Height and width in pixels, at least `MIN_SIZE` each.
    n_classes : int
        Classes including the background, at most `MAX_CLASSES`.
    first : int
        The class of the object on top.
    noise : float
        The standard deviation of the noise of each channel.

    Returns
    -------
    image : ndarray of shape (height, width, 3), dtype float32
        Values in 0 to 1.
    mask : ndarray of shape (height, width), dtype uint8
        The class of each pixel.
    """
    places = _places(rng, size, n_objects=int(rng.integers(1, 5)))
    labels = [*rng.integers(1, n_classes, len(places) - 1).tolist(), first]
    mask = np.zeros(size, dtype=np.uint8)
    image = _background_color(rng) + 0.06 * _smooth_field(rng, size, 6)
    image += 0.04 * _smooth_field(rng, size, 20)
    for place, label in zip(places, labels, strict=True):
        row, column, radius = place
        _, outline = OUTLINES[label - 1]
        covered = outline(row, column, radius, rng.uniform(0, 2 * np.pi), size)
        mask[covered] = label
        color = _object_color(rng, label, n_classes)
        image[covered] = (color + 0.04 * _smooth_field(rng, size, 6))[covered]
    image *= 1.0 + 0.12 * _smooth_field(rng, size, 2, n_channels=1)
    image += rng.normal(0.0, noise, image.shape)
    return image.clip(0.0, 1.0).astype(np.float32), mask


def _places(
    rng: np.random.Generator, size: tuple[int, int], n_objects: int
) -> list[tuple[float, float, float]]:
    """Return (row, column, radius) of up to `n_objects` that hardly overlap."""
    short = min(size)
    found: list[tuple[float, float, float]] = []
    for _ in range(20 * n_objects):
        radius = rng.uniform(short / 8, short / 4)
        row, column = (rng.uniform(0.8 * radius, s - 0.8 * radius) for s in size)
        if all(
            np.hypot(row - r, column - c) > 0.9 * (radius + other)
            for r, c, other in found
        ):
            found.append((row, column, radius))
        if len(found) == n_objects:
            break
    return found


def _background_color(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a muted color, like those of most soil, tissue and sky."""
    return np.asarray(rng.uniform(0.25, 0.75) + rng.uniform(-0.1, 0.1, 3))


def _object_color(
    rng: np.random.Generator, label: int, n_classes: int
) -> NDArray[np.float64]:
    """Draw a vivid color, whose hue is near that of its class."""
    from skimage.color import hsv2rgb

    typical = (label - 1) / (n_classes - 1)
    hue = rng.normal(typical, HUE_SPREAD / (n_classes - 1)) % 1.0
    return np.asarray(hsv2rgb([hue, rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.0)]))


def _smooth_field(
    rng: np.random.Generator,
    size: tuple[int, int],
    n_knots: int,
    n_channels: int = 3,
) -> NDArray[np.float64]:
    """Return random values that vary smoothly between `n_knots` knots per side."""
    knots = rng.normal(size=(n_knots, n_knots, n_channels))
    for axis, n_pixels in enumerate(size):
        position = np.linspace(0.0, n_knots - 1.0, n_pixels)
        below = np.minimum(position.astype(np.intp), n_knots - 2)
        share = position - below
        # An S-shaped blend leaves no creases at the knots.
        share = (share * share * (3.0 - 2.0 * share)).reshape(-1, *[1] * (2 - axis))
        low, high = knots.take(below, axis), knots.take(below + 1, axis)
        knots = low + share * (high - low)
    return knots


def make_shapes(
    n_samples: int = 100,
    *,
    size: int | tuple[int, int] = 64,
    n_classes: int = 4,
    noise: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw pictures of colored shapes, and the masks that name each shape.

    One to four objects lie on a textured, unevenly lit background; they touch and
    partly hide one another. Each class has a typical hue, from which its objects vary:
    both color and shape reveal the class. A small network learns the task in well
    under a minute; a classifier of single pixels falls far short of it.

    Parameters
    ----------
    n_samples : int, default=100
        The number of pictures.
    size : int or tuple of (int, int), default=64
        The side of the pictures, or their (height, width), in pixels; 8 or more. The
        objects have a radius of 1/8 to 1/4 of the shorter side.
    n_classes : int, default=4
        The number of classes including the background, 2 to 8: background, disk,
        square, triangle, ring, cross, star, bar.
    noise : float, default=0.1
        The standard deviation of the Gaussian noise added to each channel.
    random_state : int, RandomState instance or None, default=None
        With an integer, the data are the same on every call, and picture `i` does not
        depend on `n_samples`. None draws fresh data; numpy's global generator is
        neither read nor advanced.

    Returns
    -------
    X : ndarray of shape (n_samples, height, width, 3), dtype float32
        The pictures, values in 0 to 1.
    y : ndarray of shape (n_samples, height, width), dtype uint8
        The masks, values 0 (background) to `n_classes - 1`. Any `n_classes - 1`
        pictures in a row contain every class.

    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong type or is out of range.

    See Also
    --------
    load_image_pairs : Images and masks from two folders.

    Examples
    --------
    Four classes, three of them shapes:

    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(10, size=(48, 64), random_state=0)
    >>> X.shape, y.shape
    ((10, 48, 64, 3), (10, 48, 64))
    >>> sorted(set(y.ravel().tolist()))
    [0, 1, 2, 3]
    """
    check_integer("n_samples", n_samples, 1)
    check_integer("n_classes", n_classes, 2, MAX_CLASSES)
    check_number("noise", noise, 0)
    height, width = height_and_width("size", size, MIN_SIZE)
    seed = int(own_random_state(random_state).randint(np.iinfo(np.int32).max))
    X = np.empty((n_samples, height, width, 3), dtype=np.float32)
    y = np.empty((n_samples, height, width), dtype=np.uint8)
    for i in range(n_samples):
        # One generator per picture: picture i is the same in a longer series.
        rng = np.random.default_rng((seed, i))
        # Classes take turns, so that none is missing from a small set.
        first = 1 + i % (n_classes - 1)
        X[i], y[i] = draw_sample(rng, (height, width), n_classes, first, noise)
    return X, y
