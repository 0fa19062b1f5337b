"""Our side of the comparisons: the public estimator, and epochs of it and of peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skorch.callbacks import Callback

from lib.plain_torch import BATCH_SIZE, LEARNING_RATE
from lib.timing import Contestant
from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes

N_CHANNELS = 3
N_CLASSES = 4


def shapes(n_images: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return pictures (n, size, size, 3) and masks, both in 8 bits."""
    X, y = make_shapes(n_images, size=size, n_classes=N_CLASSES, random_state=0)
    return (255 * X).round().astype(np.uint8), y


def plain_segmenter(width: int, **parameters: Any) -> FCNSegmenter:
    """Return an estimator of the network of the tutorials."""
    return FCNSegmenter(
        width=width,
        skip=None,
        norm=None,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        random_state=0,
        **parameters,
    )


def default_segmenter(**parameters: Any) -> FCNSegmenter:
    """Return an estimator with the defaults, but for the batches of all sides."""
    return FCNSegmenter(batch_size=BATCH_SIZE, random_state=0, **parameters)


class _Turns(Callback):
    """Gives peers an epoch each after every epoch of ours."""

    def __init__(self, peers: Mapping[str, Contestant]) -> None:
        self.peers = peers
        self.seconds: dict[str, list[float]] = {name: [] for name in peers}

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        for name, run in self.peers.items():
            self.seconds[name].append(run())


def fit_in_turns(
    segmenter: FCNSegmenter,
    X: Any,
    y: NDArray[Any],
    peers: Mapping[str, Contestant],
    n_epochs: int,
) -> tuple[list[float], dict[str, list[float]]]:
    """Fit, and let peers train an epoch after each of ours, all in one process.

    Ours are the seconds of `history_`: the whole epoch with its batches, its checks and
    its record, but without peers. The first epoch warms up, and is not counted; nor is
    the one look at all images that comes before training, as peers take none.
    """
    turns = _Turns(peers)
    segmenter.set_params(callbacks=[turns], max_epochs=n_epochs + 1).fit(X, y)
    ours = [row["dur"] for row in segmenter.history_[1:]]
    return ours, {name: seconds[1:] for name, seconds in turns.seconds.items()}
