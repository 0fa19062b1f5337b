"""How much faster is sksegment than an earlier version of itself?

    python docs/benchmarks/scripts/earlier_version.py --earlier FOLDER

FOLDER is a checkout of the earlier version, as `git worktree add` makes it. Both
versions take turns, each task in a process of its own that runs it once to warm up and
then once more; the ratio is that of the medians of processor seconds. Two threads train
and read files in the last task, whose seconds are those of the clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Nothing of lib is imported: it needs this version of sksegment.
ROOT = Path(__file__).resolve().parents[3]
N_FILES = 2000
SIDE = 128

Seconds = float


def first_step(folder: Path) -> Seconds:
    """Look at 2,000 pairs of PNG files, until the first step of training."""
    return fit_until_first_step(*files(folder, "png"))


def epoch_of_small_images(folder: Path) -> Seconds:
    """Train on 20 images of 64x64 for ten epochs."""
    return fit(*squares(20, 64), max_epochs=10)


def fit_of_two(folder: Path) -> Seconds:
    """Train on 2 images of 64x64 for one epoch."""
    return fit(*squares(2, 64), max_epochs=1)


def predict_one(folder: Path) -> Seconds:
    """Predict one image of 128x128, twenty times."""
    return predict(*squares(4, SIDE), times=20)


def predict_large(folder: Path) -> Seconds:
    """Predict 8 images of 512x512."""
    X, y = squares(8, 512)
    return predict(X, y, times=1)


def score_masks(folder: Path) -> Seconds:
    """Score 100 masks of 512x512, 20 classes in patches of 16 pixels."""
    from sksegment.metrics import iou_score

    rng = np.random.default_rng(0)
    patches = rng.integers(20, size=(100, 32, 32), dtype=np.uint8)
    masks = patches.repeat(16, axis=1).repeat(16, axis=2)
    return spent(lambda: iou_score(masks, np.roll(masks, 3, axis=2)))


def train_on_jpegs(folder: Path) -> Seconds:
    """Train a fast network on 2,000 JPEG files for one epoch, on two cores."""
    X, y = files(folder, "jpg")
    return fit(X, y, clock=time.perf_counter, depth=1, width=4, max_epochs=1)


TASKS: dict[str, tuple[Callable[[Path], Seconds], int]] = {
    function.__name__: (function, n_threads)
    for function, n_threads in (
        (first_step, 1),
        (epoch_of_small_images, 1),
        (fit_of_two, 1),
        (predict_one, 1),
        (predict_large, 1),
        (score_masks, 1),
        (train_on_jpegs, 2),
    )
}


def spent(
    run: Callable[[], Any], clock: Callable[[], float] = time.process_time
) -> Seconds:
    start = clock()
    run()
    return clock() - start


def squares(n_images: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return noisy images with a bright square each, and their masks."""
    rng = np.random.default_rng(0)
    y = np.zeros((n_images, size, size), np.uint8)
    for mask, start in zip(y, rng.integers(size // 2, size=(n_images, 2)), strict=True):
        mask[start[0] :, start[1] :][: size // 2, : size // 2] = 1
    noise = rng.integers(0, 128, size=(*y.shape, 3), dtype=np.uint8)
    return noise + 100 * y[..., None], y


def files(folder: Path, kind: str) -> tuple[list[Path], list[Path]]:
    """Write images and masks once, and return their paths."""
    X = [folder / f"{index}.{kind}" for index in range(N_FILES)]
    y = [folder / f"{index}_mask.png" for index in range(N_FILES)]
    images, masks = squares(50, SIDE)
    for index in range(N_FILES):
        for path, pixels in ((X[index], images), (y[index], masks)):
            if not path.exists():
                Image.fromarray(pixels[index % 50]).save(path)
    return X, y


def fit(
    X: Any, y: Any, clock: Callable[[], float] = time.process_time, **parameters: Any
) -> Seconds:
    from sksegment import FCNSegmenter

    model = FCNSegmenter(device="cpu", random_state=0, **parameters)
    return spent(lambda: model.fit(X, y), clock)


def predict(X: Any, y: Any, times: int) -> Seconds:
    from sksegment import FCNSegmenter

    model = FCNSegmenter(device="cpu", random_state=0, max_epochs=1)
    model.fit(X[:4, :SIDE, :SIDE], y[:4, :SIDE, :SIDE])
    images = X[:1] if times > 1 else X
    return spent(lambda: [model.predict(images) for _ in range(times)])


class _FirstStep(Exception):  # noqa: N818 - it ends training, not an error
    """The first step was reached."""


def fit_until_first_step(X: list[Path], y: list[Path]) -> Seconds:
    from skorch.callbacks import Callback

    class Stop(Callback):
        def on_batch_begin(self, net: Any, **_: Any) -> None:
            raise _FirstStep

    def run() -> None:
        try:
            fit(X, y, depth=1, width=2, max_epochs=1, callbacks=[Stop()])
        except _FirstStep:
            return

    return spent(run)


def work(task: str, folder: Path) -> None:
    """Run a task twice, and print the seconds of the second time."""
    import torch

    function, n_threads = TASKS[task]
    torch.set_num_threads(n_threads)
    function(folder)
    print(json.dumps(function(folder)))


def seconds_of(version: Path, task: str, folder: Path) -> Seconds:
    """Return the seconds of a version, in a process of its own."""
    words = [sys.executable, __file__, "--work", task, "--files", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(version)}
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": True}
    done = subprocess.run(words, env=environment, **options)
    return float(json.loads(done.stdout.splitlines()[-1]))


def compare(task: str, earlier: Path, folder: Path, n_rounds: int) -> list[str]:
    """Return the row of a task: medians of both versions, and their ratio."""
    pairs = [
        (seconds_of(ROOT, task, folder), seconds_of(earlier, task, folder))
        for _ in range(n_rounds)
    ]
    now, before = (median(times) for times in zip(*pairs, strict=True))
    ratios = [theirs / ours for ours, theirs in pairs]
    what = (TASKS[task][0].__doc__ or "").strip().rstrip(".")
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    return [what, f"{now:.2f}", f"{before:.2f}", f"{before / now:.2f} x {spread}"]


def main() -> None:
    parser = ArgumentParser(
        description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--earlier", type=Path, help="a checkout to compare with")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", choices=TASKS, help="run one task, and say how long")
    parser.add_argument("--files", type=Path, help="where the files of a task lie")
    asked = parser.parse_args()
    if asked.work:
        work(asked.work, asked.files)
        return
    with tempfile.TemporaryDirectory() as folder:
        print("| what | now, s | earlier, s | earlier / now |")
        print("| --- | --- | --- | --- |")
        for task in asked.tasks:
            row = compare(task, asked.earlier.resolve(), Path(folder), asked.rounds)
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
