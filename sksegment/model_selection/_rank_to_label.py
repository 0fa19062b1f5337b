"""Which images, or windows of images, to label next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.checks import check_choice, check_integer, height_and_width
from sksegment._inputs.image_list import ImageList, as_images
from sksegment._inputs.pipelines import final_estimator
from sksegment._inputs.probabilities import UNCERTAINTIES, disagreement

METHODS = (*UNCERTAINTIES, "disagreement")
# The most uncertain pieces of the pool, this many times as many as are to be chosen,
# are candidates: among fewer, near copies could not be avoided; among many more, what
# the model knows well would be chosen for being different.
CANDIDATES = 4
# Pieces that are predicted at once.
BATCH_SIZE = 8
# The positions of a square: quarter turns, and whether it is mirrored.
VIEWS = tuple(product(range(4), (False, True)))


def rank_to_label(
    model: Any,
    X_pool: Any,
    *,
    n: int,
    method: str = "entropy",
    window_size: int | tuple[int, int] | None = None,
) -> NDArray[np.intp]:
    """Choose the images of a pool whose labels would teach a model most.

    The most uncertain images of the pool are candidates, four times as many as are
    asked for. Of these, those are taken that differ most from one another, the next one
    being the one farthest from all that have been taken: the greedy core-set of [1]_,
    on what the network sees in an image. So the choice is not the same scene again and
    again.

    Parameters
    ----------
    model : estimator
        A fitted :class:`~sksegment.FCNSegmenter`, or a Pipeline, search object,
        :class:`~sksegment.ensemble.VotingSegmenter` or
        :class:`~sksegment.calibration.TemperatureScaling` with such segmenters.
    X_pool : array-like of shape (n_pool, height, width[, n_channels]), or sequence
        Images without masks: one array, or a sequence of arrays or of paths.
    n : int
        How many are to be labelled.
    method : {"entropy", "margin", "disagreement"}, default="entropy"
        The uncertainty, averaged over the pixels; see
        :func:`~sksegment.ensemble.predict_uncertainty`.
    window_size : int or (int, int), default=None
        Choose windows of this height and width in pixels, not whole images. They lie
        side by side from the upper left corner of each image on; what is left at the
        right and the lower edge is not offered. For one large image, pass
        ``image[np.newaxis]``.

    Returns
    -------
    ndarray of shape (n,) or (n, 3)
        The positions of the images in the pool, the most uncertain one first. With
        `window_size`, the number of the image, and row and column of the upper left
        pixel of each window in it.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    ValueError, TypeError
        If a parameter or an image is invalid, the pool holds fewer than `n`, or the
        model has no network of this package.
    OSError
        If an image file cannot be read.

    See Also
    --------
    sksegment.ensemble.predict_uncertainty : Maps of the uncertainty.
    cut_blocks : The windows themselves.

    Notes
    -----
    Compare with a random choice before you rely on this one: of networks that have
    learned from few images, the most uncertain images need not be the most useful. In
    short trainings on cell membranes and on road scenes, from ten labelled images on,
    it did not win: with 40, mean IoU was 66 instead of 70 per cent and 24 instead of 26
    (means of three seeds, whose differences ranged from -14 to +4).

    What the network sees in an image is the mean over all pixels of each channel at its
    lowest resolution, in units of its standard deviation over the pool. All images of
    the pool are predicted, and read, once.

    References
    ----------
    .. [1] O. Sener and S. Savarese, "Active Learning for Convolutional Neural
       Networks: A Core-Set Approach", ICLR 2018.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.model_selection import rank_to_label
    >>> X, y = make_shapes(n_samples=12, size=16, n_classes=2, random_state=0)
    >>> model = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> to_label = rank_to_label(model.fit(X[:4], y[:4]), X[4:], n=3)
    >>> to_label.shape
    (3,)
    """
    check_integer("n", n, 1)
    check_choice("method", method, METHODS)
    sides = (
        None if window_size is None else height_and_width("window_size", window_size)
    )
    check_is_fitted(model)
    segmenters = _with_networks(model)
    first = segmenters[0]
    images = as_images(X_pool, first.n_features_in_, getattr(first, "nodata", None))
    places, uncertainties, features = [], [], []
    pieces = _pieces(images, sides)
    while batch := [*islice(pieces, BATCH_SIZE)]:
        places += [place for place, _ in batch]
        pixels = [piece for _, piece in batch]
        uncertainties += _mean_uncertainties(model, pixels, method)
        features += _features(segmenters, pixels)
    if n > len(places):
        raise ValueError(
            f"n is {n}, but the pool holds {len(places)} "
            f"{'images' if sides is None else 'windows'}; expected at most as many."
        )
    chosen = _spread_out(np.array(features), np.array(uncertainties), n)
    positions = np.array(places, dtype=np.intp)[chosen]
    return positions[:, 0] if sides is None else positions


Place = tuple[int, int, int]


def _pieces(
    images: ImageList, sides: tuple[int, int] | None
) -> Iterator[tuple[Place, NDArray[Any]]]:
    """Yield images, or their windows, with (image, row, column)."""
    for index, image in enumerate(images):
        height, width = sides or image.shape[:2]
        corners = product(
            range(0, max(image.shape[0] - height, 0) + 1, height),
            range(0, max(image.shape[1] - width, 0) + 1, width),
        )
        for row, column in corners:
            window = image[row : row + height, column : column + width]
            yield (index, row, column), window


def _with_networks(model: Any) -> list[Any]:
    """Return the segmenters with a network inside a model."""
    fitted = final_estimator(model)
    if hasattr(fitted, "network_"):
        return [fitted]
    if hasattr(fitted, "estimators_"):
        return [one for member in fitted.estimators_ for one in _with_networks(member)]
    if hasattr(fitted, "estimator_"):
        return _with_networks(fitted.estimator_)
    raise TypeError(
        f"The model is a {type(fitted).__name__} without a network_, by which images "
        f"are compared; expected an FCNSegmenter, or an ensemble or Pipeline of them."
    )


def _mean_uncertainties(
    model: Any, pieces: list[NDArray[Any]], method: str
) -> list[float]:
    """Return the uncertainty of each piece, averaged over its pixels."""
    if method in UNCERTAINTIES:
        uncertainty = UNCERTAINTIES[method]
        maps = map(uncertainty, model.predict_proba(pieces))
        return [_mean_where_known(values) for values in maps]
    answers, weights = _member_answers(model, pieces)
    return [
        _mean_where_known(disagreement(of_piece, weights))
        for of_piece in zip(*answers, strict=True)
    ]


def _mean_where_known(uncertainty: NDArray[Any]) -> float:
    """Return the mean over the pixels with data; 0 without any: nothing to learn."""
    known = uncertainty[~np.isnan(uncertainty)]
    return float(known.mean()) if len(known) else 0.0


def _member_answers(
    model: Any, pieces: list[NDArray[Any]]
) -> tuple[list[Any], NDArray[np.float64]]:
    """Return the probabilities by each member, or by each view of a single model."""
    members = getattr(final_estimator(model), "estimators_", None)
    if members is None:
        answers = [_view_answers(model, pieces, *view) for view in VIEWS]
        return answers, np.full(len(VIEWS), 1 / len(VIEWS))
    answers = [member.predict_proba(pieces) for member in members]
    return answers, final_estimator(model).weights_


def _view_answers(
    model: Any, pieces: list[NDArray[Any]], quarters: int, mirrored: bool
) -> list[NDArray[Any]]:
    """Predict pieces turned by quarters and mirrored, and turn the answers back."""
    turned = [np.rot90(piece, quarters) for piece in pieces]
    if mirrored:
        turned = [np.fliplr(piece) for piece in turned]
    answers = [np.moveaxis(answer, 0, -1) for answer in model.predict_proba(turned)]
    if mirrored:
        answers = [np.fliplr(answer) for answer in answers]
    return [np.moveaxis(np.rot90(answer, -quarters), -1, 0) for answer in answers]


def _features(
    segmenters: Sequence[Any], pieces: list[NDArray[Any]]
) -> list[NDArray[np.float32]]:
    # Imported here: splitters are used where torch is not needed.
    from sksegment.model_selection._pooled_features import pooled_features

    seen = [[pooled_features(one, piece) for piece in pieces] for one in segmenters]
    return [np.concatenate(of_piece) for of_piece in zip(*seen, strict=True)]


def _spread_out(
    features: NDArray[np.float32], uncertainties: NDArray[np.float64], n: int
) -> NDArray[np.intp]:
    """Return `n` of the most uncertain pieces, far from one another."""
    scale = features.std(axis=0)
    standardized = features / np.where(scale > 0, scale, 1)
    candidates = np.argsort(-uncertainties, kind="stable")[: CANDIDATES * n]
    points = standardized[candidates]
    chosen = [0]
    distances = np.full(len(points), np.inf)
    while len(chosen) < n:
        last = ((points - points[chosen[-1]]) ** 2).sum(axis=1)
        distances = np.minimum(distances, last)
        distances[chosen] = -1  # also where images are copies
        chosen.append(int(distances.argmax()))
    return candidates[chosen]
