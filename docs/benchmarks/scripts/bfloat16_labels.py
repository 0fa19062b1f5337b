"""Does prediction in bfloat16 give the labels of float32?

A network is trained for a minute or two on real images, membranes or road scenes; the
share of pixels of other images that get the same label in both precisions is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lib.rows import Row, missing_row
from lib.script import Options, run_script
from lib.segmenter import shapes

from sksegment import FCNSegmenter
from sksegment.datasets import load_image_pairs
from sksegment.metrics import iou_score

QUESTION = "equal labels of predict in bfloat16 and float32"
# Folder, void label, crops and epochs: about 200 steps of 8 crops each.
CASES = (("membrane", None, 256, 40), ("camvid", 11, 256, 3))
AIM = 99.9


def rows(options: Options) -> Iterator[Row]:
    if options.quick:
        yield agreement("shapes", *halves(*shapes(8, 16)), None, None, 1)
        return
    for name, *training in CASES:
        folder = None if options.data is None else options.data / name / "train"
        if folder is None or not folder.is_dir():
            yield missing_row(QUESTION, name, f"no --data folder with {name}")
        else:
            yield agreement(name, *halves(*pairs(folder)), *training)


def pairs(folder: Path) -> tuple[list[Any], list[Any]]:
    images, masks = load_image_pairs(
        folder / "images", folder / "masks", return_X_y=True
    )
    return list(images), list(masks)


def halves(X: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """Divide images in two: neighbours of a video or a stack stay on one side."""
    middle = len(X) // 2
    return X[:middle], y[:middle], X[middle:], y[middle:]


def agreement(
    name: str,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    void: int | None,
    crop_size: int | None,
    n_epochs: int,
) -> Row:
    segmenter = FCNSegmenter(
        width=16,
        ignore_label=void,
        crop_size=crop_size,
        max_epochs=n_epochs,
        learning_rate=3e-3,
        random_state=0,
    ).fit(X, y)
    exact = segmenter.set_params(precision="float32").predict(X_test)
    coarse = segmenter.set_params(precision="bfloat16").predict(X_test)
    equal = [100 * float(np.mean(a == b)) for a, b in zip(exact, coarse, strict=True)]
    scores = [
        iou_score(y_test, y_pred, labels=segmenter.classes_, ignore_label=void)
        for y_pred in (exact, coarse)
    ]
    return Row(
        f"{QUESTION}, {len(exact)} images",
        name,
        float(np.mean(equal)),
        min(equal),
        max(equal),
        unit="%",
        ours=f"mean IoU {scores[1]:.4f}",
        theirs=f"mean IoU {scores[0]:.4f}",
        aim=AIM,
        note="spread over images",
    )


if __name__ == "__main__":
    run_script(__doc__, rows)
