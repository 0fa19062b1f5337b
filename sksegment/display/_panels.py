"""The pictures of one image, by the mode of a `SegmentationDisplay`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import IGNORED
from sksegment.display._overlays import (
    TRUTH_LINE,
    TRUTH_RIM,
    enlarged,
    outlined,
    tinted,
    with_strokes,
)
from sksegment.display._pictures import (
    ERROR_COLOR,
    STRIPES,
    color_mask,
    displayable,
    error_picture,
    pale,
    wrong_pixels,
)
from sksegment.display._thinning import ThinMasks

if TYPE_CHECKING:
    from matplotlib.artist import Artist

MODES = ("panels", "overlay", "contours")
# The grey of strokes that were predicted right.
RIGHT_STROKE = 0.1


@dataclass(frozen=True)
class Panel:
    """A picture, what stands above it, and whether that is about this image alone."""

    picture: NDArray[Any]
    title: str
    is_about_one: bool = False


def n_panels(mode: str, has_truth: bool) -> int:
    """Return how many panels an image has."""
    with_truth = {"panels": 4, "overlay": 2, "contours": 1}[mode]
    return with_truth if has_truth else max(1, with_truth // 2)


def image_title(n_channels: int, channels: tuple[int, ...] | None) -> str:
    """Return what stands above an image: which channels are shown, if not all."""
    if channels is None:
        channels = (0, 1, 2)[: 3 if n_channels > 2 else 1]
    if tuple(channels) == tuple(range(n_channels)):
        return "Image"
    plural = "s" if len(channels) > 1 else ""
    return f"Channel{plural} {', '.join(map(str, channels))} of {n_channels}"


def share_right(n_scored: int, n_wrong: int) -> str:
    """Return the share of right pixels, in words."""
    if n_scored == 0:
        return "all ignored"
    share = 100.0 * (1.0 - n_wrong / n_scored)
    # Never "100.0% right" beside red pixels.
    share = min(share, 99.9) if n_wrong else share
    return f"{share:.1f}% right"


def panels_of(
    image: NDArray[Any],
    masks: ThinMasks,
    colors: NDArray[np.float64],
    mode: str = "panels",
    channels: tuple[int, ...] | None = None,
) -> list[Panel]:
    """Return the panels of one image, in the order of its axes.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image, thinned.
    masks : ThinMasks
        Its masks.
    colors : ndarray of shape (n_classes, 3), dtype float64
        The color of each class.
    mode : {"panels", "overlay", "contours"}
        See `SegmentationDisplay.plot`.
    channels : tuple of int or None
        The channels to show.

    Returns
    -------
    list of Panel
        The panels.
    """
    true = masks.true
    counted = masks.predicted != IGNORED
    if true is not None and not masks.has_strokes:
        counted &= true != IGNORED
    visible = displayable(image, counted, channels)
    if mode == "panels":
        title = image_title(image.shape[-1], channels)
        return [Panel(visible, title), *_mask_panels(visible, masks, colors)]
    result = "Prediction"
    if true is not None:
        result += f" ({share_right(masks.n_scored, masks.n_wrong)})"
    if mode == "contours":
        picture = _outlines(visible, masks, colors)
        return [Panel(picture, result, true is not None)]
    picture = tinted(visible, masks.predicted, colors)
    prediction = Panel(picture, result, true is not None)
    if true is None:
        return [prediction]
    return [Panel(_tinted_truth(visible, masks, colors), "Truth"), prediction]


def _outlines(
    visible: NDArray[Any], masks: ThinMasks, colors: NDArray[np.float64]
) -> NDArray[np.float64]:
    if masks.true is None or not masks.has_strokes:
        return outlined(visible, masks.predicted, colors, masks.true)
    picture = outlined(visible, masks.predicted, colors)
    return with_strokes(picture, enlarged(masks.true), colors)


def _mask_panels(
    visible: NDArray[Any], masks: ThinMasks, colors: NDArray[np.float64]
) -> list[Panel]:
    """Return the panels beside the image: truth, prediction, errors."""
    prediction = Panel(color_mask(masks.predicted, colors), "Prediction")
    if masks.true is None or masks.pair is None:
        return [prediction]
    title = f"Errors ({share_right(masks.n_scored, masks.n_wrong)})"
    if masks.has_strokes:
        truth = with_strokes(pale(visible), masks.true, colors)
        errors = _stroke_errors(visible, *masks.pair)
    else:
        truth = color_mask(masks.true, colors)
        errors = error_picture(visible, *masks.pair)
    return [Panel(truth, "Truth"), prediction, Panel(errors, title, is_about_one=True)]


def _stroke_errors(
    visible: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the image in pale grey, right strokes dark and wrong pixels red."""
    wrong = wrong_pixels(truth, prediction)
    codes = np.where(truth == IGNORED, IGNORED, np.where(wrong, 1, 0))
    two_colors = np.array([(RIGHT_STROKE,) * 3, ERROR_COLOR])
    return with_strokes(pale(visible), codes, two_colors)


def _tinted_truth(
    visible: NDArray[Any], masks: ThinMasks, colors: NDArray[np.float64]
) -> NDArray[np.float64]:
    assert masks.true is not None  # who asks has one
    if masks.has_strokes:
        return with_strokes(pale(visible), masks.true, colors)
    return tinted(visible, masks.true, colors)


def legend_entries(
    masks: list[ThinMasks],
    names: list[str],
    colors: NDArray[np.float64],
    mode: str = "panels",
) -> list[Artist]:
    """Return a patch for each class that occurs, and for what else is drawn."""
    from matplotlib.patches import Patch

    codes = sorted(set[int]().union(*(mask.codes for mask in masks)))
    # A thin rim keeps dark colors visible on dark backgrounds.
    rim: dict[str, Any] = {"edgecolor": "0.5", "linewidth": 0.5}
    entries: list[Artist] = [
        Patch(facecolor=colors[code], label=names[code], **rim)
        for code in codes
        if code != IGNORED
    ]
    if mode == "panels":
        if IGNORED in codes and not all(mask.has_strokes for mask in masks):
            light, dark = map(str, STRIPES)
            stripes = {"facecolor": light, "edgecolor": dark, "hatch": "//////"}
            entries.append(Patch(linewidth=0, label="ignored", **stripes))  # type: ignore[arg-type]
        if masks[0].true is not None:
            entries.append(Patch(facecolor=ERROR_COLOR, label="wrong", **rim))
    if mode == "contours" and any(_has_outlines(mask) for mask in masks):
        line = {"facecolor": TRUTH_LINE, "edgecolor": TRUTH_RIM, "linewidth": 1.5}
        entries.append(Patch(label="truth", **line))  # type: ignore[arg-type]
    return entries


def _has_outlines(masks: ThinMasks) -> bool:
    return masks.true is not None and not masks.has_strokes
