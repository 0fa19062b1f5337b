"""A few strokes on an image: ours beside a random forest on scikit-image's filters.

    python docs/benchmarks/scripts/strokes.py [--sets NAME ...] [--methods NAME ...]
    python docs/benchmarks/scripts/strokes.py --table | --figures FOLDER

The settings are those of docs/benchmarks/strokes.json. Each run is one seed on one
core. Finished runs are kept in a JSON-lines file: the same command goes on where it was
interrupted. `--table` prints the table of few_labels.md, `--figures` draws quality over
seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lib import torchvision_stub
from lib.lite0 import ENCODER, save_lite0
from lib.shared import RECORDS, ROOT, Record, data_folder, markdown_table, read_pairs
from lib.strokes import UNLABELLED, paint_strokes
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from skimage import color, data, filters
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksegment import FCNSegmenter
from sksegment.metrics import iou_score

SEEDS = (0, 1, 2)
SHARES = (0.001, 0.005, 0.02)
FAR = 19
# What the forest is trained on at most: on all pixels it would take minutes.
MAX_PIXELS = 50_000
SETTINGS = json.loads((ROOT / "docs/benchmarks/strokes.json").read_text("utf-8"))

Pictures = list[NDArray[Any]]


class Strokes(NamedTuple):
    """What is trained on, and what is predicted."""

    X: Pictures
    y: Pictures
    X_test: Pictures
    y_test: Pictures


def membrane(share: float, seed: int) -> Strokes:
    """One slice with strokes; scored on it, on the next, and on one far away."""
    X, y = read_pairs(data_folder() / "membrane" / "train")
    y = (y > 0).astype(np.uint8)
    slices = [3 * seed, 3 * seed + 1, FAR]
    labels = paint_strokes(y[slices[0]], share, seed)
    return Strokes([X[slices[0]]], [labels], [*X[slices]], [*y[slices]])


def whole_slices(n_slices: int, seed: int) -> Strokes:
    """Slices with all their labels; scored on the last five of twenty."""
    X, y = read_pairs(data_folder() / "membrane" / "train")
    y = (y > 0).astype(np.uint8)
    taken = slice(seed, seed + n_slices)
    return Strokes([*X[taken]], [*y[taken]], [*X[15:]], [*y[15:]])


def photo(name: str, share: float, seed: int) -> Strokes:
    """A picture of scikit-image with a mask by a classical method."""
    image, mask = PHOTOS[name]()
    labels = paint_strokes(mask, share, seed)
    return Strokes([image], [labels], [image], [mask])


def sentinel(seed: int) -> Strokes:
    """Two scenes of 13 bands; scored on the third, of another day."""
    X, y = read_pairs(data_folder() / "sentinel2_13band")
    y = np.where(y == 0, UNLABELLED, y).astype(np.uint8)
    test = seed % len(X)
    train = [index for index in range(len(X)) if index != test]
    return Strokes([*X[train]], [*y[train]], [X[test]], [y[test]])


def coins() -> tuple[NDArray[Any], NDArray[np.uint8]]:
    image = data.coins()
    smooth = filters.gaussian(image, 2)
    bright = smooth > filters.threshold_local(smooth, 151)
    return image, binary_fill_holes(bright).astype(np.uint8)


def retina() -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Vessels, where the ridge filter answers; the black corners are left out."""
    image = data.retina()[400:1000, 400:1000]
    ridges = filters.sato(image[..., 1] / 255.0, sigmas=(2, 3, 4))
    return image, (ridges > filters.threshold_otsu(ridges)).astype(np.uint8)


def histology() -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Brown stain, where its channel exceeds Otsu's threshold."""
    image = data.immunohistochemistry()
    stain = filters.gaussian(color.rgb2hed(image)[..., 2], 1)
    return image, (stain > filters.threshold_otsu(stain)).astype(np.uint8)


PHOTOS: dict[str, Callable[[], tuple[NDArray[Any], NDArray[np.uint8]]]] = {
    "coins": coins,
    "retina": retina,
    "histology": histology,
}
SETS: dict[str, Callable[[int], Strokes]] = {
    **{f"membrane, {share:.1%}": partial(membrane, share) for share in SHARES},
    **{f"{name}, 0.5%": partial(photo, name, 0.005) for name in PHOTOS},
    "Sentinel, 2 scenes": sentinel,
    "2 whole slices": partial(whole_slices, 2),
    "14 whole slices": partial(whole_slices, 14),
}


def features(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the filters of scikit-image, one row a pixel."""
    axis = -1 if image.ndim == 3 else None
    maps = multiscale_basic_features(image / 255.0, channel_axis=axis)
    return np.asarray(maps.reshape(-1, maps.shape[-1]))


class OnFilters:
    """A classifier of pixels on scikit-image's filters."""

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier

    def fit(self, X: Pictures, y: Pictures) -> OnFilters:
        labels = np.concatenate([mask.ravel() for mask in y])
        known = np.flatnonzero(labels != UNLABELLED)
        if len(known) > MAX_PIXELS:
            known = np.random.default_rng(0).choice(known, MAX_PIXELS, replace=False)
        rows = np.concatenate([features(image) for image in X])
        self.classifier.fit(rows[known], labels[known])
        return self

    def predict(self, X: Pictures) -> Pictures:
        return [
            self.classifier.predict(features(image)).reshape(image.shape[:2])
            for image in X
        ]


def forest(seed: int) -> Any:
    return OnFilters(RandomForestClassifier(100, random_state=seed))


def logistic_regression(seed: int) -> Any:
    return OnFilters(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)))


def ours(seed: int, **changed: Any) -> Any:
    parameters = {**SETTINGS, **changed}
    return FCNSegmenter(ignore_label=UNLABELLED, random_state=seed, **parameters)


def from_scratch(seed: int, n_epochs: int) -> Any:
    return FCNSegmenter(ignore_label=UNLABELLED, random_state=seed, max_epochs=n_epochs)


def on_crops(seed: int, n_epochs: int) -> Any:
    """Return a small network that learns from scratch, for whole masks."""
    options = {"width": 8, "crop_size": 96, "batch_size": 4, "dropout": 0.0}
    return FCNSegmenter(
        ignore_label=UNLABELLED, random_state=seed, max_epochs=n_epochs, **options
    )


@cache
def weights_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with ImageNet weights, which goes when the process ends."""
    torchvision_stub.install()
    folder = tempfile.TemporaryDirectory()
    save_lite0(Path(folder.name))
    return folder


def with_encoder(seed: int, n_epochs: int, **changed: Any) -> Any:
    """Return a network whose encoder has seen ImageNet; needs timm."""
    (weights,) = Path(weights_folder().name).iterdir()
    return FCNSegmenter(
        ignore_label=UNLABELLED,
        random_state=seed,
        max_epochs=n_epochs,
        encoder=ENCODER,
        pretrained=weights,
        crop_size=128,
        precision="float32",  # convolutions channel by channel are slow in bfloat16
        **changed,
    )


LOVASZ = "cross_entropy+lovasz"
FROZEN = {"encoder_learning_rate": 0, "loss": LOVASZ}
METHODS: dict[str, Callable[[int], Any]] = {
    "strokes.json": ours,
    "strokes.json, 2 epochs": partial(ours, max_epochs=2),
    "strokes.json, without the forest": partial(ours, pseudo_labels=None),
    "strokes.json, without the forest, 200 epochs": partial(
        ours, pseudo_labels=None, max_epochs=200
    ),
    "forest": forest,
    "logistic regression": logistic_regression,
    "defaults, 10 epochs": partial(from_scratch, n_epochs=10),
    "defaults, 40 epochs": partial(from_scratch, n_epochs=40),
    "small, on crops, 8 epochs": partial(on_crops, n_epochs=8),
    "small, on crops, 24 epochs": partial(on_crops, n_epochs=24),
    "Lite0, 4 epochs": partial(with_encoder, n_epochs=4, loss=LOVASZ),
    "Lite0, frozen, 6 epochs": partial(with_encoder, n_epochs=6, **FROZEN),
    "Lite0, 16 epochs": partial(with_encoder, n_epochs=16, loss=LOVASZ),
    "Lite0, frozen, 24 epochs": partial(with_encoder, n_epochs=24, **FROZEN),
}


def run(name: str, method: str, seed: int) -> dict[str, Any]:
    """Return mean IoU on each picture, and processor seconds of fit and predict."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    task = SETS[name](seed)
    model = METHODS[method](seed)
    start = time.process_time()
    model.fit(task.X, task.y)
    fitted = time.process_time()
    predicted = model.predict(task.X_test)
    ended = time.process_time()
    scores = [
        float(iou_score([mask], [labels], ignore_label=UNLABELLED))
        for mask, labels in zip(task.y_test, predicted, strict=True)
    ]
    return {"iou": scores, "fit": fitted - start, "predict": ended - fitted}


def table(rows: list[dict[str, Any]]) -> str:
    """Return one line a set and method: means over the seeds."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        key = row["task"]["set"], row["task"]["method"]
        found.setdefault(key, []).append(row["result"])
    lines = []
    for (name, method), results in sorted(found.items()):
        means = np.mean([result["iou"] for result in results], axis=0)
        seconds = np.median([result["fit"] for result in results])
        each = " / ".join(f"{mean:.3f}" for mean in means[:3])
        lines.append(
            [name, method, f"{means.mean():.3f}", each, f"{seconds:.1f}", len(results)]
        )
    header = ["set", "method", "mean IoU", "each picture", "fit, s", "seeds"]
    return markdown_table(header, [list(map(str, line)) for line in lines])


def draw(rows: list[dict[str, Any]], folder: Path) -> None:
    """Draw quality over seconds of fit, one figure a set."""
    import matplotlib.pyplot as plt

    for name in dict.fromkeys(row["task"]["set"] for row in rows):
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        for index, method in enumerate(METHODS):
            results = [
                row["result"]
                for row in rows
                if row["task"]["set"] == name and row["task"]["method"] == method
            ]
            if results:
                seconds = [result["fit"] for result in results]
                scores = [np.mean(result["iou"]) for result in results]
                axes.scatter(seconds, scores, color=f"C{index}", label=method)
        axes.set(
            xscale="log",
            xlabel="fit: processor seconds of one core",
            ylabel="mean IoU",
            title=name,
        )
        axes.legend()
        file = "strokes_" + name.replace(", ", "_").replace(" ", "_").replace("%", "")
        figure.savefig(folder / f"{file.replace('.', '')}.png", dpi=80)
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*SEEDS])
    parser.add_argument("--record", type=Path, default=RECORDS / "strokes.jsonl")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    record = Record(options.record)
    if options.table:
        print(table(record.rows()))
        return
    if options.figures:
        draw(record.rows(), options.figures)
        return
    for seed in options.seeds:
        for name in options.sets:
            for method in options.methods:
                task = {"set": name, "method": method, "seed": seed}
                task["settings"] = SETTINGS if "json" in method else None
                if record.find(task) is None:
                    record.add(task, run(name, method, seed))
                    print(task["set"], method, seed, record.find(task), flush=True)


if __name__ == "__main__":
    main()
