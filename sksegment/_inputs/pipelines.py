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


def fit_with_weights(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Any:
    """Fit a segmenter, or a Pipeline that ends in one; None passes no weights on."""
    if sample_weight is None:
        return estimator.fit(X, y)
    steps = getattr(estimator, "steps", None)
    prefix = f"{steps[-1][0]}__" if isinstance(steps, list) else ""
    return estimator.fit(X, y, **{f"{prefix}sample_weight": sample_weight})
