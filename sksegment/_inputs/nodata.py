"""Pixels without data: a value that marks them, and the label that they get."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import is_ignored, label_kind

MAX_UINT8 = 255


def missing_pixels(image: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Tell which pixels of an image have the value, or NaN, in any channel.

    The value is compared in the dtype of the image, in which it was stored: the
    smallest float32 has other digits as a double.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image.
    nodata : float
        The value; may be NaN.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        True where there is no data.
    """
    if math.isnan(nodata):
        marked = np.isnan(image) if image.dtype.kind == "f" else np.zeros((1, 1, 1))
    else:
        # Whole numbers as such: a float would make doubles of all pixels.
        value = int(nodata) if float(nodata).is_integer() else float(nodata)
        with np.errstate(over="ignore"):
            marked = image == value
    found = marked.any(axis=-1)
    return np.broadcast_to(found, image.shape[:2])


def with_nan(image: NDArray[Any], nodata: float) -> NDArray[Any]:
    """Return an image as floats that hold its values, NaN where there is no data."""
    fits = np.can_cast(image.dtype, np.float32)
    floats = np.array(image, np.float32 if fits else np.float64, order="C")
    floats[missing_pixels(image, nodata)] = np.nan
    return floats


def label_dtype(dtype: np.dtype[Any], label: Any) -> np.dtype[Any]:
    """Return a dtype that holds labels of a dtype, and one more label.

    Examples
    --------
    >>> label_dtype(np.dtype(np.uint8), 255), label_dtype(np.dtype(np.uint8), -1)
    (dtype('uint8'), dtype('int16'))
    >>> label_dtype(np.dtype("U3"), "void")
    dtype('<U4')
    """
    whole = isinstance(label, float) and label.is_integer()
    return np.result_type(dtype, np.min_scalar_type(int(label) if whole else label))


@dataclass(frozen=True)
class NoData:
    """The value that marks a pixel without data, and the labels such a pixel has.

    Parameters
    ----------
    value : float
        In the images; may be NaN.
    label : object
        What is predicted there.
    ignored : object
        What is put into masks there, so that it is ignored.
    is_own : bool
        Whether `ignored` is a label that masks do not hold themselves.
    """

    value: float
    label: Any
    ignored: Any
    is_own: bool

    def missing(self, image: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which pixels of an image have no data."""
        return missing_pixels(image, self.value)

    def relabelled(
        self, mask: NDArray[Any], image: NDArray[Any], name: str
    ) -> NDArray[Any]:
        """Return a mask that is ignored wherever its image has no data.

        Raises
        ------
        ValueError, TypeError
            If the mask uses that label for something else, or holds another kind.
        """
        if label_kind(np.asarray(self.ignored).dtype) != label_kind(mask.dtype):
            raise TypeError(
                f"nodata_label is {self.ignored!r}, but {name} holds labels of another "
                f"kind, such as {mask.flat[0]!r}; expected a label of their kind."
            )
        missing = self.missing(image)
        if self.is_own and (is_ignored(mask, self.ignored) & ~missing).any():
            raise ValueError(
                f"nodata_label={self.ignored!r} is also a label of pixels with data, "
                f"in {name}; expected a label that is no class. If it marks pixels "
                f"without a class, pass it as ignore_label."
            )
        relabelled = mask.astype(label_dtype(mask.dtype, self.ignored))
        relabelled[missing] = self.ignored
        return relabelled

    def check_classes(self, classes: NDArray[Any]) -> None:
        """Reject a class as the label of pixels without data.

        Raises
        ------
        ValueError
            If the label is one of the classes.
        """
        if is_ignored(classes, self.label).any():
            raise ValueError(
                f"nodata_label={self.label!r} is one of the classes "
                f"{classes.tolist()}; expected a label that is no class: scores leave "
                f"such pixels out."
            )

    def extended(self, classes: NDArray[Any]) -> NDArray[Any]:
        """Return the classes, and after them the label of pixels without data."""
        labels = np.empty(len(classes) + 1, label_dtype(classes.dtype, self.label))
        labels[:-1], labels[-1] = classes, self.label
        return labels


def nodata_of(nodata: Any, ignore_label: Any, nodata_label: Any) -> NoData | None:
    """Return what the three parameters of a segmenter say; None without `nodata`.

    Raises
    ------
    ValueError
        If there is no label for pixels without data.
    """
    if nodata is None:
        if nodata_label is not None:
            raise ValueError(
                f"nodata_label={nodata_label!r} has no effect without nodata; expected "
                f"None, or the value that marks pixels without data as nodata."
            )
        return None
    label = ignore_label if nodata_label is None else nodata_label
    if label is None:
        raise ValueError(
            f"nodata={nodata!r} marks pixels without data, but neither ignore_label "
            f"nor nodata_label says what to predict there; expected one of them."
        )
    is_own = ignore_label is None
    return NoData(float(nodata), label, label if is_own else ignore_label, is_own)


def split_off(
    mask: NDArray[Any], prediction: NDArray[Any], nodata: NoData, classes: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a true mask and its prediction, ignored where there was no data.

    Parameters
    ----------
    mask : ndarray of shape (height, width)
        True labels.
    prediction : ndarray of shape (height, width) or (n_classes, height, width)
        Predicted labels, or probabilities, NaN without data.
    nodata : NoData
        The labels.
    classes : ndarray of shape (n_classes,)
        The label values of the classes.

    Returns
    -------
    mask, prediction : ndarray
        In `mask`, such pixels have the label `nodata.ignored`; in `prediction`, the
        first class, or equal probabilities.
    """
    is_proba = prediction.ndim == 3
    missing = np.isnan(prediction[0]) if is_proba else prediction == nodata.label
    if not missing.any():
        return mask, prediction
    true = mask.astype(label_dtype(mask.dtype, nodata.ignored))
    true[missing] = nodata.ignored
    first: Any = 1 / len(prediction) if is_proba else classes[0]
    return true, np.where(missing, np.asarray(first, prediction.dtype), prediction)
