"""Everything that a CUDA card decides, in one command of less than 10 minutes.

    python docs/benchmarks/scripts/gpu.py --output gpu.jsonl  # on a machine with a card
    python docs/benchmarks/scripts/gpu.py --device cpu --quick # does it run?

The tests that need a card; training and prediction at width 64 against the loop of the
tutorials and against a tuned loop (channels last, bfloat16, compiled); how near they
come to the card's own matrix product; the peak of its memory; and a model that is
trained on the card and opened where there is none. It needs the extra `test`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
import torch
from lib.plain_torch import (
    BATCH_SIZE,
    as_tensors,
    naive_epoch,
    naive_labels,
    plain_copy,
    scale_of,
    tuned_epoch,
)
from lib.rows import Row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, N_CLASSES, fit_in_turns, plain_segmenter, shapes
from lib.timing import alternated, format_seconds, seconds_of, timed
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from sksegment import FCNSegmenter
from sksegment.networks import FCN

ROOT = Path(__file__).resolve().parents[3]
NAIVE = "PyTorch, loop of the tutorials"
TUNED = "PyTorch, channels last, bfloat16, compiled"
# What is held against what at prediction.
PAIRS = (("float32", NAIVE), ("bfloat16", NAIVE), ("bfloat16", TUNED))
# Side, images and rounds.
CASES = ((256, 128, 5), (512, 64, 5))
QUICK = ((16, 8, 1),)
OPEN = """
import joblib, numpy, sys
model, images, labels = joblib.load(sys.argv[1])
print(numpy.mean(model.predict(images) == labels))
"""


def rows(options: Options) -> Iterator[Row]:
    yield tests_of_the_card()
    yield from speed_rows(options)


def speed_rows(options: Options) -> Iterator[Row]:
    device = options.device
    width = 2 if options.quick else 64
    peak = matrix_product(256 if options.quick else 8192, device)
    yield Row("bfloat16 matrix product", "", peak, unit="TFLOP/s")
    for size, n_images, n_rounds in QUICK if options.quick else CASES:
        yield from training(width, size, n_images, n_rounds, device, peak, options)
        yield from prediction(width, size, n_images, n_rounds, device, options)
    yield round_trip(device, width)


def tests_of_the_card() -> Row:
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-q", "tests"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    summary = (process.stdout.strip().splitlines() or [process.stderr.strip()])[-1]
    # 5 says that there were no such tests.
    return Row(
        "pytest -m cuda",
        "",
        process.returncode,
        unit="(exit status)",
        note=summary,
        aim=0,
        better="lower",
    )


def matrix_product(side: int, device: str) -> float:
    """Return the TFLOP/s of a large product in bfloat16."""
    left, right = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)

    def multiply() -> None:
        for _ in range(10):
            torch.matmul(left, right)
        synchronize(device)

    multiply()
    return 10 * 2 * side**3 / min(seconds_of(multiply) for _ in range(5)) / 1e12


def training(
    width: int,
    size: int,
    n_images: int,
    n_rounds: int,
    device: str,
    peak: float,
    options: Options,
) -> Iterator[Row]:
    X, y = shapes(n_images, size)
    images, masks = as_tensors(X, y)
    segmenter = plain_segmenter(width, device=device)
    peers = {
        NAIVE: timed(naive(width, images, masks, device)),
        TUNED: timed(tuned(width, images, masks, device, compiled=not options.quick)),
    }
    ours, theirs = fit_in_turns(segmenter, X, y, peers, n_rounds)
    question = f"fit, width {width}, {size}x{size}, {n_images} images"
    yield ratio_row(question, NAIVE, ours, theirs[NAIVE], aim=3.0)
    yield ratio_row(question, TUNED, ours, theirs[TUNED], aim=0.9)
    yield rate_row(question, ours, n_images)
    reached = n_images * training_flops(width, size) / median(ours) / 1e12
    yield Row(
        f"{question}: arithmetic of the plain network",
        "bfloat16 matrix product",
        reached,
        unit="TFLOP/s",
        theirs=f"{peak:.3g} TFLOP/s",
        note=f"{reached / peak:.0%} of the peer",
    )
    yield from memory_rows(question, X, y, width, device)


def naive(width: int, images: Any, masks: Any, device: str) -> Callable[[], None]:
    network = plain_copy(FCN(N_CHANNELS, N_CLASSES, width=width), N_CHANNELS, width)
    # Each loss is asked for: nothing is left to wait for at the end.
    return naive_epoch(network.to(device), images, masks)


def tuned(
    width: int, images: Any, masks: Any, device: str, compiled: bool
) -> Callable[[], None]:
    network = plain_copy(FCN(N_CHANNELS, N_CLASSES, width=width), N_CHANNELS, width)
    network = network.to(device, memory_format=torch.channels_last)
    module = torch.compile(network) if compiled else network
    return tuned_epoch(module, images.to(device), masks.to(device), torch.bfloat16)


def training_flops(width: int, size: int) -> float:
    """Count what a training step does for one image, by the plain network."""
    network = plain_copy(FCN(N_CHANNELS, N_CLASSES, width=width), N_CHANNELS, width)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, N_CHANNELS, size, size)).sum().backward()
    return float(counter.get_total_flops())


def memory_rows(
    question: str, X: Any, y: Any, width: int, device: str
) -> Iterator[Row]:
    """Say what a card held at most, in a fit and in an epoch of the naive loop."""
    if device == "cpu":
        return
    segmenter = plain_segmenter(width, device=device, max_epochs=1)
    ours = peak_of(lambda: segmenter.fit(X, y))
    tensors = as_tensors(X, y)
    theirs = peak_of(lambda: naive(width, *tensors, device)())
    yield Row(
        f"{question}: peak memory",
        NAIVE,
        ours / theirs,
        unit="of the peer's",
        ours=f"{ours:.0f} MiB",
        theirs=f"{theirs:.0f} MiB",
        better="lower",
    )


def prediction(
    width: int, size: int, n_images: int, n_rounds: int, device: str, options: Options
) -> Iterator[Row]:
    X, y = shapes(n_images, size)
    ours = {
        precision: plain_segmenter(
            width, device=device, precision=precision, max_epochs=1
        ).fit(X[:8], y[:8])
        for precision in ("float32", "bfloat16")
    }
    peers = {
        NAIVE: eager(ours["float32"], X, width, device),
        TUNED: tuned_labels(ours["float32"], X, width, device, not options.quick),
    }
    contestants = {name: partial(one.predict, X) for name, one in ours.items()} | peers
    seconds = alternated({k: timed(run) for k, run in contestants.items()}, n_rounds)
    for precision, peer in PAIRS:
        question = f"predict {precision}, width {width}, {n_images} x {size}x{size}"
        yield ratio_row(question, peer, seconds[precision], seconds[peer])
    for precision in ours:
        question = f"predict {precision}, width {width}, {size}x{size}"
        yield rate_row(question, seconds[precision], n_images)


def eager(
    segmenter: FCNSegmenter, X: NDArray[np.uint8], width: int, device: str
) -> Callable[[], Any]:
    """Return what labels images as tutorials do. Where a card has TF32, it is used."""
    network = plain_copy(segmenter.network_, N_CHANNELS, width).to(device)
    return partial(naive_labels, network, X, *scale_of(X[:8]))


def tuned_labels(
    segmenter: FCNSegmenter,
    X: NDArray[np.uint8],
    width: int,
    device: str,
    compiled: bool,
) -> Callable[[], None]:
    network = plain_copy(segmenter.network_, N_CHANNELS, width).eval()
    network = network.to(device, memory_format=torch.channels_last)
    module = torch.compile(network) if compiled else network
    mean, std = (part.to(device) for part in scale_of(X[:8]))
    kind = torch.device(device).type

    def label() -> None:
        for start in range(0, len(X), BATCH_SIZE):
            pixels = torch.from_numpy(X[start : start + BATCH_SIZE]).to(device)
            batch = ((pixels.float() - mean) / std).permute(0, 3, 1, 2)
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16):
                module(batch).argmax(1).to(torch.uint8).cpu()

    return label


def rate_row(question: str, seconds: list[float], n_images: int) -> Row:
    rates = [n_images / second for second in seconds]
    return Row(
        question,
        "",
        median(rates),
        min(rates),
        max(rates),
        unit="images/s",
        ours=format_seconds(seconds),
    )


def round_trip(device: str, width: int) -> Row:
    """Open a model of the card in a process that sees none, and compare the labels."""
    X, y = shapes(8, 16)
    segmenter = plain_segmenter(width, device=device, max_epochs=1).fit(X, y)
    labels = segmenter.predict(X)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.joblib"
        joblib.dump((segmenter.set_params(device="auto"), X, labels), file)
        process = subprocess.run(
            [sys.executable, "-c", OPEN, file],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=True,
        )
    equal = 100 * float(process.stdout)
    question = f"file of a model trained on {device}, opened without a card"
    note = "labels equal to those of the card"
    return Row(question, "", equal, unit="%", aim=99.9, note=note)


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def peak_of(function: Callable[[], Any]) -> float:
    """Return the MiB that a function takes on the card beside what is there already."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


if __name__ == "__main__":
    run_script(__doc__, rows, device="cuda")
