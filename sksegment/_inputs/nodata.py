"""Pixels without data: a value that marks them, and the label that they get."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import MAX_INT64, is_ignored, label_kind, whole_dtype
from sksegment._inputs.pipelines import final_estimator


def missing_pixels(image: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Tell which pixels of an image have the value, or NaN, in any channel.

    The value is compared in the dtype of the image, in which it was stored: the
    smallest float32 has other digits as a double.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image.
    nodata : float or int
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


def with_room_for(labels: NDArray[Any], label: Any) -> NDArray[Any]:
    """Return a copy of labels in a dtype that holds one more label.

    Raises
    ------
    ValueError
        If no dtype of whole numbers holds them all.

    Examples
    --------
    >>> labels = np.array([0, 1], np.uint8)
    >>> with_room_for(labels, 255).dtype, with_room_for(labels, -1).dtype
    (dtype('uint8'), dtype('int16'))
    >>> with_room_for(np.array(["sky"]), "void").dtype
    dtype('<U4')
    """
    is_float = isinstance(label, (float, np.floating)) and labels.dtype.kind != "f"
    added = int(label) if is_float and float(label).is_integer() else label
    dtype = np.result_type(labels.dtype, np.min_scalar_type(added))
    # Of uint64 and negative numbers numpy makes floats, which lose digits; of numbers
    # that no dtype holds, objects.
    is_other = dtype.kind in "fO" and labels.dtype.kind != dtype.kind
    if is_other and isinstance(added, Integral):
        dtype = _whole_dtype(labels, int(added))
    return labels.astype(dtype)


def _whole_dtype(labels: NDArray[Any], label: int) -> np.dtype[Any]:
    low, high = min(int(labels.min()), label), max(int(labels.max()), label)
    cure = (
        f"labels of pixels without data (nodata_label, ignore_label) from 0 to "
        f"{MAX_INT64}"
    )
    return whole_dtype(low, high, cure)


def marked(
    labels: NDArray[Any], missing: NDArray[np.bool_], label: Any
) -> NDArray[Any]:
    """Return a mask with a label wherever data are missing."""
    mask = with_room_for(labels, label)
    mask[missing] = label
    return mask


@dataclass(frozen=True)
class NoData:
    """The value that marks a pixel without data, and the labels such a pixel has.

    Parameters
    ----------
    value : float or int
        In the images; may be NaN. A whole number that no float holds is an int.
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
        return marked(mask, missing, self.ignored)

    def missing_in(self, prediction: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which pixels of a prediction, labels or probabilities, have no data."""
        if prediction.ndim == 3:
            return np.isnan(prediction[0])
        return np.asarray(prediction == self.label)

    def check_classes(self, classes: NDArray[Any]) -> None:
        """Reject labels of pixels without data that predictions cannot hold.

        Raises
        ------
        ValueError
            If the label is one of the classes, or if no dtype holds it beside them.
        """
        if is_ignored(classes, self.label).any():
            raise ValueError(
                f"nodata_label={self.label!r} is one of the classes "
                f"{classes.tolist()}; expected a label that is no class: scores leave "
                f"such pixels out."
            )
        self.extended(classes)  # before hours of training, not after

    def extended(self, classes: NDArray[Any]) -> NDArray[Any]:
        """Return the classes, and after them the label of pixels without data."""
        known = with_room_for(classes, self.label)
        return np.append(known, np.array([self.label]).astype(known.dtype))


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
    return NoData(_exact(nodata), label, label if is_own else ignore_label, is_own)


def _exact(nodata: Any) -> float:
    # A float wherever it is exact: -9999 and -9999.0 are one value, in digests too.
    is_rounded = isinstance(nodata, Integral) and int(nodata) != float(nodata)
    return int(nodata) if is_rounded else float(nodata)


def fitted_nodata(estimator: Any) -> NoData | None:
    """Return what the segmenter in a Pipeline or search says of pixels without data."""
    final = final_estimator(estimator)
    if not hasattr(final, "nodata_label"):  # a segmenter of another package
        return None
    ignored = getattr(final, "ignore_label", None)
    return nodata_of(final.nodata, ignored, final.nodata_label)


def fitted_ignore_label(estimator: Any) -> Any:
    """Return the label that scores leave out, for the segmenter in a Pipeline."""
    nodata = fitted_nodata(estimator)
    if nodata is not None:
        return nodata.ignored
    return getattr(final_estimator(estimator), "ignore_label", None)


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
        Their labels.
    classes : ndarray of shape (n_classes,)
        The label values of the classes.

    Returns
    -------
    mask, prediction : ndarray
        In `mask`, such pixels have the label `nodata.ignored`; in `prediction`, the
        first class, or equal probabilities. If the sizes differ, which whoever counts
        the pixels says, both are as they were.
    """
    missing = nodata.missing_in(prediction)
    if mask.shape != missing.shape or not missing.any():
        return mask, prediction
    first: Any = 1 / len(prediction) if prediction.ndim == 3 else classes[0]
    known = np.where(missing, np.asarray(first, prediction.dtype), prediction)
    return marked(mask, missing, nodata.ignored), known


def split_off_all(
    masks: Iterable[NDArray[Any]],
    predictions: Iterable[Any],
    nodata: NoData,
    classes: NDArray[Any],
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return what `split_off` makes of as many masks as predictions."""
    pairs = [
        split_off(mask, np.asarray(prediction), nodata, classes)
        for mask, prediction in zip(masks, predictions, strict=True)
    ]
    return [mask for mask, _ in pairs], [prediction for _, prediction in pairs]
