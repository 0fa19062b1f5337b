"""Memory of freed tensors, which the C library keeps for the next ones."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

# glibc learns from freed blocks of up to 32 MiB, its own header included (its "dynamic
# mmap threshold"): blocks up to that size then come from the heap, of which it keeps
# twice as much when it is free.
LARGEST_LEARNED_FROM = 32 * 2**20 - 2**16


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB of freed memory in each thread, for its next tensors.

    Otherwise, activations of some MiB are given back to the system after each pass, and
    their pages are cleared and mapped again in the next, which takes up to a tenth of
    the time of a prediction. The limits that a user sets in the environment stay as
    they are. Other C libraries do not learn from it.
    """
    with suppress(MemoryError):  # what needs it will say so
        # Not of torch, which fills it where it is told to be deterministic.
        np.empty(LARGEST_LEARNED_FROM, np.uint8)
