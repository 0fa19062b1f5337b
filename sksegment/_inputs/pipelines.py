"""Pipelines and search objects, and the estimator that predicts inside them."""

from __future__ import annotations

from typing import Any


def final_estimator(estimator: Any) -> Any:
    """Return the estimator that predicts inside Pipelines and search objects."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(getattr(estimator, "steps", None), list):
            estimator = estimator.steps[-1][1]
        else:
            return estimator
