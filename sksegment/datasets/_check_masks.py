"""The mask doctor: finds what is wrong with masks before training does."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from sksegment._inputs.checks import as_float, is_number
from sksegment._inputs.containers import converted
from sksegment._inputs.image import from_torch
from sksegment._inputs.items import as_items, not_images_error
from sksegment._inputs.own_masks import is_own_mask
from sksegment.datasets._findings import CURES, Finding, make_finding
from sksegment.datasets._mask_chart import MaskChart
from sksegment.datasets._mask_faults import Note

__all__ = ["CURES", "Finding", "check_masks"]


def check_masks(
    X: Any, y: Any, ignore_label: Any = None, nodata: float | None = None
) -> list[Finding]:
    """Look for what usually goes wrong with masks, and say how to cure it.

    Every image and every mask is read once. What is found is returned, not raised, and
    need not be a fault: a mask may really have only one label.

    Parameters
    ----------
    X : array-like of shape (n, height, width[, n_channels]) or sequence of image or \
            of path
        Images.
    y : array-like of shape (n, height, width) or sequence of mask or of path
        Their masks.
    ignore_label : object, default=None
        The label value that is not a class.
    nodata : float or int, default=None
        The value that marks pixels of images without data, as of `FCNSegmenter`; it may
        be NaN.

    Returns
    -------
    list of Finding
        One for each kind that was found, empty if all seems well. Kinds: `"number"`,
        `"own_mask"` (one file or array is both), `"unreadable"`, `"image"` (one that
        `fit` rejects, as for NaN), `"size"`,
        `"transposed"` (height and width are swapped), `"turned"` (turned or mirrored
        against the image), `"channels"` (more or fewer than in other images),
        `"channels_first"`, `"depths"` (images of 16 bits among those of 8),
        `"colors"` (RGB pictures), `"grey_rgb"`, `"alpha"` (grey and alpha),
        `"one_hot"`, `"axes"`, `"masked"` (masked arrays), `"refused"` (anything else
        that `fit` rejects), `"mixed"` (strings beside numbers, or negative labels
        beside some above int64), `"scaled"` (masks of 0 and 255 among those of 0 and
        1), `"jpeg"` and `"lossy"` (how a file is compressed), `"interpolated"` (or once
        saved as JPEG), `"not_finite"`, `"instances"` (numbers of objects instead of
        classes), `"void"` (255 or -1 as a class), `"scribbles"` (strokes, whose
        unlabelled rest would be a class), `"one_class"`, `"unlabelled"`,
        `"duplicates"`.

    Raises
    ------
    TypeError
        If `X` or `y` cannot be images or masks: one path, or None; if `nodata` is no
        number.
    ValueError
        If `X` or `y` is empty; if `nodata` is infinite.

    See Also
    --------
    colors_to_labels : Convert masks that were saved as pictures.

    Notes
    -----
    A mask counts as turned if its labels explain a quarter of the differences within
    its image (correlation ratio) when they are turned, and four times as much as they
    do now; less is enough where most masks, or the orientation tags of the files, ask
    for the same turn.

    A mask counts as interpolated if many rare values lie between two frequent ones,
    and next to none of their pixels has four equal neighbours. Few labels that are
    close together (0, 1, 2) leave no such trace when they are interpolated.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.datasets import check_masks, make_shapes
    >>> X, y = make_shapes(4, random_state=0)
    >>> y[:, :2] = 255
    >>> for finding in check_masks(X, y):
    ...     print(finding)
    void (images 0, 1, 2, 3): The label 255 stands beside 4 other labels. Pass \
ignore_label=255 if it marks pixels without a class.
    >>> check_masks(X, y, ignore_label=255)
    []
    """
    if nodata is not None and not is_number(nodata):
        raise TypeError(f"nodata is {nodata!r}; expected a number, NaN, or None.")
    if nodata is not None and math.isinf(as_float(nodata)):
        raise ValueError(f"nodata is {nodata!r}; expected a finite number or NaN.")
    images, masks = _items(X, "X"), _items(y, "y")
    notes: dict[str, dict[int, Note]] = defaultdict(dict)
    if len(images) != len(masks):
        text = f"There are {len(images)} images and {len(masks)} masks."
        notes["number"][min(len(images), len(masks))] = Note("number", text)
    chart = MaskChart(ignore_label, nodata)
    for index, (image, mask) in enumerate(zip(images, masks, strict=False)):
        if is_own_mask(image, mask):
            notes["own_mask"][index] = Note(
                "own_mask", "An image is also its own mask."
            )
        for note in chart.add(image, mask, index):
            notes[note.kind][index] = note
    return [*map(make_finding, notes.values()), *chart.findings()]


def _items(data: Any, argument: str) -> list[Any]:
    """Return the images or masks of what `fit` could take, unchecked."""
    items = as_items(data, argument)
    if items is None:
        # Masked arrays are kept as such: they are a finding.
        array = converted(from_torch(data, argument))
        if not array.ndim:
            raise not_images_error(data, argument)
        items = list(array)
    if not items:
        raise ValueError(f"Found array with 0 sample(s) in {argument}: it is empty.")
    return items
