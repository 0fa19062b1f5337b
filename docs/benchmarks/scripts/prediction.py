"""How much faster than an eager network does FCNSegmenter.predict label images?

From images of 8 bits to labels on both sides, batches of 8, the same weights. The peer
is the same network, layer by layer, in float32 and NCHW under inference_mode: the plain
one of the tutorials, and for our defaults a U-Net with batch normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from lib.plain_torch import naive_labels, plain_copy, scale_of
from lib.plain_unet import unet_copy
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, default_segmenter, plain_segmenter, shapes
from lib.timing import alternated, timed
from torch import nn

from sksegment import FCNSegmenter
from sksegment._torch.precision import has_bfloat16

PEER = "PyTorch, eager float32 NCHW"


class Case(NamedTuple):
    """A network and its copy in plain torch; images; aims of float32 and bfloat16."""

    name: str
    width: int
    make: Callable[..., FCNSegmenter]
    copy_of: Callable[[nn.Module, int, int], nn.Module]
    size: int
    n_images: int
    aims: tuple[float | None, float | None] = (None, None)


def plain_case(
    width: int, *, size: int, n_images: int, aims: tuple[float, float]
) -> Case:
    make = partial(plain_segmenter, width)
    return Case(f"width {width}", width, make, plain_copy, size, n_images, aims)


def default_case(*, size: int, n_images: int) -> Case:
    return Case("defaults", 16, default_segmenter, unet_copy, size, n_images)


CASES = (
    plain_case(64, size=128, n_images=16, aims=(1.6, 3.3)),
    plain_case(16, size=128, n_images=64, aims=(2.5, 4.5)),
    default_case(size=128, n_images=64),
    default_case(size=512, n_images=8),
)
QUICK = (
    plain_case(2, size=16, n_images=8, aims=(1.6, 3.3)),
    default_case(size=16, n_images=8),
)


def rows(options: Options) -> Iterator[Row]:
    for case in QUICK if options.quick else CASES:
        yield from against_eager(case, n_rounds=1 if options.quick else 9)


def against_eager(case: Case, n_rounds: int) -> Iterator[Row]:
    X, y = shapes(case.n_images, case.size)
    exact = case.make(device="cpu", max_epochs=1).fit(X[:8], y[:8])
    copy = case.copy_of(exact.network_, N_CHANNELS, case.width)
    scale = scale_of(X[:8])
    agreement = np.mean(exact.predict(X) == naive_labels(copy, X, *scale))
    contestants = {
        "float32": timed(lambda: exact.predict(X)),
        PEER: timed(lambda: naive_labels(copy, X, *scale)),
    }
    if has_bfloat16(torch.device("cpu")):  # without, it takes minutes
        coarse = case.make(device="cpu", precision="bfloat16", max_epochs=1)
        coarse.fit(X[:8], y[:8])
        contestants["bfloat16"] = timed(lambda: coarse.predict(X))
    seconds = alternated(contestants, n_rounds)
    images = f"{case.n_images} x {case.size}x{case.size}"
    for precision, aim in zip(("float32", "bfloat16"), case.aims, strict=True):
        question = f"predict {precision}, {case.name}, {images}"
        note = f"{agreement:.2%} equal labels" if precision == "float32" else ""
        if precision in seconds:
            ours, theirs = seconds[precision], seconds[PEER]
            yield ratio_row(question, PEER, ours, theirs, aim=aim, note=note)
        else:
            yield missing_row(question, PEER, "no bfloat16 in hardware")


if __name__ == "__main__":
    run_script(__doc__, rows)
