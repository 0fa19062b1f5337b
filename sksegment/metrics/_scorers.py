"""Scorers: a score function bound to the predictions of a fitted estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.labels import unique_labels
from sksegment._inputs.nodata import (
    fitted_ignore_label,
    fitted_nodata,
    split_off_all,
)
from sksegment._inputs.pipelines import final_estimator
from sksegment._inputs.positions import items_at, n_items
from sksegment._inputs.progress import with_progress
from sksegment._inputs.sample_weight import as_weights
from sksegment.metrics._accumulator import Accumulator, accumulate_part
from sksegment.metrics._confusion_matrix import as_labels, positions
from sksegment.metrics._score import SCORES, Score, other_arguments, takes, unwrapped

if TYPE_CHECKING:
    from sklearn.utils.metadata_routing import MetadataRequest

# Images are predicted in chunks of about this many pixels: memory stays flat.
CHUNK_PIXELS = 2**21


class SegmentationScorer:
    """A score for `scoring=`: `scorer(estimator, X, y, sample_weight=None)`.

    `make_segmentation_scorer` makes one; `sksegment.metrics` has some ready-made.

    Parameters
    ----------
    func : callable
        The score function, `func(y_true, y_pred, **kwargs)`.
    response_method : str
        The method of the estimator whose result is scored.
    sign : int
        1, or -1 where lower values of `func` are better.
    kwargs : dict
        Further arguments of `func`.
    name : str, default=None
        The name under which `sksegment.metrics` keeps this scorer.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        response_method: str,
        sign: int,
        kwargs: dict[str, Any],
        name: str | None = None,
    ) -> None:
        self._func = func
        self._response_method = response_method
        self._sign = sign
        self._kwargs = kwargs
        self._name = name
        self._sample_weight_request: bool | str | None = None
        # LearningCurveDisplay shows it on the axis.
        self.__name__ = ("neg_" if sign < 0 else "") + getattr(
            func, "__name__", "score"
        )

    def __call__(
        self, estimator: Any, X: Any, y: Any, sample_weight: Any = None
    ) -> float:
        """Predict `X`, and score the predictions against `y`.

        Parameters
        ----------
        estimator : object
            A fitted segmenter, or a Pipeline or search object that ends in one.
        X : array-like or sequence
            Images.
        y : array-like or sequence
            Their masks.
        sample_weight : array-like of shape (n,) or (n, height, width), default=None
            Weights, one per image or one per pixel.

        Returns
        -------
        float
            Greater is better.
        """
        masks = as_masks(y)
        _check_lengths(X, masks)
        settings = self._settings(estimator, sample_weight)
        score = SCORES.get(self._func)
        if score is None or settings["labels"] is None:
            value = self._score_at_once(estimator, X, masks, settings)
        else:
            value = self._score_in_chunks(estimator, X, masks, settings, score)
        return self._sign * self._as_float(value)

    def set_score_request(
        self, *, sample_weight: bool | str | None
    ) -> SegmentationScorer:
        """Say whether meta-estimators should hand `sample_weight` to this scorer.

        Parameters
        ----------
        sample_weight : bool, str or None
            True requests it, False refuses it, None raises where it is given, and a
            string requests it under that name.

        Returns
        -------
        SegmentationScorer
            This scorer itself. The request holds wherever the scorer is used: make
            your own with `make_segmentation_scorer` to leave the shared ones alone.

        Raises
        ------
        RuntimeError
            Without `sklearn.set_config(enable_metadata_routing=True)`.
        """
        from sklearn import get_config

        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_score_request is only available when metadata routing is enabled: "
                "call sklearn.set_config(enable_metadata_routing=True)."
            )
        self._sample_weight_request = sample_weight
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what this scorer requests, for scikit-learn's metadata routing."""
        from sklearn.utils.metadata_routing import MetadataRequest

        request = MetadataRequest(owner=repr(self))
        if self._accept_sample_weight():
            request.score.add_request(
                param="sample_weight", alias=self._sample_weight_request
            )
        return request

    def _accept_sample_weight(self) -> bool:
        # Called by scikit-learn for each of several scorers, and by search objects.
        return takes(self._func, "sample_weight")

    def __repr__(self) -> str:
        if self._name is not None:
            return f"sksegment.metrics.{self._name}"
        arguments = [getattr(self._func, "__name__", repr(self._func))]
        if self._response_method != "predict":
            arguments.append(f"response_method={self._response_method!r}")
        if self._sign < 0:
            arguments.append("greater_is_better=False")
        arguments += [f"{key}={value!r}" for key, value in self._kwargs.items()]
        return f"make_segmentation_scorer({', '.join(arguments)})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A request is not part of what the name stands for, and must not get lost.
        if self._name is not None and self._sample_weight_request is None:
            return self._name
        return super().__reduce_ex__(protocol)

    def _settings(self, estimator: Any, sample_weight: Any) -> dict[str, Any]:
        """Return what else the score depends on; explicit arguments win."""
        if sample_weight is not None and not self._accept_sample_weight():
            raise TypeError(
                f"sample_weight was given, but {self!r} takes none: its score function "
                f"has no argument of that name."
            )
        fitted = final_estimator(estimator)
        found = {
            "labels": getattr(fitted, "classes_", None),
            "ignore_label": fitted_ignore_label(fitted),
            "sample_weight": sample_weight,
        }
        return {**found, **self._kwargs}

    def _score_in_chunks(
        self,
        estimator: Any,
        X: Any,
        masks: ImageList,
        settings: dict[str, Any],
        score: Score,
    ) -> Any:
        arguments = other_arguments(self._func, self._kwargs)
        accumulator = score.start(
            settings["labels"], settings["ignore_label"], **arguments
        )
        weights = settings["sample_weight"]
        accumulate_predictions(
            accumulator, estimator, self._response_method, X, masks, weights
        )
        return score.finish(accumulator, **arguments)

    def _score_at_once(
        self, estimator: Any, X: Any, masks: ImageList, settings: dict[str, Any]
    ) -> Any:
        y_pred = getattr(estimator, self._response_method)(X)
        nodata = fitted_nodata(estimator)
        if nodata is not None:
            classes = final_estimator(estimator).classes_
            true, known = split_off_all(masks, y_pred, nodata, classes)
            masks = as_masks(np.stack(true) if masks.is_array else true)
            for index, prediction in enumerate(known):
                y_pred[index] = prediction  # in the container that it came in
        _check_labels(masks, settings["labels"], settings["ignore_label"])
        y_true = masks.items if masks.is_array else list(masks)
        arguments = {
            key: value
            for key, value in settings.items()
            if key in self._kwargs or (value is not None and takes(self._func, key))
        }
        return self._func(y_true, y_pred, **arguments)

    def _as_float(self, score: Any) -> float:
        if np.ndim(score) != 0:
            raise ValueError(
                f"{self!r} got an array of shape {np.shape(score)} from its score "
                f"function; expected one number (average=None gives one per class)."
            )
        return float(score)


def make_segmentation_scorer(
    func: Callable[..., Any],
    *,
    response_method: str = "predict",
    greater_is_better: bool = True,
    **kwargs: Any,
) -> SegmentationScorer:
    """Make a scorer from a score function, for `scoring=` of scikit-learn's tools.

    The scorer takes the labels (`classes_`) and the `ignore_label` from the fitted
    estimator, also through a Pipeline or a search object, and passes them on as
    `labels` and `ignore_label` if `func` takes them. The scores of
    `sksegment.metrics` are computed in chunks of images, so that memory stays flat;
    any other `func` gets all masks at once.

    Parameters
    ----------
    func : callable
        `func(y_true, y_pred, **kwargs)`, which returns a number. `y_true` is an array
        of shape (n, height, width), or a list of (height, width) if `y` was not one
        array; `y_pred` is what the estimator returned.
    response_method : str, default="predict"
        The method of the estimator that gives `y_pred`, such as "predict_proba".
    greater_is_better : bool, default=True
        False for a loss: the scorer then returns its negative.
    **kwargs
        Further arguments of `func`. They win over those of the estimator.

    Returns
    -------
    callable
        `scorer(estimator, X, y, sample_weight=None)`, which returns a float.

    Raises
    ------
    TypeError
        If `func` cannot be called with `kwargs`.

    See Also
    --------
    iou_scorer : The scorer that most searches need.
    sklearn.metrics.make_scorer : The same for labels in one column.

    Examples
    --------
    The mean IoU without the background, whose label is 0:

    >>> from sksegment.metrics import iou_score, make_segmentation_scorer
    >>> make_segmentation_scorer(iou_score, exclude=(0,))
    make_segmentation_scorer(iou_score, exclude=(0,))
    """
    if not callable(func):
        raise TypeError(f"func={func!r} is not callable; expected a score function.")
    # What was bound explicitly wins over the estimator's, like `kwargs`.
    func, kwargs = unwrapped(func, **kwargs)
    signature(func).bind_partial(None, None, **kwargs)
    return SegmentationScorer(
        func, response_method, 1 if greater_is_better else -1, kwargs
    )


def accumulate_predictions(
    accumulator: Accumulator,
    estimator: Any,
    response_method: str,
    X: Any,
    y: Any,
    sample_weight: Any,
) -> None:
    """Predict images in chunks, and add the predictions to `accumulator`."""
    masks = y if isinstance(y, ImageList) else as_masks(y)
    _check_lengths(X, masks)
    weights = as_weights(sample_weight, len(masks))
    predict = getattr(estimator, response_method)
    fitted, nodata = final_estimator(estimator), fitted_nodata(estimator)
    verbose = getattr(fitted, "verbose", 0) if hasattr(fitted, "_predictor") else 0
    shown = with_progress(masks, len(masks), "scoring", "images", verbose)
    for start, chunk in _chunks(shown):
        rows = slice(start, start + len(chunk))
        predictions = _predict_part(predict, X, rows)
        if nodata is not None:
            classes = fitted.classes_
            chunk, predictions = split_off_all(chunk, predictions, nodata, classes)
        part = None if weights is None else weights[rows]
        accumulate_part(accumulator, chunk, predictions, part, first=start)


def _predict_part(predict: Callable[[Any], Any], X: Any, rows: slice) -> Any:
    try:
        return predict(items_at(X, rows))
    except (OSError, TypeError, ValueError) as error:
        # The estimator counts from the start of what it was given.
        if rows.start:
            error.add_note(f"Images are counted from image {rows.start} of X.")
        raise


def _check_lengths(X: Any, masks: ImageList) -> None:
    n_images = n_items(X, "X")
    if n_images != len(masks):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has "
            f"{n_images} images and y has {len(masks)} masks; expected one mask per "
            f"image."
        )


def _check_labels(masks: ImageList, labels: Any, ignore_label: Any) -> None:
    if labels is None:
        return
    labels = as_labels(labels, ignore_label)
    for index, mask in enumerate(masks):
        values = unique_labels([mask], ignore_label)
        positions(values, labels, "y_true", index)


def _chunks(
    masks: Iterable[NDArray[Any]],
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Yield masks in lists of about `CHUNK_PIXELS` pixels, with the first's index."""
    chunk: list[NDArray[Any]] = []
    start, n_pixels = 0, 0
    for index, mask in enumerate(masks):
        if chunk and n_pixels + mask.size > CHUNK_PIXELS:
            yield start, chunk
            start, chunk, n_pixels = index, [], 0
        chunk.append(mask)
        n_pixels += mask.size
    yield start, chunk
