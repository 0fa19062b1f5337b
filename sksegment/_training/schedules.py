"""Learning-rate schedules: the share of the learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Callable

# Exponent of the "poly" schedule, as in DeepLab and most segmentation papers since.
POLY_POWER = 0.9
# Share of the steps in which the learning rate rises before it falls.
WARM_UP = 0.05


def _cosine(step: int, n_steps: int) -> float:
    fall = (1 + math.cos(math.pi * min(step / n_steps, 1))) / 2
    return warm_up(step, n_steps) * fall


def _poly(step: int, n_steps: int) -> float:
    fall = max(1 - step / n_steps, 0.0) ** POLY_POWER
    return warm_up(step, n_steps) * float(fall)


def warm_up(step: int, n_steps: int) -> float:
    """Return the share of the learning rate, rising to 1 in the first steps.

    Adam's first steps divide by a variance of a few gradients; large ones then undo
    the initialisation.
    """
    return min((step + 1) / (1 + WARM_UP * n_steps), 1.0)


SCHEDULES: dict[str, Callable[..., float]] = {"cosine": _cosine, "poly": _poly}
