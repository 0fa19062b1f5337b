"""Which settings win out of the box, on different images, at equal cost?

    python docs/benchmarks/scripts/defaults.py [--jobs 2] [--budget 1] [--settings ...]
    python docs/benchmarks/scripts/defaults.py --table

Every setting trains on small versions of three real image sets and on synthetic shapes,
with several seeds and the same number of multiply-adds, so that a narrow network gets
more epochs than a wide one. Finished runs are kept in a JSON-lines file: the same
command goes on where it was interrupted. `--table` writes the page from that file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from lib.defaults_page import page
from lib.equal_cost import Task, run
from lib.image_sets import IMAGE_SETS
from lib.shared import RECORDS, Record, data_folder

from sksegment import FCNSegmenter

SEEDS = (0, 1, 2)
FEW_IMAGES = (2, 5, 20)

# Written out, not taken from FCNSegmenter: when its defaults change, the settings and
# the runs that were made stay what they are.
CENTRE = {
    "depth": 3,
    "width": 32,
    "skip": "concat",
    "norm": "batch",
    "dropout": 0.5,
    "class_weight": None,
    "loss": "cross_entropy",
    "learning_rate": 1e-3,
    "learning_rate_schedule": "cosine",
    "batch_size": 8,
}
PLAIN = {"skip": None, "norm": None}
NARROW = {"width": 16, "learning_rate": 3e-3}
CHANGES: dict[str, dict[str, Any]] = {
    "centre": {},
    "plain (blog)": {**PLAIN, "width": 64, "learning_rate_schedule": "constant"},
    "plain, width=64, learning_rate=1e-4": {
        **PLAIN,
        "width": 64,
        "learning_rate": 1e-4,
    },
    "plain, width=16": {**PLAIN, "width": 16},
    "skip=None": {"skip": None},
    'skip="add"': {"skip": "add"},
    "norm=None": {"norm": None},
    'norm="group"': {"norm": "group"},
    "width=16": {"width": 16},
    "depth=4": {"depth": 4},
    "dropout=0": {"dropout": 0.0},
    "learning_rate=3e-3": {"learning_rate": 3e-3},
    "learning_rate=1e-2": {"learning_rate": 1e-2},
    'schedule="constant"': {"learning_rate_schedule": "constant"},
    'schedule="poly"': {"learning_rate_schedule": "poly"},
    'loss="dice"': {"loss": "dice"},
    'loss="focal"': {"loss": "focal"},
    'loss="cross_entropy+dice"': {"loss": "cross_entropy+dice"},
    'loss="lovasz"': {"loss": "lovasz"},
    'class_weight="balanced"': {"class_weight": "balanced"},
    'class_weight="median_frequency"': {"class_weight": "median_frequency"},
    "width=16, learning_rate=3e-3": NARROW,
    "width=16, learning_rate=3e-3, dropout=0": {**NARROW, "dropout": 0.0},
    'width=16, learning_rate=3e-3, skip="add"': {**NARROW, "skip": "add"},
    'width=16, learning_rate=3e-3, loss="lovasz"': {**NARROW, "loss": "lovasz"},
    'width=16, learning_rate=3e-3, loss="cross_entropy+lovasz"': {
        **NARROW,
        "loss": "cross_entropy+lovasz",
    },
    'width=16, learning_rate=3e-3, loss="cross_entropy+dice"': {
        **NARROW,
        "loss": "cross_entropy+dice",
    },
    "width=16, learning_rate=3e-3, label smoothing": {
        **NARROW,
        "label_smoothing": True,
    },
    "width=16, learning_rate=3e-3, averaged weights": {
        **NARROW,
        "averaged_weights": True,
    },
    "width=16, learning_rate=3e-3, augmented": {**NARROW, "augmented": True},
    'width=16, learning_rate=3e-3, augmented, loss="cross_entropy+lovasz"': {
        **NARROW,
        "augmented": True,
        "loss": "cross_entropy+lovasz",
    },
}
SETTINGS = {name: {**CENTRE, **changes} for name, changes in CHANGES.items()}


def tasks_of(settings: Sequence[str], budget: float) -> list[Task]:
    """List all runs, seed by seed: an interrupted table is one of fewer seeds."""
    return [
        Task(image_set, name, seed, SETTINGS[name], budget)
        for seed in SEEDS
        for image_set in IMAGE_SETS
        for name in settings
    ]


def few_images_tasks() -> list[Task]:
    """List the runs on few images, at the defaults as they are now."""
    # What None stands for without an encoder.
    defaults = {**FCNSegmenter().get_params(), "depth": 3, "width": 16}
    return [
        Task(image_set, "defaults", seed, defaults, n_images=n_images)
        for seed in SEEDS
        for image_set in IMAGE_SETS
        for n_images in FEW_IMAGES
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--budget", type=float, default=1.0, help="cost of a run")
    parser.add_argument(
        "--settings", nargs="+", choices=SETTINGS, default=[*SETTINGS], metavar="NAME"
    )
    parser.add_argument("--results", type=Path, default=RECORDS / "defaults.jsonl")
    parser.add_argument("--table", action="store_true", help="only write the page")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    record = Record(asked.results)
    images = {name: load(asked.data) for name, load in IMAGE_SETS.items()}
    if asked.table:
        constants = {name: images[name].constant_iou() for name in images}
        record.write_page(partial(page, constants))
        return
    done = [row["task"] for row in record.rows()]
    tasks = tasks_of(asked.settings, asked.budget) + few_images_tasks()
    missing = [task for task in tasks if asdict(task) not in done]
    finished = Parallel(n_jobs=asked.jobs, return_as="generator_unordered")(
        delayed(run)(task, images[task.image_set]) for task in missing
    )
    for number, (task, result) in enumerate(finished, 1):
        record.add(asdict(task), result)
        name = f"{task.image_set}, {task.setting}, seed {task.seed}"
        print(f"{number}/{len(missing)} {name}: {result}", flush=True)


if __name__ == "__main__":
    main()
