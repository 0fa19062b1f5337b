"""What epoch_curve says with two schedules, beside trainings of fewer epochs.

    python docs/benchmarks/scripts/epoch_curve.py
    python docs/benchmarks/scripts/epoch_curve.py --table

The mean IoU over two folds after some epochs of one training, with the default schedule
("cosine") and with a constant learning rate, and that of trainings which end there:
what a search over `max_epochs` would find, for as many trainings as values.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from lib.image_sets import IMAGE_SETS
from lib.shared import asked_record, data_folder, markdown_table, where_and_when
from sklearn.model_selection import KFold, cross_val_score

from sksegment import FCNSegmenter
from sksegment.model_selection import epoch_curve

NAMES = ("membrane", "camvid")
EPOCHS = (3, 6, 12, 24)
SCHEDULES = ("cosine", "constant")


def run(name: str, schedule: str) -> dict[str, list[float]]:
    """Return the scores along one training, and those of shorter trainings."""
    images = IMAGE_SETS[name](data_folder())
    X, y = images.X, images.y
    folds = KFold(2, shuffle=True, random_state=0)
    model = FCNSegmenter(
        learning_rate_schedule=schedule,
        max_epochs=EPOCHS[-1],
        random_state=0,
        **images.labels(),
    )
    curve = epoch_curve(model, X, y, cv=folds, every=EPOCHS[0])
    means = curve.scores.mean(axis=0)
    along = [float(means[curve.epochs == epoch][0]) for epoch in EPOCHS]
    ended = [
        float(np.mean(cross_val_score(model.set_params(max_epochs=n), X, y, cv=folds)))
        for n in EPOCHS
    ]
    return {"along": along, "ended": ended}


def page(rows: list[dict[str, Any]], record: str) -> str:
    """Return the page of the results."""
    lines = []
    for row in rows:
        task, result = row["task"], row["result"]
        for what, label in {"along": "epoch_curve", "ended": "max_epochs"}.items():
            scores = [f"{100 * score:.1f}" for score in result[what]]
            lines.append([task["image_set"], task["schedule"], label, *scores])
    header = ["image set", "schedule", "", *(f"{epoch} epochs" for epoch in EPOCHS)]
    return "\n".join(
        [
            "# One training beside several",
            "",
            "`python docs/benchmarks/scripts/epoch_curve.py`; runs in",
            f"[{record}]({record}). {where_and_when(rows)}",
            "",
            "Mean IoU in per cent, over two folds, one seed. `epoch_curve`: after so "
            f"many epochs of one training of {EPOCHS[-1]}. `max_epochs`: of a training "
            "of so many. At a constant learning rate they are the same, except that "
            '`batch_size="auto"` takes smaller batches in trainings of 3 or 6 epochs, '
            "which do better; with the cosine schedule, a training that ends early has "
            "come to rest, and one that is broken off has not. Image sets are those of "
            "the [defaults' table](defaults.md).",
            "",
            markdown_table(header, lines),
            "",
        ]
    )


def main() -> None:
    record, runs_are_wanted = asked_record(__doc__, "epoch_curve")
    warnings.filterwarnings("ignore", "In its last epoch the network predicted")
    for name in NAMES if runs_are_wanted else ():
        for schedule in SCHEDULES:
            task = {"image_set": name, "schedule": schedule}
            if record.find(task) is None:
                record.add(task, run(name, schedule))
                print(task, record.find(task), flush=True)
    record.write_page(page)


if __name__ == "__main__":
    main()
