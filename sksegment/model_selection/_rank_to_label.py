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
from sksegment._inputs.members import no_members_error
from sksegment._inputs.pipelines import (
    changing_steps,
    final_estimator,
    input_channels,
)
from sksegment._inputs.probabilities import UNCERTAINTIES, disagreement

METHODS = (*UNCERTAINTIES, "disagreement")
# The most uncertain pieces of the pool, this many times as many as are to be chosen,
# are candidates: among fewer, near copies could not be avoided; among many more, what
# the model knows well would be chosen for being different.
CANDIDATES = 4
# Pieces that are predicted at once.
BATCH_SIZE = 8


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
    networks = _networks(model)
    nodata = getattr(networks[0][1], "nodata", None)
    images = as_images(X_pool, input_channels(model), nodata)
    places, uncertainties, features = [], [], []
    pieces = _pieces(images, sides)
    while batch := [*islice(pieces, BATCH_SIZE)]:
        places += [place for place, _ in batch]
        X = images.contained([piece for _, piece in batch])
        uncertainties += _mean_uncertainties(model, X, method)
        features += _features(networks, X)
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


def _networks(model: Any) -> list[tuple[list[Any], Any]]:
    """Return the segmenters with a network inside a model, and the steps before each.

    The steps are those that change images.
    """
    steps, fitted = changing_steps(model), final_estimator(model)
    if hasattr(fitted, "network_"):
        return [(steps, fitted)]
    inside = getattr(fitted, "estimators_", None)
    if inside is None and hasattr(fitted, "estimator_"):
        inside = [fitted.estimator_]
    if inside is None:
        raise TypeError(
            f"The model is a {type(fitted).__name__} without a network_, by which "
            f"images are compared; expected an FCNSegmenter, or an ensemble or "
            f"Pipeline of them."
        )
    found = [pair for member in inside for pair in _networks(member)]
    return [([*steps, *more], segmenter) for more, segmenter in found]


def _images_for(fitted: Any, X: Any) -> ImageList:
    """Return images as a model of this package takes them."""
    return as_images(X, input_channels(fitted), getattr(fitted, "nodata", None))


def _transformed(steps: Sequence[Any], X: Any) -> Any:
    """Return images behind the steps of a Pipeline."""
    for step in steps:
        X = step.transform(X)
    return X


def _mean_uncertainties(model: Any, X: Any, method: str) -> list[float]:
    """Return the uncertainty of each image, averaged over its pixels."""
    if method in UNCERTAINTIES:
        uncertainty = UNCERTAINTIES[method]
        return [_mean_where_known(uncertainty(one)) for one in model.predict_proba(X)]
    answers, weights = _member_answers(model, X)
    return [
        _mean_where_known(disagreement(of_image, weights))
        for of_image in zip(*answers, strict=True)
    ]


def _mean_where_known(uncertainty: NDArray[Any]) -> float:
    """Return the mean over the pixels with data; 0 without any: nothing to learn."""
    known = uncertainty[~np.isnan(uncertainty)]
    return float(known.mean()) if len(known) else 0.0


def _member_answers(
    model: Any, X: Any
) -> tuple[list[Iterator[NDArray[Any]]], NDArray[np.float64]]:
    """Return the probabilities by each member, or by each view of a single model."""
    fitted = final_estimator(model)
    if not hasattr(fitted, "_predictor"):
        raise no_members_error(fitted)
    images = _images_for(fitted, _transformed(changing_steps(model), X))
    predictor = fitted._predictor().given(images)
    checked = [*predictor.check_images(images, images.name)]
    members, weights = predictor.members()
    return [member.parts(checked) for member in members], weights


def _features(
    networks: list[tuple[list[Any], Any]], X: Any
) -> list[NDArray[np.float32]]:
    """Return what all networks together see in each image."""
    # Imported here: splitters are used where torch is not needed.
    from sksegment.model_selection._pooled_features import pooled_features

    seen = [
        [pooled_features(one, image) for image in _images_for(one, behind)]
        for one, behind in ((one, _transformed(steps, X)) for steps, one in networks)
    ]
    return [np.concatenate(of_image) for of_image in zip(*seen, strict=True)]


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
