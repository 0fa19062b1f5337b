"""Pictures to look at: of images, of masks, and of where a prediction is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_integer
from sksegment._inputs.labels import IGNORED
from sksegment._inputs.palette import palette_colors

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

ERROR_COLOR = (1.0, 0.12, 0.12)
# Ignored pixels are striped in two greys, which no class has.
STRIPES = (0.92, 0.72)
STRIPES_PER_SIDE = 24


def displayable(
    image: NDArray[Any],
    counted: NDArray[np.bool_] | None = None,
    channels: Sequence[int] | None = None,
    reference: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """Return an image of any kind in a form that can be displayed.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image, of any real dtype.
    counted : ndarray of shape (height, width), dtype bool, default=None
        The pixels whose values set the brightness; by default, or if there are none,
        all. Others may hold marks of missing values.
    channels : sequence of int, default=None
        One channel, or three: red, green and blue. By default, of 2 channels the first
        is shown, of 4 or more the first three.
    reference : ndarray of shape (height, width, n_channels), default=None
        The image whose values set the brightness, in place of its own.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), dtype float32
        Values in 0 to 1. Images of uint8, bool, or floats in 0 to 1 keep their
        brightness; all others are stretched from their 1st to their 99th percentile,
        each channel separately if there are 4 or more. Chosen channels out of 4 or more
        are stretched whatever their dtype.
    """
    are_bands = image.shape[-1] > 3
    base = image if reference is None else reference
    shown, measured = _chosen(image, channels), _chosen(base, channels)
    if base.dtype == np.uint8 and (channels is None or not are_bands):
        return (shown / np.float32(255)).clip(0.0, 1.0).astype(np.float32)
    keeps_unit = channels is None or not are_bands
    if reference is not None:
        counted = None  # of the image, not of the reference
    if are_bands and shown.ndim == 3:
        # Bands measure different things: each has its own brightness.
        bands = [
            _stretched(shown[..., i], measured[..., i], counted, keeps_unit)
            for i in range(3)
        ]
        return np.stack(bands, axis=-1)
    return _stretched(shown, measured, counted, keeps_unit)


def _chosen(image: NDArray[Any], channels: Sequence[int] | None) -> NDArray[Any]:
    """Return the channels to show, without their axis if there is one."""
    if channels is None:
        return image[..., :3] if image.shape[-1] > 2 else image[..., 0]
    chosen = image[..., list(channels)]
    return chosen[..., 0] if len(channels) == 1 else chosen


def check_shown_channels(channels: Any) -> tuple[int, ...] | None:
    """Return the channels to show as a tuple: one of them, or three.

    Raises
    ------
    ValueError, TypeError
        If they are not one index or three.
    """
    if channels is None:
        return None
    given = [channels] if np.ndim(channels) == 0 else list(channels)
    if len(given) not in (1, 3):
        raise ValueError(
            f"channels is {channels!r}; expected the index of one channel (grey), or "
            f"three (red, green and blue), counted from 0."
        )
    for index in given:
        check_integer("channels", index, 0)
    return tuple(int(index) for index in given)


def check_has_channels(
    image: NDArray[Any], channels: tuple[int, ...] | None, index: int
) -> None:
    """Reject an image without one of the channels to show."""
    if channels is not None and max(channels) >= image.shape[-1]:
        raise ValueError(
            f"channels is {channels}, but image {index} has {image.shape[-1]}; "
            f"expected indices from 0 to {image.shape[-1] - 1}."
        )


def _stretched(
    shown: NDArray[Any],
    measured: NDArray[Any],
    counted: NDArray[np.bool_] | None,
    keeps_unit: bool,
) -> NDArray[np.float32]:
    """Stretch values to 0 to 1, by the range of those that are measured."""
    values = measured.astype(np.float64)
    some = values if counted is None or not counted.any() else values[counted]
    some = some[~np.isnan(some)]
    if not some.size:  # nothing but pixels without data
        return np.zeros(shown.shape, np.float32)
    low, high = _brightness_range(measured.dtype, some, keeps_unit)
    if high == low:
        return np.full(shown.shape, 0.5, dtype=np.float32)
    stretched = ((shown.astype(np.float64) - low) / (high - low)).clip(0.0, 1.0)
    return np.nan_to_num(stretched, nan=0.0).astype(np.float32)


def _brightness_range(
    dtype: np.dtype[Any], values: NDArray[np.float64], keeps_unit: bool
) -> tuple[float, float]:
    """Return the values that are drawn black and white."""
    is_unit = dtype.kind == "f" and values.min() >= 0.0 and values.max() <= 1.0
    is_unit &= keeps_unit
    if dtype.kind == "b" or (is_unit and values.max() > values.min()):
        return 0.0, 1.0
    low, high = np.percentile(values, [1.0, 99.0])
    if low == high:  # nearly all pixels are equal: do not clip the few others
        low, high = values.min(), values.max()
    return float(low), float(high)


def class_colors(
    n_classes: int, cmap: str | Colormap | None = None
) -> NDArray[np.float64]:
    """Return one color per class.

    Parameters
    ----------
    n_classes : int
        How many colors.
    cmap : str or Colormap, default=None
        A color map of matplotlib to take them from; by default a palette of 24
        distinct colors, which repeats paler.

    Returns
    -------
    ndarray of shape (n_classes, 3), dtype float64
        Red, green and blue in 0 to 1.
    """
    if cmap is not None:
        return _colors_of_map(n_classes, cmap)
    return palette_colors(n_classes)


def _colors_of_map(n_classes: int, cmap: str | Colormap) -> NDArray[np.float64]:
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    check_cmap(cmap)
    color_map = mpl.colormaps[cmap] if isinstance(cmap, str) else cmap
    if isinstance(color_map, ListedColormap) and color_map.N < 256:
        # A qualitative map: its colors in turn. The others are sampled end to end.
        colors = color_map(np.arange(n_classes) % color_map.N)
    else:
        colors = color_map(np.linspace(0.0, 1.0, n_classes))
    return np.asarray(colors, dtype=np.float64)[:, :3]


def check_cmap(cmap: Any) -> None:
    """Reject what is no color map, before anything is drawn; None is the default."""
    import matplotlib as mpl
    from matplotlib.colors import Colormap

    if cmap is None:
        return
    expected = "expected the name of a color map of matplotlib, or a Colormap"
    if not isinstance(cmap, (str, Colormap)):
        raise TypeError(f"cmap is {cmap!r}; {expected}.")
    if isinstance(cmap, str) and cmap not in mpl.colormaps:
        raise ValueError(f"cmap is {cmap!r}; {expected}, such as 'tab20'.")


def color_mask(codes: NDArray[Any], colors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a mask as a picture: class codes in colors, ignored pixels striped.

    Parameters
    ----------
    codes : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored.
    colors : ndarray of shape (n_classes, 3), dtype float64
        The color of each code.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float64
        Red, green and blue in 0 to 1.
    """
    picture: NDArray[np.float64] = colors[np.maximum(codes, 0)]
    ignored = codes == IGNORED
    picture[ignored] = _stripes(codes.shape)[ignored]
    return picture


def _stripes(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return diagonal stripes that look equally wide in images of any size."""
    width = max(1, round(max(shape) / (2 * STRIPES_PER_SIDE)))
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    grey = np.asarray(STRIPES)[(rows + columns) // width % 2]
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def pale(visible: NDArray[Any]) -> NDArray[np.float64]:
    """Return a picture in pale grey, on which marks stand out, also if it is dark."""
    grey = visible if visible.ndim == 2 else visible.mean(axis=-1)
    picture = np.repeat((0.35 + 0.6 * grey)[..., np.newaxis], 3, axis=2)
    return picture.astype(np.float64)


def error_picture(
    visible: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the image in pale grey, with wrong pixels red and ignored ones striped.

    Parameters
    ----------
    visible : ndarray of shape (height, width) or (height, width, 3)
        The image, in 0 to 1.
    truth, prediction : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float64
        Red, green and blue in 0 to 1.
    """
    picture = pale(visible)
    ignored = truth == IGNORED
    picture[ignored] = _stripes(truth.shape)[ignored]
    picture[wrong_pixels(truth, prediction)] = ERROR_COLOR
    return picture


def wrong_pixels(truth: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which pixels are wrong; an ignored pixel of the truth never is.

    Parameters
    ----------
    truth, prediction : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        True where the prediction is wrong.
    """
    return np.asarray((truth != prediction) & (truth != IGNORED))
