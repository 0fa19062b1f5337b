"""How fast is the mean IoU of many masks?

100 masks of 512x512 with 21 classes in patches of 16 pixels, of which 85 % are
predicted right; with --data, those of CamVid as well. All contestants must come to the
same number.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.timing import Contestant, alternated, timed
from numpy.typing import NDArray
from skimage.io import imread
from sklearn.metrics import jaccard_score

from sksegment.metrics import iou_score

N_CLASSES = 21
PATCH = 16
AIMS = {"jaccard_score": 60.0, "np.bincount": 1.5, "torchmetrics": 15.0}
# Masks that torchmetrics is given at once.
BATCH = 10

Masks = NDArray[np.uint8]


def rows(options: Options) -> Iterator[Row]:
    n_masks, size, n_rounds = (2, 64, 1) if options.quick else (100, 512, 5)
    y_true, y_pred = patchy_masks(n_masks, size)
    contestants = all_contestants(y_true, y_pred)
    seconds = alternated(contestants, n_rounds)
    question = f"mean IoU, {n_masks} masks {size}x{size}, {N_CLASSES} classes"
    for peer, aim in AIMS.items():
        if peer in seconds:
            yield ratio_row(
                question, peer, seconds["sksegment"], seconds[peer], aim=aim
            )
        else:
            yield missing_row(question, peer, f"not installed: {peer}")
    if options.data is not None:
        yield from real_rows(options.data, 3 * n_rounds)  # they take milliseconds


def real_rows(data: Path, n_rounds: int) -> Iterator[Row]:
    """Count real masks, predicted three pixels too far to the right."""
    files = sorted((data / "camvid" / "val" / "masks").glob("*.png"))
    question = f"mean IoU, {len(files)} masks of CamVid, 12 classes"
    if not files:
        yield missing_row(question, "np.bincount", "no camvid/val/masks in --data")
        return
    y_true = np.stack([imread(file) for file in files])
    contestants = all_contestants(y_true, np.roll(y_true, 3, axis=2))
    for peer, aim in {"np.bincount": 2.5, "jaccard_score": None}.items():
        pair = {name: contestants[name] for name in ("sksegment", peer)}
        seconds = alternated(pair, n_rounds)
        yield ratio_row(question, peer, seconds["sksegment"], seconds[peer], aim=aim)


def patchy_masks(n_masks: int, size: int) -> tuple[Masks, Masks]:
    rng = np.random.default_rng(0)
    patches = rng.integers(N_CLASSES, size=(n_masks, size // PATCH, size // PATCH))
    y_true = patches.repeat(PATCH, axis=1).repeat(PATCH, axis=2).astype(np.uint8)
    wrong = rng.integers(N_CLASSES, size=y_true.shape, dtype=np.uint8)
    return y_true, np.where(rng.random(y_true.shape) < 0.85, y_true, wrong)


def all_contestants(y_true: Masks, y_pred: Masks) -> dict[str, Contestant]:
    functions = {
        "sksegment": lambda: iou_score(y_true, y_pred),
        "jaccard_score": lambda: jaccard_score(
            y_true.ravel(), y_pred.ravel(), average="macro"
        ),
        "np.bincount": lambda: bincount_iou(y_true, y_pred),
    }
    if find_spec("torchmetrics"):
        functions["torchmetrics"] = lambda: torchmetrics_iou(y_true, y_pred)
    values = {name: float(function()) for name, function in functions.items()}
    if not np.allclose(list(values.values()), values["sksegment"], atol=1e-5):
        raise AssertionError(f"The contestants disagree: {values}.")
    return {name: timed(function) for name, function in functions.items()}


def bincount_iou(y_true: Masks, y_pred: Masks) -> float:
    """Count as is often recommended: one bincount of all pairs, in 64 bits."""
    pairs = N_CLASSES * y_true.ravel().astype(np.int64) + y_pred.ravel()
    counts = np.bincount(pairs, minlength=N_CLASSES**2).reshape(N_CLASSES, N_CLASSES)
    hits = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    return float(np.mean(hits[union > 0] / union[union > 0]))


def torchmetrics_iou(y_true: Masks, y_pred: Masks) -> float:
    import torch
    from torchmetrics.classification import MulticlassJaccardIndex

    metric = MulticlassJaccardIndex(N_CLASSES)
    for start in range(0, len(y_true), BATCH):
        part = slice(start, start + BATCH)
        metric.update(torch.from_numpy(y_pred[part]), torch.from_numpy(y_true[part]))
    return float(metric.compute())


if __name__ == "__main__":
    run_script(__doc__, rows)
