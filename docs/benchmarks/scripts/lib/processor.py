"""What the processor did while a script ran, and how much of it was ours."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STAT = Path("/proc/stat")
# Above this, figures are those of a shared machine, and the table says so.
QUIET = 0.05


@dataclass(frozen=True)
class Load:
    """Load averages of one minute, and the share of the processor that others took.

    The average before a script holds what the script before it did. The share does not:
    it is the time that all cores were busy (or taken away by the host), less that of
    this process and its children. None where the system does not tell.
    """

    before: float
    after: float
    others: float | None

    @property
    def is_quiet(self) -> bool:
        return self.others is None or self.others <= QUIET

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "is_quiet": self.is_quiet}


class LoadMeter:
    """Starts to measure when it is made."""

    def __init__(self) -> None:
        self._before = os.getloadavg()[0]
        self._busy, self._own, self._clock = _busy(), _own(), time.monotonic()

    def stop(self) -> Load:
        return Load(self._before, os.getloadavg()[0], self._others())

    def _others(self) -> float | None:
        busy = _busy()
        if busy is None or self._busy is None:
            return None
        capacity = (time.monotonic() - self._clock) * (os.cpu_count() or 1)
        others = (busy - self._busy) - (_own() - self._own)
        return max(0.0, others / capacity)


def _busy() -> float | None:
    """Return the seconds that all cores together were not idle, since the start."""
    if not STAT.exists():
        return None
    user, nice, system, _idle, _wait, *rest = map(
        int, STAT.read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Return the processor seconds of this process and of its children that ended."""
    parts = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = [resource.getrusage(part) for part in parts]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
