"""Does TemperatureScaling improve held-out probabilities, on every real image set?

    python docs/benchmarks/scripts/temperature.py
    python docs/benchmarks/scripts/temperature.py --table

A network is trained on two thirds of the training images of a set; the temperature is
fitted on the last third, which it has not seen. Log loss, expected calibration error
and mean IoU are those of the test images, before and after. Finished runs are kept in a
JSON-lines file; `--table` writes the page from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib.image_sets import ImageSet, camvid, membrane, voc
from lib.shared import Record, asked_record, data_folder, markdown_table, where_and_when
from sklearn.frozen import FrozenEstimator

from sksegment import FCNSegmenter
from sksegment._inputs.image_files import read_image, read_mask
from sksegment.calibration import TemperatureScaling
from sksegment.metrics import expected_calibration_error, pixel_log_loss
from sksegment.model_selection import cut_blocks

SEEDS = (0, 1, 2)
MAX_EPOCHS = 40


def nuclei(data: Path) -> ImageSet:
    """Blocks of 64 pixels of the one picture: upper half; the lower half to score."""
    folder = data / "nuclei_uint16"
    image = read_image(folder / "image.tif")
    mask = (read_mask(folder / "mask_instances.tif") > 0).astype(np.uint8)
    X, y, places = cut_blocks(image[np.newaxis], mask[np.newaxis], 64)
    return _halves(X, y, places[:, 1] < 256, classes=(0, 1), ignore_label=None)


def sentinel2(data: Path) -> ImageSet:
    """Blocks of 25 pixels on three days: the left half, the right half to score."""
    folder = data / "sentinel2_13band"
    images = [read_image(path) for path in sorted((folder / "images").iterdir())]
    masks = [read_mask(path) for path in sorted((folder / "masks").iterdir())]
    X, y, places = cut_blocks(images, masks, 25)
    return _halves(X, y, places[:, 2] < 50, classes=(1, 2, 3, 4, 8), ignore_label=0)


def _halves(X: Any, y: Any, is_train: Any, **labels: Any) -> ImageSet:
    def part(items: Sequence[Any], which: Any) -> list[Any]:
        return [item for item, chosen in zip(items, which, strict=True) if chosen]

    return ImageSet(
        part(X, is_train),
        part(y, is_train),
        part(X, ~is_train),
        part(y, ~is_train),
        **labels,
    )


IMAGE_SETS: dict[str, Callable[[Path], ImageSet]] = {
    "camvid": camvid,
    "membrane": membrane,
    "voc": voc,
    "nuclei": nuclei,
    "sentinel2": sentinel2,
}


def run(images: ImageSet, seed: int) -> dict[str, float]:
    """Train, calibrate and score."""
    order = np.random.default_rng(seed).permutation(len(images.X))
    n_train = round(len(order) * 2 / 3)
    X, y = ([items[i] for i in order] for items in (images.X, images.y))
    model = FCNSegmenter(max_epochs=MAX_EPOCHS, random_state=seed, **images.labels())
    model.fit(X[:n_train], y[:n_train])
    scaling = TemperatureScaling(FrozenEstimator(model)).fit(X[n_train:], y[n_train:])
    result = {"temperature": scaling.temperature_}
    for name, one in {"before": model, "after": scaling}.items():
        probabilities = one.predict_proba(images.X_test)
        labels = {"labels": images.classes, "ignore_label": images.ignore_label}
        result[f"log_loss_{name}"] = pixel_log_loss(
            images.y_test, probabilities, **labels
        )
        result[f"calibration_error_{name}"] = expected_calibration_error(
            images.y_test, probabilities, **labels
        )
        result[f"mean_iou_{name}"] = images.mean_iou(one.predict(images.X_test))
    return {key: float(value) for key, value in result.items()}


def page(rows: list[dict[str, Any]], record: str) -> str:
    """Return the page of the results."""
    lines = []
    for row in rows:
        task, result = row["task"], row["result"]
        before, after = (result[f"log_loss_{name}"] for name in ("before", "after"))
        errors = [result[f"calibration_error_{name}"] for name in ("before", "after")]
        cells = [task["image_set"], str(task["seed"]), f"{result['temperature']:.2f}"]
        cells += [
            f"{before:.4f}",
            f"{after:.4f}",
            f"{100 * (after / before - 1):+.1f} %",
        ]
        cells += [f"{error:.3f}" for error in errors]
        lines.append([*cells, f"{100 * result['mean_iou_after']:.1f}"])
    header = ["image set", "seed", "temperature", "log loss before", "after", "change"]
    header += ["calibration error before", "after", "mean IoU (unchanged)"]
    ratios: dict[str, list[float]] = {}
    for row in rows:
        result = row["result"]
        ratios.setdefault(row["task"]["image_set"], []).append(
            result["log_loss_after"] / result["log_loss_before"]
        )
    summary = [
        f"- {name}: {100 * (np.median(found) - 1):+.1f} % (median), "
        f"better in {sum(ratio < 1 for ratio in found)} of {len(found)}"
        for name, found in ratios.items()
    ]
    return "\n".join(
        [
            "# TemperatureScaling on held-out images",
            "",
            "`python docs/benchmarks/scripts/temperature.py`; runs in",
            f"[{record}]({record}). {where_and_when(rows)}",
            "",
            "A network is trained on two thirds of the training images "
            f"({MAX_EPOCHS} epochs, otherwise the defaults), the temperature fitted on "
            "the other third, and both are scored on the test images. Image sets are "
            "those of the [defaults' table](defaults.md); of the nuclei and the "
            "Sentinel-2 scene one half trains and the other is scored. Less is better; "
            "labels, and so the mean IoU, do not change.",
            "",
            "Log loss after, compared with before:",
            "",
            *summary,
            "",
            markdown_table(header, lines),
            "",
        ]
    )


def run_all(record: Record) -> None:
    """Make the runs that are not on record."""
    for seed in SEEDS:
        for name, read in IMAGE_SETS.items():
            task = {"image_set": name, "seed": seed, "max_epochs": MAX_EPOCHS}
            if record.find(task) is None:
                record.add(task, run(read(data_folder()), seed))
                print(task, record.find(task), flush=True)


def main() -> None:
    record, runs_are_wanted = asked_record(__doc__, "temperature")
    warnings.filterwarnings("ignore", "In its last epoch the network predicted")
    if runs_are_wanted:
        run_all(record)
    record.write_page(page)


if __name__ == "__main__":
    main()
