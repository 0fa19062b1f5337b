"""The page of CamVid: what was published, and the finished runs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.shared import markdown_table, where_and_when, with_spread

Row = dict[str, Any]

# Badrinarayanan, Kendall and Cipolla, "SegNet", arXiv 1511.00561, Table 1: test set,
# trained on train from scratch, with median frequencies. ENet as quoted by issue 29 of
# davidtvs/PyTorch-ENet.
PUBLISHED = [
    ["SegNet-Basic", "1.43", "", "47.7", "82.7", "62.0"],
    ["FCN-Basic", "0.65", "", "47.3", "81.7", "62.4"],
    ["FCN-Basic-NoDimReduction", "1.63", "", "50.1", "84.1", "63.4"],
    ["ENet", "0.37", "", "51.3", "", "68.3"],
]

PAGE = """# CamVid from scratch

Road scenes, 11 classes, 367 frames to train on, 101 to choose by (val) and 233 to test.
Mean IoU, pixel accuracy and mean accuracy of the classes in per cent, mean ± standard
deviation over the seeds.

Protocol: trained on train only, without weights from elsewhere, at 360x480; the epoch
of the best mean IoU on val is kept (SegNet: of the best pixel accuracy, looked at every
1,000 steps); the test set is scored once. Void is left out of loss and scores. Scores
come from one confusion matrix of all pixels of all images; one prediction an image,
batch normalisation as trained. Val is a stretch of a video that is also in train: its
scores say which epoch to keep, and compare with no paper's. Rows at 180x240 (`half`)
compare with none either.

`segnet` is like for like with Table 1 of SegNet: encoder images added to the decoder,
about as many weights, SGD at a fixed 0.1 and weight decay 5e-4, batches of 12, 10,000
steps, median frequencies, no augmentation. It differs in 3x3 kernels instead of 7x7 of
equal width, in Nesterov's momentum, in the standardisation of images instead of local
contrast, and in weights computed from the masks (the published ones are others for
SignSymbol and Bicyclist). `default` is `FCNSegmenter` with nothing set but the labels.
`augmented` is meant for the highest score with at most two million weights: width 24,
the sum of cross-entropy and Lovász-softmax, images mirrored, zoomed, and changed in
brightness and contrast.

{table}

The first rows, without a number of epochs, are as published: SegNet and FCN in Table 1
of Badrinarayanan, Kendall and Cipolla, "SegNet" (arXiv 1511.00561), ENet as quoted by
issue 29 of davidtvs/PyTorch-ENet. Their accuracies are those of the test set. Our runs
are in [{record}]({record}); `$SKSEGMENT_DATA` is a folder that holds `camvid`:

```console
S=docs/benchmarks/scripts/camvid.py
for seed in 0 1 2; do
    python $S --setting default --seed $seed --half --epochs 50
    python $S --setting segnet --seed $seed --half --epochs 50
done
python $S --table
```

Still to be run, on a GPU: all settings at 360x480 with seeds 0, 1 and 2. Each call
stops after nine minutes; the same call goes on from there until it prints the scores.

```console
S=docs/benchmarks/scripts/camvid.py
python $S --setting segnet --seed 0 --minutes 9 --test IMAGES MASKS
python $S --setting default --seed 0 --minutes 9 --test IMAGES MASKS
python $S --setting augmented --seed 0 --minutes 9 --test IMAGES MASKS
```

{environment}
"""

COLUMNS = [
    "",
    "million weights",
    "val IoU",
    "test IoU",
    "pixel accuracy",
    "class accuracy",
]


def page(rows: Sequence[Row], record: str) -> str:
    """Write the page: one line a setting and resolution, after the published ones."""
    lines = [*PUBLISHED, *(_line(rows, *training) for training in _trainings(rows))]
    return PAGE.format(
        table=markdown_table(COLUMNS, lines),
        record=record,
        environment=where_and_when(rows),
    )


def _trainings(rows: Sequence[Row]) -> list[tuple[str, bool, int]]:
    """List the trainings that differ in more than the seed."""
    tasks = [row["task"] for row in rows]
    return sorted(
        {
            (task["setting"], task["half"], task["parameters"]["max_epochs"])
            for task in tasks
        },
        key=lambda name: (name[1], name[0] != "segnet", name[2], name[0]),
    )


def _line(rows: Sequence[Row], setting: str, half: bool, n_epochs: int) -> list[str]:
    ours = [
        row
        for row in rows
        if (row["task"]["setting"], row["task"]["half"]) == (setting, half)
        and row["task"]["parameters"]["max_epochs"] == n_epochs
    ]
    n_seeds = len({row["task"]["parameters"]["random_state"] for row in ours})
    name = (
        f"`{setting}`{', half' if half else ''}, {n_epochs} epochs, {n_seeds} seed(s)"
    )
    weights = f"{ours[0]['result']['n_parameters'] / 1e6:.2f}"
    return [
        name,
        weights,
        _cell(ours, "val", "iou"),
        _cell(ours, "test", "iou"),
        _cell(ours, "test", "pixel_accuracy"),
        _cell(ours, "test", "mean_accuracy"),
    ]


def _cell(rows: Sequence[Row], scored: str, score: str) -> str:
    found = [row["result"][score] for row in rows if row["task"]["scored"] == scored]
    return with_spread(found) if found else ""
