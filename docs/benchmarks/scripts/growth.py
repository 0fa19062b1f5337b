"""How do time and memory grow with what is segmented?

Each quantity is varied alone. The exponent e of time = constant * quantity**e is fitted
by least squares, in logarithms, to the larger half of the sizes, where fixed costs
count least; 1 is proportional. The network is small, so that the largest sizes take
seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from lib.noise import random_images
from lib.peak import in_new_process, peak_mebibytes
from lib.rows import Row
from lib.script import Options, run_script
from lib.timing import seconds_of
from numpy.typing import NDArray

from sksegment import FCNSegmenter

TASKS = ("fit", "predict", "score")
IMAGES = (10, 30, 100, 300, 1000)
SIDES = (64, 128, 256, 512, 1024, 2048, 4096)
CLASSES = (2, 4, 8, 16, 32, 64)
TILES = (64, 128, 256, 512, 1024)
N_ROUNDS = 3
# Time may grow with the pixels, and this much faster.
SLACK = 1.15


def rows(options: Options) -> Iterator[Row]:
    quick = options.quick
    counts, sides, classes = (
        ((2, 4), (16, 32), (2, 3)) if quick else (IMAGES, SIDES, CLASSES)
    )
    by_count = {n: (n, 16 if quick else 64, 4) for n in counts}
    by_side = {side: (1, side, 4) for side in sides}
    by_classes = {n: (2, 16 if quick else 256, n) for n in classes}
    for task in TASKS:
        yield growth(task, "images", by_count, SLACK)
        yield growth(task, "side", by_side, 2 * SLACK)
        yield growth(task, "classes", by_classes, SLACK)
    yield tile_growth(32 if quick else 2048, (8, 16) if quick else TILES)
    yield memory_growth(*((2, 4) if quick else (100, 1000)))


def growth(
    task: str, quantity: str, cases: dict[int, tuple[int, int, int]], aim: float
) -> Row:
    """Time a task at all sizes, in rounds, and fit the exponent."""
    runs = {size: prepared(task, *case) for size, case in cases.items()}
    rounds = [[seconds_of(run) for run in runs.values()] for _ in range(N_ROUNDS)]
    return exponent_row(f"{task} over {quantity}", list(cases), rounds, aim)


def exponent_row(
    question: str,
    sizes: Sequence[int],
    rounds: Sequence[Sequence[float]],
    aim: float | None,
) -> Row:
    exponents = [exponent(sizes, seconds) for seconds in rounds]
    medians = [median(column) for column in zip(*rounds, strict=True)]
    return Row(
        f"growth: {question}, {sizes[0]} to {sizes[-1]}",
        "",
        exponent(sizes, medians),
        min(exponents),
        max(exponents),
        unit="(exponent)",
        ours=" ".join(f"{1e3 * seconds:.4g}" for seconds in medians) + " ms",
        aim=aim,
        better="lower",
    )


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Fit a power law to the larger half of the sizes; two at least."""
    start = min(len(sizes) // 2, len(sizes) - 2)
    slope, _ = np.polyfit(np.log(sizes[start:]), np.log(values[start:]), 1)
    return float(slope)


def small_segmenter(**parameters: Any) -> FCNSegmenter:
    return FCNSegmenter(
        depth=2, width=4, max_epochs=1, device="cpu", random_state=0, **parameters
    )


def prepared(
    task: str, n_images: int, side: int, n_classes: int
) -> Callable[[], object]:
    X, y = random_images(n_images, side, n_classes)
    segmenter = small_segmenter(classes=range(n_classes))
    if task == "fit":
        return lambda: segmenter.fit(X, y)
    segmenter.fit(X[:1, :16, :16], y[:1, :16, :16])
    if task == "predict":
        return lambda: segmenter.predict(X)
    return lambda: segmenter.score(X, y)


def tile_growth(side: int, tiles: Sequence[int]) -> Row:
    """Time one image in tiles: what they look beyond their core is done twice."""
    X, _ = random_images(1, side, 4)
    segmenter = fitted_on_noise()
    rounds = [
        [predict_seconds(segmenter, X, tile) for tile in tiles] for _ in range(N_ROUNDS)
    ]
    question = f"predict {side}x{side} over tile_size"
    return exponent_row(question, tiles, rounds, aim=0.0)


def predict_seconds(segmenter: FCNSegmenter, X: NDArray[Any], tile_size: int) -> float:
    segmenter.set_params(tile_size=tile_size)
    return seconds_of(lambda: segmenter.predict(X))


def fitted_on_noise() -> FCNSegmenter:
    return small_segmenter().fit(*random_images(8, 16, 4))


def memory_growth(few: int, many: int) -> Row:
    """Say how much more many images take than few, beside the masks themselves."""
    peaks = [in_new_process(extra_memory, n_images) for n_images in (few, many)]
    return Row(
        f"memory of predict, {many} images instead of {few}: how much more?",
        "",
        peaks[1] - peaks[0],
        unit="MiB",
        ours=f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB beside images and masks",
        aim=16.0,
        better="lower",
    )


def extra_memory(n_images: int) -> float:
    """Return how far prediction raises the peak, less the masks that it returns."""
    X, _ = random_images(n_images, 128, 4)
    segmenter = fitted_on_noise()
    before = peak_mebibytes()
    y_pred = segmenter.predict(X)
    return peak_mebibytes() - before - y_pred.nbytes / 2**20


if __name__ == "__main__":
    run_script(__doc__, rows)
