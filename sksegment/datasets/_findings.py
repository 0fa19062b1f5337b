"""What the mask doctor says: findings, each with its cure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sksegment._inputs.checks import format_some
from sksegment._inputs.own_masks import OWN_MASK_CURE
from sksegment.datasets._mask_faults import Note

CURES = {
    "number": "Pair files by name: load_image_pairs(images_dir, masks_dir).",
    "own_mask": OWN_MASK_CURE,
    "unreadable": "Export the file again, or leave the pair out.",
    "image": "Repair these images, or leave them out: fit rejects them.",
    "channels": "Convert these images, or train a separate model on them.",
    "channels_first": "Put the channels last: np.moveaxis(image, 0, -1).",
    "transposed": (
        "Turn these masks as their images are turned: mask.T, np.rot90(mask), "
        "np.rot90(mask, -1) or np.rot90(mask.T, 2)."
    ),
    "turned": "Turn these masks: {turn}.",
    "size": "Pair files by name with load_image_pairs, or resize masks with order=0.",
    "colors": "Convert them: colors_to_labels(y, {label: (red, green, blue), ...}).",
    "grey_rgb": "Take one channel: mask[..., 0].",
    "alpha": "Take the first channel: mask[..., 0].",
    "one_hot": "Turn them into labels: mask.argmax(axis=axis of the classes).",
    "axes": "Pass masks of shape (height, width), one label per pixel.",
    "refused": "Change these masks as fit asks, or leave the pairs out.",
    "masked": "Fill them: mask.filled(255), and pass ignore_label=255.",
    "mixed": "Map the labels of all masks to integers, or all to strings.",
    "apart": "Map the labels of all masks to smaller integers.",
    "jpeg": "Export the masks as PNG; two labels can be recovered by pixels > 127.",
    "lossy": "Export the masks as PNG; two labels can be recovered by pixels > 127.",
    "scaled": "Give them the same labels: mask > 0.",
    "depths": "Bring them to one scale: image / np.iinfo(image.dtype).max.",
    "interpolated": "Make the masks again: resize with order=0, save as PNG, not JPEG.",
    "not_finite": "Mark unlabelled pixels with a whole number; pass ignore_label=.",
    "instances": "Turn numbers into classes: mask > 0 if all objects are of one class.",
    "void": "Pass ignore_label={label} if it marks pixels without a class.",
    "scribbles": "Pass ignore_label={label} if it marks what is not labelled.",
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

    See Also
    --------
    check_masks : Returns a list of them.
    MaskError : A place of a mask that is probably wrong.

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
        which = f"{images} {format_some(self.images)}"
        return f"{self.kind} ({which}): {self.message} {self.cure}"


def make_finding(notes: dict[int, Note]) -> Finding:
    """Make one finding of what was noted about several images."""
    first, note = next(iter(notes.items()))
    which = f" (image {first})" if len(notes) > 1 else ""
    # Messages of other libraries may end without a full stop.
    message = f"{note.text.removesuffix('.')}{which}."
    return Finding(note.kind, tuple(notes), message, _cure(notes))


def _cure(notes: dict[int, Note]) -> str:
    """Return the cure of a finding, or each with its images where they differ."""
    images: dict[str, list[int]] = defaultdict(list)
    for index, note in notes.items():
        images[note.cure or CURES[note.kind]].append(index)
    if len(images) == 1:
        return next(iter(images))
    return " ".join(
        f"Of {'image' if len(group) == 1 else 'images'} {format_some(group)}: {cure}"
        for cure, group in images.items()
    )
