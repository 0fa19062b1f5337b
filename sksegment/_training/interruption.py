"""What to say when training is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruption_named(checkpoint: Any) -> Iterator[None]:
    """Say at Ctrl-C how a training run could have been resumed, or that it can be.

    Parameters
    ----------
    checkpoint : Checkpoint or None
        Where progress is kept.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(
            "Training was interrupted, and its progress is lost. With checkpoint_dir="
            "'some/folder', the same fit would have gone on from its last epoch."
            if checkpoint is None
            else "Training was interrupted; its progress is in checkpoint_dir: the "
            "same fit goes on from its last epoch."
        )
        raise
