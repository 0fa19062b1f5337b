"""Probabilities of masks, gone through image by image and block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.containers import as_array
from sksegment._inputs.labels import LabelEncoder, unique_labels
from sksegment._inputs.probabilities import as_probabilities, check_probabilities
from sksegment.metrics._accumulator import (
    BLOCK_PIXELS,
    Weight,
    check_size,
    row_blocks,
)
from sksegment.metrics._confusion_matrix import as_labels, positions
from sksegment.metrics._image_counts import weight_of_image


class ProbabilityAccumulator(ABC):
    """Count something of the probabilities of pixels.

    Parameters
    ----------
    labels : array-like of shape (n_classes,)
        The class of each entry of the probabilities' class axis. If there are none, no
        pixel counts.
    ignore_label : object
        Pixels with this true label are dropped; None drops none.
    by_image : bool, default=False
        Whether the counts of images are kept apart.
    """

    def __init__(
        self, labels: Any, ignore_label: Any, *, by_image: bool = False
    ) -> None:
        self._labels = as_labels(labels, ignore_label)
        self.weights: list[float] = []
        self._by_image = by_image
        self._order = np.argsort(self._labels)
        self._encoder = LabelEncoder(self._labels[self._order], ignore_label)
        self._counts: list[NDArray[np.float64]] = []

    @property
    def labels(self) -> NDArray[Any]:
        """What the columns of the counts stand for."""
        return self._labels

    def class_counts(self) -> NDArray[np.float64]:
        """Return the counts, (n_counts, n_columns), and one more axis by image."""
        if self._by_image:
            return np.stack(self._counts, axis=1)
        return self._counts[0]

    def items(self, predictions: Any) -> Sequence[NDArray[Any]]:
        """Return the probabilities as a sequence of (n_classes, height, width)."""
        return as_probabilities(predictions)

    def add(
        self, mask: NDArray[Any], prediction: NDArray[Any], weight: Weight, index: int
    ) -> None:
        """Count the pixels of image `index`."""
        proba = self._check_shape(
            as_array(prediction, f"y_proba of image {index}"), index
        )
        check_size(mask, proba.shape[1:], "y_proba", index)
        blocks = (mask[rows] for rows in row_blocks(mask.shape))
        values = unique_labels(blocks, self._encoder.ignore_label)
        positions(values, self._labels, "y_true", index)
        counts = []
        for rows in row_blocks(mask.shape, BLOCK_PIXELS // len(self._labels)):
            part = weight[rows] if weight is not None and weight.ndim else weight
            counts.append(self._count_block(mask[rows], proba[:, rows], part, index))
        self._keep(np.sum(counts, axis=0), weight)

    def _keep(self, counts: NDArray[np.float64], weight: Weight) -> None:
        if self._by_image or not self._counts:
            self._counts.append(counts)
            self.weights.append(weight_of_image(weight))
        else:
            self._counts[0] += counts

    def _count_block(
        self, mask: NDArray[Any], proba: NDArray[Any], weight: Weight, index: int
    ) -> NDArray[np.float64]:
        codes = self._encoder.encode(mask)
        weights = np.broadcast_to(1.0 if weight is None else weight, mask.shape)
        # Pixels that do not count may hold anything, NaN included.
        kept = (codes >= 0) & (weights > 0)
        pixels = proba[:, kept]
        check_probabilities(pixels, f"y_proba of image {index}")
        return self._count(self._order[codes[kept]], pixels, weights[kept])

    @abstractmethod
    def _count(
        self,
        true: NDArray[np.intp],
        proba: NDArray[Any],
        weights: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Count pixels by the position of their class, and their probabilities."""

    def _check_shape(self, proba: NDArray[Any], index: int) -> NDArray[Any]:
        if proba.ndim != 3:
            raise ValueError(
                f"y_proba of image {index} has shape {proba.shape}; expected "
                f"(n_classes, height, width)."
            )
        if len(proba) != len(self._labels):
            raise ValueError(
                f"y_proba of image {index} has {len(proba)} classes on its first axis, "
                f"but there are {len(self._labels)} labels; expected one class per "
                f"label. Pass labels=estimator.classes_."
            )
        # As in scikit-learn, everything but float32 becomes float64.
        return (
            proba if proba.dtype == np.float32 else proba.astype(np.float64, copy=False)
        )
