"""How much faster than the loop of the tutorials does FCNSegmenter.fit train?

Same network, weights, images and batches of 8. The loop is float32, NCHW and a
DataLoader; `fit` is at its defaults (bfloat16 where the processor has it), and once in
float32. Ours are seconds of an epoch with all that `fit` does around a step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from lib.plain_torch import as_tensors, naive_epoch, plain_copy
from lib.rows import Row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, N_CLASSES, fit_in_turns, plain_segmenter, shapes
from lib.timing import timed

from sksegment.networks import FCN

PEER = "PyTorch, loop of the tutorials"
# Width, side, images (two steps of 8 are an epoch of a wide network), rounds, precision
# and aim.
CASES = (
    (64, 128, 16, 6, "auto", 3.0),
    (16, 128, 32, 9, "auto", 2.5),
    (64, 128, 16, 6, "float32", 1.5),
)
QUICK = ((2, 16, 8, 1, "auto", 3.0), (2, 16, 8, 1, "float32", 1.5))
CLOSE = 1e-4


def rows(options: Options) -> Iterator[Row]:
    for case in QUICK if options.quick else CASES:
        yield against_naive_loop(*case)


def against_naive_loop(
    width: int, size: int, n_images: int, n_rounds: int, precision: str, aim: float
) -> Row:
    X, y = shapes(n_images, size)
    images, masks = as_tensors(X, y)
    network = FCN(N_CHANNELS, N_CLASSES, width=width)
    plain = plain_copy(network, N_CHANNELS, width)
    check_equal(network, plain, images)
    segmenter = plain_segmenter(width, precision=precision)
    peers = {PEER: timed(naive_epoch(plain, images, masks))}
    ours, theirs = fit_in_turns(segmenter, X, y, peers, n_rounds)
    question = f"fit, width {width}, {size}x{size}, precision={precision!r}"
    return ratio_row(question, PEER, ours, theirs[PEER], aim=aim)


def check_equal(
    network: torch.nn.Module, plain: torch.nn.Module, images: torch.Tensor
) -> None:
    """Refuse to compare networks that are not the same function."""
    with torch.inference_mode():
        ours, theirs = (net.eval()(images[:1]) for net in (network, plain))
    if not torch.allclose(ours, theirs, atol=CLOSE * float(theirs.abs().max())):
        raise AssertionError("The two networks differ: nothing can be compared.")


if __name__ == "__main__":
    run_script(__doc__, rows)
