"""The mask doctor: finds what is wrong with masks before training does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import LISTED, format_some
from sksegment._inputs.image import from_torch
from sksegment._inputs.image_list import as_items, not_images_error
from sksegment._inputs.labels import (
    MAX_FOUND_CLASSES,
    USUAL_VOIDS,
    format_labels,
    is_ignored,
    label_kind,
    merge_labels,
)
from sksegment._inputs.own_masks import OWN_MASK_CURE, is_own_mask
from sksegment.datasets._mask_faults import (
    Note,
    axes_note,
    counts_up,
    n_areas,
    read_labels,
    read_picture,
    size_notes,
    value_note,
)

# Fewer masks than this may count from 1 up by chance.
MIN_MASKS = 5

CURES = {
    "own_mask": OWN_MASK_CURE,
    "number": "Pair files by name: load_image_pairs(images_dir, masks_dir).",
    "unreadable": "Export the file again, or leave the pair out.",
    "image": "Repair these images, or leave them out: fit rejects them.",
    "channels": "Convert these images, or train a separate model on them.",
    "channels_first": "Put the channels last: np.moveaxis(image, 0, -1).",
    "transposed": "Transpose these masks: mask.T.",
    "size": "Pair files by name with load_image_pairs, or resize masks with order=0.",
    "colors": "Convert them: colors_to_labels(y, {label: (red, green, blue), ...}).",
    "grey_rgb": "Take one channel: mask[..., 0].",
    "one_hot": "Turn them into labels: mask.argmax(axis=axis of the classes).",
    "axes": "Pass masks of shape (height, width), one label per pixel.",
    "masked": "Fill them: mask.filled(255), and pass ignore_label=255.",
    "mixed": "Map the labels of all masks to integers, or all to strings.",
    "jpeg": "Export the masks as PNG; two labels can be recovered by pixels > 127.",
    "interpolated": "Make the masks again: resize with order=0, save as PNG, not JPEG.",
    "not_finite": "Mark unlabelled pixels with a whole number; pass ignore_label=.",
    "instances": "Turn numbers into classes: mask > 0 if all objects are of one class.",
    "void": "Pass ignore_label={label} if it marks pixels without a class.",
    "one_class": "Check the export of these masks; keep them if nothing else is there.",
    "unlabelled": "Leave these images out, or check ignore_label=.",
    "duplicates": "Keep one of each, or keep copies in one fold (GroupKFold).",
}


@dataclass(frozen=True)
class Finding:
    """One thing that seems wrong with images and masks.

    Parameters
    ----------
    kind : str
        What it is, in a word: `"size"`, `"interpolated"`, `"void"`, ...
    images : tuple of int
        The positions of the images, or masks, that have it.
    message : str
        What was found.
    cure : str
        What to do about it.

    Examples
    --------
    >>> from sksegment.datasets import Finding
    >>> print(Finding("void", (0, 3), "255 stands beside 2 labels.", "Pass it."))
    void (images 0, 3): 255 stands beside 2 labels. Pass it.
    """

    kind: str
    images: tuple[int, ...]
    message: str
    cure: str

    def __str__(self) -> str:
        images = "image" if len(self.images) == 1 else "images"
        listed = f"{images} {format_some(self.images)}"
        return f"{self.kind} ({listed}): {self.message} {self.cure}"


def check_masks(X: Any, y: Any, ignore_label: Any = None) -> list[Finding]:
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

    Returns
    -------
    list of Finding
        One for each kind that was found, empty if all seems well. Kinds: `"number"`,
        `"own_mask"` (one file or array is both), `"unreadable"`, `"image"` (one that
        `fit` rejects, as for NaN), `"size"`,
        `"transposed"`, `"channels"` (more or fewer than in other images),
        `"channels_first"`, `"colors"` (RGB pictures), `"grey_rgb"`, `"one_hot"`,
        `"axes"`, `"masked"` (masked arrays), `"mixed"` (strings beside numbers),
        `"jpeg"` (a file), `"interpolated"` (or once saved as JPEG), `"not_finite"`,
        `"instances"` (numbers of objects instead of classes), `"void"` (255 or -1 as a
        class), `"one_class"`, `"unlabelled"`, `"duplicates"`.

    Raises
    ------
    TypeError
        If `X` or `y` cannot be images or masks: one path, or None.
    ValueError
        If `X` or `y` is empty.

    See Also
    --------
    colors_to_labels : Convert masks that were saved as pictures.

    Notes
    -----
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
    images, masks = _items(X, "X"), _items(y, "y")
    notes: dict[str, dict[int, str]] = defaultdict(dict)
    if len(images) != len(masks):
        text = f"There are {len(images)} images and {len(masks)} masks."
        notes["number"][min(len(images), len(masks))] = text
    chart = _Chart(ignore_label)
    for index, (image, mask) in enumerate(zip(images, masks, strict=False)):
        if is_own_mask(image, mask):
            notes["own_mask"][index] = "An image is also its own mask."
        for kind, text in chart.add(image, mask, index):
            notes[kind][index] = text
    return [*map(_finding, notes, notes.values()), *chart.findings()]


def _items(data: Any, argument: str) -> list[Any]:
    """Return the images or masks of what `fit` could take, unchecked."""
    items = as_items(data, argument)
    if items is None:
        # Masked arrays are kept as such: they are a finding.
        array = np.asanyarray(from_torch(data, argument))
        if not array.ndim:
            raise not_images_error(data, argument)
        items = list(array)
    if not items:
        raise ValueError(f"Found array with 0 sample(s) in {argument}: it is empty.")
    return items


def _finding(kind: str, texts: dict[int, str]) -> Finding:
    """Make one finding of what was noted about several images."""
    first, text = next(iter(texts.items()))
    which = f" (image {first})" if len(texts) > 1 else ""
    # Messages of other libraries may end without a full stop.
    message = f"{text.removesuffix('.')}{which}."
    return Finding(kind, tuple(texts), message, CURES[kind])


class _Chart:
    """What is noted about all masks together."""

    def __init__(self, ignore_label: Any) -> None:
        self._ignore_label = ignore_label
        self._same: dict[bytes, list[int]] = defaultdict(list)
        self._masks: dict[int, bytes] = {}
        self._labels: dict[int, NDArray[Any]] = {}
        self._channels: dict[int, int] = {}
        self._counted: list[int] = []

    def add(self, image: Any, mask: Any, index: int) -> Iterator[Note]:
        """Note image and mask `index`; yield what is wrong with them."""
        picture, trouble = read_picture(image)
        yield from trouble
        pixels, trouble = read_labels(mask)
        yield from trouble
        if picture is not None:
            self._same[_digest(picture)].append(index)
        if pixels is not None:
            self._masks[index] = _digest(pixels)
        if picture is not None and pixels is not None:
            yield from self._shape_notes(picture.shape, pixels.shape, index)
        if pixels is not None and not trouble:
            yield from self._label_notes(pixels, index)

    def _shape_notes(
        self, image: tuple[int, ...], mask: tuple[int, ...], index: int
    ) -> Iterator[Note]:
        """Compare an image with its mask, and with the first that fitted its own."""
        yield from size_notes(image, mask)
        if image[:2] != mask[:2] or len(image) not in (2, 3):
            return  # the axis of the channels is unknown
        self._channels[index] = image[2] if len(image) == 3 else 1
        first, expected = next(iter(self._channels.items()))
        if self._channels[index] != expected:
            found = f"An image has {self._channels[index]} channels"
            yield "channels", f"{found}, but image {first} has {expected}."

    def _label_notes(self, pixels: NDArray[Any], index: int) -> Iterator[Note]:
        axes = axes_note(pixels)
        if axes:
            yield axes
            return
        mask = pixels.reshape(pixels.shape[:2])
        labels, counts = np.unique(mask, return_counts=True)
        kept = ~is_ignored(labels, self._ignore_label)
        labels, counts = labels[kept], counts[kept]
        note = value_note(mask, labels, counts)
        if note:
            yield note
            return
        self._labels[index] = labels
        if not len(labels):
            yield "unlabelled", f"All pixels are ignore_label={self._ignore_label!r}."
        if len(labels) == 1:
            yield "one_class", f"All pixels have the label {format_labels(labels)}."
        if counts_up(labels) and n_areas(mask) == len(labels) - (labels[0] == 0):
            self._counted.append(index)

    def findings(self) -> Iterator[Finding]:
        """Yield what only all masks together show."""
        yield from self._mixed()
        yield from self._instances()
        yield from self._voids()
        yield from self._duplicates()

    def _mixed(self) -> Iterator[Finding]:
        """Find masks whose labels are not of the same kind as those of the first."""
        kinds = {i: label_kind(labels.dtype) for i, labels in self._labels.items()}
        first = next(iter(kinds.values()), "")
        others = tuple(index for index, kind in kinds.items() if kind != first)
        if others:
            text = f"Masks hold {kinds[others[0]]}, but others hold {first}."
            yield Finding("mixed", others, text, CURES["mixed"])

    def _instances(self) -> Iterator[Finding]:
        """Find labels that are too many, or that count objects in each mask."""
        labels, holders = self._all_labels(), tuple(self._labels)
        if len(labels) > MAX_FOUND_CLASSES:
            text = f"The masks hold {len(labels)} labels ({format_labels(labels)})."
            yield Finding("instances", holders, text, CURES["instances"])
            return
        highest = {int(self._labels[index][-1]) for index in self._counted}
        is_all = len(self._counted) == len(holders) >= MIN_MASKS
        if is_all and len(highest) > 2 and max(highest) > 3:
            text = (
                f"Each mask counts up from 1, to a number between {min(highest)} and "
                f"{max(highest)}, with one area per number."
            )
            yield Finding("instances", holders, text, CURES["instances"])

    def _all_labels(self) -> NDArray[Any]:
        arrays = [labels for labels in self._labels.values() if len(labels)]
        if not arrays or len({label_kind(array.dtype) for array in arrays}) > 1:
            return np.array([])
        return merge_labels(arrays)

    def _voids(self) -> Iterator[Finding]:
        labels = self._all_labels()
        # Two labels are a genuine binary mask, 0/255 above all.
        if self._ignore_label is not None or len(labels) < 3:
            return
        for void in USUAL_VOIDS:
            if is_ignored(labels, void).any():
                text = f"The label {void} stands beside {len(labels) - 1} other labels."
                holders = tuple(
                    index
                    for index, found in self._labels.items()
                    if is_ignored(found, void).any()
                )
                yield Finding("void", holders, text, CURES["void"].format(label=void))

    def _duplicates(self) -> Iterator[Finding]:
        groups = [group for group in self._same.values() if len(group) > 1]
        if not groups:
            return
        shown = "; ".join(
            " and ".join(map(str, group[:LISTED])) for group in groups[:LISTED]
        )
        text = f"Images are equal, pixel by pixel: {shown}."
        contradict = [g for g in groups if len({self._masks.get(i) for i in g}) > 1]
        if contradict:
            text += f" The masks of {len(contradict)} such groups differ."
        images = tuple(sorted(index for group in groups for index in group))
        yield Finding("duplicates", images, text, CURES["duplicates"])


def _digest(pixels: NDArray[Any]) -> bytes:
    """Return what tells arrays apart, at a few bytes each."""
    digest = sha1(f"{pixels.shape} {pixels.dtype}".encode(), usedforsecurity=False)
    digest.update(pixels.tobytes())
    return digest.digest()
