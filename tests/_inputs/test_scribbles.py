"""Strokes without ignore_label: told by fit and by the mask doctor."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from skimage.draw import disk, line

from sksegment import FCNSegmenter
from sksegment._inputs.labels import count_labels
from sksegment._inputs.scribbles import label_of_rest
from sksegment.datasets import check_masks

SIDE = 200


def scribbled(seed: int, width: int = 3, rest: Any = 0, side: int = SIDE) -> Any:
    """A mask with six straight strokes of the labels 1 and 2."""
    rng = np.random.default_rng(seed)
    mask = np.full((side, side), rest)
    for index in range(6):
        start, angle = rng.integers(20, side - 60, 2), rng.uniform(0, np.pi / 2)
        end = start + (35 * np.array([np.sin(angle), np.cos(angle)])).astype(int)
        rows, columns = line(*start, *end)
        for down in range(width):
            mask[rows + down, columns] = 1 + index % 2
    return mask


def dotted(seed: int, radius: int) -> Any:
    """A mask with small disks of the labels 1 and 2, as of cells or bacteria."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), int)
    for index in range(8):
        mask[disk(rng.integers(20, SIDE - 20, 2), radius)] = 1 + index % 2
    return mask


def rest_of(mask: Any) -> Any:
    return label_of_rest(mask, count_labels(mask, None))


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize("seed", range(5))
def test_strokes_are_told(width: int, seed: int) -> None:
    assert rest_of(scribbled(seed, width)) == 0
    names = np.array(["none", "cell", "wall"])[scribbled(seed, width)]
    assert rest_of(names) == "none"


@pytest.mark.parametrize("radius", [2, 4, 9])
@pytest.mark.parametrize("seed", range(5))
def test_small_objects_are_not(radius: int, seed: int) -> None:
    assert rest_of(dotted(seed, radius)) is None


def test_what_else_is_not() -> None:
    mask = scribbled(0)
    assert rest_of(np.where(mask == 2, 1, mask)) is None  # one class: vessels, roads
    assert rest_of(np.where(mask == 0, 255, mask)) is None  # told as void
    assert rest_of(np.ones((1, 1), int)) is None
    assert rest_of(np.arange(9).reshape(3, 3)) is None


def test_large_masks_and_single_pixels() -> None:
    large = scribbled(0, 3, side=3000).astype(np.uint8)
    assert rest_of(large) == 0
    corners = np.zeros((3000, 3000), np.uint8)
    corners[0, -1], corners[-1, 0] = 1, 2
    assert rest_of(corners) is None


@pytest.fixture
def data() -> tuple[Any, Any]:
    masks = np.stack([scribbled(seed) for seed in range(4)])
    X = np.random.default_rng(0).uniform(size=masks.shape)
    return X, masks


def small(**parameters: Any) -> FCNSegmenter:
    return FCNSegmenter(depth=1, width=2, max_epochs=1, random_state=0, **parameters)


def test_fit_tells_once_and_names_the_parameter(data: Any) -> None:
    told = r"In 4 of 4 masks the label 0 .*pass ignore_label=0"
    with pytest.warns(UserWarning, match=told) as caught:
        small().fit(*data)
    assert len([w for w in caught if "ignore_label" in str(w.message)]) == 1


@pytest.mark.parametrize("named", [{"ignore_label": 0}, {"classes": [0, 1, 2]}])
def test_who_names_labels_is_not_told(data: Any, named: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(**named).fit(*data)
    assert not [w for w in caught if "ignore_label=" in str(w.message)]


def test_a_few_of_many_masks_are_not_told(data: Any) -> None:
    X, y = data
    y[1:] = [dotted(seed, 5) for seed in range(3)]
    assert not [f for f in check_masks(X, y) if f.kind == "scribbles"]


def test_the_mask_doctor_tells_and_its_cure_cures(data: Any) -> None:
    X, y = data
    (finding,) = (f for f in check_masks(X, y) if f.kind == "scribbles")
    assert finding.images == (0, 1, 2, 3)
    assert "ignore_label=0" in finding.cure
    assert check_masks(X, y, ignore_label=0) == []
