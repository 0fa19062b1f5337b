"""Folds of blocks that lie apart from each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from sksegment._inputs.checks import check_integer, height_and_width
from sksegment._inputs.image_list import as_images, as_masks
from sksegment.model_selection._base import Split, _ImageKFold
from sksegment.model_selection._blocks import as_positions, block_numbers, is_near


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
