"""Rows of the table of results, and what they are held against."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lib.timing import format_seconds, ratios

HEADER = (
    "| question | sksegment | peer | of the peer | result (spread) | aim | verdict |\n"
    "|---|---|---|---|---|---|---|"
)
# A ratio says how many times faster (or smaller) than the peer we are.
TIMES = "x"
# Less cannot be told from the noise of a machine that does nothing else.
NOISE = 0.03


@dataclass(frozen=True)
class Row:
    """One result. A row without a value says in `note` why there is none.

    `better` tells whether a higher or a lower value is better; `aim` is the bound.
    """

    question: str
    peer: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = TIMES
    ours: str = ""
    theirs: str = ""
    aim: float | None = None
    better: Literal["higher", "lower"] = "higher"
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not run"
        if self.unit == TIMES and self.value < 1 - NOISE:
            return "**we lose**"
        if self.aim is None:
            return ""
        distance = self.value - self.aim
        met = distance >= 0 if self.better == "higher" else distance <= 0
        return "met" if met else "**aim missed**"

    def cells(self) -> list[str]:
        names = [self.question, self.ours, self.peer, self.theirs]
        return [*names, self.result(), self.bound(), self.verdict]

    def bound(self) -> str:
        """Return the aim as text."""
        if self.aim is None:
            return ""
        words = "at least" if self.better == "higher" else "at most"
        return f"{words} {_number(self.aim)} {self.unit}"

    def result(self) -> str:
        """Return the value with its spread, or why there is none."""
        if self.value is None:
            return self.note
        text = f"**{f'{_number(self.value)} {self.unit}'.strip()}**"
        if self.low is not None and self.high is not None:
            text += f" ({_number(self.low)} to {_number(self.high)})"
        return f"{text}; {self.note}" if self.note else text


def ratio_row(
    question: str,
    peer: str,
    ours: list[float],
    theirs: list[float],
    *,
    aim: float | None = None,
    note: str = "",
) -> Row:
    """Say how many times faster than the peer we are."""
    value, low, high = ratios(ours, theirs)
    return Row(
        question,
        peer,
        value,
        low,
        high,
        ours=format_seconds(ours),
        theirs=format_seconds(theirs),
        aim=aim,
        note=note,
    )


def overhead_row(
    question: str, peer: str, ours: list[float], theirs: list[float], *, aim: float
) -> Row:
    """Say how many per cent longer than the peer we take."""
    value, low, high = (100 * (ratio - 1) for ratio in ratios(theirs, ours))
    return Row(
        question,
        peer,
        value,
        low,
        high,
        unit="%",
        ours=format_seconds(ours),
        theirs=format_seconds(theirs),
        aim=aim,
        better="lower",
    )


def missing_row(question: str, peer: str, reason: str) -> Row:
    """Say that a peer is not there, and what would bring it."""
    return Row(question, peer, note=reason)


def markdown_table(rows: Iterable[Row]) -> str:
    lines = [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join([HEADER, *lines])


def _number(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
