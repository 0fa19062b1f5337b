"""The mask doctor: finds what is wrong with masks before a training does."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._files import is_path, read_image, read_mask
from sksegment._images import check_image
from sksegment._labels import format_labels, is_ignored, label_kind

JPEG_MAGIC = b"\xff\xd8\xff"
# Labels by which the field marks pixels without a class.
USUAL_VOIDS = (255, -1)
# More labels than this, in all masks together, are no classes.
MAX_CLASSES = 256
# A value on this share of a mask is frequent: a label. Interpolation and JPEG put many
# rarer values between two of these. The lower limit finds them beside small objects,
# the higher one where the edges are a large part of the mask.
FREQUENT = (0.005, 0.04)
# (how many rare values, which share of their pixels may have four equal neighbours):
# classes cover areas, however small, and what interpolation makes are thin edges.
RARE_LIMITS = ((8, 0.1), (3, 0.01))
# As many labels as this in one mask, and one area each, are instances.
MIN_INSTANCES = 10
# How many images, colours or values a message lists.
LISTED = 5

CURES = {
    "number": "Pair files by name: load_image_pairs(images_dir, masks_dir).",
    "unreadable": "Export the file again, or leave the pair out.",
    "image": "Repair these images, or leave them out: fit refuses them.",
    "channels": "Convert these images, or train a model of their own on them.",
    "channels_first": "Put the channels last: np.moveaxis(image, 0, -1).",
    "transposed": "Transpose these masks: mask.T.",
    "size": "Pair files by name with load_image_pairs, or resize masks with order=0.",
    "colors": "Convert them: colors_to_labels(y, {label: (red, green, blue), ...}).",
    "grey_rgb": "Take one channel: mask[..., 0].",
    "one_hot": "Turn them into labels: mask.argmax(axis=axis of the classes).",
    "axes": "Pass masks of shape (height, width), one label a pixel.",
    "masked": "Fill them: mask.filled(255), and pass ignore_label=255.",
    "mixed": "Map the labels of all masks to integers, or all to strings.",
    "jpeg": "Export the masks as PNG; two labels come back from read pixels by > 127.",
    "interpolated": "Make the masks again: resize with order=0, save as PNG, not JPEG.",
    "not_finite": "Mark pixels without a label by a whole number, as ignore_label=.",
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
        shown = ", ".join(map(str, self.images[:LISTED]))
        rest = len(self.images) - LISTED
        more = f" and {rest} more" if rest > 0 else ""
        images = "image" if len(self.images) == 1 else "images"
        return f"{self.kind} ({images} {shown}{more}): {self.message} {self.cure}"


# What is found in one image: the kind, and a sentence about it.
Note = tuple[str, str]


def check_masks(X: Any, y: Any, ignore_label: Any = None) -> list[Finding]:
    """Look for what usually goes wrong with masks, and say how to cure it.

    Every image and every mask is read once. What is found is returned, not raised, and
    need not be a fault: a mask of one label may be just that.

    Parameters
    ----------
    X : array-like of shape (n, height, width[, n_channels]) or sequence of image or \
            of path
        Images.
    y : array-like of shape (n, height, width) or sequence of mask or of path
        Their masks.
    ignore_label : object, default=None
        The label value that is no class.

    Returns
    -------
    list of Finding
        One of each kind that was found, empty if all seems well. Kinds: `"number"`,
        `"unreadable"`, `"image"` (one that `fit` refuses, as it does NaN), `"size"`,
        `"transposed"`, `"channels"` (more or fewer than in other images),
        `"channels_first"`, `"colors"` (RGB pictures), `"grey_rgb"`, `"one_hot"`,
        `"axes"`, `"masked"` (masked arrays), `"mixed"` (strings beside numbers),
        `"jpeg"` (a file), `"interpolated"` (or once saved as JPEG), `"not_finite"`,
        `"instances"` (numbers of objects in the place of classes), `"void"` (255 or -1
        as a class), `"one_class"`, `"unlabelled"`, `"duplicates"`.

    Raises
    ------
    TypeError
        If `X` or `y` is nothing that could be images and masks: one path, or None.
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
        for kind, text in chart.add(image, mask, index):
            notes[kind][index] = text
    return [*map(_finding, notes, notes.values()), *chart.findings()]


def _items(data: Any, argument: str) -> list[Any]:
    """Return the images or masks, whatever they are."""
    if is_path(data) or not hasattr(data, "__len__"):
        raise TypeError(
            f"{argument} is {data!r}; expected an array, or a list of arrays or paths."
        )
    if not len(data):
        raise ValueError(f"Found array with 0 sample(s) in {argument}: it is empty.")
    # A pandas Series counts by position here, as everywhere.
    return list(data)


def _finding(kind: str, texts: dict[int, str]) -> Finding:
    """Make one finding of what was noted of several images."""
    first, text = next(iter(texts.items()))
    if len(texts) > 1 and kind != "number":
        text = f"{text[:-1]} (image {first})."
    return Finding(kind, tuple(texts), text, CURES[kind])


class _Chart:
    """What is noted of all masks together."""

    def __init__(self, ignore_label: Any) -> None:
        self._ignore_label = ignore_label
        self._same: dict[bytes, list[int]] = defaultdict(list)
        self._masks: dict[int, bytes] = {}
        self._labels: dict[int, NDArray[Any]] = {}
        self._channels: dict[int, int] = {}
        self._counted: list[int] = []

    def add(self, image: Any, mask: Any, index: int) -> Iterator[Note]:
        """Note image and mask `index`; yield what this one has."""
        picture, trouble = _read_picture(image)
        yield from trouble
        pixels, trouble = _read_labels(mask)
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
        """Compare an image with its mask, and with the first image that fitted its."""
        yield from _size_notes(image, mask)
        if image[:2] != mask[:2] or len(image) not in (2, 3):
            return  # who knows which axis holds the channels
        self._channels[index] = image[2] if len(image) == 3 else 1
        first, expected = next(iter(self._channels.items()))
        if self._channels[index] != expected:
            found = f"An image has {self._channels[index]} channels"
            yield "channels", f"{found}, but image {first} has {expected}."

    def _label_notes(self, pixels: NDArray[Any], index: int) -> Iterator[Note]:
        axes = _axes_note(pixels)
        if axes:
            yield axes
            return
        mask = pixels.reshape(pixels.shape[:2])
        labels, counts = np.unique(mask, return_counts=True)
        kept = ~is_ignored(labels, self._ignore_label)
        labels, counts = labels[kept], counts[kept]
        note = _value_note(mask, labels, counts)
        if note:
            yield note
            return
        self._labels[index] = labels
        if not len(labels):
            yield "unlabelled", f"All pixels are ignore_label={self._ignore_label!r}."
        if len(labels) == 1:
            yield "one_class", f"All pixels have the label {format_labels(labels)}."
        if _counts_up(labels) and _n_areas(mask) == len(labels) - (labels[0] == 0):
            self._counted.append(index)

    def findings(self) -> Iterator[Finding]:
        """Yield what only all masks together tell."""
        yield from self._mixed()
        yield from self._instances()
        yield from self._voids()
        yield from self._duplicates()

    def _mixed(self) -> Iterator[Finding]:
        """Find masks whose labels are of another sort than those of the first one."""
        kinds = {i: label_kind(labels.dtype) for i, labels in self._labels.items()}
        first = next(iter(kinds.values()), "")
        others = tuple(index for index, kind in kinds.items() if kind != first)
        if others:
            text = f"Masks hold {kinds[others[0]]}, but others hold {first}."
            yield Finding("mixed", others, text, CURES["mixed"])

    def _instances(self) -> Iterator[Finding]:
        """Find labels that are too many, or that count objects in each mask."""
        labels, holders = self._all_labels(), tuple(self._labels)
        if len(labels) > MAX_CLASSES:
            text = f"The masks hold {len(labels)} labels ({format_labels(labels)})."
            yield Finding("instances", holders, text, CURES["instances"])
            return
        highest = {int(self._labels[index][-1]) for index in self._counted}
        is_all = len(self._counted) == len(holders) >= LISTED
        if is_all and len(highest) > 2 and max(highest) > 3:
            text = (
                f"Each mask counts from 1 up, to {min(highest)} or {max(highest)} or "
                f"between, with one area a number."
            )
            yield Finding("instances", holders, text, CURES["instances"])

    def _all_labels(self) -> NDArray[Any]:
        arrays = [labels for labels in self._labels.values() if len(labels)]
        if not arrays or len({label_kind(array.dtype) for array in arrays}) > 1:
            return np.array([])
        return np.unique(np.concatenate(arrays))

    def _voids(self) -> Iterator[Finding]:
        labels = self._all_labels()
        # Two labels are an honest binary mask, 0/255 most of all.
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


def _read_picture(image: Any) -> tuple[NDArray[Any] | None, list[Note]]:
    try:
        picture = _quietly(read_image, image) if is_path(image) else image
        return np.asarray(picture), _refusal(picture)
    except (OSError, ValueError) as error:
        return None, [("unreadable", f"{error}")]


def _refusal(picture: Any) -> list[Note]:
    """Tell why `fit` would not take an image, if so."""
    try:
        check_image(picture, "An image")
    except (TypeError, ValueError) as error:
        return [("image", f"{error}")]
    return []


def _read_labels(mask: Any) -> tuple[NDArray[Any] | None, list[Note]]:
    """Read a mask, as a picture if it is no mask."""
    if not is_path(mask):
        return _plain_labels(mask)
    try:
        if _is_jpeg(mask):
            text = f"The mask {os.fspath(mask)!r} is a JPEG file, which changes labels."
            return _quietly(read_image, mask), [("jpeg", text)]
        return read_mask(mask), []
    except (OSError, ValueError) as error:
        return _read_colored(mask, error)


def _plain_labels(mask: Any) -> tuple[NDArray[Any] | None, list[Note]]:
    """Return a mask that is in memory as an array, if it is one."""
    if isinstance(mask, np.ma.MaskedArray):
        return None, [("masked", "A mask is a masked array; fit takes plain ones.")]
    try:
        pixels = np.asarray(mask)
        if pixels.dtype == object:
            pixels = np.array(pixels.tolist())
    except ValueError as error:
        return None, [("unreadable", f"{error}")]
    if not pixels.ndim or pixels.dtype.kind not in "buifUS":
        text = f"A mask is a {type(mask).__name__} ({pixels.dtype}) without labels."
        return None, [("axes", text)]
    return pixels, []


def _read_colored(
    mask: Any, error: Exception
) -> tuple[NDArray[Any] | None, list[Note]]:
    """Read what is no mask as a picture, if it is one."""
    try:
        return _quietly(read_image, mask), []
    except (OSError, ValueError):
        return None, [("unreadable", f"{error}")]


def _is_jpeg(path: Any) -> bool:
    with open(path, "rb") as file:
        return file.read(len(JPEG_MAGIC)) == JPEG_MAGIC


def _quietly(read: Any, path: Any) -> NDArray[Any]:
    """Read a file without the warnings that it brings; `fit` will give them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return read(path)


def _size_notes(image: tuple[int, ...], mask: tuple[int, ...]) -> Iterator[Note]:
    """Compare the shapes of an image and its mask."""
    size = mask[:2]
    if image[:2] == size:
        return
    if len(image) == 3 and image[1:] == size:
        yield "channels_first", f"An image has shape {image}, its mask {mask}."
    elif image[:2] == mask[1:]:
        return  # the axes of the mask are the trouble
    elif image[:2] == size[::-1]:
        yield "transposed", f"An image has shape {image}, its mask {mask}."
    else:
        yield "size", f"An image has shape {image}, but its mask {mask}."


def _axes_note(pixels: NDArray[Any]) -> Note | None:
    """Tell what a mask with several values a pixel is; None if it has one."""
    shape = pixels.shape
    if not pixels.size:
        return "axes", f"A mask is empty: it has shape {shape}."
    if pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] == 1):
        return None
    if pixels.ndim != 3 or pixels.dtype.kind not in "buif":
        return "axes", f"A mask has shape {shape}."
    for axis in (0, 2):
        if shape[axis] > 1 and _is_one_hot(pixels, axis):
            return "one_hot", f"A mask has shape {shape}, one-hot along axis {axis}."
    if shape[2] not in (3, 4):
        return "axes", f"A mask has shape {shape}."
    if (pixels[..., 1:3] == pixels[..., :1]).all():
        return "grey_rgb", f"A mask has shape {shape}, and equal channels."
    return "colors", f"A mask of shape {shape} is a picture {_colors_text(pixels)}."


def _colors_text(pixels: NDArray[Any]) -> str:
    """Write the colours of a picture for a message."""
    red, green, blue = (pixels[..., channel].astype(np.float64) for channel in range(3))
    # One number a colour: to sort rows of three takes ten times as long.
    _, first = np.unique(red * 65536 + green * 256 + blue, return_index=True)
    colors = pixels[..., :3].reshape(-1, 3)[first].tolist()
    some = ", ".join(str(tuple(color)) for color in colors[:LISTED])
    return f"of {len(colors)} colours: {some}{', ...' if len(colors) > LISTED else ''}"


def _is_one_hot(pixels: NDArray[Any], axis: int) -> bool:
    total = pixels.sum(axis=axis, dtype=np.float64)
    return bool(np.isin(pixels, (0, 1)).all() and (total == 1).all())


def _value_note(
    mask: NDArray[Any], labels: NDArray[Any], counts: NDArray[np.intp]
) -> Note | None:
    """Tell what else than classes the values of a mask are."""
    if mask.dtype.kind not in "iuf":
        return None  # booleans and strings are what they are
    if mask.dtype.kind == "f":
        if not np.isfinite(labels).all():
            return "not_finite", "A mask holds NaN or infinity."
        fractions = labels[labels != np.floor(labels)]
        if len(fractions):
            return "interpolated", f"A mask holds {format_labels(fractions, LISTED)}."
    for frequent in FREQUENT:
        rare = _rare_between(labels, counts / mask.size, frequent)
        if _are_edges(mask, rare):
            text = format_labels(rare, LISTED)
            return "interpolated", f"Rare values lie between frequent ones: {text}."
    n_objects = int(np.count_nonzero(labels))
    if n_objects >= MIN_INSTANCES and _n_areas(mask) <= 1.2 * n_objects:
        return "instances", f"A mask has {n_objects} labels, with one area each."
    return None


def _rare_between(
    labels: NDArray[Any], shares: NDArray[np.float64], limit: float
) -> NDArray[Any]:
    """Return the rare values between the lowest and the highest frequent one."""
    frequent = labels[shares >= limit]
    if len(frequent) < 2:
        return labels[:0]
    is_between = (labels > frequent[0]) & (labels < frequent[-1])
    return labels[is_between & (shares < limit)]


def _are_edges(mask: NDArray[Any], rare: NDArray[Any]) -> bool:
    """Tell whether the pixels of rare values cover no areas, only edges."""
    if len(rare) < RARE_LIMITS[-1][0] or min(mask.shape) < 3:
        return False
    inner = mask[1:-1, 1:-1]
    chosen = np.isin(inner, rare)
    others = (mask[:-2, 1:-1], mask[2:, 1:-1], mask[1:-1, :-2], mask[1:-1, 2:])
    is_area = np.logical_and.reduce(
        [other[chosen] == inner[chosen] for other in others]
    )
    if not is_area.size:
        return False
    return any(
        len(rare) >= number and is_area.mean() <= share for number, share in RARE_LIMITS
    )


def _counts_up(labels: NDArray[Any]) -> bool:
    """Tell whether the labels are 1, 2, 3, ..., with or without 0."""
    if labels.dtype.kind not in "iu" or not len(labels) or labels[0] not in (0, 1):
        return False
    return len(labels) > 1 and int(labels[-1]) - int(labels[0]) == len(labels) - 1


def _n_areas(mask: NDArray[Any]) -> int:
    """Count the connected areas of one value, those of 0 left out."""
    from skimage.measure import label

    _, codes = np.unique(mask, return_inverse=True)
    codes = codes.reshape(mask.shape) + 1
    codes[mask == 0] = 0
    _, n_areas = label(codes, background=0, connectivity=2, return_num=True)
    return int(n_areas)
