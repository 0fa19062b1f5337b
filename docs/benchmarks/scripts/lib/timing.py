"""Seconds of contestants that take turns, so that all see the machine alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

# Before each turn, in seconds: threads of the one before, which wait for more work
# without sleeping, would take a processor from the next.
PAUSE = 0.1

Contestant = Callable[[], float]


def seconds_of(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def timed(function: Callable[[], Any]) -> Contestant:
    """Make a contestant, which returns its own seconds, of any function."""
    return lambda: seconds_of(function)


def alternated(
    contestants: Mapping[str, Contestant], n_rounds: int
) -> dict[str, list[float]]:
    """Run the contestants in turn; the first round warms up and is not counted."""
    rounds = [
        {name: after_a_pause(run) for name, run in contestants.items()}
        for _ in range(n_rounds + 1)
    ]
    return {name: [row[name] for row in rounds[1:]] for name in contestants}


def after_a_pause(run: Contestant) -> float:
    time.sleep(PAUSE)
    return run()


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return how often we fit into their time: of medians, then lowest and highest.

    The spread is that of the pairs that ran one after the other.
    """
    pairs = [b / a for a, b in zip(ours, theirs, strict=True)]
    return median(theirs) / median(ours), min(pairs), max(pairs)


def format_seconds(seconds: list[float]) -> str:
    """Write the median and, in brackets, the best."""
    return f"{_readable(median(seconds))} [{_readable(min(seconds))}]"


def _readable(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1e3 * seconds:.3g} ms"
