"""Splitters that understand masks, for the `cv` parameter of scikit-learn's tools."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length

from sksegment._blocks import (
    as_positions,
    block_numbers,
    cut_blocks,
    is_near,
)
from sksegment._checks import check_boolean, check_integer, height_and_width
from sksegment._classes import pixels_of_classes
from sksegment._folds import balanced_folds, missing_classes
from sksegment._images import ImageList, as_images, as_masks
from sksegment._labels import (
    MAX_LABELS,
    LabelEncoder,
    check_one_kind,
    count_labels,
    format_labels,
    is_ignored,
    merged,
)
from sksegment._streams import own_random_state

__all__ = ["SpatialBlockKFold", "StratifiedImageKFold", "cut_blocks"]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


def __dir__() -> list[str]:
    return __all__


class _ImageKFold(BaseCrossValidator):
    """What both splitters share: the number of folds and the order of the draw."""

    n_splits: int
    shuffle: bool
    random_state: Any

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : object, default=None
            Ignored, as in scikit-learn.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Returns
        -------
        int
            `n_splits`.
        """
        return self.n_splits

    def _check_parameters(self) -> None:
        check_integer("n_splits", self.n_splits, 2)
        check_boolean("shuffle", self.shuffle)
        if not self.shuffle and self.random_state is not None:
            raise ValueError(
                f"Setting random_state={self.random_state!r} has no effect since "
                f"shuffle is False. Leave random_state at None, or set shuffle=True."
            )

    def _check_enough(self, n_items: int, items: str, hint: str = "") -> None:
        if self.n_splits > n_items:
            raise ValueError(
                f"Cannot have number of splits n_splits={self.n_splits} greater than "
                f"the number of {items}: {n_items}.{hint}"
            )

    def _generator(self) -> np.random.Generator:
        if not self.shuffle:
            return np.random.default_rng(0)
        drawn = own_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return np.random.default_rng(int(drawn))


class StratifiedImageKFold(_ImageKFold):
    """K folds of images, each with about the same share of every class.

    Each fold gets nearly the same share of the pixels of each class, and of the images
    that show it. No fold lacks a class where that can be avoided: a score over such a
    fold says nothing about the class, and a model trained on all remaining images may
    never have seen it. The numbers of images per fold differ by at most one.

    Parameters
    ----------
    n_splits : int, default=5
        The number of folds, at least 2.
    shuffle : bool, default=False
        Whether to start from a random order of the images. Otherwise, the same masks
        give the same folds on every call.
    random_state : int, RandomState instance or None, default=None
        Fixes the order if `shuffle` is True.
    ignore_label : object, default=None
        The label value that is not a class.

    See Also
    --------
    SpatialBlockKFold : Folds of blocks of large images.
    sklearn.model_selection.StratifiedKFold : The same for one label per sample.

    Notes
    -----
    The images are dealt out class by class, those of the rarest class first, as in
    [1]_, and then swapped between folds as long as that helps. Finding out whether a
    class can be in every fold is a hard problem in general; on data sets of up to a
    dozen images, the answer agreed with that of trying all divisions.

    Images that resemble one another (frames of a film, slices of a volume, tiles of one
    scene) belong in one fold, but this splitter cannot recognise them. Use
    :class:`sklearn.model_selection.GroupKFold` or `SpatialBlockKFold` for such images.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of
       Multi-Label Data", ECML PKDD 2011.

    Examples
    --------
    Class 2 is in two images out of four, which end up in different folds:

    >>> import numpy as np
    >>> from sksegment.model_selection import StratifiedImageKFold
    >>> y = np.zeros((4, 8, 8), dtype=int)
    >>> y[:2, 2:4] = 2
    >>> for train, test in StratifiedImageKFold(n_splits=2).split(y, y):
    ...     print(np.unique(y[train]), np.unique(y[test]))
    [0 2] [0 2]
    [0 2] [0 2]

    As the `cv` of a search: `GridSearchCV(model, grid, cv=StratifiedImageKFold(3))`.
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
        ignore_label: Any = None,
    ) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.ignore_label = ignore_label

    def split(self, X: Any, y: Any, groups: Any = None) -> Iterator[Split]:
        """Yield the indices of training and test images, fold by fold.

        Parameters
        ----------
        X : array-like or sequence
            The images; only their number is used.
        y : array-like of shape (n, height, width) or sequence of mask or of path
            The masks. Each is read once.
        groups : object, default=None
            Ignored, as in scikit-learn.

        Yields
        ------
        train : ndarray of shape (n_train,), dtype intp
            Indices of the training images, ascending.
        test : ndarray of shape (n_test,), dtype intp
            Indices of the test images, ascending.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, there are fewer images than folds, `X` and
            `y` differ in length, or `y` does not hold masks of classes.

        Warns
        -----
        UserWarning
            If a fold lacks a class that other folds have.
        """
        self._check_parameters()
        masks = as_masks(y)
        check_consistent_length(X, masks)
        self._check_enough(len(masks), "samples")
        labels, pixels = _pixel_counts(masks, self.ignore_label)
        folds = balanced_folds(
            pixels, self.n_splits, self._generator(), bool(self.shuffle)
        )
        self._warn_of_missing(labels, pixels, folds)
        for fold in range(self.n_splits):
            yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)

    def _warn_of_missing(
        self,
        labels: NDArray[Any],
        pixels: NDArray[np.float64],
        folds: NDArray[np.intp],
    ) -> None:
        missing = missing_classes(pixels, folds, self.n_splits)
        if not len(missing):
            return
        n_images = (pixels[:, missing] > 0).sum(axis=0)
        warnings.warn(
            f"Not all of the n_splits={self.n_splits} folds have the classes "
            f"{format_labels(labels[missing])}, which occur in "
            f"{format_labels(n_images)} images. Use fewer folds, and name all classes "
            f"of the task with classes= of the segmenter.",
            UserWarning,
            stacklevel=3,
        )


def _pixel_counts(
    masks: ImageList, ignore_label: Any
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the classes, and the number of pixels of each class in each mask."""
    counts = [count_labels(mask, None) for mask in masks]
    found = [count.labels for count in counts]
    check_one_kind(found)
    labels = merged(found)
    labels = labels[~is_ignored(labels, ignore_label)]
    if len(labels) > MAX_LABELS:
        raise ValueError(
            f"y holds {len(labels)} different labels ({format_labels(labels)}); "
            f"expected at most {MAX_LABELS}. Are they instance numbers, not classes?"
        )
    if not len(labels):
        return labels, np.zeros((len(masks), 0))
    pixels, _ = pixels_of_classes(counts, LabelEncoder(labels, ignore_label))
    return labels, pixels


class SpatialBlockKFold(_ImageKFold):
    """K folds of whole blocks of large images, with a buffer around the test blocks.

    Neighbouring pieces of one image look alike, so a model tested next to the places it
    was trained on seems better than it is. Here the samples are tiles cut from large
    images, and all tiles of a block are tested together; training tiles too close to
    them are left out.

    Where each tile lies is given by `groups`, passed to `split`, `cross_val_score` or
    the `fit` of a search: an array of shape (n_samples, 3) with the number of the image
    and the row and column of the tile's upper left pixel, or of shape (n_samples, 2)
    with row and column in a single image. `cut_blocks` makes tiles and positions from
    large images.

    Parameters
    ----------
    n_splits : int, default=5
        The number of folds, at least 2.
    block_size : int or tuple of (int, int)
        The side of a block, or its (height, width), in pixels. Blocks lie side by side,
        starting from the upper left corner of each image; a tile belongs to the block
        that contains its centre. Tiles may be smaller than blocks.
    margin : int, default=0
        The number of pixels that must lie between a training tile and each test tile of
        the same image, along rows or columns. Tiles that overlap a test tile are always
        left out. `FCNSegmenter.margin_`, the radius of the receptive field, is a
        natural choice; half the distance over which the data resemble each other is a
        larger one.
    shuffle : bool, default=False
        Whether to draw which blocks share a fold. Otherwise, each fold is a run of
        neighbouring blocks, row by row, which loses the fewest tiles to the buffer.
    random_state : int, RandomState instance or None, default=None
        Fixes the draw if `shuffle` is True.

    See Also
    --------
    cut_blocks : Tiles and their positions from large images.
    StratifiedImageKFold : Folds of separate images.

    References
    ----------
    .. [1] D. R. Roberts et al., "Cross-validation strategies for data with temporal,
       spatial, hierarchical, or phylogenetic structure", Ecography 40, 2017.

    Examples
    --------
    One large image is cut and cross-validated in two lines:

    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sksegment.model_selection import SpatialBlockKFold, cut_blocks
    >>> image, mask = np.zeros((128, 192)), np.zeros((128, 192), dtype=int)
    >>> X, y, positions = cut_blocks(image[np.newaxis], mask[np.newaxis], 32)
    >>> cv = SpatialBlockKFold(n_splits=3, block_size=64, margin=27)
    >>> for train, test in cv.split(X, y, groups=positions):
    ...     print(len(train), len(test))
    9 8
    6 8
    9 8

    In a search: `GridSearchCV(model, grid, cv=cv).fit(X, y, groups=positions)`.
    """

    # This tells scikit-learn's metadata routing that split takes groups.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        block_size: int | tuple[int, int],
        margin: int = 0,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.block_size = block_size
        self.margin = margin
        self.shuffle = shuffle
        self.random_state = random_state

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Yield the indices of training and test tiles, fold by fold.

        Parameters
        ----------
        X : array-like or sequence
            The tiles; their sizes are used if there are no masks.
        y : array-like of shape (n, height, width) or sequence of mask or of path, \
                default=None
            The masks of the tiles.
        groups : array-like of shape (n, 3) or (n, 2), default=None
            The image, row and column of the upper left pixel of each tile, or its row
            and column if all come from one image. Required.

        Yields
        ------
        train : ndarray of shape (n_train,), dtype intp
            Indices of the training tiles, ascending.
        test : ndarray of shape (n_test,), dtype intp
            Indices of the test tiles, ascending. Each tile is tested once.

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, `groups` does not hold positions, there are
            fewer blocks than folds, or the margin leaves a fold without a training
            tile.
        """
        self._check_parameters()
        self._check_margin()
        tiles = as_images(X) if y is None else as_masks(y)
        check_consistent_length(X, tiles)
        positions = as_positions(groups, len(tiles))
        sizes = np.array([tile.shape[:2] for tile in tiles], dtype=np.int64)
        folds = self._folds(positions, sizes)
        for fold in range(self.n_splits):
            test = np.flatnonzero(folds == fold)
            train = np.flatnonzero(~is_near(positions, sizes, test, int(self.margin)))
            self._check_some_left(train, fold)
            yield train, test

    def _folds(
        self, positions: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Return the fold of each tile."""
        sides = height_and_width("block_size", self.block_size)
        numbers = block_numbers(positions, sizes, sides)
        n_blocks = int(numbers.max()) + 1
        self._check_enough(n_blocks, "blocks", " Make block_size smaller.")
        order = np.arange(n_blocks)
        if self.shuffle:
            order = self._generator().permutation(n_blocks)
        fold_of_block = np.empty(n_blocks, dtype=np.intp)
        for fold, blocks in enumerate(np.array_split(order, self.n_splits)):
            fold_of_block[blocks] = fold
        return np.asarray(fold_of_block[numbers])

    def _check_margin(self) -> None:
        if self.margin is None:
            raise TypeError(
                "margin is None; expected an integer of at least 0, in pixels (a "
                "network that sees the whole image has no margin_)."
            )
        check_integer("margin", self.margin, 0)

    def _check_some_left(self, train: NDArray[np.intp], fold: int) -> None:
        if not len(train):
            raise ValueError(
                f"margin={self.margin} leaves no training sample for fold {fold}: all "
                f"are closer to a test sample, or overlap one. Use a smaller margin, "
                f"more folds, or shuffle=False."
            )
