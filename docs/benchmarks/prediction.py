"""How much faster than an eager network does FCNSegmenter.predict label images?

From images of 8 bits to labels on both sides, batches of 8, the same weights. The peer
is the plain network in float32 and NCHW under inference_mode.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _plain import naive_labels, plain_copy, scale_of
from _rows import Row, ratio_row
from _script import Options, run_script
from _segmenter import N_CHANNELS, plain_segmenter, shapes
from _timing import alternated, timed

PEER = "PyTorch, eager float32 NCHW"
# Width, side, images, rounds, and the aims of float32 and bfloat16.
CASES = ((64, 128, 16, 9, 1.6, 3.3), (16, 128, 64, 9, 2.5, 4.5))
QUICK = ((2, 16, 8, 1, 1.6, 3.3),)


def rows(options: Options) -> Iterator[Row]:
    for width, size, n_images, n_rounds, *aims in QUICK if options.quick else CASES:
        yield from against_eager(width, size, n_images, n_rounds, aims)


def against_eager(
    width: int, size: int, n_images: int, n_rounds: int, aims: list[float]
) -> Iterator[Row]:
    X, y = shapes(n_images, size)
    exact = plain_segmenter(width, device="cpu", max_epochs=1).fit(X[:8], y[:8])
    coarse = plain_segmenter(width, device="cpu", precision="bfloat16", max_epochs=1)
    coarse.fit(X[:8], y[:8])
    plain = plain_copy(exact.network_, N_CHANNELS, width)
    scale = scale_of(X[:8])
    agreement = np.mean(exact.predict(X) == naive_labels(plain, X, *scale))
    contestants = {
        "float32": timed(lambda: exact.predict(X)),
        PEER: timed(lambda: naive_labels(plain, X, *scale)),
        "bfloat16": timed(lambda: coarse.predict(X)),
    }
    seconds = alternated(contestants, n_rounds)
    for precision, aim in zip(("float32", "bfloat16"), aims, strict=True):
        question = f"predict {precision}, width {width}, {n_images} x {size}x{size}"
        note = f"{agreement:.2%} equal labels" if precision == "float32" else ""
        yield ratio_row(
            question, PEER, seconds[precision], seconds[PEER], aim=aim, note=note
        )


if __name__ == "__main__":
    run_script(__doc__, rows)
