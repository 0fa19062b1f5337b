"""What the mask doctor knows of all images and masks together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha1
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import LISTED
from sksegment._inputs.image_files import is_path, read_orientation
from sksegment._inputs.labels import (
    MAX_FOUND_CLASSES,
    MAX_INT64,
    USUAL_VOIDS,
    LabelCounts,
    count_labels,
    format_labels,
    is_ignored,
    label_kind,
    merge_labels,
)
from sksegment._inputs.mixed_scales import images_of_16_bits, masks_of_255
from sksegment._inputs.scribbles import (
    label_of_rest,
    most_common_rest,
    strokes_text,
)
from sksegment.datasets._findings import CURES, Finding, make_finding
from sksegment.datasets._mask_faults import (
    Note,
    axes_note,
    counts_up,
    n_areas,
    read_labels,
    read_picture,
    reading_hint,
    refusal_of_mask,
    size_notes,
    value_note,
)
from sksegment.datasets._mask_orientation import (
    AS_IT_IS,
    explained_by_turns,
    find_turned,
    turn_by_tags,
    turns_of_swapped,
)

# Fewer masks than this may count from 1 up by chance.
MIN_MASKS = 5
# Kinds whose cure works on the pixels of a mask.
OF_PIXELS = (
    "grey_rgb",
    "alpha",
    "one_hot",
    "transposed",
    "turned",
    "scaled",
    "jpeg",
    "lossy",
    "instances",
)


class MaskChart:
    """What is noted about all masks together."""

    def __init__(self, ignore_label: Any, nodata: float | None = None) -> None:
        self._ignore_label = ignore_label
        self._nodata = nodata
        self._same: dict[bytes, list[int]] = defaultdict(list)
        self._masks: dict[int, bytes] = {}
        self._labels: dict[int, NDArray[Any]] = {}
        self._channels: dict[int, int] = {}
        self._counted: list[int] = []
        self._dtypes: dict[int, np.dtype[Any]] = {}
        self._highest: dict[int, float] = {}
        self._explained: dict[int, dict[str, float]] = {}
        self._by_tags: dict[int, str] = {}
        self._swapped: dict[int, Note] = {}
        self._paths: dict[int, Any] = {}
        self._rests: dict[int, Any] = {}

    def add(self, image: Any, mask: Any, index: int) -> Iterator[Note]:
        """Note image and mask `index`; yield what is wrong with them."""
        picture, trouble = read_picture(image, self._nodata)
        yield from trouble
        if picture is not None:
            self._same[_digest(picture)].append(index)
            self._dtypes[index] = picture.dtype
            self._highest[index] = float(picture.max()) if _is_finite(picture) else 0.0
        pixels, trouble = read_labels(mask)
        notes = list(trouble)
        if pixels is not None:
            self._masks[index] = _digest(pixels)
            if picture is not None:
                notes += self._shape_notes(picture, pixels, index)
                self._compare(picture, pixels, (image, mask), index)
            if not trouble:
                notes += self._label_notes(pixels, index)
        if pixels is not None and is_path(mask):
            self._paths[index] = mask
        for note in notes:
            if note.kind == "transposed":
                self._swapped[index] = note
            else:
                yield self._readable(note, index)

    def _readable(self, note: Note, index: int) -> Note:
        """Say in a cure of pixels how they are read from their file."""
        cure = note.cure or CURES[note.kind]
        if note.kind not in OF_PIXELS or index not in self._paths:
            return note
        return note._replace(cure=cure + reading_hint(self._paths[index]))

    def _shape_notes(
        self, image: NDArray[Any], mask: NDArray[Any], index: int
    ) -> Iterator[Note]:
        """Compare an image with its mask, and with the first that fitted its own."""
        yield from size_notes(image.shape, mask.shape)
        if image.shape[:2] != mask.shape[:2] or image.ndim not in (2, 3):
            return  # the axis of the channels is unknown
        self._channels[index] = image.shape[2] if image.ndim == 3 else 1
        first, expected = next(iter(self._channels.items()))
        if self._channels[index] != expected:
            found = f"An image has {self._channels[index]} channels"
            yield Note("channels", f"{found}, but image {first} has {expected}.")

    def _compare(
        self, image: NDArray[Any], mask: NDArray[Any], pair: tuple[Any, Any], index: int
    ) -> None:
        """Keep how well the mask fits its image, however it is turned."""
        mask = mask[..., 0] if mask.ndim == 3 and mask.size else mask
        if mask.ndim != 2 or image.ndim not in (2, 3) or not _is_finite(image):
            return
        if image.shape[:2] not in (mask.shape, mask.shape[::-1]) or not mask.size:
            return
        self._explained[index] = explained_by_turns(image, mask)
        tags = [read_orientation(item) if is_path(item) else 1 for item in pair]
        self._by_tags[index] = turn_by_tags(*tags)

    def _label_notes(self, pixels: NDArray[Any], index: int) -> Iterator[Note]:
        axes = axes_note(pixels)
        if axes:
            yield axes
            return
        refusal = refusal_of_mask(pixels) if pixels.dtype.kind not in "biuf" else None
        if refusal:
            yield Note("refused", refusal)
            return
        mask = pixels.reshape(pixels.shape[:2])
        found = count_labels(mask, None)
        kept = ~is_ignored(found.labels, self._ignore_label)
        labels = found.labels[kept]
        note = value_note(mask, labels, found.pixels[kept])
        if note:
            yield note
            return
        self._remember(mask, found, labels, index)
        if not len(labels):
            text = f"All pixels are ignore_label={self._ignore_label!r}."
            yield Note("unlabelled", text)
        if len(labels) == 1:
            text = f"All pixels have the label {format_labels(labels)}."
            yield Note("one_class", text)

    def _remember(
        self, mask: NDArray[Any], found: LabelCounts, labels: NDArray[Any], index: int
    ) -> None:
        """Keep of the labels of a mask what matters beside those of others."""
        self._labels[index] = labels
        rest = None if self._ignore_label is not None else label_of_rest(mask, found)
        if rest is not None:
            self._rests[index] = rest
        # Only if all masks count up their objects, are these instances.
        all_before = len(self._counted) == len(self._labels) - 1
        if (
            all_before
            and counts_up(labels)
            and n_areas(mask) == len(labels) - (labels[0] == 0)
        ):
            self._counted.append(index)

    def findings(self) -> Iterator[Finding]:
        """Yield what only all masks together show."""
        yield from self._transposed()
        yield from self._turned()
        yield from self._mixed()
        yield from self._apart()
        yield from self._scaled()
        yield from self._depths()
        yield from self._instances()
        yield from self._voids()
        yield from self._strokes()
        yield from self._duplicates()

    def _transposed(self) -> Iterator[Finding]:
        """Say how the masks whose height and width are swapped are to be turned."""
        turns = turns_of_swapped(self._explained, self._by_tags)
        notes = {}
        for index, note in self._swapped.items():
            turn = turns.get(index)
            cure = CURES["turned"].format(turn=turn) if turn else ""
            notes[index] = self._readable(note._replace(cure=cure), index)
        if notes:
            yield make_finding(notes)

    def _mixed(self) -> Iterator[Finding]:
        """Find masks whose labels are not of the same kind as those of the first."""
        kinds = {i: label_kind(labels.dtype) for i, labels in self._labels.items()}
        first = next(iter(kinds.values()), "")
        others = tuple(index for index, kind in kinds.items() if kind != first)
        if others:
            text = f"Masks hold {kinds[others[0]]}, but others hold {first}."
            yield Finding("mixed", others, text, CURES["mixed"])

    def _apart(self) -> Iterator[Finding]:
        """Find labels above int64 in some masks, and negative ones in others."""
        try:
            self._merged()
        except ValueError as error:
            found = self._labels.items()
            large = tuple(i for i, labels in found if (labels > MAX_INT64).any())
            yield Finding("mixed", large, f"{error}", CURES["apart"])

    def _masks_of_255(self) -> list[int]:
        holders = list(self._labels)
        large = masks_of_255([self._labels[index] for index in holders])
        return [holders[place] for place in large]

    def _scaled(self) -> Iterator[Finding]:
        """Find masks of 0 and 255 among masks of 0 and 1."""
        note = Note("scaled", "Masks hold 0 and 255, but others hold 0 and 1.")
        notes = {i: self._readable(note, i) for i in self._masks_of_255()}
        if notes:
            yield make_finding(notes)

    def _depths(self) -> Iterator[Finding]:
        """Find images of 16 bits among images of 8 bits."""
        holders = list(self._dtypes)
        wide = images_of_16_bits(
            [self._dtypes[index] for index in holders],
            [self._highest[index] for index in holders],
        )
        if wide:
            text = "Images are of 16 bits, but others are of 8 bits."
            images = tuple(holders[place] for place in wide)
            yield Finding("depths", images, text, CURES["depths"])

    def _turned(self) -> Iterator[Finding]:
        """Find masks that fit their images far better when they are turned."""
        notes = {}
        for index, turn in find_turned(self._explained, self._by_tags).items():
            now, then = (self._explained[index][name] for name in (AS_IT_IS, turn))
            text = (
                f"Labels explain {now:.0%} of the differences within an image, and "
                f"{then:.0%} when the mask is turned."
            )
            note = Note("turned", text, CURES["turned"].format(turn=turn))
            notes[index] = self._readable(note, index)
        if notes:
            yield make_finding(notes)

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
        try:
            return self._merged()
        except ValueError:  # a finding of its own
            return np.array([])

    def _merged(self) -> NDArray[Any]:
        arrays = [labels for labels in self._labels.values() if len(labels)]
        if not arrays or len({label_kind(array.dtype) for array in arrays}) > 1:
            return np.array([])
        return merge_labels(arrays)

    def _voids(self) -> Iterator[Finding]:
        labels = self._all_labels()
        # Two labels are a genuine binary mask, 0/255 above all.
        if self._ignore_label is not None or len(labels) < 3 or self._masks_of_255():
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

    def _strokes(self) -> Iterator[Finding]:
        """Find masks of strokes, whose rest would become a class."""
        found = most_common_rest(self._rests, len(self._labels))
        if found:
            label = self._rests[found[0]]
            text = strokes_text(label, len(found), len(self._labels))
            cure = CURES["scribbles"].format(label=repr(label))
            yield Finding("scribbles", tuple(found), text, cure)

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


def _is_finite(image: NDArray[Any]) -> bool:
    """Tell whether an image holds numbers, and no NaN or infinity."""
    is_number = image.dtype.kind in "buif" and image.size > 0
    return is_number and bool(np.isfinite(image).all())


def _digest(pixels: NDArray[Any]) -> bytes:
    """Return what tells arrays apart, at a few bytes each."""
    digest = sha1(f"{pixels.shape} {pixels.dtype}".encode(), usedforsecurity=False)
    digest.update(pixels.tobytes())
    return digest.digest()
