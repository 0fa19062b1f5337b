"""Masks on top of their images: tinted, outlined, or as strokes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import IGNORED

# How much of the class color shows over the image.
TINT = 0.4
# Lines are this fraction of the longer side wide: visible in a small panel.
LINE = 1 / 480
# How far strokes are widened.
STROKE = 1 / 200
# Pictures with lines have at least this many pixels along the longer side: otherwise a
# line of one pixel would cover much of a small image.
MIN_SIDE = 480
# The truth is outlined in white on black, which no class has.
TRUTH_LINE, TRUTH_RIM = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


def as_colors(visible: NDArray[Any]) -> NDArray[np.float64]:
    """Return a picture of one or three channels in three."""
    shape = (*visible.shape[:2], 3)
    channels = visible[..., np.newaxis] if visible.ndim == 2 else visible
    return np.broadcast_to(channels, shape).astype(np.float64)


def enlarged(array: NDArray[Any]) -> NDArray[Any]:
    """Repeat the pixels of a small picture, so that lines in it are thin."""
    factor = max(1, -(-MIN_SIDE // max(array.shape[:2])))
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def line_width(shape: tuple[int, ...]) -> int:
    """Return the width of a line, on each side of a border, in pixels."""
    return max(1, round(max(shape[:2]) * LINE))


def thickened(codes: NDArray[Any]) -> NDArray[Any]:
    """Widen the strokes of a mask so that they are visible in a small panel."""
    from scipy.ndimage import maximum_filter

    reach = round(max(codes.shape) * STROKE)
    wide = maximum_filter(codes, 2 * reach + 1, mode="nearest")
    return np.where(codes == IGNORED, wide, codes)


def tinted(
    visible: NDArray[Any], codes: NDArray[Any], colors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return an image tinted in the colors of the classes, with their outlines.

    Parameters
    ----------
    visible : ndarray of shape (height, width) or (height, width, 3)
        The image, in 0 to 1.
    codes : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored: it is not tinted.
    colors : ndarray of shape (n_classes, 3), dtype float64
        The color of each code.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float64
        Red, green and blue in 0 to 1; larger than the image if that is small.
    """
    picture, codes = as_colors(enlarged(visible)), enlarged(codes)
    labelled = codes != IGNORED
    tint = colors[codes[labelled]]
    picture[labelled] += TINT * (tint - picture[labelled])
    return _with_lines(picture, codes, colors)


def outlined(
    visible: NDArray[Any],
    predicted: NDArray[Any],
    colors: NDArray[np.float64],
    true: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Return an image with the outlines of the classes.

    Those of the prediction are in the colors of the classes on either side. Those of
    the truth are white and below: they show where the two differ.

    Parameters
    ----------
    visible : ndarray of shape (height, width) or (height, width, 3)
        The image, in 0 to 1.
    predicted : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored.
    colors : ndarray of shape (n_classes, 3), dtype float64
        The color of each code.
    true : ndarray of shape (height, width), dtype int, default=None
        Class codes of the truth, if there is one.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float64
        Red, green and blue in 0 to 1; larger than the image if that is small.
    """
    picture = as_colors(enlarged(visible))
    if true is not None:
        picture = _with_truth(picture, enlarged(true))
    return _with_lines(picture, enlarged(predicted), colors)


def with_strokes(
    picture: NDArray[np.float64], codes: NDArray[Any], colors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a picture with the labelled pixels of a mask in their colors."""
    wide = thickened(codes)
    labelled = wide != IGNORED
    picture = picture.copy()
    picture[labelled] = colors[wide[labelled]]
    return picture


def _with_lines(
    picture: NDArray[np.float64], codes: NDArray[Any], colors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw the outlines of the classes into a picture."""
    line = _borders(codes, line_width(codes.shape)) & (codes != IGNORED)
    picture[line] = colors[codes[line]]
    return picture


def _with_truth(
    picture: NDArray[np.float64], codes: NDArray[Any]
) -> NDArray[np.float64]:
    width = line_width(codes.shape)
    picture[_borders(codes, width + 1)] = TRUTH_RIM
    picture[_borders(codes, width)] = TRUTH_LINE
    return picture


def _borders(codes: NDArray[Any], width: int) -> NDArray[np.bool_]:
    """Tell which pixels lie within `width` of another code."""
    from scipy.ndimage import maximum_filter, minimum_filter

    size = 2 * width + 1
    highest = maximum_filter(codes, size, mode="nearest")
    return np.asarray(highest != minimum_filter(codes, size, mode="nearest"))
