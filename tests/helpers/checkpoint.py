"""What the tests of checkpoint share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochTimer

from sksegment import FCNSegmenter

N_EPOCHS = 6


class Interrupt(EpochTimer):  # type: ignore[misc]
    """End the process, as far as a test can, in the middle of an epoch.

    As a watcher, it does not tell trainings apart.
    """

    def __init__(self, epoch: int, error: BaseException) -> None:
        super().__init__()
        self.epoch = epoch
        self.error = error

    def on_batch_end(self, net: Any, training: bool = False, **_: Any) -> None:
        if training and len(net.history) == self.epoch:
            raise self.error


def segmenter(**parameters: Any) -> FCNSegmenter:
    sizes = {} if "network" in parameters else {"depth": 1, "width": 3}
    defaults = {"max_epochs": N_EPOCHS, "batch_size": 3, "random_state": 0, **sizes}
    return FCNSegmenter(**{**defaults, **parameters})


def interrupted(
    X: Any,
    y: Any,
    epoch: int = 4,
    steps: tuple[Any, ...] = (),
    callbacks: tuple[Any, ...] = (),
    **parameters: Any,
) -> None:
    """Begin a training that is interrupted in `epoch`."""
    stop = Interrupt(epoch, RuntimeError("power failure"))
    model = make_pipeline(*steps, segmenter(callbacks=[stop, *callbacks], **parameters))
    with pytest.raises(RuntimeError, match="power failure"):
        model.fit(X, y)


def assert_equal_weights(one: FCNSegmenter, other: FCNSegmenter) -> None:
    left, right = one.network_.state_dict(), other.network_.state_dict()
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name
