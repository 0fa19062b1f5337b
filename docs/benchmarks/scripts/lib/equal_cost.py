"""One run of the defaults' table: a setting, trained at a given cost, and scored."""

# A module of its own, so that worker processes import it by name.

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline
from torch.utils.flop_counter import FlopCounterMode

from lib.image_sets import ImageSet
from lib.trial_parts import AveragedWeights, smoothed_cross_entropy
from sksegment import FCNSegmenter
from sksegment._training.batches import images_in_batch
from sksegment.augmentation import RandomFlip, RandomRotation, RandomZoom
from sksegment.networks import FCN

# What a run may cost at a budget of 1: half a minute of one core in bfloat16.
MULTIPLY_ADDS = 1.5e12
# Settings that are no parameters of FCNSegmenter, and what they stand for.
TRIALS: dict[str, dict[str, Any]] = {
    "label_smoothing": {"loss": smoothed_cross_entropy},
    "averaged_weights": {"callbacks": [AveragedWeights()]},
    "augmented": {},
}


@dataclass(frozen=True)
class Task:
    """A run: all images at a `budget` of MULTIPLY_ADDS, or `n_images` as they come."""

    image_set: str
    setting: str
    seed: int
    parameters: dict[str, Any]
    budget: float | None = None
    n_images: int | None = None


def run(task: Task, images: ImageSet) -> tuple[Task, dict[str, Any]]:
    """Train and score; return the task with what came out."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    chosen = drawn(images, task)
    costs = multiply_adds(task.parameters, images)
    cost = sum(costs[index] for index in chosen)
    segmenter = segmenter_of(task, images, cost)
    result = {
        "diverged": not fitted(model_of(task, segmenter), images, chosen),
        **judged(segmenter, images),
        "n_seen": n_classes_of(images, [images.y[index] for index in chosen]),
        "n_steps": segmenter.max_epochs * steps_of_an_epoch(segmenter, len(chosen)),
        "multiply_adds": segmenter.max_epochs * cost,
        "seconds": round(time.perf_counter() - start, 1),
    }
    return task, result


def steps_of_an_epoch(segmenter: FCNSegmenter, n_images: int) -> int:
    return -(
        -n_images
        // images_in_batch(segmenter.batch_size, n_images, segmenter.max_epochs)
    )


def drawn(images: ImageSet, task: Task) -> list[int]:
    """Return which images to train on: all, or the few that the seed draws."""
    order = np.random.default_rng(task.seed).permutation(len(images.X))
    return [int(index) for index in order[: task.n_images]]


def multiply_adds(parameters: dict[str, Any], images: ImageSet) -> list[float]:
    """Count what an epoch costs for each image: its forward pass, three times.

    Backward costs twice as much: there are the gradients of inputs and of weights.
    """
    options = {name: parameters[name] for name in ("depth", "width", "skip", "norm")}
    with torch.device("meta"):
        network = FCN(images.n_channels, len(images.classes), **options)
    costs = {
        shape: forward_multiply_adds(network, (1, images.n_channels, *shape))
        for shape in {mask.shape for mask in images.y}
    }
    return [3 * costs[mask.shape] for mask in images.y]


def forward_multiply_adds(network: FCN, shape: tuple[int, ...]) -> float:
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(shape, device="meta"))
    # A multiplication and an addition are two operations of the counter.
    return float(counter.get_total_flops() / 2)


def segmenter_of(task: Task, images: ImageSet, cost: float) -> FCNSegmenter:
    """Return the segmenter of a task, with the epochs that its budget comes to."""
    parameters = dict(task.parameters)
    trials = [TRIALS[name] for name in TRIALS if parameters.pop(name, False)]
    segmenter = FCNSegmenter(**parameters)
    for trial in trials:
        segmenter.set_params(**trial)
    segmenter.set_params(
        classes=images.classes, ignore_label=images.ignore_label, random_state=task.seed
    )
    if task.budget is not None:
        n_epochs = round(task.budget * MULTIPLY_ADDS / cost)
        segmenter.set_params(max_epochs=max(1, n_epochs))
    return segmenter


def model_of(task: Task, segmenter: FCNSegmenter) -> FCNSegmenter | Pipeline:
    """Return what is fitted: the segmenter, augmented where that is asked for."""
    if not task.parameters.get("augmented"):
        return segmenter
    return make_pipeline(RandomFlip(), RandomRotation(15), RandomZoom(), segmenter)


def fitted(
    model: FCNSegmenter | Pipeline, images: ImageSet, chosen: Sequence[int]
) -> bool:
    """Fit; return whether the loss stayed finite."""
    X, y = [images.X[index] for index in chosen], [images.y[index] for index in chosen]
    with warnings.catch_warnings():
        # Classes that are never predicted are counted below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(X, y)
        except ValueError as error:
            if "NaN or infinite" not in str(error):
                raise
            return False
    return True


def judged(segmenter: FCNSegmenter, images: ImageSet) -> dict[str, Any]:
    """Return the mean IoU on the test images, and how many classes are predicted."""
    if not hasattr(segmenter, "network_"):  # diverged in its first epoch
        return {"iou": 0.0, "n_predicted": 0}
    y_pred = segmenter.predict(images.X_test)
    return {"iou": images.mean_iou(y_pred), "n_predicted": n_classes_of(images, y_pred)}


def n_classes_of(images: ImageSet, masks: Any) -> int:
    found = np.unique(np.concatenate([np.ravel(mask) for mask in masks]))
    return int(np.isin(images.classes, found).sum())
