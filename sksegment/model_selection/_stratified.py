"""Folds with equal shares of all classes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from sksegment._inputs.classes import pixels_of_classes
from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.labels import (
    MAX_LABELS,
    LabelEncoder,
    check_one_kind,
    count_labels,
    format_labels,
    is_ignored,
    merge_labels,
)
from sksegment.model_selection._balanced_folds import balanced_folds, missing_classes
from sksegment.model_selection._base import Split, _ImageKFold


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
    labels = merge_labels(found)
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
