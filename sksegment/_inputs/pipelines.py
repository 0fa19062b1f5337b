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


def changing_steps(estimator: Any) -> list[Any]:
    """Return the fitted steps that change images before the last estimator predicts."""
    found: list[Any] = []
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(getattr(estimator, "steps", None), list):
            *before, (_, estimator) = estimator.steps
            found += [step for _, step in before if not _does_nothing(step)]
        else:
            return found


def input_channels(estimator: Any) -> int | None:
    """Return the channels of the images that a fitted estimator takes, if known."""
    if changing_steps(estimator):
        return None  # the last estimator knows what the steps hand on
    return getattr(final_estimator(estimator), "n_features_in_", None)


def set_input_channels(model: Any, members: list[Any]) -> None:
    """Set `n_features_in_` of a model to that of its members; of none, delete it."""
    vars(model).pop("n_features_in_", None)  # of an earlier fit
    known = [n for n in map(input_channels, members) if n is not None]
    if known:
        model.n_features_in_ = known[0]


def _does_nothing(step: Any) -> bool:
    # Augmenters are told by their method: this floor does not know the classes.
    return step in (None, "passthrough") or hasattr(step, "augment")


def fit_with_weights(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Any:
    """Fit a segmenter, Pipeline or search; None passes no weights on."""
    if sample_weight is None:
        return estimator.fit(X, y)
    # Imported here: it takes a second, which computing scores alone does not need.
    from sklearn import get_config

    # Where scikit-learn routes metadata, the Pipeline knows which step asked for it.
    is_routed = get_config()["enable_metadata_routing"]
    name = "sample_weight" if is_routed else weights_argument(estimator)
    return estimator.fit(X, y, **{name: sample_weight})


def weights_argument(estimator: Any) -> str:
    """Return the argument of `fit` by which weights reach the last estimator inside.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sksegment._inputs.pipelines import weights_argument
    >>> weights_argument(make_pipeline(LogisticRegression()))
    'logisticregression__sample_weight'
    """
    from sklearn.utils.validation import has_fit_parameter

    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list):
        name, last = steps[-1]
        return f"{name}__{weights_argument(last)}"
    # A search hands the arguments of fit on as they are.
    is_search = not has_fit_parameter(estimator, "sample_weight")
    inside = getattr(estimator, "estimator", None) if is_search else None
    return "sample_weight" if inside is None else weights_argument(inside)
