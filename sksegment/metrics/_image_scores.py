"""The score of each single image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.image_list import ImageList, as_masks
from sksegment._inputs.sample_weight import as_weights
from sksegment.metrics._accumulator import accumulate_all, check_numbers
from sksegment.metrics._image_counts import weight_of_image
from sksegment.metrics._image_sample import AveragedSample, ImageSample
from sksegment.metrics._overlap import iou_score
from sksegment.metrics._score import SCORES, other_arguments, takes, unwrapped

Weights = Sequence[NDArray[np.float64]] | None


def image_scores(
    y_true: Any,
    y_pred: Any,
    *,
    score: Callable[..., Any] = iou_score,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    sample_weight: Any = None,
) -> NDArray[np.float64]:
    """Score each image by itself.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred : array-like of shape (n, height, width) or sequence of mask or of path
        Predicted masks; for a score of probabilities of `sksegment.metrics`, such as
        `pixel_log_loss`, what `predict_proba` returns. Functions of your own get masks.
    score : callable, default=iou_score
        A score function, `score(y_true, y_pred, **kwargs)`, which returns a number.
        :func:`functools.partial` binds its arguments. Scorers are no score functions.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    sample_weight : sequence of array-like of shape (height, width), default=None
        Weights of the pixels. One weight per image changes no score of an image; an
        image of weight 0 has none (NaN).

    Returns
    -------
    ndarray of shape (n,)
        The scores. The mean of those that are not NaN is the score with
        `over="images"`.

    Raises
    ------
    ValueError, TypeError
        As the score function; if `score` is not callable, or does not return a number;
        if weights are given that it does not take, or binds already.

    See Also
    --------
    compare_scores : Compares two predictions image by image.

    Examples
    --------
    The worst image, by its number:

    >>> import numpy as np
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.metrics import image_scores
    >>> X, y = make_shapes(5, random_state=0)
    >>> y_pred = y.copy()
    >>> y_pred[3, :, 20:] = 0
    >>> scores = image_scores(y, y_pred)
    >>> int(np.argmin(scores))
    3

    By another score:

    >>> from functools import partial
    >>> from sksegment.metrics import boundary_f1_score
    >>> image_scores(y, y_pred, score=partial(boundary_f1_score, tolerance=2))[0]
    np.float64(1.0)
    """
    masks = as_masks(y_true, "y_true")
    sample = sample_images(
        score, masks, [y_pred], labels, ignore_label, sample_weight, over="images"
    )
    return sample.scores(np.eye(len(masks)))


def sample_images(
    score: Any,
    masks: ImageList,
    runs: Sequence[Any],
    labels: Any,
    ignore_label: Any,
    sample_weight: Any,
    over: str | None = None,
) -> ImageSample:
    """Return the images of several runs of predictions, one run after the other.

    `over` takes the place of what the score says itself.
    """
    if not callable(score):
        raise TypeError(f"score is {score!r}; expected a score function.")
    _check_no_scorer(score)
    function, keywords = unwrapped(score)
    sample_weight = _only_weights(keywords.pop("sample_weight", None), sample_weight)
    known = {"labels": labels, "ignore_label": ignore_label, **keywords}
    if function not in SCORES:
        weights = as_weights(sample_weight, len(masks))
        _check_takes_weights(function, weights)
        values = [_score_alone(function, masks, run, known, weights) for run in runs]
        of_images = _weights_of_images(weights, len(masks))
        return AveragedSample(np.concatenate(values), np.tile(of_images, len(runs)))
    arguments = other_arguments(function, keywords)
    if over is not None:
        arguments["over"] = over
    if arguments.get("average", "macro") is None:
        raise ValueError("average is None in score; expected one number per image.")
    entry = SCORES[function]
    labels = entry.known_labels(masks, known["labels"], known["ignore_label"])
    accumulator = entry.start(labels, known["ignore_label"], by_image=True, **arguments)
    for run in runs:
        accumulate_all(accumulator, masks, run, sample_weight)
    return entry.sample(accumulator, **arguments)


def _check_no_scorer(score: Any) -> None:
    """Reject what scores an estimator; that of scikit-learn keeps its function, too."""
    of_scorer = getattr(score, "_func", getattr(score, "_score_func", None))
    if of_scorer is not None:
        raise TypeError(
            f"score is {score!r}, a scorer, which takes an estimator; expected its "
            f"score function: score={getattr(of_scorer, '__name__', of_scorer)}."
        )


def _only_weights(bound: Any, passed: Any) -> Any:
    """Return the weights that the score binds, or those of the call."""
    if bound is not None and passed is not None:
        raise TypeError(
            "sample_weight was given, and score binds another; expected one of them."
        )
    return passed if bound is None else bound


def _check_takes_weights(function: Callable[..., Any], weights: Weights) -> None:
    """Reject weights of pixels for a function that could not use them."""
    if weights is None or takes(function, "sample_weight"):
        return
    if any(weight.ndim for weight in weights):
        raise TypeError(
            f"sample_weight holds weights of pixels, but score={function!r} takes "
            f"none: it has no argument of that name. Expected one weight per image, or "
            f"a score function with the argument sample_weight."
        )


def _weights_of_images(weights: Weights, n_images: int) -> NDArray[np.float64]:
    """Return what each image counts in a mean of scores."""
    if weights is None:
        return np.ones(n_images)
    return np.array([weight_of_image(weight) for weight in weights])


def _score_alone(
    function: Callable[..., Any],
    masks: ImageList,
    predictions: Any,
    keywords: dict[str, Any],
    weights: Weights,
) -> NDArray[np.float64]:
    """Call a function of the user's own for each image."""
    predicted = as_masks(predictions, "y_pred")
    check_numbers(masks, predicted)
    values = []
    for index, (mask, prediction) in enumerate(zip(masks, predicted, strict=True)):
        if weights is not None:
            keywords["sample_weight"] = weights[index][np.newaxis]
        passed = {
            key: value
            for key, value in keywords.items()
            if value is not None and takes(function, key)
        }
        value = function(mask[np.newaxis], prediction[np.newaxis], **passed)
        if np.ndim(value):
            raise ValueError(
                f"score returned an array of shape {np.shape(value)} for image "
                f"{index}; expected one number per image."
            )
        values.append(float(value))
    return np.array(values)
