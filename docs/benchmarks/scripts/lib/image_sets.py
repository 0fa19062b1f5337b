"""The image sets of the defaults' table: three real ones, made small, and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.shared import CAMVID_VOID, all_reduced, read_pairs
from sksegment._inputs.image_files import read_image, read_mask
from sksegment.datasets import load_voc, make_shapes
from sksegment.metrics import iou_score
from sksegment.model_selection import cut_blocks

# PASCAL VOC: bird, cat, cow, dog, horse and sheep; a person; 255 is void.
VOC_ANIMALS = (3, 8, 10, 12, 13, 17)
VOC_PERSON = 15
VOC_VOID = 255


@dataclass(frozen=True)
class ImageSet:
    """Images to train on and to score."""

    X: Sequence[NDArray[Any]]
    y: Sequence[NDArray[Any]]
    X_test: Sequence[NDArray[Any]]
    y_test: Sequence[NDArray[Any]]
    classes: tuple[int, ...]
    ignore_label: int | None = None

    def labels(self) -> dict[str, Any]:
        """Return the parameters of FCNSegmenter that tell what the labels mean."""
        return {"classes": self.classes, "ignore_label": self.ignore_label}

    @property
    def n_channels(self) -> int:
        return int(np.atleast_3d(self.X[0]).shape[2])

    def mean_iou(self, y_pred: Any) -> float:
        """Return the mean IoU of masks for the test images."""
        options = {"labels": self.classes, "ignore_label": self.ignore_label}
        return float(iou_score(self.y_test, y_pred, **options))

    def constant_iou(self) -> float:
        """Return the best mean IoU of predicting one class everywhere."""
        return max(
            self.mean_iou([np.full_like(mask, label) for mask in self.y_test])
            for label in self.classes
        )


def membrane(data: Path) -> ImageSet:
    """Tiles from the middle of slices 00-13; the middle of 14-19 to score."""
    X, y = read_pairs(data / "membrane" / "train")
    train, test = slice(184, 328), slice(128, 384)
    tiles, masks, _ = cut_blocks(X[:14, train, train], y[:14, train, train], 72)
    X_test, y_test = X[14:, test, test], y[14:, test, test]
    return ImageSet(tiles, masks, X_test, y_test, classes=(0, 255))


def camvid(data: Path) -> ImageSet:
    """Every 9th training frame and every 2nd of val, at a fifth of the resolution."""
    train = read_pairs(data / "camvid" / "train", slice(None, None, 9))
    test = read_pairs(data / "camvid" / "val", slice(None, None, 2))
    return ImageSet(
        *all_reduced(*train, 5),
        *all_reduced(*test, 5),
        classes=tuple(range(CAMVID_VOID)),
        ignore_label=CAMVID_VOID,
    )


def voc(data: Path) -> ImageSet:
    """Photos at a sixth of the resolution: background, animal, person, other."""
    train, test = (_voc_split(data / "voc_sample", split) for split in ("train", "val"))
    return ImageSet(*train, *test, classes=(0, 1, 2, 3), ignore_label=VOC_VOID)


def _voc_split(
    folder: Path, split: str
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    paths, masks = load_voc(folder, split=split, return_X_y=True)
    merged = np.full(256, 3, np.uint8)
    merged[[0, VOC_VOID]] = 0, VOC_VOID
    merged[list(VOC_ANIMALS)] = 1
    merged[VOC_PERSON] = 2
    return all_reduced(
        [read_image(path) for path in paths],
        [merged[read_mask(path)] for path in masks],
        6,
    )


def shapes(data: Path) -> ImageSet:
    """Synthetic shapes, which need no data."""
    train = make_shapes(64, size=64, random_state=0)
    test = make_shapes(100, size=64, random_state=1)
    return ImageSet(*train, *test, classes=(0, 1, 2, 3))


IMAGE_SETS = {"membrane": membrane, "camvid": camvid, "voc": voc, "shapes": shapes}
