"""How much faster than onnxruntime does FCNSegmenter.predict label images?

The peer is the same network, the plain one or the one of the defaults, exported by
torch and run in float32 on as many threads, from images of 8 bits to labels, in batches
of 8.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from lib.plain_torch import BATCH_SIZE, plain_copy, scale_of, standardize
from lib.plain_unet import unet_copy
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, default_segmenter, plain_segmenter, shapes
from lib.timing import alternated, timed
from numpy.typing import NDArray

from sksegment import FCNSegmenter

PEER = "onnxruntime float32"
NEEDED = ("onnx", "onnxscript", "onnxruntime")
WIDTH = 16  # the default


class Case(NamedTuple):
    """A network and the images that it labels; the defaults' if no width is given."""

    width: int | None
    size: int
    n_images: int
    aim: float
    n_rounds: int = 9


CASES = (
    Case(64, 128, 16, aim=1.2),
    Case(16, 128, 64, aim=1.2),
    Case(None, 128, 8, aim=1.15),
    Case(None, 512, 8, aim=1.2),
)
QUICK = (Case(2, 16, 8, 1.2, 1), Case(None, 16, 8, 1.2, 1))


def rows(options: Options) -> Iterator[Row]:
    missing = [name for name in NEEDED if find_spec(name) is None]
    for case in QUICK if options.quick else CASES:
        network = "defaults" if case.width is None else f"width {case.width}"
        size = f"{case.n_images} x {case.size}x{case.size}"
        question = f"predict float32, {network}, {size}"
        if missing:
            yield missing_row(question, PEER, f"not installed: {', '.join(missing)}")
        else:
            yield against_onnx(question, case)


def against_onnx(question: str, case: Case) -> Row:
    X, y = shapes(max(8, case.n_images), case.size)
    segmenter = trained(case.width, X[:8], y[:8])
    network = same_network(segmenter.network_, case.width)
    label = onnx_labels(network, X, *scale_of(X[:8]))
    agreement = np.mean(segmenter.predict(X) == label())
    contestants = {
        "sksegment": timed(lambda: segmenter.predict(X)),
        PEER: timed(label),
    }
    ours, theirs = alternated(contestants, case.n_rounds).values()
    note = f"{agreement:.2%} equal labels"
    return ratio_row(question, PEER, ours, theirs, aim=case.aim, note=note)


def trained(width: int | None, X: NDArray[Any], y: NDArray[Any]) -> FCNSegmenter:
    options: dict[str, Any] = {"device": "cpu", "max_epochs": 1}
    if width is None:
        return default_segmenter(**options).fit(X, y)
    return plain_segmenter(width, **options).fit(X, y)


def same_network(network: torch.nn.Module, width: int | None) -> torch.nn.Module:
    """Return a network in plain torch, as a user writes it, with the same weights."""
    if width is None:
        return unet_copy(network, N_CHANNELS, WIDTH)
    return plain_copy(network, N_CHANNELS, width)


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
