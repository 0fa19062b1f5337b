"""How much faster than onnxruntime does FCNSegmenter.predict label images?

The peer is the plain network, exported by torch and run in float32 on as many threads,
from images of 8 bits to labels, in batches of 8.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from lib.plain_torch import BATCH_SIZE, plain_copy, scale_of, standardize
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, plain_segmenter, shapes
from lib.timing import alternated, timed
from numpy.typing import NDArray

PEER = "onnxruntime float32"
NEEDED = ("onnx", "onnxscript", "onnxruntime")
# Width, side, images and rounds.
CASES = ((64, 128, 16, 9), (16, 128, 64, 9))
QUICK = ((2, 16, 8, 1),)
AIM = 1.2


def rows(options: Options) -> Iterator[Row]:
    for width, size, n_images, n_rounds in QUICK if options.quick else CASES:
        question = f"predict float32, width {width}, {n_images} x {size}x{size}"
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            yield missing_row(question, PEER, f"not installed: {', '.join(missing)}")
        else:
            yield against_onnx(question, width, size, n_images, n_rounds)


def against_onnx(
    question: str, width: int, size: int, n_images: int, n_rounds: int
) -> Row:
    X, y = shapes(n_images, size)
    segmenter = plain_segmenter(width, device="cpu", max_epochs=1).fit(X[:8], y[:8])
    plain = plain_copy(segmenter.network_, N_CHANNELS, width)
    label = onnx_labels(plain, X, *scale_of(X[:8]))
    agreement = np.mean(segmenter.predict(X) == label())
    contestants = {
        "sksegment": timed(lambda: segmenter.predict(X)),
        PEER: timed(label),
    }
    ours, theirs = alternated(contestants, n_rounds).values()
    note = f"{agreement:.2%} equal labels"
    return ratio_row(question, PEER, ours, theirs, aim=AIM, note=note)


def onnx_labels(
    network: torch.nn.Module, X: NDArray[np.uint8], *scale: torch.Tensor
) -> Callable[[], NDArray[Any]]:
    """Return what labels the images with a session of onnxruntime."""
    session = exported(network.eval(), standardize(X[:BATCH_SIZE], *scale))
    (name,) = (entry.name for entry in session.get_inputs())

    def label() -> NDArray[Any]:
        parts = np.split(X, range(BATCH_SIZE, len(X), BATCH_SIZE))
        scores = (
            session.run(None, {name: standardize(part, *scale).numpy()})[0]
            for part in parts
        )
        return np.concatenate([part.argmax(axis=1) for part in scores])

    return label


def exported(network: torch.nn.Module, batch: torch.Tensor) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        with warnings.catch_warnings():
            # Within torch: its exporter uses what its other parts deprecate.
            warnings.simplefilter("ignore", FutureWarning)
            torch.onnx.export(network, (batch,), file, dynamo=True, verbose=False)
        return onnxruntime.InferenceSession(file, settings)


if __name__ == "__main__":
    run_script(__doc__, rows)
