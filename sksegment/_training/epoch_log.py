"""What training prints: a table of epochs, or one line if it runs beside others."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import numpy as np
from skorch.callbacks import PrintLog

from sksegment._inputs.progress import in_notebook, in_worker, is_terminal

# A name holds the parameters that are not at their defaults, in so many characters.
MAX_NAME = 100


class EpochLog(PrintLog):
    """skorch's table of epochs, in colors only where they show.

    In a worker process it prints nothing: tables of several fits would be mixed up.
    """

    def format_row(self, row: dict[str, Any], key: str, color: str) -> Any:
        """Return a cell, in the color of the best value so far on a terminal."""
        if is_terminal(sys.stdout) or in_notebook():
            return super().format_row(row, key, color)
        return super().format_row({key: row[key]}, key, color)

    def on_epoch_end(self, net: Any, **parameters: Any) -> None:
        """Print a line of the table."""
        # A program without a console has no stdout.
        if sys.stdout is not None and not in_worker():
            super().on_epoch_end(net, **parameters)


def print_summary(
    segmenter: Any, training: Any, seed: int, history: list[dict[str, Any]]
) -> None:
    """Print one line about a fit in a worker process, which names the fit.

    Parameters
    ----------
    segmenter : FCNSegmenter
        What was fitted.
    training : TrainingSet
        What it was trained on.
    seed : int
        Of the training.
    history : list of dict
        Its epochs.
    """
    if sys.stdout is None:
        return
    # In one call: lines of several processes would else be mixed up.
    line = summary(segmenter, training, seed, history)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def summary(
    segmenter: Any, training: Any, seed: int, history: list[dict[str, Any]]
) -> str:
    """Return the line that `print_summary` prints.

    The number tells fits with equal parameters apart by their images.
    """
    name = " ".join(repr(segmenter).split())
    name = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 4]}...)"
    number = zlib.crc32(training.pixels.tobytes() + str(seed).encode()) & 0xFFFF
    last = history[-1] if history else {}
    keys = [key for key in ("train_loss", "valid_loss", "valid_iou") if key in last]
    scores = "".join(f", {key} {last[key]:.4f}" for key in keys)
    seconds = float(np.sum([row.get("dur", 0.0) for row in history]))
    return (
        f"[fit {number:04x}] {name}: {len(training)} images, {len(history)} epochs, "
        f"{seconds:.1f} s{scores}"
    )
