"""What the benchmarks share: image sets, a record of finished runs, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skorch
import torch
from numpy.typing import NDArray
from skimage.transform import downscale_local_mean

from lib.script import processor_name
from sksegment import __version__
from sksegment._inputs.image_files import read_image, read_mask
from sksegment.datasets import load_image_pairs

ROOT = Path(__file__).resolve().parents[4]
# The records of finished runs; the pages that are made of them lie a folder above.
RECORDS = ROOT / "docs" / "benchmarks" / "results"

CAMVID_VOID = 11
CAMVID_CLASSES = [
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
]


def data_folder() -> Path:
    """Return the folder of the image sets: $SKSEGMENT_DATA, or one beside the tree."""
    folder = os.environ.get("SKSEGMENT_DATA")
    return Path(folder) if folder else ROOT.parent / "shared" / "data"


def read_pairs(
    folder: Path, part: slice = slice(None)
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read the folders `images` and `masks` in a folder, or a part of what is there."""
    return read_folders(folder / "images", folder / "masks", part)


def read_folders(
    images: Path, masks: Path, part: slice = slice(None)
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read images of one size and their masks, in the order of their names."""
    X, y = load_image_pairs(images, masks, return_X_y=True)
    return (
        np.stack([read_image(path) for path in X[part]]),
        np.stack([read_mask(path) for path in y[part]]),
    )


def reduced(
    image: NDArray[Any], mask: NDArray[Any], factor: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Shrink an image by averaging, and its mask by taking the middle of each block.

    The image holds integers. Rows and columns that do not fill a block are cut off.
    """
    height, width = (side // factor * factor for side in mask.shape)
    blocks = (factor, factor, 1)[: image.ndim]
    small = downscale_local_mean(image[:height, :width], blocks)
    middle = slice(factor // 2, None, factor)
    return small.round().astype(image.dtype), mask[:height, :width][middle, middle]


def all_reduced(
    X: Iterable[NDArray[Any]], y: Iterable[NDArray[Any]], factor: int
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Shrink images and their masks."""
    pairs = [reduced(image, mask, factor) for image, mask in zip(X, y, strict=True)]
    return [image for image, _ in pairs], [mask for _, mask in pairs]


class Record:
    """A JSON-lines file of finished runs: what was asked, what came out, and where.

    An interrupted benchmark goes on after the last line of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def find(self, task: dict[str, Any]) -> dict[str, Any] | None:
        """Return what came out of a task, or None if it was not run."""
        found = [row["result"] for row in self.rows() if row["task"] == task]
        return found[-1] if found else None

    def add(self, task: dict[str, Any], result: dict[str, Any]) -> None:
        row = {"task": task, "result": result, "environment": environment()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def write_page(self, page: Callable[[list[dict[str, Any]], str], str]) -> None:
        """Write what `page` makes of the rows and of where this file is, above it."""
        rows = self.rows()
        if not rows:
            sys.exit(f"{self.path} holds no runs; run without --table first.")
        text = page(rows, f"{self.path.parent.name}/{self.path.name}")
        above = self.path.parent.parent / f"{self.path.stem}.md"
        above.write_text(text, encoding="utf-8")


def asked_record(description: str | None, name: str) -> tuple[Record, bool]:
    """Read the options: where the runs of a script are, and if it makes new ones."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="only write the page")
    parser.add_argument("--results", type=Path, default=RECORDS / f"{name}.jsonl")
    asked = parser.parse_args()
    return Record(asked.results), not asked.table


def environment() -> dict[str, str]:
    """Return versions, hardware and date."""
    return {
        "versions": f"sksegment {__version__}, torch {torch.__version__}, skorch "
        f"{skorch.__version__}, scikit-learn {sklearn.__version__}, numpy "
        f"{np.__version__}, Python {platform.python_version()}",
        "hardware": hardware(),
        "date": date.today().isoformat(),
    }


def hardware() -> str:
    """Name the processor and, where there is one, the GPU."""
    processor = f"{os.cpu_count()} cores of {processor_name()}"
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {processor}"
    return f"{processor}, no GPU"


def where_and_when(rows: Iterable[dict[str, Any]]) -> str:
    """Return, for the head of a page, all environments in which runs were made."""
    met = [row["environment"] for row in rows]
    parts = [
        "; ".join(dict.fromkeys(one[name] for one in met))
        for name in ("versions", "hardware")
    ]
    days = sorted({one["date"] for one in met})
    return ". ".join([*parts, " to ".join(dict.fromkeys([days[0], days[-1]]))]) + "."


def with_spread(scores: Sequence[float]) -> str:
    """Write scores of several seeds as mean and standard deviation, in per cent."""
    mean = f"{100 * np.mean(scores):.1f}"
    return mean if len(scores) < 2 else f"{mean} ± {100 * np.std(scores, ddof=1):.1f}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table in Markdown."""
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])
