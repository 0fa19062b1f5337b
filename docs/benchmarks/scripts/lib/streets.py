"""CamVid at half of the film's resolution, scored on a street not trained on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lib.shared import CAMVID_CLASSES, CAMVID_VOID, markdown_table, with_spread
from sksegment.datasets import load_image_pairs
from sksegment.metrics import iou_score

HELD_OUT = "0006R0"


class Frames(NamedTuple):
    """Images and masks of two films to train on, and of a third to score."""

    X: list[Path]
    y: list[Path]
    X_test: list[Path]
    y_test: list[Path]


def frames(data: Path, every_train: int, every_test: int) -> Frames:
    """Take one frame in `every_train` of two films, in `every_test` of the third."""
    folder = data / "camvid" / "train"
    X, y = load_image_pairs(folder / "images", folder / "masks", return_X_y=True)
    other = [HELD_OUT in Path(path).name for path in X]
    train = [i for i, held_out in enumerate(other) if not held_out][::every_train]
    test = [i for i, held_out in enumerate(other) if held_out][::every_test]
    return Frames(
        *([paths[i] for i in part] for part in (train, test) for paths in (X, y))
    )


def trained_and_scored(model: Any, films: Frames) -> dict[str, Any]:
    """Return the IoU of each class, and the processor seconds of `fit`."""
    start = time.process_time()
    model.fit(films.X, films.y)
    seconds = time.process_time() - start
    iou = class_iou(films.y_test, model.predict(films.X_test))
    return {"iou": iou, "seconds": seconds}


def class_iou(y_true: list[Path], y_pred: NDArray[Any]) -> list[float]:
    scores = iou_score(
        y_true,
        y_pred,
        labels=list(range(CAMVID_VOID)),
        ignore_label=CAMVID_VOID,
        average=None,
    )
    return [float(score) for score in scores]


def table_of_classes(rows: Sequence[dict[str, Any]], settings: Iterable[str]) -> str:
    """Return mean IoU and the IoU of each class, with the seconds of `fit`."""
    lines = []
    for setting in settings:
        results = [row["result"] for row in rows if row["task"]["setting"] == setting]
        if results:
            means = [float(np.mean(result["iou"])) for result in results]
            each = np.mean([result["iou"] for result in results], axis=0)
            seconds = np.median([result["seconds"] for result in results])
            cells = [f"{100 * iou:.0f}" for iou in each]
            ends = f"{seconds:.0f}", str(len(results))
            lines.append([setting, with_spread(means), *cells, *ends])
    header = ["setting", "mean IoU", *CAMVID_CLASSES, "seconds", "seeds"]
    return markdown_table(header, lines)
