"""A callback that keeps the weights of some epochs in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback


class WeightKeeper(Callback):
    """Save the weights of the network after some epochs.

    Parameters
    ----------
    folder : Path
        Where the files are written.
    epochs : sequence of int
        The epochs, counted from 1.
    """

    def __init__(self, folder: Path, epochs: Sequence[int]) -> None:
        self.folder = folder
        self.epochs = epochs

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Save the weights if they are asked for."""
        epoch = len(net.history)
        if epoch in self.epochs:
            torch.save(net.module_.state_dict(), self._file(epoch))

    def restored(self, model: Any, segmenter: Any, epoch: int) -> Any:
        """Give a fitted segmenter the weights of an epoch; return its model."""
        weights = torch.load(self._file(epoch), map_location="cpu", weights_only=True)
        segmenter.network_.load_state_dict(weights)
        return model

    def _file(self, epoch: int) -> Path:
        return self.folder / f"{epoch}.pt"
