"""Predictions for each image by a model that has not seen it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing

from sksegment._inputs.checks import check_choice
from sksegment._inputs.image_list import as_images, as_masks, check_pairs
from sksegment._inputs.labels import format_labels, merge_labels
from sksegment._inputs.pipelines import final_estimator

METHODS = ("predict", "predict_proba")


def cross_val_predict(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    params: dict[str, Any] | None = None,
    method: str = "predict",
) -> NDArray[Any]:
    """Predict each image with a model trained on the other folds.

    That of scikit-learn does the same with ``method="predict"``, but makes a table of
    one column per class of ``"predict_proba"``, which images do not fit into.

    Parameters
    ----------
    estimator : estimator
        A segmenter, or a Pipeline or search object that ends in one. Clones are fitted.
    X : array-like of shape (n, height, width[, n_channels]), or sequence
        Images: one array, or a sequence of arrays or of paths.
    y : array-like of shape (n, height, width), or sequence
        Their masks.
    groups : array-like, default=None
        What a splitter such as :class:`sklearn.model_selection.GroupKFold` needs.
    cv : int, cross-validation splitter or iterable, default=None
        As in scikit-learn: an integer gives the folds of
        :class:`sklearn.model_selection.KFold`, None five of them. Each image must be in
        one test fold.
    n_jobs : int, default=None
        Folds that are trained at the same time.
    params : dict, default=None
        Further arguments of `fit`. Those with one entry per image are divided among
        the folds: ``params={"sample_weight": weights}``.
    method : {"predict", "predict_proba"}, default="predict"
        The method whose results are gathered. All probabilities are in memory at once:
        4 bytes per pixel and class.

    Returns
    -------
    ndarray
        In the order of `X`. For an array of images, one array: masks ``(n, height,
        width)`` or probabilities ``(n, n_classes, height, width)``. Otherwise a 1-D
        object array with one array per image.

    Raises
    ------
    ValueError, TypeError
        If an input is invalid, or the test folds do not hold each image once.

    Warns
    -----
    RuntimeWarning
        If some fold was trained without a class that others have: its probability is 0
        there. Name all classes with `classes` of the segmenter.

    See Also
    --------
    sklearn.model_selection.cross_val_predict : The same for tables.
    sksegment.datasets.find_mask_errors : What such probabilities are good for.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.model_selection import cross_val_predict
    >>> X, y = make_shapes(n_samples=6, size=16, n_classes=3, random_state=0)
    >>> model = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> cross_val_predict(model, X, y, cv=2, method="predict_proba").shape
    (6, 3, 16, 16)
    """
    check_choice("method", method, METHODS)
    images, masks = as_images(X), as_masks(y)
    check_pairs(images, masks)
    folds = list(check_cv(cv).split(X, y, groups))
    order = np.concatenate([test for _, test in folds])
    _check_partition(order, len(masks))
    results = Parallel(n_jobs=n_jobs)(
        delayed(_predict_fold)(
            clone(estimator), X, y, train, test, params or {}, method
        )
        for train, test in folds
    )
    answers, classes = zip(*results, strict=True)
    if method == "predict_proba":
        answers = tuple(_add_missing_classes(answers, classes))
    found = [answer for fold in answers for answer in fold]
    return _gather([found[place] for place in np.argsort(order)], images.is_array)


def _predict_fold(
    estimator: Any,
    X: Any,
    y: Any,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    params: dict[str, Any],
    method: str,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the answers for a test fold, and the classes of its model."""
    of_fold = {
        name: _safe_indexing(value, train) if _is_per_image(value, y) else value
        for name, value in params.items()
    }
    estimator.fit(_safe_indexing(X, train), _safe_indexing(y, train), **of_fold)
    answers = getattr(estimator, method)(_safe_indexing(X, test))
    return answers, final_estimator(estimator).classes_


def _is_per_image(value: Any, y: Any) -> bool:
    is_sized = hasattr(value, "__len__") and not isinstance(value, (str, dict))
    return is_sized and len(value) == len(y)


def _check_partition(order: NDArray[np.intp], n_images: int) -> None:
    if not np.array_equal(np.sort(order), np.arange(n_images)):
        raise ValueError(
            f"The test folds of cv hold {len(order)} images; expected each of the "
            f"{n_images} images once, as with KFold or StratifiedImageKFold: "
            f"cross_val_predict only works for partitions."
        )


def _add_missing_classes(
    answers: Sequence[NDArray[Any]], classes: Sequence[NDArray[Any]]
) -> list[NDArray[Any] | list[NDArray[Any]]]:
    """Return probabilities of the classes of all folds, 0 where a fold lacks one."""
    labels = merge_labels(classes)
    lacking = [fold for fold, own in enumerate(classes) if len(own) < len(labels)]
    if not lacking:
        return list(answers)
    warnings.warn(
        f"Fold {lacking[0]} was trained on the classes "
        f"{format_labels(classes[lacking[0]])} of {format_labels(labels)}: the others "
        f"get the probability 0. Name all label values of the task with classes= of "
        f"the segmenter.",
        RuntimeWarning,
        stacklevel=3,
    )
    return [
        [_spread(answer, np.searchsorted(labels, own), len(labels)) for answer in fold]
        for fold, own in zip(answers, classes, strict=True)
    ]


def _spread(
    probabilities: NDArray[Any], places: NDArray[np.intp], n_classes: int
) -> NDArray[Any]:
    spread = np.zeros((n_classes, *probabilities.shape[1:]), probabilities.dtype)
    spread[:, np.isnan(probabilities[0])] = np.nan  # where there are no data
    spread[places] = probabilities
    return spread


def _gather(answers: list[NDArray[Any]], is_array: bool) -> NDArray[Any]:
    """Return one array if the images came as one, else a 1-D object array."""
    if is_array:
        return np.stack(answers)
    gathered = np.empty(len(answers), dtype=object)
    for index, answer in enumerate(answers):  # equal sizes would be broadcast
        gathered[index] = answer
    return gathered
