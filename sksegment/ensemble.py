"""Several segmenters as one, and how uncertain a model is about each pixel."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import Bunch, Tags
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed  # joblib's lose the config
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.documentation_link import DocumentationLinkMixin
from sksegment._inputs.image_list import ImageList, as_images
from sksegment._inputs.members import (
    Named,
    check_alike,
    check_is_member,
    fitted_positions,
    is_dropped,
    named_members,
    named_pairs,
    normalized_weights,
)
from sksegment._inputs.nodata import fitted_nodata
from sksegment._inputs.pipelines import (
    final_estimator,
    fit_with_weights,
    set_input_channels,
)
from sksegment._prediction.averaged import AveragedPredictor
from sksegment._prediction.collect import collect
from sksegment._prediction.of_estimator import predictor_of_estimator
from sksegment._prediction.tilewise import predict_tilewise
from sksegment._prediction.uncertainty import predict_uncertainty
from sksegment.metrics import iou_scorer

__all__ = ["VotingSegmenter", "predict_uncertainty"]


def __dir__() -> list[str]:
    return __all__


def _fit_member(name: str, member: Any, X: Any, y: Any, sample_weight: Any) -> Any:
    try:
        return fit_with_weights(clone(member), X, y, sample_weight)
    except (OSError, TypeError, ValueError) as error:
        error.add_note(f"This is the member {name!r} of the VotingSegmenter.")
        raise


class VotingSegmenter(DocumentationLinkMixin, ClassifierMixin, _BaseComposition):
    """Average the probabilities of several segmenters.

    The mean of a few networks, trained from different seeds, on different folds, or of
    different kinds, usually segments better than each of them, and its probabilities
    are better calibrated [1]_. One image, or one tile of a large image, is predicted
    by one member after another: memory does not grow with the number of members.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Names and segmenters: :class:`~sksegment.FCNSegmenter`, Pipelines that end in
        one, or other estimators of masks with `predict_proba`. `fit` trains clones.
        With ``set_params(name="drop")`` one is left out.
    weights : array-like of shape (n_estimators,), default=None
        How much each counts in the mean, dropped ones included; only ratios matter.
        None weights all alike. Read at prediction.
    n_jobs : int, default=None
        Members that are trained at the same time, as everywhere in scikit-learn.

    Attributes
    ----------
    estimators_ : list of estimator
        The fitted members.
    named_estimators_ : Bunch
        The fitted members by name.
    classes_ : ndarray of shape (n_classes,)
        The label values of the classes, sorted; the same for all members.
    n_features_in_ : int
        Channels of the images; only there if a member has it, and no step of its
        Pipeline changes images before.
    stride_ : int
        Spacing, in pixels, of the grid on which all members treat positions alike.
    margin_ : int or None
        The largest `margin_` of the members; None if one of them has none.

    See Also
    --------
    predict_uncertainty : Maps of how uncertain a model is, or its members disagree.
    sklearn.ensemble.VotingClassifier : The same for tables.

    Notes
    -----
    Tiles are exact where they are exact for all members: then `margin_` is a number.
    Members that look at the whole image are given whole images, and blend their own
    tiles.

    Members whose `random_state` is an integer train the same network again and again
    if nothing else differs: give each its own.

    References
    ----------
    .. [1] B. Lakshminarayanan, A. Pritzel and C. Blundell, "Simple and Scalable
       Predictive Uncertainty Estimation using Deep Ensembles", NeurIPS 2017.

    Examples
    --------
    The ensemble of the folds of a cross-validation, in one line:

    >>> from sklearn.model_selection import cross_validate
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.ensemble import VotingSegmenter
    >>> X, y = make_shapes(n_samples=6, size=16, n_classes=2, random_state=0)
    >>> model = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> folds = cross_validate(model, X, y, cv=3, return_estimator=True)
    >>> ensemble = VotingSegmenter.from_fitted(folds["estimator"])
    >>> ensemble.predict(X).shape
    (6, 16, 16)
    """

    def __init__(
        self, estimators: Any, *, weights: Any = None, n_jobs: int | None = None
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.n_jobs = n_jobs

    @classmethod
    def from_fitted(cls, estimators: Any, *, weights: Any = None) -> Self:
        """Make a fitted ensemble of fitted segmenters; nothing is trained.

        Parameters
        ----------
        estimators : list of estimator, or list of (str, estimator)
            Fitted segmenters with the same classes, such as the list under
            ``"estimator"`` that :func:`sklearn.model_selection.cross_validate` returns
            with ``return_estimator=True``. Names are made up where there are none.
        weights : array-like of shape (n_estimators,), default=None
            How much each counts in the mean, its score for example.

        Returns
        -------
        VotingSegmenter
            The ensemble. It refers to the segmenters, without a copy. `fit` would train
            clones of them.

        Raises
        ------
        NotFittedError
            If a segmenter is not fitted.
        ValueError, TypeError
            If the segmenters differ in their classes, their `ignore_label` or their
            channels, or `weights` do not fit.
        """
        named = named_members(estimators)
        voting = cls(named, weights=weights)
        for name, member in voting._kept():
            check_is_fitted(member, msg=f"The member {name!r} is not fitted yet.")
        return voting._adopt(voting._kept())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train all members.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images, as in :meth:`sksegment.FCNSegmenter.fit`; also those that augmenters
            of a Pipeline hand on.
        y : array-like of shape (n, height, width), or sequence
            Masks: label values, one per pixel, or paths.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence, \
                default=None
            Weights, one per image or one per pixel, for all members.

        Returns
        -------
        VotingSegmenter
            The ensemble itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter is invalid, a member rejects the data, or the members end up
            with different classes. The earlier fit is then left as it was.
        """
        kept = self._kept()
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_member)(name, member, X, y, sample_weight)
            for name, member in kept
        )
        names = [name for name, _ in kept]
        return self._adopt(list(zip(names, fitted, strict=True)))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each pixel.

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
            If the ensemble is not fitted.
        ValueError, TypeError
            If `X` is invalid, or its number of channels is not that of training.
        OSError
            If an image file cannot be read.
        """
        images = self._images(X)
        masks = predict_tilewise(
            self._predictor(),
            images,
            len(self.classes_),
            self._labels_of,
        )
        return collect(masks, len(images), images.is_array)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the mean of the members' probabilities of each class at each pixel.

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
            If the ensemble is not fitted.
        ValueError, TypeError
            If `X` is invalid, or its number of channels is not that of training.
        OSError
            If an image file cannot be read.
        """
        images = self._images(X)
        means = predict_tilewise(
            self._predictor(), images, len(self.classes_), lambda mean: mean
        )
        return collect(means, len(images), images.is_array)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean IoU over all pixels of all images.

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
            Between 0 and 1; equal to ``iou_scorer(self, X, y, sample_weight)``.

        Raises
        ------
        NotFittedError
            If the ensemble is not fitted.
        ValueError, TypeError
            If an input is invalid, or `y` holds a label outside `classes_`.
        """
        self._images(X)  # an invalid X raises before y is looked at
        return float(iou_scorer(self, X, y, sample_weight=sample_weight))

    @property
    def named_estimators(self) -> Bunch:
        """The unfitted members by name."""
        return Bunch(**dict(self.estimators))

    @property
    def weights_(self) -> NDArray[np.float64]:
        """How much each of `estimators_` counts; they sum to 1."""
        # A member that is dropped now counts until the next fit.
        named = named_pairs(self.estimators)
        positions = fitted_positions(named, self.named_estimators_)
        return normalized_weights(self.weights, positions, len(named))

    @property
    def ignore_label(self) -> Any:
        """The label value that is no class, which all members share."""
        return self._shared("ignore_label")

    @property
    def nodata(self) -> float | None:
        """The value that marks pixels without data, which all members share."""
        value: float | None = self._shared("nodata")
        return value

    @property
    def nodata_label(self) -> Any:
        """The label of pixels without data, which all members share."""
        return self._shared("nodata_label")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with those of the members.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the members, by name, and their parameters, as
            ``name__parameter``.

        Returns
        -------
        dict
            Values by name.
        """
        return dict(self._get_params("estimators", deep=deep))

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members or parameters of members.

        Parameters
        ----------
        **params : dict
            Values by name: ``weights=[1, 2]``, ``name=FCNSegmenter()``,
            ``name="drop"``, ``name__depth=2``.

        Returns
        -------
        VotingSegmenter
            The ensemble itself.

        Raises
        ------
        ValueError
            If a name is not that of a parameter.
        """
        self._set_params("estimators", **params)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimators_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images have three or four axes
        tags.input_tags.three_d_array = True
        return tags

    def _kept(self) -> Named:
        """Return the members that are not dropped, checked."""
        named = named_pairs(self.estimators)
        self._validate_names([name for name, _ in named])
        kept = [(name, member) for name, member in named if not is_dropped(member)]
        if not kept:
            raise ValueError("All estimators are dropped; expected one that is not.")
        for name, member in kept:
            check_is_member(name, member)
        positions = fitted_positions(named, [name for name, _ in kept])
        normalized_weights(self.weights, positions, len(named))
        return kept

    def _adopt(self, named: Named) -> Self:
        """Take over fitted members; nothing has been changed until here."""
        check_alike(named)
        self.estimators_ = [member for _, member in named]
        self.named_estimators_ = Bunch(**dict(named))
        self.classes_ = final_estimator(self.estimators_[0]).classes_
        set_input_channels(self, self.estimators_)
        predictor = self._predictor()
        self.stride_, self.margin_ = predictor.stride, predictor.margin
        return self

    def _predictor(self) -> AveragedPredictor:
        """Return how the mean of the members is computed, part by part."""
        predictors = [predictor_of_estimator(member) for member in self.estimators_]
        return AveragedPredictor(predictors, self.weights_)

    def _labels_of(self, mean: NDArray[Any]) -> NDArray[Any]:
        """Return the most probable labels."""
        nodata = fitted_nodata(self)
        if nodata is None:
            return np.asarray(self.classes_[mean.argmax(axis=0)])
        labels = nodata.extended(self.classes_)
        missing = np.isnan(mean[0])
        return np.where(missing, labels[-1], labels[mean.argmax(axis=0)])

    def _shared(self, name: str) -> Any:
        """Return a parameter that all members share; None if none of them has it."""
        members = getattr(self, "estimators_", None)
        if members is None:
            members = [member for _, member in self.estimators]
        finals = map(final_estimator, members)
        known = [getattr(one, name) for one in finals if hasattr(one, name)]
        return known[0] if known else None

    def _images(self, X: Any) -> ImageList:
        check_is_fitted(self)
        return as_images(X, getattr(self, "n_features_in_", None), self.nodata)
