"""The page of the defaults' table: text and tables, from the finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from _shared import markdown_table, where_and_when, with_spread

Row = dict[str, Any]
# The mean IoU of each seed, by image set.
Scores = dict[str, list[float]]

HEAD = """# Which settings win out of the box

Mean IoU in per cent on held-out images, mean ± standard deviation over the seeds.
Nothing was tuned to a set, nothing is augmented. `centre` are the defaults that this
was begun with: width 32, depth 3, concat, batch normalisation, dropout 0.5,
cross-entropy, Adam at 1e-3 falling by a cosine, batches of 8. Every other setting
changes what it names and nothing else; `plain (blog)` is the network of the tutorials,
`width=64, skip=None, norm=None`, at a constant learning rate as there. "Difference" is
that to the centre, averaged over the sets; "worst set" the one where it is worst.

**Equal cost.** Every run gets the same number of multiply-adds: those of the
convolutions of the forward pass, counted by torch, times three; `max_epochs` follows,
rounded. So a network of half the width trains four times as long. Time would not
do: it depends on what else the machine does, and on the processor. A run of
`--budget 1` takes about half a minute of one core. That is little: what wins there wins
early.

**Small images.** Each set has about 0.3 million pixels to train on, in images of about
70x70, and 0.3 to 0.4 million to score:

- membrane: 56 tiles of 72x72 from the middle of slices 00-13; the middle 256x256 of
  slices 14-19 to score;
- camvid: every 9th frame of train and every 2nd of val at a fifth of the resolution, 11
  classes, void left out. Val is a stretch of a video that is also in train: no figure
  to compare with papers;
- voc: the 60 and 30 photos of the sample at a sixth of the resolution; background,
  animal, person, other; void left out;
- shapes: `make_shapes`, 64 and 100 images of 64x64, 4 classes.

One thread a run; training in bfloat16 where the processor has it. The runs are in
[{record}]({record}), made by

```console
python docs/benchmarks/defaults.py
python docs/benchmarks/defaults.py --table
```

{environment}"""

FEW_HEAD = """## Few images

`FCNSegmenter()` with nothing set but the labels and the seed, on 2, 5 and 20 images of
each set. In parentheses: the fewest classes that a seed predicted on the test images,
of as many as its training images hold. "One class everywhere" is the most that a
network scores that has collapsed. {steps}"""


def page(constants: Mapping[str, float], rows: Sequence[Row], record: str) -> str:
    """Write the page.

    `constants` are the image sets, each with the best score of a constant answer.
    """
    parts = [HEAD.format(record=record, environment=where_and_when(rows))]
    for budget in sorted({row["task"]["budget"] for row in rows} - {None}):
        ours = [row for row in rows if row["task"]["budget"] == budget]
        parts += [f"## Settings, `--budget {budget:g}`", _cost(ours)]
        parts += [settings_table(ours, [*constants])]
    few = [row for row in rows if row["task"]["n_images"] is not None]
    if few:
        parts += [FEW_HEAD.format(steps=_steps(few)), few_images_table(few, constants)]
    return "\n\n".join(parts) + "\n"


def _cost(rows: Sequence[Row]) -> str:
    """Say what was spent on the runs, and which of them broke down."""
    costs = np.array([row["result"]["multiply_adds"] for row in rows]) / 1e12
    seeds = len({row["task"]["seed"] for row in rows})
    broken = [
        f"{row['task']['setting']} on {row['task']['image_set']}"
        for row in rows
        if row["result"]["diverged"]
    ]
    said = (
        f"{costs.min():.2f} to {costs.max():.2f} million million multiply-adds a run, "
        f"{seeds} seed(s)."
    )
    return f"{said} Diverged: {', '.join(broken)}." if broken else said


def settings_table(rows: Sequence[Row], image_sets: Sequence[str]) -> str:
    """One line a setting, the best on average first."""
    settings = dict.fromkeys(row["task"]["setting"] for row in rows)
    scores = {name: scores_of(rows, name, image_sets) for name in settings}
    centre = scores.get("centre", {})
    gains = {name: differences(scores[name], centre) for name in settings}
    best_first = sorted(settings, key=lambda name: -_mean(gains[name]))
    lines = [
        [f"`{name}`", *map(_cell, scores[name].values()), *_gain_cells(gains[name])]
        for name in best_first
    ]
    return markdown_table(["setting", *image_sets, "difference", "worst set"], lines)


def scores_of(rows: Sequence[Row], setting: str, image_sets: Sequence[str]) -> Scores:
    """Return the scores of a setting on each set, those of all seeds together."""
    scores: Scores = {name: [] for name in image_sets}
    for row in rows:
        if row["task"]["setting"] == setting:
            scores[row["task"]["image_set"]].append(row["result"]["iou"])
    return scores


def differences(scores: Scores, centre: Scores) -> dict[str, float]:
    """Return by how much a setting is ahead of the centre; empty if a set is missing.

    A mean over some of the sets would not compare with the others.
    """
    if not all(scores[name] and centre.get(name) for name in scores):
        return {}
    return {
        name: float(np.mean(scores[name]) - np.mean(centre[name])) for name in scores
    }


def _mean(gains: Mapping[str, float]) -> float:
    return float(np.mean([*gains.values()])) if gains else -np.inf


def _gain_cells(gains: Mapping[str, float]) -> list[str]:
    if not gains:
        return ["-", "-"]
    worst = min(gains, key=lambda name: gains[name])
    return [f"{100 * _mean(gains):+.1f}", f"{worst} {100 * gains[worst]:+.1f}"]


def _cell(scores: Sequence[float]) -> str:
    return with_spread(scores) if scores else "-"


def few_images_table(rows: Sequence[Row], constants: Mapping[str, float]) -> str:
    """One line an image set, one column a number of images."""
    counts = sorted({row["task"]["n_images"] for row in rows})
    lines = [
        [name, f"{100 * constant:.1f}"]
        + [_few_images_cell(_results(rows, name, count)) for count in counts]
        for name, constant in constants.items()
    ]
    columns = [f"{count} images" for count in counts]
    return markdown_table(["set", "one class everywhere", *columns], lines)


def _results(rows: Sequence[Row], image_set: str, n_images: int) -> list[Row]:
    asked = {"image_set": image_set, "n_images": n_images}
    return [row["result"] for row in rows if asked.items() <= row["task"].items()]


def _few_images_cell(results: Sequence[Row]) -> str:
    if not results:
        return "-"
    fewest = min(results, key=lambda result: result["n_predicted"] / result["n_seen"])
    scores = with_spread([result["iou"] for result in results])
    return f"{scores} ({fewest['n_predicted']} of {fewest['n_seen']})"


def _steps(rows: Sequence[Row]) -> str:
    """Say how many steps each number of images gets."""
    steps = {row["task"]["n_images"]: row["result"]["n_steps"] for row in rows}
    told = ", ".join(f"{steps[n_images]} with {n_images}" for n_images in sorted(steps))
    return f"`max_epochs` counts passes\nover the images; steps are {told}."
