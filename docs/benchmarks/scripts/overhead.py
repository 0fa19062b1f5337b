"""What does FCNSegmenter.fit cost beside the arithmetic of its network?

The peer is a hand-written loop of the same arithmetic and nothing else: sksegment's own
network, channels last, the same precision, Adam, tensors in memory. No checks, no
history, no callbacks, no standardisation of the images.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from lib.plain_torch import as_tensors, tuned_epoch
from lib.rows import Row, overhead_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, N_CLASSES, fit_in_turns, plain_segmenter, shapes
from lib.timing import timed

from sksegment._torch.precision import training_dtype
from sksegment.networks import FCN

PEER = "PyTorch, hand-written loop of the same arithmetic"
# Width, side, images, rounds, and the per cent that are allowed.
CASES = ((16, 128, 64, 15, 5.0), (8, 64, 256, 15, 10.0))
QUICK = ((2, 16, 16, 1, 10.0),)


def rows(options: Options) -> Iterator[Row]:
    for case in QUICK if options.quick else CASES:
        yield against_same_arithmetic(*case)


def against_same_arithmetic(
    width: int, size: int, n_images: int, n_rounds: int, aim: float
) -> Row:
    X, y = shapes(n_images, size)
    network = FCN(N_CHANNELS, N_CLASSES, width=width)
    network.to(memory_format=torch.channels_last)
    precision = training_dtype("auto", torch.device("cpu"))
    peer = timed(tuned_epoch(network, *as_tensors(X, y), precision))
    segmenter = plain_segmenter(width, device="cpu")
    ours, theirs = fit_in_turns(segmenter, X, y, {PEER: peer}, n_rounds)
    question = f"fit, width {width}, {size}x{size}: how much longer?"
    return overhead_row(question, PEER, ours, theirs[PEER], aim=aim)


if __name__ == "__main__":
    run_script(__doc__, rows)
