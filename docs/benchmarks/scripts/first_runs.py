"""First runs on real images: membranes, road scenes and a sample of PASCAL VOC.

    python docs/benchmarks/scripts/first_runs.py DATA OUTPUT [membrane] [camvid] [voc]

DATA is the folder with `membrane`, `camvid` and `voc_sample`; scores are printed and
pictures saved in the folder OUTPUT. Each run also scores something simpler on the same
images: a random forest, or what lies where on average.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import sklearn
import skorch
import torch
from lib.shared import CAMVID_CLASSES, CAMVID_VOID, read_pairs
from skimage.feature import multiscale_basic_features
from skimage.future import TrainableSegmenter
from skimage.transform import resize
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter, SegmentationDisplay, __version__
from sksegment.augmentation import RandomBrightness, RandomFlip, RandomZoom
from sksegment.datasets import load_voc
from sksegment.metrics import iou_score, pixel_accuracy_score, segmentation_report


def membrane(data: Path, output: Path) -> None:
    """Train on slices 00-13, score 14-19, beside a random forest on the same."""
    X, y = read_pairs(data / "membrane" / "train")
    train, test = slice(0, 14), slice(14, 20)
    pipeline = make_pipeline(
        RandomFlip(vertical=True),
        FCNSegmenter(
            width=16,
            dropout=0.0,
            crop_size=256,
            max_epochs=30,
            learning_rate=3e-3,
            random_state=0,
        ),
    )
    timed("FCNSegmenter", lambda: pipeline.fit(X[train], y[train]))
    y_pred = pipeline.predict(X[test])
    report("FCNSegmenter", y[test], y_pred)
    forest = TrainableSegmenter(
        RandomForestClassifier(n_estimators=100, n_jobs=-1, random_state=0),
        features_func=stack_features,
    )
    # The forest counts 0 as unlabelled: 1 is membrane, 2 the inside of a cell.
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(y[train].shape) < 0.05, 1 + (y[train] > 0), 0)
    timed("random forest", lambda: forest.fit(X[train], labels))
    report("random forest", y[test], 255 * (forest.predict(X[test]) - 1))
    save(output / "membrane.png", X[test][:3], y[test][:3], y_pred[:3])


def camvid(data: Path, output: Path) -> None:
    """Train on train and score val at half resolution, beside a location prior."""
    X, y = half_size(*read_pairs(data / "camvid" / "train"))
    X_val, y_val = half_size(*read_pairs(data / "camvid" / "val"))
    pipeline = make_pipeline(
        RandomFlip(),
        RandomZoom((0.8, 1.5)),
        RandomBrightness(0.2),
        FCNSegmenter(
            width=16,
            depth=4,
            ignore_label=CAMVID_VOID,
            max_epochs=15,
            learning_rate=3e-3,
            random_state=0,
        ),
    )
    timed("FCNSegmenter", lambda: pipeline.fit(X, y))
    y_pred = pipeline.predict(X_val)
    names = {"target_names": CAMVID_CLASSES, "ignore_label": CAMVID_VOID}
    report("FCNSegmenter", y_val, y_pred, **names)
    report("location prior", y_val, location_prior(y, len(y_val)), **names)
    shown = slice(0, 101, 34)
    save(
        output / "camvid.png",
        X_val[shown],
        y_val[shown],
        y_pred[shown],
        ignore_label=CAMVID_VOID,
        class_names=CAMVID_CLASSES,
        classes=range(11),
    )


def voc(data: Path, output: Path) -> None:
    """Train on 60 images of many sizes and score 30, from palette masks with void."""
    train = load_voc(data / "voc_sample", split="train")
    val = load_voc(data / "voc_sample", split="val")
    pipeline = make_pipeline(
        RandomFlip(),
        RandomZoom((0.7, 1.5)),
        RandomBrightness(0.2),
        FCNSegmenter(
            width=16,
            depth=4,
            dropout=0.0,
            classes=range(21),
            loss="cross_entropy+dice",
            ignore_label=train.ignore_label,
            crop_size=256,
            max_epochs=12,
            learning_rate=3e-3,
            random_state=0,
        ),
    )
    timed("FCNSegmenter", lambda: pipeline.fit(train.data, train.target))
    y_pred = pipeline.predict(val.data)
    names = {"labels": range(21), "ignore_label": 255}
    report("FCNSegmenter", val.target, y_pred, target_names=val.target_names, **names)
    background = [np.zeros_like(mask) for mask in y_pred]
    report("all background", val.target, background, **names)
    save(
        output / "voc.png",
        val.data[:4],
        val.target[:4],
        y_pred[:4],
        ignore_label=255,
        class_names=val.target_names,
        classes=range(21),
    )


def half_size(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Halve images by averaging and masks by taking every second pixel."""
    size = (X.shape[1] // 2, X.shape[2] // 2)
    halves = [
        resize(image, size, order=1, anti_aliasing=True, preserve_range=True)
        for image in X
    ]
    return np.stack(halves).astype(np.uint8), y[:, ::2, ::2]


def stack_features(slices: np.ndarray) -> np.ndarray:
    return np.stack([multiscale_basic_features(image) for image in slices])


def location_prior(y: np.ndarray, n_images: int) -> np.ndarray:
    """Predict at each position the class that is most frequent there in training."""
    counts = np.stack([(y == label).sum(axis=0) for label in range(CAMVID_VOID)])
    prior = counts.argmax(axis=0).astype(y.dtype)
    return np.broadcast_to(prior, (n_images, *prior.shape))


def timed(name: str, train: Callable[[], Any]) -> None:
    start = time.perf_counter()
    train()
    print(f"{name}: trained in {time.perf_counter() - start:.0f} s", flush=True)


def report(name: str, y_true: Any, y_pred: Any, **options: Any) -> None:
    scores = {key: options[key] for key in options if key != "target_names"}
    accuracy = pixel_accuracy_score(y_true, y_pred, **scores)
    iou = iou_score(y_true, y_pred, **scores)
    print(f"{name}: pixel accuracy {accuracy:.4f}, mean IoU {iou:.4f}")
    print(segmentation_report(y_true, y_pred, **options), flush=True)


def save(path: Path, X: Any, y_true: Any, y_pred: Any, **options: Any) -> None:
    display = SegmentationDisplay.from_predictions(X, y_true, y_pred, **options)
    display.figure_.savefig(path, dpi=70)
    print(f"saved {path.name}")


def versions() -> str:
    return (
        f"sksegment {__version__}, torch {torch.__version__}, skorch "
        f"{skorch.__version__}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, Python {platform.python_version()}, "
        f"{torch.get_num_threads()} threads"
    )


def main() -> None:
    mpl.use("Agg")
    data, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    print(versions())
    runs = {"membrane": membrane, "camvid": camvid, "voc": voc}
    for name in sys.argv[3:] or runs:
        print(f"\n== {name}", flush=True)
        runs[name](data, output)


if __name__ == "__main__":
    main()
