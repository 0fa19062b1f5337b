"""Maps of how uncertain a model is about the class of each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.checks import check_choice
from sksegment._inputs.image_list import as_images
from sksegment._inputs.nodata import fitted_nodata
from sksegment._inputs.pipelines import final_estimator, input_channels
from sksegment._inputs.probabilities import UNCERTAINTIES, disagreement
from sksegment._prediction.averaged import AveragedPredictor
from sksegment._prediction.collect import collect
from sksegment._prediction.of_estimator import predictor_of_estimator
from sksegment._prediction.tilewise import (
    PartPredictor,
    Reduce,
    predict_tilewise,
)

METHODS = (*UNCERTAINTIES, "disagreement")


def predict_uncertainty(model: Any, X: Any, method: str = "entropy") -> NDArray[Any]:
    """Return how uncertain a model is about the class of each pixel.

    Probabilities are held for one image, or one tile of a large one, at a time.

    Parameters
    ----------
    model : estimator
        A fitted segmenter, or a Pipeline or search object that ends in one.
    X : array-like of shape (n, height, width[, n_channels]), or sequence
        Images: one array, or a sequence of arrays or of paths.
    method : {"entropy", "margin", "disagreement"}, default="entropy"
        "entropy" of the probabilities, in nats: from 0 to the logarithm of the number
        of classes. "margin", from 0 to 1: 1 less the gap between the two most probable
        classes. "disagreement", in nats: the mutual information of class and member
        [1]_, the entropy of the mean less the mean of the entropies. It is 0 where the
        members agree, however uncertain each is, and so leaves out what more training
        images cannot teach. Members are those of a
        :class:`~sksegment.ensemble.VotingSegmenter`, or for one
        :class:`~sksegment.FCNSegmenter` the eight views of
        ``test_time_augmentation``, whether or not that is set.

    Returns
    -------
    ndarray
        Uncertainties of at least 0, float32; greater is less certain, NaN where there
        is no data (see `nodata` of the segmenter). For an array, one array ``(n,
        height, width)``; otherwise a 1-D object array of arrays ``(height, width)``.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    ValueError, TypeError
        If `X` or `method` is invalid, or the model has no members to disagree.
    OSError
        If an image file cannot be read.

    See Also
    --------
    VotingSegmenter : Several segmenters as one.
    sksegment.display.UncertaintyDisplay : Draws the maps beside the images.
    sksegment.model_selection.rank_to_label : The images to label next.

    References
    ----------
    .. [1] N. Houlsby, F. Huszar, Z. Ghahramani and M. Lengyel, "Bayesian Active
       Learning for Classification and Preference Learning", arXiv:1112.5745, 2011.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.ensemble import predict_uncertainty
    >>> X, y = make_shapes(n_samples=4, size=16, n_classes=2, random_state=0)
    >>> model = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0).fit(X, y)
    >>> predict_uncertainty(model, X).shape
    (4, 16, 16)
    """
    check_choice("method", method, METHODS)
    check_is_fitted(model)
    fitted = final_estimator(model)
    nodata = fitted_nodata(model)
    value = None if nodata is None else nodata.value
    images = as_images(X, input_channels(model), value)
    predictor, reduce = _mapping(predictor_of_estimator(model), method)
    maps = predict_tilewise(predictor, images, len(fitted.classes_), reduce)
    return collect(maps, len(images), images.is_array)


def _mapping(predictor: PartPredictor, method: str) -> tuple[PartPredictor, Reduce]:
    """Return what predicts, and what is made of its answers."""
    if method in UNCERTAINTIES:
        uncertainty = UNCERTAINTIES[method]
        return predictor, lambda part: uncertainty(part).astype(np.float32)
    members, weights = predictor.members()
    compared = AveragedPredictor(members, weights, combine=disagreement)
    return compared, lambda part: part.astype(np.float32)
