"""Strokes on images, whose unlabelled rest would become a class."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.labels import USUAL_VOIDS, LabelCounts

# The unlabelled rest covers more than this share of a mask.
MOST = 0.95
# Strokes are this many times as long as they are wide, and at most this wide, in pixels
# or as a share of the longer side.
LONG, WIDE, WIDE_SHARE = 4, 12, 0.03
# What is looked at of a large mask, in pixels along each side.
MAX_SIDE = 2048


def label_of_rest(mask: NDArray[Any], counts: LabelCounts) -> Any:
    """Return the label that covers nearly all of a mask of strokes, or None.

    Parameters
    ----------
    mask : ndarray of shape (height, width)
        The mask.
    counts : LabelCounts
        Its labels.

    Returns
    -------
    object
        The label, if the others are at least two, and drawn in thin strokes. One other
        label may be thin for good reasons: vessels, roads, cracks.
    """
    if len(counts.labels) < 3 or counts.pixels.max() <= MOST * mask.size:
        return None
    rest = counts.labels[counts.pixels.argmax()]
    is_usual = rest.dtype.kind in "biuf" and rest in USUAL_VOIDS
    return None if is_usual or not _are_strokes(mask != rest) else rest.item()


def _are_strokes(drawn: NDArray[np.bool_]) -> bool:
    """Tell whether connected areas are long and thin, on average."""
    from scipy.ndimage import distance_transform_edt
    from skimage.measure import label

    first = np.argwhere(drawn.any(axis=1))[0, 0], np.argwhere(drawn.any(axis=0))[0, 0]
    part = drawn[
        first[0] : first[0] + MAX_SIDE,
        first[1] : first[1] + MAX_SIDE,
    ]
    if not part.any():  # the corner between strokes that lie far apart
        return False
    # Outside of the image is no label: strokes at the edge keep their width.
    half_widths = distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    width = 2 * float(np.percentile(half_widths[part], 95)) - 1
    _, n_areas = label(part, connectivity=2, return_num=True)
    length = part.sum() / (n_areas * width)
    is_thin = width <= max(WIDE, WIDE_SHARE * max(drawn.shape))
    return bool(is_thin and length >= LONG * width)


def strokes_text(label: Any, n_found: int, n_masks: int) -> str:
    """Say what was found; what to do about it depends on who says it."""
    return (
        f"In {n_found} of {n_masks} masks the label {label!r} covers more than "
        f"{MOST:.0%} of the pixels, and the others are thin strokes."
    )


def warn_of_strokes(
    rests: Mapping[int, Any], n_masks: int, name: Callable[[int], str]
) -> None:
    """Warn once about masks of strokes whose rest becomes a class.

    Parameters
    ----------
    rests : mapping of int to object
        The label of the rest, by the index of its mask.
    n_masks : int
        All masks.
    name : callable
        Names a mask.
    """
    found = most_common_rest(rests, n_masks)
    if not found:
        return
    label = rests[found[0]]
    warnings.warn(
        f"{strokes_text(label, len(found), n_masks)[:-1]} ({name(found[0])}): it "
        f"becomes a class. If it marks what is not labelled, pass ignore_label="
        f"{label!r}; if it is a class, name all labels with classes= to silence this "
        f"warning.",
        UserWarning,
        stacklevel=2,
    )


def most_common_rest(rests: Mapping[int, Any], n_masks: int) -> list[int]:
    """Return the masks that share the most common rest, if they are half of all."""
    labels = list(rests.values())
    if not labels:
        return []
    common = max(dict.fromkeys(labels), key=labels.count)  # of equals, the first
    found = [index for index, label in rests.items() if label == common]
    return found if 2 * len(found) >= n_masks else []
