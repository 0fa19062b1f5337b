"""The page of the defaults' table: text and tables, from the finished runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.shared import markdown_table, where_and_when, with_spread

Row = dict[str, Any]
# The mean IoU by image set and seed.
Scores = dict[str, dict[int, float]]

SCRIPT = "python docs/benchmarks/scripts/defaults.py"

HEAD = """# Which settings win out of the box

Mean IoU in per cent on held-out images, mean ± standard deviation over the seeds.
Nothing was tuned to a set; nothing is augmented but where it says so. `centre` are the
defaults that this was begun with: width 32, depth 3, concat, batch normalisation,
dropout 0.5, cross-entropy, Adam at 1e-3 falling by a cosine, batches of 8. Now
`width=16, learning_rate=3e-3` is what `FCNSegmenter()` does. Every other setting
changes what it names and nothing else; `plain (blog)` is the network of the tutorials,
`width=64, skip=None, norm=None`, at a constant learning rate as there. "Label
smoothing" spreads a tenth of each pixel over all classes, "averaged weights" are a
moving average over the last 50 steps or so, "augmented" is `RandomFlip()`,
`RandomRotation(15)` and `RandomZoom()`; these ran in float32. "Difference" is
that to the centre with the same seeds, averaged over the sets; "worst set" the one
where it is worst. "Seeds" are those of the set with the fewest.

**Equal cost.** Every run gets the same number of multiply-adds: those of the
convolutions of the forward pass, counted by torch, times three; `max_epochs` follows,
rounded. So a network of half the width trains four times as long. Time would not
do: it depends on what else the machine does, and on the processor. A run of
`--budget 1` takes about half a minute of one core. That is little: what wins there wins
early. So the best were trained four times as long, too, and those longer runs decide.

**Small images.** Each set has about 0.3 million pixels to train on, in images of about
70x70, and 0.1 (voc) to 0.4 million to score:

- membrane: 56 tiles of 72x72 from the middle of slices 00-13; the middle 256x256 of
  slices 14-19 to score;
- camvid: every 9th frame of train and every 2nd of val at a fifth of the resolution, 11
  classes, void left out. Val is a stretch of a video that is also in train: no figure
  to compare with papers;
- voc: the 60 and 30 photos of the sample at a sixth of the resolution; background,
  animal, person, other; void left out;
- shapes: `make_shapes`, 64 and 100 images of 64x64, 4 classes.

One thread a run; training in bfloat16 where the processor has it. The runs are in
[{record}]({record}); `$SKSEGMENT_DATA` is a folder with the image sets `camvid`,
`membrane` and `voc_sample`:

```console
{commands}
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
    budgets = sorted({row["task"]["budget"] for row in rows} - {None})
    commands = "\n".join(
        [*(_command(rows, one) for one in budgets), f"{SCRIPT} --table"]
    )
    told = {"record": record, "commands": commands}
    parts = [HEAD.format(**told, environment=where_and_when(rows))]
    for budget in budgets:
        ours = [row for row in rows if row["task"]["budget"] == budget]
        parts += [f"## Settings, `--budget {budget:g}`", _cost(ours)]
        parts += [settings_table(ours, [*constants])]
    few = few_images_rows(rows)
    if few:
        parts += [FEW_HEAD.format(steps=_steps(few)), few_images_table(few, constants)]
    return "\n\n".join(parts) + "\n"


def _command(rows: Sequence[Row], budget: float) -> str:
    """Return the command that made the runs of a budget."""
    if budget == 1:  # the default, with all settings
        return SCRIPT
    names = {row["task"]["setting"] for row in rows if row["task"]["budget"] == budget}
    return f"{SCRIPT} --budget {budget:g} --settings {shlex.join(sorted(names))}"


def _cost(rows: Sequence[Row]) -> str:
    """Say what was spent on the runs, and which of them broke down."""
    costs = np.array([row["result"]["multiply_adds"] for row in rows]) / 1e12
    broken = [
        f"{row['task']['setting']} on {row['task']['image_set']}"
        for row in rows
        if row["result"]["diverged"]
    ]
    said = f"{costs.min():.2f}e12 to {costs.max():.2f}e12 multiply-adds a run."
    return f"{said} Diverged: {', '.join(broken)}." if broken else said


def settings_table(rows: Sequence[Row], image_sets: Sequence[str]) -> str:
    """One line a setting, the best on average first."""
    settings = dict.fromkeys(row["task"]["setting"] for row in rows)
    scores = {name: scores_of(rows, name, image_sets) for name in settings}
    centre = scores.get("centre", {})
    gains = {name: differences(scores[name], centre) for name in settings}
    best_first = sorted(settings, key=lambda name: -_mean(gains[name]))
    lines = [_line(name, scores[name], gains[name]) for name in best_first]
    columns = ["setting", *image_sets, "seeds", "difference", "worst set"]
    return markdown_table(columns, lines)


def scores_of(rows: Sequence[Row], setting: str, image_sets: Sequence[str]) -> Scores:
    """Return the scores of a setting on each set, by seed."""
    scores: Scores = {name: {} for name in image_sets}
    for row in rows:
        task = row["task"]
        if task["setting"] == setting:
            scores[task["image_set"]][task["seed"]] = row["result"]["iou"]
    return scores


def differences(scores: Scores, centre: Scores) -> dict[str, float]:
    """Return by how much a setting is ahead of the centre; empty if a set is missing.

    Only seeds that both have are compared, and a mean over some of the sets would not
    compare with the others.
    """
    common = {name: scores[name].keys() & centre.get(name, {}) for name in scores}
    if not all(common.values()):
        return {}
    return {
        name: float(
            np.mean([scores[name][seed] - centre[name][seed] for seed in seeds])
        )
        for name, seeds in common.items()
    }


def _mean(gains: Mapping[str, float]) -> float:
    return float(np.mean([*gains.values()])) if gains else -np.inf


def _line(name: str, scores: Scores, gains: Mapping[str, float]) -> list[str]:
    cells = [
        with_spread([*seeds.values()]) if seeds else "-" for seeds in scores.values()
    ]
    n_seeds = min(len(seeds) for seeds in scores.values())
    return [f"`{name}`", *cells, str(n_seeds), *_gain_cells(gains)]


def _gain_cells(gains: Mapping[str, float]) -> list[str]:
    if not gains:
        return ["-", "-"]
    worst = min(gains, key=lambda name: gains[name])
    return [f"{100 * _mean(gains):+.1f}", f"{worst} {100 * gains[worst]:+.1f}"]


def few_images_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the runs on few images, of the defaults that ran last."""
    few = [row for row in rows if row["task"]["n_images"] is not None]
    return [
        row for row in few if row["task"]["parameters"] == few[-1]["task"]["parameters"]
    ]


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
    return (
        '`max_epochs` counts passes over the\nimages, and `batch_size="auto"` takes at '
        f"most a quarter of them, rounded up, at once;\nsteps are {told}."
    )
