"""How good is FCNSegmenter on CamVid, from scratch, after the protocol of the papers?

    python docs/benchmarks/scripts/camvid.py --setting segnet --seed 0 [--half]
    python docs/benchmarks/scripts/camvid.py --setting segnet --test IMAGES MASKS
    python docs/benchmarks/scripts/camvid.py --table

Trains on the 367 frames of train, without weights from elsewhere, and keeps the epoch
with the best mean IoU on val. With `--minutes` training stops when they are over, and
the same command goes on from the last epoch. `--test` scores a folder of pairs, once:
the score is kept, and shown when it is asked for again. `--half` does all of it at half
the resolution, for machines without a GPU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from lib.camvid_page import page
from lib.shared import (
    CAMVID_VOID,
    RECORDS,
    Record,
    all_reduced,
    data_folder,
    read_folders,
)
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from skorch.callbacks import EpochTimer

from sksegment import FCNSegmenter
from sksegment.augmentation import (
    RandomBrightness,
    RandomContrast,
    RandomFlip,
    RandomZoom,
)
from sksegment.metrics import iou_score, mean_accuracy_score, pixel_accuracy_score

# Like for like with Table 1 of SegNet: encoder images added to the decoder, 1.5 million
# weights, batch normalisation, SGD at a fixed 0.1, batches of 12, median frequencies,
# no augmentation, and the 10,000 steps of the authors' tutorial (31 an epoch).
SEGNET = {
    "depth": 4,
    "width": 16,
    "skip": "add",
    "norm": "batch",
    "dropout": 0.0,
    "class_weight": "median_frequency",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "learning_rate_schedule": "constant",
    "weight_decay": 5e-4,
    "batch_size": 12,
    "max_epochs": 323,
}
# For the highest scores with at most two million weights.
AUGMENTED = {"width": 24, "loss": "cross_entropy+lovasz", "max_epochs": 300}
SETTINGS: dict[str, dict[str, Any]] = {
    "segnet": SEGNET,
    "default": {},
    "augmented": AUGMENTED,
}
STEPS: dict[str, list[Any]] = {
    "augmented": [
        RandomFlip(),
        RandomZoom((0.75, 1.5)),
        RandomBrightness(),
        RandomContrast((0.7, 1.4)),
    ]
}

Images = NDArray[np.uint8]


class Deadline(EpochTimer):
    """Ends training when time is over, as Ctrl-C would: its checkpoint stays.

    A timer, so that the checkpoint is found again whatever the time is.
    """

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.end = time.monotonic() + 60 * minutes

    def on_batch_end(self, net: Any, **_: Any) -> None:
        if time.monotonic() > self.end:
            raise KeyboardInterrupt


def read(images: Path, masks: Path, half: bool) -> tuple[Images, Images]:
    """Read pairs of images and masks, at half resolution if that is asked for."""
    X, y = read_folders(images, masks)
    if not half:
        return X, y
    small_X, small_y = all_reduced(X, y, 2)
    return np.stack(small_X), np.stack(small_y)


def read_split(data: Path, split: str, half: bool) -> tuple[Images, Images]:
    folder = data / "camvid" / split
    return read(folder / "images", folder / "masks", half)


def segmenter_of(setting: str, seed: int, max_epochs: int | None) -> FCNSegmenter:
    """Return a segmenter that trains all epochs and keeps the best on val."""
    segmenter = FCNSegmenter(
        **SETTINGS[setting],
        classes=range(CAMVID_VOID),
        ignore_label=CAMVID_VOID,
        early_stopping=True,
        random_state=seed,
    )
    n_epochs = max_epochs or segmenter.max_epochs
    return segmenter.set_params(max_epochs=n_epochs, n_iter_no_change=n_epochs)


def task_of(setting: str, half: bool, segmenter: FCNSegmenter) -> dict[str, Any]:
    """Return what a training is known by."""
    parameters = {**segmenter.get_params(), "classes": CAMVID_VOID}
    task = {"setting": setting, "half": half, "parameters": parameters}
    if setting in STEPS:
        task["steps"] = [repr(step) for step in STEPS[setting]]
    return task


def model_path(output: Path, task: dict[str, Any]) -> Path:
    """Return where the model of a training is kept."""
    name = f"{task['setting']}-{task['parameters']['random_state']}"
    told = digest(json.dumps(task, sort_keys=True).encode())
    return output / f"camvid-{name}-{told}.joblib"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def train(segmenter: FCNSegmenter, steps: list[Any], data: Path, half: bool) -> None:
    X, y = read_split(data, "train", half)
    X_val, y_val = read_split(data, "val", half)
    pipeline = Pipeline([*((repr(step), step) for step in steps), ("fcn", segmenter)])
    pipeline.fit(X, y, fcn__X_val=X_val, fcn__y_val=y_val)


def scores_of(segmenter: FCNSegmenter, X: Images, y: Images) -> dict[str, Any]:
    """Return scores from one confusion matrix of all images, without void."""
    y_pred = segmenter.predict(X)
    options = {"labels": range(CAMVID_VOID), "ignore_label": CAMVID_VOID}
    per_class = iou_score(y, y_pred, average=None, **options)
    return {
        "iou": float(iou_score(y, y_pred, **options)),
        "pixel_accuracy": float(pixel_accuracy_score(y, y_pred, **options)),
        "mean_accuracy": float(mean_accuracy_score(y, y_pred, **options)),
        # A class that neither occurs nor is predicted has none.
        "iou_per_class": [None if np.isnan(one) else float(one) for one in per_class],
    }


def of_training(segmenter: FCNSegmenter) -> dict[str, Any]:
    parameters = segmenter.network_.parameters()
    return {
        "n_parameters": sum(parameter.numel() for parameter in parameters),
        "best_epoch": segmenter.best_epoch_,
        "n_epochs": segmenter.n_iter_,
        "seconds": round(sum(row["dur"] for row in segmenter.history_)),
    }


def trained(asked: argparse.Namespace, task: dict[str, Any]) -> FCNSegmenter | None:
    """Return the model of a task, trained now unless it was; None if time was over."""
    path = model_path(asked.output, task)
    if path.exists():
        return joblib.load(path)
    segmenter = segmenter_of(asked.setting, asked.seed, asked.epochs)
    segmenter.set_params(
        checkpoint_dir=asked.output / "checkpoints",
        callbacks=[Deadline(asked.minutes)],
        verbose=1,
    )
    try:
        train(segmenter, STEPS.get(asked.setting, []), asked.data, asked.half)
    except KeyboardInterrupt:
        return None
    segmenter.set_params(checkpoint_dir=None, callbacks=None)
    joblib.dump(segmenter, path)
    return segmenter


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--setting", choices=SETTINGS, default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", action="store_true", help="180x240 pixels")
    parser.add_argument("--epochs", type=int, help="instead of those of the setting")
    parser.add_argument(
        "--minutes", type=float, default=np.inf, help="stop training after these"
    )
    parser.add_argument("--test", type=Path, nargs=2, metavar=("IMAGES", "MASKS"))
    parser.add_argument(
        "--output", type=Path, default=Path("camvid"), help="models and checkpoints"
    )
    parser.add_argument("--results", type=Path, default=RECORDS / "camvid.jsonl")
    parser.add_argument("--table", action="store_true", help="only write the page")
    return parser.parse_args()


def score(
    asked: argparse.Namespace, task: dict[str, Any], segmenter: FCNSegmenter
) -> None:
    """Score val, and the test pairs where they are named; each of them once."""
    pairs = {"val": read_split(asked.data, "val", asked.half)}
    if asked.test:
        pairs["test"] = read(*asked.test, asked.half)
    record = Record(asked.results)
    for name, (X, y) in pairs.items():
        known = {**task, "scored": name, "pairs": digest(X.tobytes() + y.tobytes())}
        if record.find(known) is None:
            found = scores_of(segmenter, X, y)
            record.add(known, {**of_training(segmenter), **found})
        print(f"{name}: {record.find(known)}", flush=True)


def main() -> None:
    asked = arguments()
    if asked.table:
        Record(asked.results).write_page(page)
        return
    asked.output.mkdir(parents=True, exist_ok=True)
    segmenter = segmenter_of(asked.setting, asked.seed, asked.epochs)
    task = task_of(asked.setting, asked.half, segmenter)
    model = trained(asked, task)
    if model is None:
        print("Stopped before the end; the same command goes on from the last epoch.")
        return
    score(asked, task, model)


if __name__ == "__main__":
    main()
