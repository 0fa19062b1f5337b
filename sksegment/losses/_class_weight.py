"""Class weights: what the pixels of each class count in the loss."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray


def class_weights(
    class_weight: Any, classes: NDArray[Any], pixels: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Return the weight of each class.

    Parameters
    ----------
    class_weight : None, str or dict
        The parameter: None, a key of `RULES`, or weights by label value, 1 for the
        labels that are left out.
    classes : ndarray of shape (n_classes,)
        The label values.
    pixels : ndarray of shape (n_images, n_classes)
        Labelled pixels of each class in each image of training; some class occurs.

    Returns
    -------
    ndarray of shape (n_classes,) or None
        The weights.

    Raises
    ------
    ValueError
        If a dict names something that is not a class, or its values are not weights.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.losses._class_weight import class_weights
    >>> pixels = np.array([[4.0, 0.0], [6.0, 2.0]])
    >>> class_weights("balanced", np.array([0, 1]), pixels)
    array([0.6, 3. ], dtype=float32)
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        return RULES[class_weight](pixels).astype(np.float32)
    return _named_weights(class_weight, classes.tolist())


def check_fixed_weights(class_weight: Any) -> None:
    """Reject weights that follow from all masks where a part of them is shown.

    Raises
    ------
    ValueError
        As scikit-learn's classifiers raise, with the weights to pass instead.
    """
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight {class_weight!r} is not supported for partial_fit, whose "
            f"calls show a part of the masks each; expected weights by label, such as "
            f"dict(zip(labels, pixels.sum() / (len(labels) * pixels))) of pixels = "
            f"pixel_confusion_matrix(y, y, labels=labels).diagonal() over many masks."
        )


def balanced(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights in inverse proportion to class pixels, as in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.losses._class_weight import balanced
    >>> balanced(np.array([[4.0, 0.0], [6.0, 2.0]]))
    array([0.6, 3. ])
    """
    totals = _absent_as_rarest(pixels.sum(axis=0))
    return np.asarray(totals.sum() / (len(totals) * totals))


def median_frequency(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median frequency of the classes over that of each class [1]_.

    The frequency of a class is its share of the labelled pixels of the images that
    show it. The median is over the classes that occur.

    References
    ----------
    .. [1] D. Eigen and R. Fergus, "Predicting Depth, Surface Normals and Semantic
       Labels with a Common Multi-Scale Convolutional Architecture", ICCV 2015.

    Examples
    --------
    Class 0 has 10 of 12 pixels, class 1 has 2 of the 8 of the second image:

    >>> import numpy as np
    >>> from sksegment.losses._class_weight import median_frequency
    >>> median_frequency(np.array([[4.0, 0.0], [6.0, 2.0]]))
    array([0.65      , 2.16666667])
    """
    totals = pixels.sum(axis=0)
    beside = pixels.sum(axis=1) @ (pixels > 0)
    occurs = totals > 0
    frequencies = np.divide(totals, beside, out=np.zeros(len(totals)), where=occurs)
    return np.asarray(np.median(frequencies[occurs]) / _absent_as_rarest(frequencies))


def _absent_as_rarest(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count a class of classes= that does not occur as the rarest that does."""
    return np.where(amounts > 0, amounts, amounts[amounts > 0].min())


def _named_weights(
    class_weight: dict[Any, Any], labels: list[Any]
) -> NDArray[np.float32]:
    unknown = [label for label in class_weight if label not in labels]
    if unknown:
        raise ValueError(
            f"class_weight has the keys {unknown}, which are not classes; expected "
            f"some of {labels}."
        )
    values = [class_weight.get(label, 1.0) for label in labels]
    is_number = all(isinstance(value, Real) for value in values)
    weights = np.array(values if is_number else [np.nan])
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(
            f"class_weight is {class_weight!r}; expected finite weights of 0 or more, "
            f"not all 0."
        )
    return weights.astype(np.float32)


RULES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "balanced": balanced,
    "median_frequency": median_frequency,
}
