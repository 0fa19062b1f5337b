"""A random forest on the filters of pixels, which learns from a few of them at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from sksegment._inputs.channel_scale import Scale
from sksegment._torch.tensors import images_to_tensor
from sksegment._training.class_shares import estimate_shares, log_scores, shift_scores
from sksegment.networks._filter_bank_fcn import FilterBank

# Gaussians up to a sigma of 16 pixels, as scikit-image's filters have them.
DEPTH = 5
N_TREES = 100
# Answers of filters that are held at a time, which bounds the rows of a strip.
STRIP_VALUES = 2**25

Rows = NDArray[np.float32]


def filter_rows(image: NDArray[Any], scale: Scale) -> Iterator[tuple[slice, Rows]]:
    """Yield strips of an image, each with the answers of all filters, a row a pixel.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image.
    scale : Scale
        How it is standardised.

    Yields
    ------
    tuple of slice and ndarray of shape (n_pixels, n_channels * n_filters)
        The rows of the image that belong to a strip, and the answers in it. They do
        not depend on where the strips end, but for rounding.
    """
    bank = FilterBank(DEPTH)
    height, width, n_channels = image.shape
    n_answers = n_channels * bank.n_filters
    step = max(1, STRIP_VALUES // (width * n_answers))
    for start in range(0, height, step):
        stop = min(start + step, height)
        first = max(0, start - bank.radius)
        around = image[first : stop + bank.radius]
        with torch.inference_mode():
            maps = bank(images_to_tensor([around], scale, torch.device("cpu")))
            strip = maps[0, :, start - first : stop - first]
            rows = strip.permute(1, 2, 0).reshape(-1, n_answers)
        yield slice(start, stop), rows.numpy()


@dataclass(frozen=True)
class PixelForest:
    """A forest, and what its scores are shifted by for the shares of the classes.

    Parameters
    ----------
    trees : RandomForestClassifier
        Fitted to class codes.
    n_classes : int
        Number of classes of the task, some of which may have no labelled pixel.
    shifts : ndarray of shape (n_classes,)
        Added to the logarithms of its probabilities.
    """

    trees: Any
    n_classes: int
    shifts: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        rows: Rows,
        codes: NDArray[np.intp],
        unlabelled: Rows,
        n_classes: int,
        seed: int,
    ) -> Self:
        """Fit a forest to labelled pixels, and shares of classes to some others.

        Parameters
        ----------
        rows : ndarray of shape (n_labelled, n_answers)
            Answers of filters at labelled pixels.
        codes : ndarray of shape (n_labelled,)
            Their classes.
        unlabelled : ndarray of shape (n_unlabelled, n_answers)
            Answers at pixels like those that will be predicted.
        n_classes : int
            Number of classes of the task.
        seed : int
            The seed of the trees.

        Returns
        -------
        PixelForest
            The fitted forest.
        """
        from sklearn.ensemble import RandomForestClassifier

        trees = RandomForestClassifier(N_TREES, oob_score=True, random_state=seed)
        with warnings.catch_warnings():
            # Of a pixel that every tree has seen, which then is left out.
            warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
            warnings.filterwarnings("ignore", "invalid value encountered in divide")
            # Codes are classes, however few pixels there are of each.
            warnings.filterwarnings("ignore", "The number of unique classes")
            trees.fit(rows, codes)
        forest = cls(trees, n_classes, np.zeros(n_classes))
        return cls(trees, n_classes, forest._shifts(codes, unlabelled))

    def _shifts(self, codes: NDArray[np.intp], unlabelled: Rows) -> NDArray[np.float64]:
        """Return the shifts for the shares of the classes where nothing is labelled."""
        unseen = self.trees.oob_decision_function_
        usable = np.isfinite(unseen).all(axis=1)
        if not usable.any():
            return self.shifts
        probabilities = self._all_classes(self.trees.predict_proba(unlabelled))
        winners = probabilities.argmax(axis=1)
        shares = estimate_shares(
            codes[usable],
            self._all_classes(unseen[usable]).argmax(axis=1),
            np.bincount(winners, minlength=self.n_classes),
        )
        return shift_scores(probabilities, shares)

    def predict_proba(self, rows: Rows) -> NDArray[np.float64]:
        """Return the probabilities of the classes, shifted.

        Parameters
        ----------
        rows : ndarray of shape (n, n_answers)
            Answers of filters.

        Returns
        -------
        ndarray of shape (n, n_classes)
            The probabilities.
        """
        probabilities = self._all_classes(self.trees.predict_proba(rows))
        scores = np.exp(log_scores(probabilities) + self.shifts)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    def _all_classes(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """Return probabilities with a column for each class of the task."""
        all_classes = np.zeros((len(probabilities), self.n_classes))
        all_classes[:, self.trees.classes_] = probabilities
        return all_classes
