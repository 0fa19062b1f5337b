"""The most memory that a process held, and processes to measure it in."""

from __future__ import annotations

import resource
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


def peak_mebibytes() -> float:
    """Return the largest resident memory of this process so far."""
    # On Linux `getrusage` starts from what the parent held when it made the process.
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a process that did nothing before."""
    pool = ProcessPoolExecutor(
        max_workers=1,
        mp_context=get_context("spawn"),
        # Networks are trained for seconds there, and warn of classes that they miss.
        initializer=warnings.simplefilter,
        initargs=("ignore",),
    )
    with pool:
        return pool.submit(function, *arguments).result()
