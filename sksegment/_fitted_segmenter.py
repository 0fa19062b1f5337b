"""The segmenter inside what a user passes, if it alone decides what is predicted."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from sksegment import augmentation
from sksegment._inputs.pipelines import final_estimator
from sksegment.segmenter import FCNSegmenter

AUGMENTERS = tuple(
    getattr(augmentation, name)
    for name in augmentation.__all__
    if name.startswith("Random")
)


def fitted_segmenter(estimator: Any, caller: str) -> FCNSegmenter:
    """Return the fitted segmenter of a Pipeline or search, or the segmenter itself.

    Parameters
    ----------
    estimator : object
        What the user passed.
    caller : str
        The function that asks.

    Returns
    -------
    FCNSegmenter
        The segmenter; whatever stands before it does nothing at prediction.

    Raises
    ------
    TypeError
        If it is another estimator, or if a step before it changes images.
    NotFittedError
        If it is not fitted.
    """
    segmenter = final_estimator(estimator)
    if not isinstance(segmenter, FCNSegmenter):
        raise TypeError(
            f"{caller} was given a {type(segmenter).__name__}; expected an "
            f"FCNSegmenter, or a Pipeline that ends with one."
        )
    _check_steps(estimator, caller)
    check_is_fitted(segmenter)
    return segmenter


def _check_steps(estimator: Any, caller: str) -> None:
    pipeline = getattr(estimator, "best_estimator_", estimator)
    for name, step in getattr(pipeline, "steps", [])[:-1]:
        if step not in (None, "passthrough") and not isinstance(step, AUGMENTERS):
            raise TypeError(
                f"The step {name!r} is a {type(step).__name__}, and {caller} cannot "
                f"know what it does to a part of an image; expected augmenters of "
                f"sksegment.augmentation, which do nothing at prediction. Apply the "
                f"step to the images yourself, and pass the segmenter alone."
            )
