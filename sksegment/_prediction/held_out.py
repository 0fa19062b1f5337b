"""Pixels of images that a network has not seen, and the temperature that suits them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from sksegment._inputs.image_list import as_images, as_masks, check_pair, check_pairs
from sksegment._inputs.labels import IGNORED, LabelEncoder
from sksegment._inputs.nodata import fitted_ignore_label, fitted_nodata, split_off
from sksegment._inputs.pipelines import final_estimator, input_channels
from sksegment._inputs.sample_weight import as_weights, check_weight_size
from sksegment._prediction.of_estimator import predictor_of_estimator
from sksegment._prediction.tilewise import predict_tilewise

# Values (pixels x classes) of log-probabilities that are kept for the fit: 64 MiB.
# One number is estimated from them, so a sample of the pixels will do.
MAX_VALUES = 2**24
# Temperatures that are tried; the best of a useful model lies well inside.
LIMITS = (1 / 50, 50.0)


@dataclass(frozen=True)
class HeldOut:
    """What is kept of held-out pixels.

    Parameters
    ----------
    logs : ndarray of shape (n_classes, n_pixels)
        Logarithms of the probabilities.
    codes : ndarray of shape (n_pixels,)
        The true class of each pixel.
    weights : ndarray of shape (n_pixels,)
        How much each pixel counts.
    """

    logs: NDArray[np.float32]
    codes: NDArray[np.intp]
    weights: NDArray[np.float64]

    def loss(self, temperature: float) -> float:
        """Return the log loss at a temperature."""
        scores = self.logs / np.float32(temperature)
        true = np.take_along_axis(scores, self.codes[np.newaxis], axis=0)[0]
        losses = logsumexp(scores, axis=0) - true
        return float(np.average(losses.astype(np.float64), weights=self.weights))


def join_pixels(parts: Sequence[HeldOut]) -> HeldOut:
    """Return the pixels of several images together."""
    return HeldOut(
        np.concatenate([part.logs for part in parts], axis=1),
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def best_temperature(held_out: HeldOut) -> float:
    """Return the temperature of the smallest log loss.

    The loss is convex in its inverse, so it has one minimum on the scale of its
    logarithm, too.

    Raises
    ------
    ValueError
        If no pixel counts, or all that do are of one class.
    """
    counted = np.unique(held_out.codes[held_out.weights > 0])
    if len(counted) < 2:
        raise ValueError(
            f"The held-out masks show {len(counted)} of the classes; expected at least "
            f"two, or a temperature cannot be fitted. Pass more images, or a splitter "
            f"that spreads the classes, such as StratifiedImageKFold, as cv=."
        )
    found = minimize_scalar(
        lambda log: held_out.loss(float(np.exp(log))),
        bounds=tuple(np.log(LIMITS)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    temperature = float(np.exp(found.x))
    if min(map(held_out.loss, LIMITS)) <= held_out.loss(temperature):
        warnings.warn(
            f"No temperature between {LIMITS[0]} and {LIMITS[1]} is best: the held-out "
            f"pixels are all right, or no better than chance. Pass more images.",
            UserWarning,
            stacklevel=3,
        )
    return temperature


def held_out_pixels(
    estimator: Any, X: Any, y: Any, sample_weight: Any, n_images: int
) -> HeldOut:
    """Predict held-out images, and keep a sample of their pixels.

    Parameters
    ----------
    estimator : estimator
        A fitted segmenter.
    X, y, sample_weight : sequences
        Images that it has not seen, their masks, and weights or None.
    n_images : int
        All held-out images, of which these may be some.
    """
    fitted, nodata = final_estimator(estimator), fitted_nodata(estimator)
    value = None if nodata is None else nodata.value
    images = as_images(X, input_channels(estimator), value)
    masks = as_masks(y)
    weights = as_weights(sample_weight, len(masks))
    check_pairs(images, masks)
    encoder = LabelEncoder(fitted.classes_, fitted_ignore_label(estimator))
    n_classes = len(fitted.classes_)
    n_kept = max(1, MAX_VALUES // n_classes // n_images)
    answers = predict_tilewise(
        predictor_of_estimator(estimator), images, n_classes, lambda part: part
    )
    parts = []
    for index, probabilities in enumerate(answers):
        mask = masks[index]
        check_pair(images[index], mask, masks, index)
        if nodata is not None:
            mask, probabilities = split_off(
                mask, probabilities, nodata, fitted.classes_
            )
        codes = encoder.encode(mask, masks.name(index))
        weight = np.array(1.0) if weights is None else weights[index]
        check_weight_size(weight, mask, index)
        parts.append(_sample(probabilities, codes, weight, n_kept, index))
    return join_pixels(parts)


def _sample(
    probabilities: NDArray[Any],
    codes: NDArray[np.int32],
    weight: NDArray[np.float64],
    n_kept: int,
    index: int,
) -> HeldOut:
    """Keep at most `n_kept` of the pixels of one image that count, drawn at random."""
    weights = np.broadcast_to(weight, codes.shape).ravel()
    counted = np.flatnonzero((codes.ravel() != IGNORED) & (weights > 0))
    scale = 1.0
    if len(counted) > n_kept:
        scale = len(counted) / n_kept  # those kept stand for the others, too
        rng = np.random.default_rng(index)
        counted = np.sort(rng.choice(counted, n_kept, replace=False))
    chosen = probabilities.reshape(len(probabilities), -1)[:, counted]
    smallest = np.finfo(np.float32).tiny
    logs = np.log(np.maximum(chosen.astype(np.float32), smallest))
    kept_codes = codes.ravel()[counted].astype(np.intp)
    return HeldOut(logs, kept_codes, weights[counted] * scale)
