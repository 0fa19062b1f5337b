"""How much faster is FCNSegmenter on one core, in seconds of the processor?

Processor time of one thread hardly changes with what else the machine does, so the
ratios hold on a busy machine, too. The peers are the same network in plain torch, and
our own network run layer by layer, as it runs where it cannot be fused.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lib.plain_torch import naive_labels, scale_of
from lib.plain_unet import unet_copy
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, default_segmenter, shapes
from lib.timing import alternated
from PIL import Image

from sksegment import FCNSegmenter
from sksegment._torch.precision import has_bfloat16
from sksegment.networks import _fused

EAGER = "PyTorch, eager float32 NCHW"
LAYERS = "sksegment, layer by layer"
WIDTH = 16  # the default
CPU = torch.device("cpu")
# Images, their side, and the aim against the eager network.
CASES = ((64, 128, 2.0), (8, 512, 3.3), (1, 128, None))
QUICK = ((4, 16, None), (1, 16, None))


def rows(options: Options) -> Iterator[Row]:
    torch.set_num_threads(1)
    n_rounds = 1 if options.quick else 7
    for n_images, size, aim in QUICK if options.quick else CASES:
        yield from prediction(n_images, size, aim, n_rounds)
    yield first_step(50 if options.quick else 2000, n_rounds=1 if options.quick else 3)


def prediction(
    n_images: int, size: int, aim: float | None, n_rounds: int
) -> Iterator[Row]:
    X, y = shapes(max(n_images, 4), size)
    segmenter = default_segmenter(device="cpu", max_epochs=1).fit(X[:4], y[:4])
    copy = unet_copy(segmenter.network_, N_CHANNELS, WIDTH)
    X, scale = X[:n_images], scale_of(X[:4])
    contestants = {
        "float32": in_precision(segmenter, "float32", X),
        LAYERS: layer_by_layer(segmenter, X),
        EAGER: of_processor(lambda: naive_labels(copy, X, *scale)),
    }
    if has_bfloat16(CPU):  # without, it takes minutes
        contestants["bfloat16"] = in_precision(segmenter, "bfloat16", X)
    seconds = alternated(contestants, n_rounds)
    question = f"defaults, {n_images} x {size}x{size}, one core"
    yield ratio_row(
        f"predict float32, {question}",
        EAGER,
        seconds["float32"],
        seconds[EAGER],
        aim=aim,
    )
    yield ratio_row(
        f"predict float32, {question}", LAYERS, seconds["float32"], seconds[LAYERS]
    )
    question = f"predict bfloat16, {question}"
    if "bfloat16" in seconds:
        yield ratio_row(question, EAGER, seconds["bfloat16"], seconds[EAGER])
    else:
        yield missing_row(question, EAGER, "no bfloat16 in hardware")


def in_precision(
    segmenter: FCNSegmenter, precision: str, X: Any
) -> Callable[[], float]:
    def run() -> float:
        segmenter.set_params(precision=precision)
        return processor_seconds(lambda: segmenter.predict(X))

    return run


def layer_by_layer(segmenter: FCNSegmenter, X: Any) -> Callable[[], float]:
    def run() -> float:
        segmenter.set_params(precision="float32")
        with without_operators():
            return processor_seconds(lambda: segmenter.predict(X))

    return run


@contextmanager
def without_operators() -> Iterator[None]:
    known = _fused.OPERATORS
    _fused.OPERATORS = ("_none",)
    try:
        yield
    finally:
        _fused.OPERATORS = known


def first_step(n_files: int, n_rounds: int) -> Row:
    """Compare the first look at files with decoding them and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        X, y = png_files(Path(name), n_files)
        segmenter = FCNSegmenter(depth=1, width=2, max_epochs=1, device="cpu")
        contestants = {
            "fit": of_processor(lambda: until_first_step(segmenter, X, y)),
            "decoding": of_processor(lambda: [decode(path) for path in X + y]),
        }
        seconds = alternated(contestants, n_rounds)
    return ratio_row(
        f"fit, {n_files} PNG pairs of 128x128, until the first step, one core",
        "decoding the files with Pillow",
        seconds["fit"],
        seconds["decoding"],
    )


class _FirstStep(Exception):  # noqa: N818 - it ends training, not an error
    """The first step was reached."""


def until_first_step(segmenter: FCNSegmenter, X: list[Path], y: list[Path]) -> None:
    from skorch.callbacks import Callback

    class Stop(Callback):
        def on_batch_begin(self, net: Any, **_: Any) -> None:
            raise _FirstStep

    try:
        segmenter.set_params(callbacks=[Stop()]).fit(X, y)
    except _FirstStep:
        return


def png_files(folder: Path, n_files: int) -> tuple[list[Path], list[Path]]:
    images, masks = shapes(min(n_files, 50), 128)
    X = [folder / f"{index}.png" for index in range(n_files)]
    y = [folder / f"{index}_mask.png" for index in range(n_files)]
    for index in range(n_files):
        Image.fromarray(images[index % len(images)]).save(X[index])
        Image.fromarray(masks[index % len(masks)].astype(np.uint8)).save(y[index])
    return X, y


def decode(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


def of_processor(function: Callable[[], Any]) -> Callable[[], float]:
    return lambda: processor_seconds(function)


def processor_seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    run_script(__doc__, rows)
