"""Mean IoU after labelling images that rank_to_label chose, against random ones.

    python docs/benchmarks/scripts/active_learning.py
    python docs/benchmarks/scripts/active_learning.py --table

Ten images, drawn at random, are labelled first. Ten more, and then twenty more, are
chosen by `rank_to_label` with the network trained so far, or drawn at random from the
same pool; after each choice a new network is trained on all that are labelled. Finished
runs are kept in a JSON-lines file; `--table` writes the page from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lib.shared import (
    CAMVID_VOID,
    Record,
    all_reduced,
    asked_record,
    data_folder,
    markdown_table,
    read_pairs,
    where_and_when,
    with_spread,
)
from numpy.typing import NDArray

from sksegment import FCNSegmenter
from sksegment.metrics import iou_score
from sksegment.model_selection import cut_blocks, rank_to_label

SEEDS = (0, 1, 2)
SIZES = (10, 20, 40)
METHODS = ("entropy", "random")


@dataclass(frozen=True)
class Pool:
    """Images to choose from, and others to score."""

    X: Sequence[NDArray[Any]]
    y: Sequence[NDArray[Any]]
    X_test: Sequence[NDArray[Any]]
    y_test: Sequence[NDArray[Any]]
    parameters: dict[str, Any]

    def mean_iou(self, y_pred: Any) -> float:
        labels = self.parameters["classes"]
        ignore_label = self.parameters.get("ignore_label")
        score = iou_score(self.y_test, y_pred, labels=labels, ignore_label=ignore_label)
        return float(score)


def membrane(data: Path) -> Pool:
    """Windows of 128 pixels of slices 00-13; the middle of 14-19 to score."""
    X, y = read_pairs(data / "membrane" / "train")
    windows, masks, _ = cut_blocks(X[:14], y[:14], 128)
    middle = slice(128, 384)
    test = X[14:, middle, middle], y[14:, middle, middle]
    return Pool(windows, masks, *test, {"classes": (0, 255), "max_epochs": 15})


def camvid(data: Path) -> Pool:
    """Every 3rd training frame, 180x240 pixels; every 4th of val to score."""
    train = read_pairs(data / "camvid" / "train", slice(None, None, 3))
    test = read_pairs(data / "camvid" / "val", slice(None, None, 4))
    parameters = {
        "classes": tuple(range(CAMVID_VOID)),
        "ignore_label": CAMVID_VOID,
        "max_epochs": 10,
    }
    return Pool(*all_reduced(*train, 2), *all_reduced(*test, 2), parameters)


POOLS: dict[str, Callable[[Path], Pool]] = {"membrane": membrane, "camvid": camvid}


def task_of(pool: str, method: str, seed: int, n_labelled: int) -> dict[str, Any]:
    return {"pool": pool, "method": method, "seed": seed, "n_labelled": n_labelled}


def run(name: str, pool: Pool, method: str, seed: int, record: Record) -> None:
    """Label, train and score, step by step."""
    rng = np.random.default_rng(seed)
    labelled = rng.permutation(len(pool.X))[: SIZES[0]].tolist()
    model: Any = None
    for size in SIZES:
        rest = [index for index in range(len(pool.X)) if index not in labelled]
        n_new = size - len(labelled)
        if n_new and method == "random":
            labelled += rng.permutation(rest)[:n_new].tolist()
        elif n_new:
            unlabelled = [pool.X[index] for index in rest]
            chosen = rank_to_label(model, unlabelled, n=n_new, method=method)
            labelled += [rest[place] for place in chosen]
        task = task_of(name, method, seed, size)
        # The first images are the same, and so is the network trained on them.
        same = record.find(task_of(name, METHODS[0], seed, size))
        if method == "random" and size == SIZES[0] and same is not None:
            record.add(task, same)
            continue
        model = FCNSegmenter(random_state=seed, **pool.parameters)
        model.fit([pool.X[i] for i in labelled], [pool.y[i] for i in labelled])
        iou = pool.mean_iou(model.predict(pool.X_test))
        record.add(task, {"iou": iou, "labelled": [int(i) for i in labelled]})
        print(task, round(iou, 4), flush=True)


def run_all(record: Record) -> None:
    """Make the runs that are not on record."""
    for name, read in POOLS.items():
        pool = read(data_folder())
        for seed in SEEDS:
            for method in METHODS:
                if record.find(task_of(name, method, seed, SIZES[-1])) is None:
                    run(name, pool, method, seed, record)


def page(rows: list[dict[str, Any]], record: str) -> str:
    """Return the page of the results."""
    scores: dict[tuple[str, str, int], dict[int, float]] = {}
    for row in rows:
        task = row["task"]
        key = task["pool"], task["method"], task["n_labelled"]
        scores.setdefault(key, {})[task["seed"]] = row["result"]["iou"]
    lines = []
    for pool in dict.fromkeys(key[0] for key in scores):
        for size in SIZES:
            ours, random = (scores.get((pool, one, size), {}) for one in METHODS)
            both = sorted(ours.keys() & random.keys())
            gains = [100 * (ours[seed] - random[seed]) for seed in both]
            cells = [
                with_spread([found[seed] for seed in both]) for found in (ours, random)
            ]
            signs = ", ".join(f"{gain:+.1f}" for gain in gains)
            lines.append([pool, str(size), str(len(both)), *cells, signs])
    missing = sorted(POOLS.keys() - {key[0] for key in scores})
    header = ["pool", "labelled", "seeds", "rank_to_label", "random", "gain, each seed"]
    return "\n".join(
        [
            "# Choosing what to label",
            "",
            "`python docs/benchmarks/scripts/active_learning.py`; runs in",
            f"[{record}]({record}). {where_and_when(rows)}",
            "",
            "Mean IoU in per cent on other images. Membrane: windows of 128 pixels of "
            "14 slices, 15 epochs; CamVid: 123 frames of 180x240 pixels, 10 "
            "epochs: short trainings, whose scores vary from seed to seed. The first "
            "ten images are drawn at random; the next ten, and twenty more, are chosen "
            "by "
            '`rank_to_label(method="entropy")` or drawn at random.',
            "",
            "The ranking does not win: it is behind on both sets, by less than seeds "
            "differ by.",
            "",
            *([f"Not run yet: {', '.join(missing)}.", ""] if missing else []),
            markdown_table(header, lines),
            "",
        ]
    )


def main() -> None:
    record, runs_are_wanted = asked_record(__doc__, "active_learning")
    warnings.filterwarnings("ignore", "In its last epoch the network predicted")
    if runs_are_wanted:
        run_all(record)
    record.write_page(page)


if __name__ == "__main__":
    main()
