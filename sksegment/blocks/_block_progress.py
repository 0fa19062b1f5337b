"""A progress bar over the blocks that dask writes."""

from __future__ import annotations

from typing import Any

from sksegment._inputs.progress import progress_bar


class BlockProgress:
    """Shows how many blocks are written.

    The schedulers of one machine tell of each task; a cluster is asked after each wave.

    Parameters
    ----------
    n_blocks : int
        Those to be written.
    verbose : int
        That of the segmenter.
    """

    def __init__(self, n_blocks: int, verbose: int) -> None:
        from dask.callbacks import Callback

        self._bar = progress_bar(n_blocks, "writing", "blocks", verbose)
        self._told = 0  # at the end of the last wave
        self._callback: Any = Callback(posttask=self._note)

    def __enter__(self) -> BlockProgress:
        self._bar.__enter__()
        self._callback.register()
        return self

    def __exit__(self, *error: Any) -> None:
        self._callback.unregister()
        self._bar.__exit__(*error)

    def _note(self, key: Any, *_: Any) -> None:
        name = key[0] if isinstance(key, tuple) else key
        if str(name).startswith("write_block"):
            self._bar.update()

    def end_wave(self, n_blocks: int) -> None:
        """Count all blocks of a wave, whether or not the scheduler told of each."""
        self._told += n_blocks
        self._bar.update(self._told - self._bar.n)
