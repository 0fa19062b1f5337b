"""How fast are the scores of boundaries of many masks?

100 masks of 512x512 with 5 classes in smooth areas, of which 8 % of the pixels are
predicted wrong, on one core. MONAI gets them one-hot, as it expects them, in batches;
the boundary IoU of its authors is computed as in their code, with an erosion of scipy.
All contestants must come to the same numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.timing import alternated, timed
from numpy.typing import NDArray
from scipy import ndimage

from sksegment.metrics import (
    boundary_f1_score,
    boundary_iou_score,
    hausdorff_distance,
    surface_dice_score,
)

N_CLASSES = 5
TOLERANCE = 2
PERCENTILE = 95
# Masks that MONAI is given at once.
BATCH = 10

Masks = NDArray[np.uint8]


def rows(options: Options) -> Iterator[Row]:
    n_masks, size, n_rounds = (2, 64, 1) if options.quick else (100, 512, 3)
    y_true, y_pred = smooth_masks(n_masks, size)
    by_class = {"average": None, "over": "images"}
    ours: dict[str, Any] = {
        "boundary IoU": partial(boundary_iou_score, **by_class),
        "surface Dice": partial(surface_dice_score, tolerance=TOLERANCE, **by_class),
        "HD95": partial(hausdorff_distance, percentile=PERCENTILE, **by_class),
        "boundary F1": partial(boundary_f1_score, tolerance=TOLERANCE, **by_class),
    }
    peers: dict[str, Any] = {"boundary IoU": ("authors' code", eroded_iou)}
    if find_spec("monai"):
        peers["surface Dice"] = "MONAI", monai_surface_dice
        peers["HD95"] = "MONAI", monai_hausdorff
        # It has no F1 of boundaries: its surface Dice counts the same edges.
        peers["boundary F1"] = "MONAI, surface Dice", monai_surface_dice
    for score, function in ours.items():
        question = f"{score}, {n_masks} masks {size}x{size}, {N_CLASSES} classes"
        if score not in peers:
            yield missing_row(question, "MONAI", "not installed: monai")
            continue
        name, peer = peers[score]
        if score != "boundary F1":
            check_equal(function(y_true, y_pred), peer(y_true, y_pred))
        contestants = {
            "sksegment": timed(partial(function, y_true, y_pred)),
            name: timed(partial(peer, y_true, y_pred)),
        }
        seconds = alternated(contestants, n_rounds)
        yield ratio_row(question, name, seconds["sksegment"], seconds[name])


def smooth_masks(n_masks: int, size: int) -> tuple[Masks, Masks]:
    rng = np.random.default_rng(0)
    masks = [smooth_pair(rng, size) for _ in range(n_masks)]
    y_true, y_pred = zip(*masks, strict=True)
    return np.stack(y_true), np.stack(y_pred)


def smooth_pair(rng: np.random.Generator, size: int) -> tuple[Masks, Masks]:
    shape = N_CLASSES, size, size
    field = ndimage.gaussian_filter(rng.standard_normal(shape), (0, 12, 12))
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), (0, 3, 3))
    wrong = field + 0.03 * noise
    return field.argmax(axis=0).astype(np.uint8), wrong.argmax(axis=0).astype(np.uint8)


def eroded_iou(y_true: Masks, y_pred: Masks) -> NDArray[np.float64]:
    """Average the boundary IoU of each class over images, in the way of its authors."""
    scores = np.full((len(y_true), N_CLASSES), np.nan)
    for image, pair in enumerate(zip(y_true, y_pred, strict=True)):
        width = max(1, round(0.02 * float(np.hypot(*pair[0].shape))))
        for label in range(N_CLASSES):
            bands = [band(mask == label, width) for mask in pair]
            union = np.logical_or(*bands).sum()
            if union:
                scores[image, label] = np.logical_and(*bands).sum() / union
    return np.nanmean(scores, axis=0)


def band(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width)


def monai_surface_dice(y_true: Masks, y_pred: Masks) -> NDArray[np.float64]:
    from monai.metrics import compute_surface_dice

    thresholds = [float(TOLERANCE)] * N_CLASSES
    return by_batch(
        partial(compute_surface_dice, class_thresholds=thresholds), y_true, y_pred
    )


def monai_hausdorff(y_true: Masks, y_pred: Masks) -> NDArray[np.float64]:
    from monai.metrics import compute_hausdorff_distance

    return by_batch(
        partial(compute_hausdorff_distance, percentile=PERCENTILE), y_true, y_pred
    )


def by_batch(score: Any, y_true: Masks, y_pred: Masks) -> NDArray[np.float64]:
    """Average over images the scores of each class that are numbers."""
    import torch

    def one_hot(masks: Masks) -> torch.Tensor:
        codes = torch.from_numpy(masks).long()
        return torch.nn.functional.one_hot(codes, N_CLASSES).movedim(-1, 1)

    parts = [slice(start, start + BATCH) for start in range(0, len(y_true), BATCH)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that it gives itself
        found = [
            score(one_hot(y_pred[part]), one_hot(y_true[part]), include_background=True)
            for part in parts
        ]
    values = torch.cat(found).double().numpy()
    return np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=0)


def check_equal(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
    if not np.allclose(ours, theirs, rtol=1e-5, equal_nan=True):
        raise AssertionError(f"The contestants disagree: {ours} and {theirs}.")


if __name__ == "__main__":
    run_script(__doc__, rows)
