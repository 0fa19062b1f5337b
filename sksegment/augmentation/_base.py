"""What all augmenters share: their role in a Pipeline, and a look at one draw."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from sksegment._inputs.checks import check_number, is_number
from sksegment._inputs.classes import check_kind_of_ignored
from sksegment._inputs.containers import check_ordered
from sksegment._inputs.documentation_link import DocumentationLinkMixin
from sksegment._inputs.image import FLOAT32_MAX
from sksegment._inputs.image_list import (
    as_images,
    as_masks,
    check_pairs,
)
from sksegment._inputs.labels import LabelEncoder, unique_labels
from sksegment._inputs.random import as_random_state, own_random_state
from sksegment.augmentation._plan import AugmentedImages, PlannedStep, common_fill
from sksegment.augmentation._preview import augment_pair, range_of

if TYPE_CHECKING:
    from torch import Tensor

# The seeds that augmenters draw for themselves are below this.
MAX_OWN_SEED = 2**32 - 1
# The smallest and the largest value of each channel.
Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


class BaseAugmenter(DocumentationLinkMixin, TransformerMixin, BaseEstimator, ABC):
    """An augmenter: plans in ``fit_transform``, does nothing in ``transform``."""

    is_geometric: bool
    p: float
    random_state: Any

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : array-like
            The images; not used.
        y : array-like, default=None
            The masks; not used.

        Returns
        -------
        object
            The augmenter.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of its range.
        """
        self._check_parameters()
        return self

    def fit_transform(self, X: Any, y: Any = None) -> AugmentedImages:
        """Add this step to the plan of what training does to the images.

        Parameters
        ----------
        X : array-like or AugmentedImages
            The images.
        y : array-like, default=None
            The masks; not used.

        Returns
        -------
        AugmentedImages
            The same images with the plan.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of its range.
        """
        step = PlannedStep(self.fit(X, y), self._own_seed())
        if isinstance(X, AugmentedImages):
            return AugmentedImages(X.images, (*X.steps, step))
        return AugmentedImages(X, (step,))

    def transform(self, X: Any) -> Any:
        """Return the images as they are: nothing is augmented at prediction.

        Parameters
        ----------
        X : array-like
            The images.

        Returns
        -------
        array-like
            The same object.
        """
        return X

    def augment(
        self, X: Any, y: Any, ignore_label: Any = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Draw one augmentation of each image and its mask, for inspection.

        Strengths are in units of the range of `X`; in training, of the range of the
        training images.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images, or paths of images.
        y : array-like of shape (n, height, width), or sequence
            Their masks, or paths of masks.
        ignore_label : object, default=None
            The label of pixels that come in from outside the image when `fill` is a
            number; not used otherwise.

        Returns
        -------
        X_augmented : ndarray
            The images in their own dtype: one array for an array, else a 1-D object
            array of images.
        y_augmented : ndarray
            The masks, likewise; in a wider dtype if theirs cannot hold the
            `ignore_label` of pixels that `fill` painted.

        Raises
        ------
        ValueError, TypeError
            If `fill` is a number and `ignore_label` is None or not of the same kind as
            the labels, or if images and masks do not match.
        """
        self._check_parameters()
        self._check_border_label(ignore_label)
        images, masks = as_images(X), as_masks(y)
        check_pairs(images, masks)
        # The ignored label is moved like any other; only painted pixels are given it.
        encoder = LabelEncoder(unique_labels(masks, None))
        painted = None if common_fill([self]) is None else ignore_label
        check_kind_of_ignored(painted, [encoder.classes])
        seed = self._own_seed()
        if seed is None:
            seed = int(own_random_state(None).randint(MAX_OWN_SEED, dtype=np.int64))
        step = PlannedStep(self, seed)
        ends = None if self.is_geometric else range_of(images)
        pairs = [
            augment_pair(
                [step], images, masks, encoder, painted, ends, index, (index,), 0
            )
            for index in range(len(images))
        ]
        given = X if images.is_array else images.items
        pictures = [
            image[..., 0] if _is_flat(given[index], image) else image
            for index, (image, _) in enumerate(pairs)
        ]
        return (
            _as_container(pictures, images.is_array),
            _as_container([mask for _, mask in pairs], masks.is_array),
        )

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: images stay images whatever container is asked for.

        Parameters
        ----------
        transform : str, default=None
            Not used; taken so that ``Pipeline.set_output`` works.

        Returns
        -------
        object
            The augmenter.
        """
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.non_deterministic = self.random_state is None
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _own_seed(self) -> int | None:
        if self.random_state is None:
            return None
        if isinstance(self.random_state, Integral):
            as_random_state(self.random_state)  # rejects seeds out of range
            return int(self.random_state)
        rng = as_random_state(self.random_state)
        return int(rng.randint(MAX_OWN_SEED, dtype=np.int64))

    def _check_border_label(self, ignore_label: Any) -> None:
        fill = common_fill([self])
        if fill is not None and ignore_label is None:
            raise ValueError(
                f"fill is {fill!r}, which paints pixels without a label; expected "
                f"ignore_label=, the label to mark them with."
            )

    def _check_parameters(self) -> None:
        check_number("p", self.p, 0, 1)


class Geometric(BaseAugmenter):
    """An augmenter that moves image, mask and pixel weights."""

    is_geometric = True

    def _draw_matrix(
        self, rng: Generator, height: int, width: int
    ) -> NDArray[np.float64]:
        """Draw the 3x3 matrix from output to input: pixels from the centre, x first."""
        if rng.random() >= self.p:
            return np.eye(3)
        return self._matrix(rng, height, width)

    @abstractmethod
    def _matrix(self, rng: Generator, height: int, width: int) -> NDArray[np.float64]:
        """Draw the matrix of an image that is moved."""

    def _check_parameters(self) -> None:
        super()._check_parameters()
        fill = getattr(self, "fill", "reflect")
        if isinstance(fill, str) and fill != "reflect":
            raise ValueError(f"fill is {fill!r}; expected 'reflect' or a number.")
        if not isinstance(fill, str):
            check_number("fill", fill, -FLOAT32_MAX, FLOAT32_MAX)


class Photometric(BaseAugmenter):
    """An augmenter that changes the values of the image and nothing else."""

    is_geometric = False

    def _draw_colors(
        self, image: Tensor, low: Tensor, high: Tensor, rng: Generator
    ) -> Tensor:
        """Draw a change of one image of shape (n_channels, height, width).

        `low` and `high`, of shape (n_channels, 1, 1), are the training range.
        """
        if rng.random() >= self.p:
            return image
        return self._colors(image, low, high, rng)

    @abstractmethod
    def _colors(
        self, image: Tensor, low: Tensor, high: Tensor, rng: Generator
    ) -> Tensor:
        """Draw the change of an image that is changed."""


def check_range(name: str, value: Any) -> None:
    """Reject anything but a pair of positive numbers in ascending order."""
    expected = "expected a pair (low, high) of numbers with 0 < low <= high."
    check_ordered(name, value)
    is_pair = isinstance(value, (tuple, list, np.ndarray)) and len(value) == 2
    if not is_pair or not all(map(is_number, value)):
        raise TypeError(f"{name} is {value!r}; {expected}")
    low, high = value
    if not 0 < low <= high <= FLOAT32_MAX:
        raise ValueError(f"{name} is {value!r}; {expected}")


def draw_up_to(rng: Generator, limit: float, n: int | None = None) -> Any:
    """Draw one number, or `n`, uniformly from -limit to limit.

    As Python's floats: the negative of an unsigned numpy number is a large number.
    """
    return rng.uniform(-float(limit), float(limit), size=n)


def draw_factor(rng: Generator, scale: Any) -> float:
    """Draw a factor from the range `scale`, uniformly on a logarithmic axis."""
    return math.exp(rng.uniform(*np.log(np.asarray(scale, np.float64))))


def _is_flat(given: Any, image: NDArray[Any]) -> bool:
    """Tell whether an image, or its file, came without a channel axis."""
    return image.shape[-1] == 1 and np.ndim(given) != 3


def _as_container(items: list[NDArray[Any]], is_array: bool) -> NDArray[Any]:
    if is_array:
        return np.stack(items)
    container = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        container[index] = item  # numpy would split up images of one size
    return container
