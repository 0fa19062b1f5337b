"""Two predictions compared over the same images: interval and test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sksegment._inputs.checks import check_integer, check_number
from sksegment._inputs.image_files import is_path
from sksegment._inputs.image_list import as_masks
from sksegment._inputs.random import as_random_state, own_random_state
from sksegment.metrics._bootstrap import draw_images, row_ranges
from sksegment.metrics._image_sample import ImageSample
from sksegment.metrics._image_scores import sample_images
from sksegment.metrics._overlap import iou_score
from sksegment.metrics._score import takes_probabilities

if TYPE_CHECKING:
    from sklearn.utils import Bunch

# Differences closer than this are equal: sums of the same numbers in another order.
ROUNDING = 1e-12

Rows = NDArray[np.float64]


def compare_scores(
    y_true: Any,
    y_pred_a: Any,
    y_pred_b: Any,
    *,
    score: Callable[..., Any] = iou_score,
    labels: ArrayLike | None = None,
    ignore_label: Any = None,
    sample_weight: Any = None,
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    random_state: int | np.random.RandomState | None = 0,
) -> Bunch:
    """Compare the scores of two predictions of the same images.

    The interval says how large the difference may be on other images of the same kind:
    Student's t times the standard error, which a bootstrap over images estimates [1]_.
    The p-value says how often the difference would be as large or larger if it did not
    matter which prediction of an image came from which model: a paired permutation test
    over images.

    Parameters
    ----------
    y_true : array-like of shape (n, height, width) or sequence of mask or of path
        True masks.
    y_pred_a : array-like of shape (n, height, width) or sequence of mask or of path, \
            or list of these
        Predicted masks of one model; for a score of probabilities of
        `sksegment.metrics`, such as `pixel_log_loss`, what `predict_proba` returns.
        Functions of your own get masks. A list of several predictions stands for
        several trainings of the same model, such as with several seeds, whose scores
        are averaged.
    y_pred_b : array-like of shape (n, height, width) or sequence of mask or of path, \
            or list of these
        The same of the other model, from as many trainings.
    score : callable, default=iou_score
        A score function, `score(y_true, y_pred, **kwargs)`, which returns a number.
        :func:`functools.partial` binds its arguments. Scores of `sksegment.metrics` are
        computed anew from the pooled counts of each sample of images, or averaged with
        `over="images"`; those of other functions are averaged over images, with the
        weights that images have.
    labels : array-like of shape (n_classes,), default=None
        All classes of the task; by default those that occur.
    ignore_label : object, default=None
        The true label of pixels that do not count.
    sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
            array-like of shape (height, width), default=None
        Weights, one per image or one per pixel.
    confidence_level : float, default=0.95
        How often the interval should hold the difference.
    n_resamples : int, default=9999
        How many samples are drawn, for the interval and for the test each. With so few
        images that there are no more ways to exchange predictions than this, the test
        goes through all of them.
    random_state : int, RandomState instance or None, default=0
        Fixes the draws. None draws anew on each call; numpy's global generator is
        neither read nor advanced.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        With the entries

        difference : float
            The score of a less that of b.
        interval : tuple of float
            The interval of the difference, (low, high). With several trainings, it
            allows for their spread as well [2]_.
        p_value : float
            That of the two-sided test over images. It is about these trained models.
        score_a, score_b : float
            The two scores.
        n_images : int
            The number of images in which both scores are defined. The others take no
            part.
        p_value_trainings : float
            Only with several trainings: that of the two-sided test which exchanges
            whole trainings, and is about the way of training. Of `k` trainings of each,
            it cannot be smaller than twice the number of ways to choose `k` of `2 * k`,
            inverted: 0.1 for 3, 0.029 for 4, 0.008 for 5.

    Raises
    ------
    ValueError, TypeError
        As the score function; if it does not take weights of pixels that are given, or
        binds others; if there are fewer than two images, or not as many trainings of
        each model; if a parameter is out of range.

    See Also
    --------
    image_scores : The score of each image.
    segmentation_report : Intervals of the scores of one prediction.

    Notes
    -----
    Images must be drawn independently. Those of one patient, or tiles of one scene, are
    alike: the interval is then too narrow, and the p-value too small. In simulations,
    intervals of 95 % held the difference of the mean IoU 95.6 % of the time with 10
    images, 96.3 % with 20, and 95.9 % with 50.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman &
       Hall, 1993, chapter 12.
    .. [2] F. E. Satterthwaite, "An Approximate Distribution of Estimates of Variance
       Components", Biometrics Bulletin 2(6), 1946.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.metrics import compare_scores
    >>> X, y = make_shapes(20, random_state=0)
    >>> comparison = compare_scores(y, np.roll(y, 1, axis=2), np.roll(y, 3, axis=1))
    >>> round(comparison.difference, 2)
    0.16
    >>> comparison.p_value < 0.001
    True
    """
    check_number("confidence_level", confidence_level, 0, 1, closed="neither")
    check_integer("n_resamples", n_resamples, 1)
    as_random_state(random_state)
    masks = as_masks(y_true, "y_true")
    n_axes = 4 if takes_probabilities(score) else 3
    runs = _trainings(y_pred_a, n_axes), _trainings(y_pred_b, n_axes)
    if len(runs[0]) != len(runs[1]):
        raise ValueError(
            f"y_pred_a holds predictions of {len(runs[0])} trainings, and y_pred_b of "
            f"{len(runs[1])}; expected as many of each."
        )
    images = sample_images(
        score, masks, [*runs[0], *runs[1]], labels, ignore_label, sample_weight
    )
    return compare_samples(
        images,
        len(masks),
        len(runs[0]),
        confidence_level,
        int(n_resamples),
        random_state,
    )


def compare_samples(
    images: ImageSample,
    n_masks: int,
    n_trainings: int,
    confidence_level: float,
    n_resamples: int,
    random_state: Any,
) -> Bunch:
    """Compare the images of the trainings of a, in turn, with those of b after them."""
    from sklearn.utils import Bunch

    pair = _Pair(images, n_masks, n_trainings)
    rng = own_random_state(random_state)
    scores = pair.scores(np.ones((1, pair.n_images)))[..., 0]
    of_a, of_b = (float(part.mean()) for part in scores)
    difference = of_a - of_b
    parts = [pair.variance_over_images(rng, n_resamples)]
    if n_trainings > 1:
        parts += [
            Variance(of.var(ddof=1) / n_trainings, n_trainings - 1) for of in scores
        ]
    result = Bunch(
        difference=difference,
        interval=_interval(difference, parts, confidence_level),
        p_value=_p_value(difference, pair.swapped_differences(rng, n_resamples)),
        score_a=of_a,
        score_b=of_b,
        n_images=pair.n_images,
    )
    if pair.n_trainings > 1:
        exchanged = _exchanged_differences(scores, rng, n_resamples)
        result.p_value_trainings = _p_value(difference, exchanged)
    return result


class Variance(NamedTuple):
    """An estimated variance, and its degrees of freedom."""

    value: float
    freedom: float


@dataclass(frozen=True)
class Differences:
    """Differences under the hypothesis of a test.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        The differences.
    are_all : bool
        Whether these are all that are possible, and not a sample.
    """

    values: Rows
    are_all: bool


class _Pair:
    """The images of two models, of one or several trainings each.

    Parameters
    ----------
    images : ImageSample
        The images of the trainings of a, one after the other, then of those of b.
    n_masks : int
        The number of images of each.
    n_trainings : int
        The number of trainings of each model.
    """

    def __init__(self, images: ImageSample, n_masks: int, n_trainings: int) -> None:
        defined = images.defined().reshape(2 * n_trainings, n_masks).all(axis=0)
        kept = np.flatnonzero(defined)
        if len(kept) < 2:
            raise ValueError(
                f"The scores of a and b are both defined in {len(kept)} images; "
                f"expected at least 2, which can be resampled."
            )
        self._images = images
        self._places = kept + n_masks * np.arange(2 * n_trainings)[:, np.newaxis]
        self.n_images = len(kept)
        self.n_trainings = n_trainings

    def scores(self, times: Rows) -> Rows:
        """Return the scores of samples of images, (2, n_trainings, n_rows)."""
        scores = [self._images.take(images).scores(times) for images in self._places]
        return np.reshape(scores, (2, self.n_trainings, len(times)))

    def variance_over_images(self, rng: np.random.RandomState, n_rows: int) -> Variance:
        """Return how much the difference varies with the images, by a bootstrap."""
        drawn = []
        for times in draw_images(rng, self.n_images, n_rows):
            a, b = self.scores(times).mean(axis=1)
            drawn.append(a - b)
        # Samples vary by the share of images that are repeated too little.
        n_free = self.n_images - 1
        return Variance(
            np.nanvar(np.concatenate(drawn)) * self.n_images / n_free, n_free
        )

    def swapped_differences(
        self, rng: np.random.RandomState, n_rows: int
    ) -> Differences:
        """Return the differences if models exchange predictions of some images."""
        drawn = [self._swapped(swaps) for swaps in _swaps(rng, self.n_images, n_rows)]
        return Differences(np.concatenate(drawn), 2**self.n_images <= n_rows)

    def _swapped(self, swaps: Rows) -> Rows:
        differences = []
        for pair in zip(*np.split(self._places, 2), strict=True):
            images = self._images.take(np.concatenate(pair))
            a = images.scores(np.hstack([1 - swaps, swaps]))
            differences.append(a - images.scores(np.hstack([swaps, 1 - swaps])))
        return np.mean(differences, axis=0)


def _swaps(rng: np.random.RandomState, n_images: int, n_rows: int) -> Iterator[Rows]:
    """Yield, in blocks of rows, which images are exchanged: all ways, or a sample."""
    is_all = 2**n_images <= n_rows
    for start, stop in row_ranges(2**n_images if is_all else n_rows, n_images):
        if is_all:
            ways = np.arange(start, stop)[:, np.newaxis]
            yield (ways >> np.arange(n_images) & 1).astype(np.float64)
        else:
            yield rng.randint(2, size=(stop - start, n_images)).astype(np.float64)


def _exchanged_differences(
    scores: Rows, rng: np.random.RandomState, n_rows: int
) -> Differences:
    """Return the differences if any half of the trainings were those of a."""
    pooled, half = scores.ravel(), scores.shape[1]
    is_all = comb(len(pooled), half) <= n_rows
    if is_all:
        chosen = np.array([*combinations(range(len(pooled)), half)])
    else:
        order = rng.random_sample((n_rows, len(pooled))).argsort(axis=1)
        chosen = order[:, :half]
    a = pooled[chosen].mean(axis=1)
    # Both halves are equally large: the mean of all is between those of the two.
    return Differences(2 * (a - pooled.mean()), is_all)


def _interval(
    difference: float, parts: list[Variance], confidence_level: float
) -> tuple[float, float]:
    """Return Student's t interval of a variance that is the sum of some parts."""
    from scipy.stats import t

    total = sum(part.value for part in parts)
    if total == 0:
        return difference, difference
    freedom = total**2 / sum(part.value**2 / part.freedom for part in parts)
    reach = t.ppf((1 + confidence_level) / 2, freedom) * np.sqrt(total)
    return float(difference - reach), float(difference + reach)


def _p_value(observed: float, differences: Differences) -> float:
    """Return how often a difference is at least as large as the one observed."""
    values = np.abs(differences.values)
    n_large = int((values >= abs(observed) - ROUNDING).sum())
    if differences.are_all:
        return n_large / len(values)
    return (n_large + 1) / (len(values) + 1)


def _trainings(predictions: Any, n_axes: int) -> list[Any]:
    """Return the predictions of each training, which have `n_axes` axes."""
    is_several = _n_axes(predictions) > n_axes
    return list(predictions) if is_several else [predictions]


def _n_axes(data: Any, depth: int = 0) -> int:
    """Count the axes of predictions that lie `depth` lists deep; a file has two."""
    if is_path(data):
        return depth + 2 if depth < 3 else depth  # rather a label in nested lists
    if hasattr(data, "iloc"):
        data = list(data)
    is_list = isinstance(data, (list, tuple)) or np.asarray(data).dtype == object
    if is_list and len(data):
        return _n_axes(data[0], depth + 1)
    shape = np.shape(data)
    return depth + len(shape) - (len(shape) > 2 and shape[-1] == 1)
