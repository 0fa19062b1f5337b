"""Scores on held-out images after each epoch, from one training per fold."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, _safe_indexing

from sksegment._inputs.checks import check_integer
from sksegment._inputs.image_list import as_images, as_masks, check_pairs
from sksegment._inputs.pipelines import final_estimator


def epoch_curve(
    model: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    cv: Any = None,
    scoring: Any = None,
    every: int = 1,
    n_jobs: int | None = None,
) -> Bunch:
    """Score held-out images after every epoch, to find how many epochs are right.

    Each fold is trained once, for the `max_epochs` of the model, where a grid search
    over `max_epochs` would train it once per value.

    Parameters
    ----------
    model : estimator
        An :class:`~sksegment.FCNSegmenter`, or a Pipeline that ends in one. Clones of
        it are trained.
    X : array-like of shape (n, height, width[, n_channels]), or sequence
        Images: one array, or a sequence of arrays or of paths.
    y : array-like of shape (n, height, width), or sequence
        Their masks.
    groups : array-like, default=None
        What a splitter such as :class:`sklearn.model_selection.GroupKFold` needs.
    cv : int, cross-validation splitter or iterable, default=None
        As in scikit-learn: an integer gives the folds of
        :class:`sklearn.model_selection.KFold`, None five of them.
    scoring : callable, default=None
        A scorer of :mod:`sksegment.metrics`, such as `iou_scorer`; greater is better.
        None takes the `score` of the model, the mean IoU.
    every : int, default=1
        Score after every such number of epochs, and after the last.
    n_jobs : int, default=None
        Folds that are trained at the same time.

    Returns
    -------
    Bunch
        With `scores`, an ndarray of shape (n_folds, n_scored); `epochs`, of shape
        (n_scored,), the epochs that were scored, counted from 1; `best_epoch`, the one
        with the highest mean score; and `one_se_epoch`, the first one whose mean score
        is within one standard error of it [1]_ (the best one itself, if there is one
        fold only).

    Raises
    ------
    ValueError, TypeError
        If a parameter or an input is invalid, the model stops early, or a score is not
        finite in every fold.

    See Also
    --------
    sksegment.display.EpochCurveDisplay : Draws the curve.
    sklearn.model_selection.validation_curve : The same for any parameter.

    Notes
    -----
    What the curve means depends on the learning rate. With
    ``learning_rate_schedule="constant"`` and an integer `batch_size`, the score after
    epoch `k` is that of a training with ``max_epochs=k`` ("auto" takes smaller batches
    where there are few epochs). With the default, "cosine", the learning rate falls
    to 0 at `max_epochs`: the score after epoch `k` is that of a training that is broken
    off with a high learning rate, and below that of one with ``max_epochs=k``, which
    would have come to rest. Such a curve tells whether `max_epochs` epochs are too many
    (it falls towards the end) or too few (it still rises steeply), not which smaller
    number would do.

    The weights of each scored epoch are kept in a temporary folder while their fold is
    trained: with the default network, 3 MB each. `checkpoint_dir` is not used.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and J. Friedman, "The Elements of Statistical
       Learning", 2nd edition, section 7.10.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.model_selection import epoch_curve
    >>> X, y = make_shapes(n_samples=6, size=16, n_classes=2, random_state=0)
    >>> model = FCNSegmenter(depth=1, width=4, max_epochs=3, random_state=0)
    >>> curve = epoch_curve(model, X, y, cv=2)
    >>> curve.scores.shape, curve.epochs
    ((2, 3), array([1, 2, 3]))
    """
    check_integer("every", every, 1)
    segmenter = _segmenter_of(model)
    check_pairs(as_images(X), as_masks(y))
    scorer = check_scoring(model, scoring)
    folds = list(check_cv(cv).split(X, y, groups))
    epochs = _scored_epochs(int(segmenter.max_epochs), int(every))
    rows = Parallel(n_jobs=n_jobs)(
        delayed(_fold_scores)(model, X, y, train, test, scorer, epochs)
        for train, test in folds
    )
    scores = np.array(rows, dtype=np.float64)
    _check_finite(scores, epochs)
    best, one_se = _chosen(scores)
    return Bunch(
        scores=scores,
        epochs=epochs,
        best_epoch=int(epochs[best]),
        one_se_epoch=int(epochs[one_se]),
    )


def _segmenter_of(model: Any) -> Any:
    """Return the segmenter that is trained, or say why there is no curve of it."""
    segmenter = final_estimator(model)
    if not {"max_epochs", "callbacks"} <= segmenter.get_params().keys():
        raise TypeError(
            f"model is a {type(segmenter).__name__}, which is not trained epoch by "
            f"epoch; expected an FCNSegmenter, or a Pipeline that ends in one."
        )
    check_integer("max_epochs", segmenter.max_epochs, 1)
    if segmenter.early_stopping:
        raise ValueError(
            "early_stopping is True, which ends some folds before others; expected "
            "early_stopping=False: the curve shows where to stop."
        )
    return segmenter


def _scored_epochs(n_epochs: int, every: int) -> NDArray[np.intp]:
    return np.unique([*range(every, n_epochs + 1, every), n_epochs]).astype(np.intp)


def _fold_scores(
    model: Any,
    X: Any,
    y: Any,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    scorer: Any,
    epochs: NDArray[np.intp],
) -> list[float]:
    """Train on a fold, and score its held-out images with the weights of each epoch."""
    from sksegment.model_selection._weight_keeper import WeightKeeper

    model = clone(model)
    segmenter = final_estimator(model)
    X_test, y_test = _safe_indexing(X, test), _safe_indexing(y, test)
    with TemporaryDirectory() as folder:
        keeper = WeightKeeper(Path(folder), epochs.tolist())
        callbacks = [*(segmenter.callbacks or ()), keeper]
        segmenter.set_params(callbacks=callbacks, checkpoint_dir=None, warm_start=False)
        model.fit(_safe_indexing(X, train), _safe_indexing(y, train))
        _check_complete(segmenter, epochs)
        return [
            scorer(keeper.restored(model, segmenter, epoch), X_test, y_test)
            for epoch in epochs.tolist()
        ]


def _check_complete(segmenter: Any, epochs: NDArray[np.intp]) -> None:
    if segmenter.n_iter_ < epochs[-1]:
        raise ValueError(
            f"Training ended after {segmenter.n_iter_} of {epochs[-1]} epochs; "
            f"expected all of them. Leave out callbacks that stop."
        )


def _check_finite(scores: NDArray[np.float64], epochs: NDArray[np.intp]) -> None:
    wrong = np.argwhere(~np.isfinite(scores))
    if len(wrong):
        fold, place = wrong[0]
        raise ValueError(
            f"The score of fold {fold} is {scores[fold, place]} after epoch "
            f"{epochs[place]}; expected finite scores. Does the fold lack a class? "
            f"Name all with classes= of the segmenter, or use another splitter."
        )


def _chosen(scores: NDArray[np.float64]) -> tuple[int, int]:
    """Return the positions of the best epoch, and of that of the one-SE rule."""
    means = scores.mean(axis=0)
    best = int(means.argmax())
    if len(scores) < 2:
        return best, best
    error = scores[:, best].std(ddof=1) / np.sqrt(len(scores))
    return best, int(np.flatnonzero(means >= means[best] - error)[0])
