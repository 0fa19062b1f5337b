"""What lifts the small classes of CamVid without costing the large ones?

    python docs/benchmarks/scripts/rare_classes.py
    python docs/benchmarks/scripts/rare_classes.py --table

Frames of two films, at half of the film's resolution, to train on; frames of a third,
a street that was not trained on, to score. Finished runs are kept in a JSON-lines file;
`--table` writes the page from it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lib.shared import CAMVID_VOID, asked_record, data_folder, where_and_when
from lib.streets import HELD_OUT, frames, table_of_classes, trained_and_scored
from sklearn.exceptions import ConvergenceWarning

from sksegment import FCNSegmenter
from sksegment._inputs.image_files import read_mask

SEEDS = (0, 1)
EVERY_TRAIN, EVERY_TEST = 5, 5
N_EPOCHS = 8
# The largest weight of a class, where the median share gets 1.
CAP = 4.0
CROPS = {"crop_size": 176, "crop_sampling": "balanced"}
LOVASZ = {"loss": "cross_entropy+lovasz"}
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "class_weight='median_frequency'": {"class_weight": "median_frequency"},
    f"the same, at most {CAP:.0f}": {"class_weight": "capped"},
    "balanced crops": CROPS,
    "Lovász sum": LOVASZ,
    "balanced crops, Lovász sum": {**CROPS, **LOVASZ},
}


def capped_weights(masks: list[Path]) -> dict[int, float]:
    """Return the median of the classes' shares over each share, up to `CAP`."""
    counts = np.array([np.bincount(read_mask(y).ravel(), minlength=12) for y in masks])
    counts = counts[:, :CAMVID_VOID]
    pixels = (counts > 0) * counts.sum(axis=1, keepdims=True)
    shares = counts.sum(axis=0) / pixels.sum(axis=0)
    weights = np.minimum(np.median(shares) / shares, CAP)
    return {label: float(weight) for label, weight in enumerate(weights)}


def run(setting: str, seed: int) -> dict[str, Any]:
    films = frames(data_folder(), EVERY_TRAIN, EVERY_TEST)
    parameters = dict(SETTINGS[setting])
    if parameters.get("class_weight") == "capped":
        parameters["class_weight"] = capped_weights(films.y)
    model = FCNSegmenter(
        classes=range(CAMVID_VOID),
        ignore_label=CAMVID_VOID,
        max_epochs=N_EPOCHS,
        random_state=seed,
        device="cpu",
        **parameters,
    )
    return trained_and_scored(model, films)


def page(rows: list[dict[str, Any]], record: str) -> str:
    """Return the page of the results."""
    return "\n".join(
        [
            "# Small classes",
            "",
            "`python docs/benchmarks/scripts/rare_classes.py`; runs in",
            f"[{record}]({record}). {where_and_when(rows)}",
            "",
            "CamVid, 360x480 pixels, which is half of the film's resolution: every "
            f"{EVERY_TRAIN}th frame of two films to train on, {N_EPOCHS} epochs; every "
            f"{EVERY_TEST}th of a third film, `{HELD_OUT}`, a street that was not "
            "trained on, to score. IoU in per cent, processor seconds of `fit`, one "
            "thread. Short trainings on few frames: differences below two "
            "points are noise.",
            "",
            table_of_classes(rows, SETTINGS),
            "",
        ]
    )


def main() -> None:
    record, runs_are_wanted = asked_record(__doc__, "rare_classes")
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    for seed in SEEDS if runs_are_wanted else ():
        for setting in SETTINGS:
            task = {"setting": setting, "seed": seed, "max_epochs": N_EPOCHS}
            if record.find(task) is None:
                record.add(task, run(setting, seed))
                print(task, record.find(task), flush=True)
    record.write_page(page)


if __name__ == "__main__":
    main()
