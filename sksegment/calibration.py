"""Probabilities that mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.utils import Tags, _safe_indexing
from sklearn.utils.parallel import Parallel, delayed  # joblib's lose the config
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.checks import check_integer, is_integer
from sksegment._inputs.documentation_link import DocumentationLinkMixin
from sksegment._inputs.image_list import ImageList, as_images, as_masks, check_pairs
from sksegment._inputs.labels import format_labels
from sksegment._inputs.pipelines import (
    final_estimator,
    fit_with_weights,
    set_input_channels,
)
from sksegment._inputs.sample_weight import as_weights
from sksegment._prediction.collect import collect
from sksegment._prediction.held_out import (
    HeldOut,
    best_temperature,
    held_out_pixels,
    join_pixels,
)
from sksegment._prediction.of_estimator import predictor_of_estimator
from sksegment._prediction.tempered import TemperedPredictor
from sksegment._prediction.tilewise import predict_tilewise
from sksegment.metrics import iou_scorer
from sksegment.model_selection import StratifiedImageKFold

__all__ = ["TemperatureScaling"]


def __dir__() -> list[str]:
    return __all__


def _fold(
    estimator: Any,
    data: tuple[Any, Any, Any],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    n_images: int,
) -> tuple[NDArray[Any], HeldOut]:
    """Train a clone on a fold; return its classes, and its held-out pixels."""
    X, y, weights = ([_part(one, rows) for rows in (train, test)] for one in data)
    fitted = fit_with_weights(clone(estimator), X[0], y[0], weights[0])
    held_out = held_out_pixels(fitted, X[1], y[1], weights[1], n_images)
    return final_estimator(fitted).classes_, held_out


def _part(data: Any, rows: NDArray[np.intp]) -> Any:
    return None if data is None else _safe_indexing(data, rows)


def _check_same_classes(classes: Sequence[NDArray[Any]]) -> None:
    for fold, found in enumerate(classes):
        if not np.array_equal(found, classes[0]):
            raise ValueError(
                f"Fold {fold} was trained on the classes {format_labels(found)}, but "
                f"fold 0 on {format_labels(classes[0])}; expected the same. Name all "
                f"label values of the task with classes= of the segmenter."
            )


class TemperatureScaling(
    DocumentationLinkMixin, ClassifierMixin, MetaEstimatorMixin, BaseEstimator
):
    """Divide the scores of a segmenter by one temperature, fitted on held-out images.

    Networks tend to be too sure of themselves. Dividing the logarithms of their
    probabilities by one number, the temperature, cures most of that [1]_ and changes no
    label. The number is the one with the smallest log loss on images that the network
    has not seen.

    Parameters
    ----------
    estimator : estimator
        A segmenter: :class:`~sksegment.FCNSegmenter`, a Pipeline that ends in one, a
        :class:`~sksegment.ensemble.VotingSegmenter`. `fit` trains clones of it. One
        that is fitted already is wrapped in :class:`sklearn.frozen.FrozenEstimator`;
        `fit` is then given images that it has not been trained on.
    cv : int, cross-validation splitter or iterable, default=5
        Folds for the out-of-fold probabilities: with an integer, those of
        :class:`~sksegment.model_selection.StratifiedImageKFold`. Not used with a
        frozen estimator.
    n_jobs : int, default=None
        Folds that are trained at the same time, as everywhere in scikit-learn.

    Attributes
    ----------
    estimator_ : estimator
        The segmenter that predicts, trained on all images.
    temperature_ : float
        Above 1 where the segmenter was too sure, below where it was not sure enough.
    classes_ : ndarray of shape (n_classes,)
        The label values of the classes, sorted.
    n_features_in_ : int
        Channels of the images; only there if `estimator_` has it, and no step of a
        Pipeline changes images before.
    stride_, margin_ : int
        Those of `estimator_`; `margin_` is None if tiles are not exact.

    See Also
    --------
    sksegment.metrics.calibration_curve : How often a probability comes true.
    sksegment.metrics.pixel_log_loss : What the temperature makes smaller.
    sklearn.calibration.CalibratedClassifierCV : The same for tables.

    Notes
    -----
    With `cv`, one network is trained for each fold, and one on all images, which takes
    ``cv + 1`` times as long as `fit` of the estimator. The temperature is that of the
    networks of the folds; the last one has seen more images and is a little surer with
    reason.

    The temperature is right for images like the held-out ones. On images of another
    kind it may be too high or too low, and make probabilities worse: on five image sets
    and three seeds, the log loss of the test images fell in 12 of 15 runs, by up to 15
    per cent, and rose in 3, by up to 9.

    Where the held-out images have more than 16 million pixels times classes, the
    temperature is fitted on a random sample of their pixels, the same in each run.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern
       Neural Networks", ICML 2017.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.calibration import TemperatureScaling
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=8, size=16, n_classes=2, random_state=0)
    >>> model = FCNSegmenter(depth=1, width=4, max_epochs=2, random_state=0)
    >>> calibrated = TemperatureScaling(model, cv=2).fit(X, y)
    >>> bool((calibrated.predict(X) == calibrated.estimator_.predict(X)).all())
    True

    With a segmenter that is fitted already, and images that it has not seen:

    >>> from sklearn.frozen import FrozenEstimator
    >>> fitted = FrozenEstimator(model.fit(X[:4], y[:4]))
    >>> calibrated = TemperatureScaling(fitted).fit(X[4:], y[4:])
    """

    def __init__(
        self, estimator: Any, *, cv: Any = 5, n_jobs: int | None = None
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None
    ) -> Self:
        """Train the segmenter, and fit the temperature.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays or of paths.
        y : array-like of shape (n, height, width), or sequence
            Their masks.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence, \
                default=None
            Weights, one per image or one per pixel, for training and temperature.
        groups : array-like, default=None
            What a splitter such as :class:`sklearn.model_selection.GroupKFold` needs.

        Returns
        -------
        TemperatureScaling
            The calibrated segmenter itself.

        Raises
        ------
        NotFittedError
            If a frozen estimator is not fitted.
        ValueError, TypeError
            If the estimator rejects the data, a fold lacks a class, or all held-out
            pixels are of one class. The earlier fit is then left as it was.
        """
        masks = as_masks(y)  # first: without masks, nothing else matters
        check_pairs(as_images(X), masks)
        as_weights(sample_weight, len(masks))
        if isinstance(self.estimator, FrozenEstimator):
            check_is_fitted(self.estimator)
            fitted = self.estimator
            held_out = held_out_pixels(fitted, X, y, sample_weight, len(masks))
        else:
            held_out = self._out_of_fold(X, y, sample_weight, groups)
            fitted = fit_with_weights(clone(self.estimator), X, y, sample_weight)
        return self._adopt(fitted, best_temperature(held_out))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each pixel: those of `estimator_`.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays or of paths.

        Returns
        -------
        ndarray
            Masks with the values and the dtype of `classes_`: for an array, one array
            ``(n, height, width)``; otherwise a 1-D object array of arrays ``(height,
            width)``.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError, TypeError
            If `X` is invalid, or its number of channels is not that of training.
        """
        check_is_fitted(self)
        return np.asarray(self.estimator_.predict(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the calibrated probability of each class at each pixel.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays or of paths.

        Returns
        -------
        ndarray
            Probabilities, classes in the order of `classes_`: for an array, one array
            ``(n, n_classes, height, width)``; otherwise a 1-D object array of arrays
            ``(n_classes, height, width)``.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError, TypeError
            If `X` is invalid, or its number of channels is not that of training.
        """
        images = self._images(X)
        answers = predict_tilewise(
            self._predictor(), images, len(self.classes_), lambda part: part
        )
        return collect(answers, len(images), images.is_array)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean IoU over all pixels of all images: that of `estimator_`.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays or of paths.
        y : array-like of shape (n, height, width), or sequence
            Their masks.
        sample_weight : array-like of shape (n,) or (n, height, width), default=None
            Weights, one per image or one per pixel.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError, TypeError
            If an input is invalid, or `y` holds a label outside `classes_`.
        """
        self._images(X)  # an invalid X raises before y is looked at
        return float(iou_scorer(self, X, y, sample_weight=sample_weight))

    @property
    def ignore_label(self) -> Any:
        """The label value that is no class, as the segmenter has it."""
        return self._of_segmenter("ignore_label")

    @property
    def nodata(self) -> float | None:
        """The value that marks pixels without data, as the segmenter has it."""
        value: float | None = self._of_segmenter("nodata")
        return value

    @property
    def nodata_label(self) -> Any:
        """The label of pixels without data, as the segmenter has it."""
        return self._of_segmenter("nodata_label")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "temperature_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images have three or four axes
        tags.input_tags.three_d_array = True
        return tags

    def _of_segmenter(self, name: str) -> Any:
        """Return a parameter of the segmenter; None if it has no such parameter."""
        estimator = getattr(self, "estimator_", self.estimator)
        return getattr(final_estimator(estimator), name, None)

    def _out_of_fold(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> HeldOut:
        """Return the held-out pixels of all folds, each predicted by its own clone."""
        folds = list(self._splitter().split(X, y, groups))
        n_images = sum(len(test) for _, test in folds)
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(_fold)(self.estimator, (X, y, sample_weight), train, test, n_images)
            for train, test in folds
        )
        classes, held_out = zip(*results, strict=True)
        _check_same_classes(classes)
        return join_pixels(held_out)

    def _splitter(self) -> Any:
        if is_integer(self.cv):
            check_integer("cv", self.cv, 2)
            return StratifiedImageKFold(int(self.cv), ignore_label=self.ignore_label)
        return check_cv(self.cv)

    def _adopt(self, fitted: Any, temperature: float) -> Self:
        """Take over what was fitted; nothing has been changed until here."""
        final = final_estimator(fitted)
        self.estimator_, self.temperature_ = fitted, temperature
        self.classes_ = final.classes_
        set_input_channels(self, [fitted])
        predictor = self._predictor()
        self.stride_, self.margin_ = predictor.stride, predictor.margin
        return self

    def _predictor(self) -> TemperedPredictor:
        """Return how the calibrated probabilities are computed, part by part."""
        predictor = predictor_of_estimator(self.estimator_)
        return TemperedPredictor(predictor, self.temperature_)

    def _images(self, X: Any) -> ImageList:
        check_is_fitted(self)
        return as_images(X, getattr(self, "n_features_in_", None), self.nodata)
