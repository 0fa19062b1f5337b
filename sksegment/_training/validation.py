"""Held-out samples, and how a network is judged on them."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sksegment._inputs.labels import LabelEncoder
from sksegment._inputs.nodata import split_off
from sksegment._inputs.random import SPLIT, random_generator
from sksegment._inputs.samples import Samples
from sksegment._prediction.predictor import Predictor
from sksegment._torch.out_of_memory import OutOfMemory, attempt
from sksegment.losses._factory import class_weight_of_mean
from sksegment.metrics._averaging import weighted_mean
from sksegment.metrics._confusion_matrix import ConfusionAccumulator
from sksegment.metrics._formulas import iou

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Validation:
    """Held-out samples, and how a network is judged on them.

    Parameters
    ----------
    samples : Samples
        Images and masks that are not trained on.
    encoder : LabelEncoder
        The classes and the ignored label.
    predictor : Predictor
        Runs the network.
    criterion : nn.Module
        The loss, on the predictor's device.
    """

    samples: Samples
    encoder: LabelEncoder
    predictor: Predictor
    criterion: nn.Module

    def __len__(self) -> int:
        """Return 0: a validation is one judgement, not a number of batches."""
        return 0

    def scores(self) -> tuple[float, float]:
        """Return the loss and the mean IoU over all samples, without augmentation."""
        classes, ignored = self.encoder.classes, self.encoder.ignore_label
        confusion = ConfusionAccumulator(classes, ignored)
        class_weight = class_weight_of_mean(self.criterion)
        losses, shares = [], []
        predictions = self.predictor.probabilities(self.samples.images)
        for index, probabilities in enumerate(predictions):
            mask = self.samples.masks[index]
            if self.samples.nodata is not None:
                mask, probabilities = split_off(
                    mask, probabilities, self.samples.nodata, classes
                )
            weight = self.samples.weight(index)
            codes = self.encoder.encode(mask, self.samples.masks.name(index))
            losses.append(self._loss(probabilities, codes, weight))
            shares.append(share_of_loss(codes, weight, class_weight))
            predicted = self.encoder.decode(probabilities.argmax(axis=0))
            confusion.add(mask, predicted, weight, index)
        loss = np.average(losses, weights=shares) if any(shares) else math.nan
        mean_iou = weighted_mean(iou(confusion.class_counts()), np.array(1.0))
        return float(loss), float(mean_iou)

    def _loss(
        self,
        probabilities: NDArray[np.float32],
        codes: NDArray[np.int32],
        weight: NDArray[np.float64] | None,
    ) -> float:
        judge = partial(loss_of, probabilities, codes, weight)
        device = self.predictor.device
        loss = attempt(partial(judge, self.criterion, device), device)
        if isinstance(loss, OutOfMemory):  # a large image, which is predicted in tiles
            loss = judge(deepcopy(self.criterion).to(CPU), CPU)
        return loss


def share_of_loss(
    codes: NDArray[np.int32],
    weight: NDArray[np.float64] | None,
    class_weight: NDArray[np.float32] | None,
) -> float:
    """Return what the loss of an image counts in that of all: what it is divided by.

    Parameters
    ----------
    codes : ndarray of shape (height, width)
        Class codes, negative where ignored.
    weight : ndarray or None
        Of the image, or of each pixel; those of weight 0 are ignored.
    class_weight : ndarray of shape (n_classes,) or None
        Weights of the classes in the mean over the pixels, if it has some.

    Returns
    -------
    float
        The number of the pixels that are not ignored, or the sum of the weights of
        their classes.
    """
    counted = codes >= 0 if weight is None else (codes >= 0) & (weight > 0)
    if class_weight is None:
        return float(counted.sum())
    return float(class_weight[codes[counted]].sum(dtype=np.float64))


def loss_of(
    probabilities: NDArray[np.float32],
    codes: NDArray[np.int32],
    weight: NDArray[np.float64] | None,
    criterion: nn.Module,
    device: torch.device,
) -> float:
    """Return the loss of one image, computed on a device.

    Parameters
    ----------
    probabilities : ndarray of shape (n_classes, height, width)
        Of each class.
    codes : ndarray of shape (height, width)
        Class codes, negative where ignored.
    weight : ndarray or None
        Of the image, or of each pixel.
    criterion : nn.Module
        The loss, on the device.
    device : torch.device
        Where it is computed.
    """
    smallest = np.finfo(np.float32).tiny
    # The logarithms of probabilities are scores with exactly these probabilities.
    scores = torch.from_numpy(np.log(probabilities.clip(min=smallest)))
    target = torch.from_numpy(codes).to(device, torch.int64)
    weights = None
    if weight is not None:
        spread = np.broadcast_to(weight, codes.shape).astype(np.float32)
        weights = torch.from_numpy(spread)[None].to(device)
    with torch.no_grad():
        loss = criterion(scores[None].to(device), target[None], weights)
    return float(loss)


def split_indices(
    n_images: int, fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Divide images at random into training and validation.

    Parameters
    ----------
    n_images : int
        The images that take part.
    fraction : float
        The share to hold out; at least one image is held out, and at least one left.
    seed : int
        The seed of the draw.

    Returns
    -------
    training, validation : ndarray
        Indices in ascending order.

    Raises
    ------
    ValueError
        If there are fewer than two images.
    """
    if n_images < 2:
        raise ValueError(
            f"early_stopping=True holds out validation images, but {n_images} "
            f"image takes part in training; expected at least 2, or X_val and y_val."
        )
    rng = random_generator(SPLIT, seed)
    n_held_out = min(max(1, round(fraction * n_images)), n_images - 1)
    shuffled = rng.permutation(n_images)
    return np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])
