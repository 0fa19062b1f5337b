"""Tools for masks: the mask doctor, colors to labels, palette files."""

from __future__ import annotations

import io
import os
import re
import stat
import tracemalloc
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from skimage.draw import disk

from sksegment import FCNSegmenter, _atomic_write
from sksegment._inputs.image_files import read_image, read_mask
from sksegment._inputs.palette import palette_colors
from sksegment.datasets import (
    Finding,
    check_masks,
    colors_to_labels,
    load_image_pairs,
    load_stack,
    make_shapes,
    save_masks,
)
from sksegment.datasets._check_masks import CURES
from sksegment.datasets._voc_palette import voc_palette


def images_like(y: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((*np.shape(mask)[:2], 3)) for mask in y]


def kinds(X: Any, y: Any, ignore_label: Any = None) -> dict[str, tuple[int, ...]]:
    findings = check_masks(X, y, ignore_label)
    assert all(isinstance(finding, Finding) for finding in findings)
    assert len({finding.kind for finding in findings}) == len(findings)
    return {finding.kind: finding.images for finding in findings}


def resized(mask: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(factor * side) for side in mask.shape)
    image = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def through_jpeg(mask: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


# check_masks: nothing to find


@pytest.mark.parametrize("n_classes", range(2, 9))
def test_sound_masks_have_no_findings(n_classes: int) -> None:
    X, y = make_shapes(20, n_classes=n_classes, random_state=0)
    assert check_masks(X, y) == []
    assert check_masks(list(X), list(y)) == []


@pytest.mark.parametrize(
    "labels",
    [[0, 255], [False, True], ["sky", "tree"], [-1, 1], [3.0, 7.0], [205, 420]],
)
def test_labels_of_any_kind_have_no_findings(labels: list[Any]) -> None:
    X, y = make_shapes(5, n_classes=2, random_state=0)
    assert check_masks(X, np.array(labels)[y]) == []


def test_real_masks_have_few_findings(shared_data: Path) -> None:
    voc = shared_data / "voc_sample" / "VOCdevkit" / "VOC2012"
    masks = sorted((voc / "SegmentationClass").glob("*.png"))[:15]
    images = [voc / "JPEGImages" / f"{mask.stem}.jpg" for mask in masks]
    assert kinds(images, masks, 255) == {}
    assert kinds(images, masks) == {"void": tuple(range(15))}
    for name in ("camvid/val", "membrane/train"):
        X = sorted((shared_data / name / "images").iterdir())[:10]
        y = sorted((shared_data / name / "masks").iterdir())[:10]
        assert check_masks(X, y) == []


# check_masks: each kind


def test_numbers_that_differ_are_found() -> None:
    X, y = make_shapes(5, random_state=0)
    (finding,) = check_masks(X, y[:3])
    assert (finding.kind, finding.images) == ("number", (3,))
    assert finding.message == "There are 5 images and 3 masks."


def test_sizes_that_differ_are_found() -> None:
    X, y = make_shapes(4, size=(32, 40), random_state=0)
    wrong = list(y)
    wrong[1], wrong[2] = wrong[1][:30], wrong[2].T
    assert kinds(X, wrong) == {"size": (1,), "transposed": (2,)}


def test_channels_first_is_found() -> None:
    X, y = make_shapes(3, size=(32, 40), random_state=0)
    assert kinds(np.moveaxis(X, -1, 1), y) == {"channels_first": (0, 1, 2)}


def with_nan(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X[2, 5, 5, 1], X[3, 0, 0, 0] = np.nan, np.inf
    return X


def with_strings(y: np.ndarray) -> list[np.ndarray]:
    return [*y[:2], *np.array(list("abcd"))[y[2:]]]


def far_apart(y: np.ndarray) -> list[np.ndarray]:
    return [*(y[:2].astype(np.uint64) + 2**63), *(y[2:].astype(np.int64) - 1)]


@pytest.mark.parametrize(
    "change_X, change_y, expected, message",
    [
        (with_nan, None, {"image": (2, 3)}, r"NaN.*channels \[1\]"),
        (lambda X: X.astype(str), None, {"image": (0, 1, 2, 3)}, "has dtype <U"),
        (np.ma.array, None, {"image": (0, 1, 2, 3)}, "An image is a masked array"),
        (
            lambda X: [*X[:2], X[2, ..., :2], X[3, ..., 0]],
            None,
            {"channels": (2, 3)},
            "An image has 2 channels, but image 0 has 3",
        ),
        (None, np.ma.array, {"masked": (0, 1, 2, 3)}, "A mask is a masked array"),
        (None, with_strings, {"mixed": (2, 3)}, "hold strings, but others .* numbers"),
        (None, far_apart, {"mixed": (0, 1)}, "labels -1 and .* fit into no dtype"),
        (
            lambda X: X[:1, :0],
            lambda y: y[:1, :0],
            {"image": (0,), "axes": (0,)},
            "A mask is empty|An image is empty",
        ),
    ],
)
def test_what_fit_refuses_is_found(
    change_X: Any, change_y: Any, expected: dict[str, Any], message: str
) -> None:
    X, y = make_shapes(4, random_state=0)
    X = change_X(X) if change_X else X
    y = change_y(y) if change_y else y
    with pytest.raises((TypeError, ValueError)):
        FCNSegmenter().fit(X, y)
    assert kinds(X, y) == expected
    for finding in check_masks(X, y):
        assert re.search(message, finding.message)


@pytest.mark.parametrize("n_classes, step", [(2, 255), (4, 40), (8, 30)])
@pytest.mark.parametrize("factor", [0.5, 0.7, 1.5, 2.0])
def test_interpolated_masks_are_found(n_classes: int, step: int, factor: float) -> None:
    _, y = make_shapes(6, size=96, n_classes=n_classes, random_state=0)
    masks = [resized(mask * np.uint8(step), factor) for mask in y]
    assert len(kinds(images_like(masks), masks)["interpolated"]) >= 5


@pytest.mark.parametrize("quality", [75, 90, 95])
def test_masks_that_were_jpeg_are_found(quality: int) -> None:
    _, y = make_shapes(6, size=96, n_classes=2, random_state=0)
    masks = [through_jpeg(mask * np.uint8(200), quality) for mask in y]
    assert len(kinds(images_like(masks), masks)["interpolated"]) >= 5


def test_real_masks_that_were_resized_are_found(shared_data: Path) -> None:
    for name in (
        "membrane/train/masks",
        "voc_sample/VOCdevkit/VOC2012/SegmentationClass",
    ):
        files = sorted((shared_data / name).iterdir())[:8]
        masks = [resized(read_mask(file), 0.73) for file in files]
        assert len(kinds(images_like(masks), masks)["interpolated"]) == 8


def test_fractions_and_nan_are_found() -> None:
    X, y = make_shapes(2, random_state=0)
    masks = y.astype(float)
    masks[0, 3, 3], masks[1, 0, 0] = 0.5, np.nan
    assert kinds(X, masks) == {"interpolated": (0,), "not_finite": (1,)}


def test_jpeg_files_are_found(tmp_path: Path) -> None:
    X, y = make_shapes(2, n_classes=2, random_state=0)
    path = tmp_path / "mask.png"  # whatever its name says
    Image.fromarray(y[0]).save(path, "JPEG")
    assert kinds(X[:1], [path]) == {"jpeg": (0,)}


def numbered_objects(n_objects: int) -> np.ndarray:
    mask = np.zeros((80, 80), np.uint16)
    for number in range(n_objects):
        row, column = divmod(number, 4)
        mask[disk((10 + 20 * row, 10 + 20 * column), 8)] = number + 1
    return mask


def test_many_numbers_in_one_mask_are_found() -> None:
    masks = [numbered_objects(n) for n in (3, 12)]
    assert kinds(images_like(masks), masks) == {"instances": (1,)}


def test_masks_that_count_from_one_up_are_found() -> None:
    masks = [numbered_objects(n) for n in (3, 1, 5, 4, 7)]
    (finding,) = check_masks(images_like(masks), masks)
    assert (finding.kind, finding.images) == ("instances", (0, 1, 2, 3, 4))
    assert "to a number between 1 and 7" in finding.message
    masks[2][0, 0] = 1  # no longer one area a number
    assert kinds(images_like(masks), masks) == {}


def test_more_labels_than_classes_ever_are_found() -> None:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2000, (3, 32, 32))
    (finding,) = check_masks(images_like(masks), masks)
    assert finding.kind == "instances"


def test_real_instance_numbers_are_found(shared_data: Path) -> None:
    folder = shared_data / "nuclei_uint16"
    found = kinds([folder / "image.tif"], [folder / "mask_instances.tif"])
    assert found == {"instances": (0,)}


def test_color_coded_masks_are_found(tmp_path: Path) -> None:
    X, y = make_shapes(3, random_state=0)
    colored = voc_palette()[y]
    path = tmp_path / "mask.png"
    Image.fromarray(colored[1]).save(path)
    assert kinds(X, colored) == {"colors": (0, 1, 2)}
    (finding,) = check_masks(X[1:2], [path])
    assert finding.kind == "colors"
    n_colors = len(np.unique(y[1]))
    assert f"picture of {n_colors} colors: (0, 0, 0), (0, 128, 0)" in finding.message
    assert "colors_to_labels" in finding.cure


def test_masks_with_several_values_a_pixel_are_found() -> None:
    X, y = make_shapes(4, random_state=0)
    masks: list[Any] = [
        np.repeat(y[0][..., None], 3, axis=-1),
        np.eye(4)[y[1]],
        np.moveaxis(np.eye(4)[y[2]], -1, 0),
        np.zeros((64, 64, 7)) + 2,
    ]
    assert kinds(X, masks) == {"grey_rgb": (0,), "one_hot": (1, 2), "axes": (3,)}
    assert kinds(X, y[..., None]) == {}


@pytest.mark.parametrize("void, dtype", [(255, np.uint8), (-1, np.int8)])
def test_usual_voids_are_found(void: int, dtype: type) -> None:
    X, y = make_shapes(3, random_state=0)
    y = y.astype(dtype)
    y[1:, :4] = void
    (finding,) = check_masks(X, y)
    assert (finding.kind, finding.images) == ("void", (1, 2))
    assert f"ignore_label={void}" in finding.cure
    assert check_masks(X, y, ignore_label=void) == []


def test_masks_of_one_class_or_none_are_found() -> None:
    X, y = make_shapes(4, random_state=0)
    y[1] = 3
    y[2] = 9
    assert kinds(X, y, ignore_label=9) == {"one_class": (1,), "unlabelled": (2,)}


def test_equal_images_are_found() -> None:
    X, y = make_shapes(6, random_state=0)
    X[3] = X[5] = X[0]
    X[4] = X[1]
    y[3] = y[5] = y[0]
    (finding,) = check_masks(X, y)
    assert (finding.kind, finding.images) == ("duplicates", (0, 1, 3, 4, 5))
    assert "0 and 3 and 5; 1 and 4." in finding.message
    assert "masks of 1 such groups differ" in finding.message


def test_files_that_cannot_be_read_are_found(tmp_path: Path) -> None:
    X, y = make_shapes(3, random_state=0)
    broken, missing = tmp_path / "broken.png", tmp_path / "missing.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    good = tmp_path / "good.png"
    Image.fromarray(y[0]).save(good)
    assert kinds(X, [broken, missing, good]) == {"unreadable": (0, 1)}
    assert kinds([good, broken, missing], y) == {"unreadable": (1, 2)}
    (finding,) = check_masks(X[:1], [broken])
    assert "broken.png" in finding.message
    (finding,) = check_masks(["a\0.png"], ["a\0.png"])
    assert "'a\\x00.png' holds a NUL character" in finding.message


@pytest.mark.parametrize(
    "mask, kind",
    [
        ([[1, 2], [3]], "unreadable"),
        (None, "axes"),
        (3, "axes"),
        (np.array([[None, 1]], object), "axes"),
        (np.zeros(4), "axes"),
        (np.zeros((2, 2, 2, 2)), "axes"),
    ],
)
def test_what_is_no_mask_at_all_is_found_not_raised(mask: Any, kind: str) -> None:
    assert kind in kinds([np.zeros((4, 4))], [mask])


def test_findings_are_short_sentences_with_a_cure() -> None:
    X, y = make_shapes(12, random_state=0)
    y[:, :3] = 255
    X[7] = X[2]
    findings = check_masks(X, y)
    text = str(findings[0])
    assert text.startswith("void (images 0, 1, 2, 3, 4 and 7 more): The label 255")
    assert text.endswith(findings[0].cure)
    assert all("\n" not in cure and cure.endswith(".") for cure in CURES.values())
    with pytest.raises(FrozenInstanceError):
        findings[0].kind = "other"  # type: ignore[misc]


@pytest.mark.parametrize("bad", ["masks", None, 3, Path("masks")])
def test_what_is_no_list_of_masks_raises(bad: Any) -> None:
    _, y = make_shapes(2, random_state=0)
    with pytest.raises(TypeError, match=r"y is .* expected an array, or a list"):
        check_masks(y, bad)
    with pytest.raises(TypeError, match=r"X is .* expected an array, or a list"):
        check_masks(bad, y)


@pytest.mark.parametrize(
    "nodata", [np.inf, -np.inf, np.float32("inf"), pytest.param(10**400, id="huge")]
)
def test_nodata_that_is_infinite_raises(nodata: Any) -> None:
    X, y = make_shapes(1, size=16, random_state=0)
    for refuse_it in (
        lambda: check_masks(X, y, nodata=nodata),
        lambda: FCNSegmenter(nodata=nodata, nodata_label=9).fit(X, y),
    ):
        with pytest.raises(ValueError, match=r"nodata is .*; expected a finite number"):
            refuse_it()


def test_nothing_to_examine_raises() -> None:
    X, y = make_shapes(1, random_state=0)
    for images, masks, argument in (([], [], "X"), (X[:0], y, "X"), (X, [], "y")):
        with pytest.raises(ValueError, match=rf"0 sample\(s\) in {argument}"):
            check_masks(images, masks)


def test_messages_of_several_images_lose_no_character() -> None:
    y = [np.zeros((4, 4)), np.zeros((4, 4))]
    (finding,) = check_masks(["/none/a.png"], y[:1])[:1]
    assert finding.message.endswith("directory: '/none/a.png'.")
    (finding,) = check_masks(["/none/a.png", "/none/b.png"], y)[:1]
    assert finding.message.endswith("directory: '/none/a.png' (image 0).")


@pytest.mark.parametrize(
    "form",
    [
        lambda A: torch.tensor(A).float().requires_grad_(),
        lambda A: [torch.tensor(item).float().requires_grad_() for item in A],
        lambda A: torch.tensor(A).bfloat16(),
        lambda A: pd.Series(list(A), index=[7] * len(A)),
        np.ndarray.tolist,
    ],
)
def test_check_masks_takes_the_containers_that_fit_takes(form: Any) -> None:
    X, y = make_shapes(4, size=16, random_state=0)
    y[:, :2] = 255
    assert kinds(form(X), form(y)) == {"void": (0, 1, 2, 3)}


@pytest.mark.parametrize(
    "bad, message",
    [
        (pd.DataFrame({"path": ["a.png", "b.png"]}), r"is a DataFrame.*\['path'\]"),
        ({"a.png": 1}, "is a dict; expected an array, or a list"),
        (torch.zeros(2, 4, 4).to_sparse(), "is a tensor that numpy cannot hold"),
        (np.array(3), "is a ndarray; expected an array, or a list"),
    ],
)
def test_check_masks_refuses_the_containers_that_fit_refuses(
    bad: Any, message: str
) -> None:
    X, y = make_shapes(2, random_state=0)
    for images, masks, argument in ((bad, y, "X"), (X, bad, "y")):
        with pytest.raises(TypeError, match=f"{argument} {message}"):
            check_masks(images, masks)


def test_single_tensors_that_fit_refuses_are_found() -> None:
    X, y = make_shapes(2, random_state=0)
    sparse = torch.tensor(y[1]).to_sparse()
    assert kinds(X, [y[0], sparse]) == {"axes": (1,)}
    assert kinds([X[0], sparse], y) == {"image": (1,)}


def test_labels_beyond_float64_stay_apart() -> None:
    X, y = make_shapes(3, size=32, n_classes=3, random_state=0)
    values = np.array([5, 2**53, 2**53 + 1])
    masks = [values[mask].astype(dtype) for mask, dtype in zip(y, "LqL", strict=True)]
    masks[0][:2] = masks[1][:2] = masks[2][:2] = 255
    (finding,) = check_masks(X, masks)
    assert "255 stands beside 3 other labels" in finding.message


def test_masks_of_strings_of_any_length_have_no_findings() -> None:
    X, y = make_shapes(3, n_classes=2, random_state=0)
    names = np.array(["sky", "a longer name"])[y]
    assert check_masks(X, names.astype(np.dtypes.StringDType())) == []


def test_check_masks_changes_nothing() -> None:
    X, y = make_shapes(3, random_state=0)
    X.flags.writeable = y.flags.writeable = False
    before = X.copy(), y.copy()
    check_masks(X, y)
    assert_array_equal(X, before[0])
    assert_array_equal(y, before[1])


# colors_to_labels


@pytest.mark.parametrize("container", ["array", "list", "paths", "alpha"])
def test_colors_become_the_labels_they_stand_for(
    container: str, tmp_path: Path
) -> None:
    y = np.random.default_rng(0).integers(0, 22, (4, 9, 7)).astype(np.uint8)
    y[y == 21] = 255
    masks: Any = voc_palette()[y]
    if container == "list":
        masks = list(masks)
    if container == "alpha":
        masks = np.concatenate([masks, masks[..., :1]], axis=-1)
    if container == "paths":
        paths = [tmp_path / f"{index}.png" for index in range(4)]
        for path, mask in zip(paths, masks, strict=True):
            Image.fromarray(mask).save(path)
        masks = paths
    labels = colors_to_labels(masks, "voc")
    assert isinstance(labels, list if container in ("list", "paths") else np.ndarray)
    for mask, expected in zip(labels, y, strict=True):
        assert mask.dtype == np.uint8
        assert_array_equal(mask, expected)


def test_palette_files_are_converted_by_their_colors(tmp_path: Path) -> None:
    y = np.array([[[0, 1], [20, 255]]])
    save_masks(y, [tmp_path / "a.png"])
    assert_array_equal(colors_to_labels([tmp_path / "a.png"], "voc")[0], y[0])


@pytest.mark.parametrize(
    "labels, dtype",
    [([0, 7], "u1"), ([-1, 7], "i1"), ([3, 300], "u2"), ([False, True], "?"),
     (["sky", "road"], "<U4")],
)  # fmt: skip
def test_labels_of_colors_may_be_anything(labels: list[Any], dtype: str) -> None:
    masks = np.zeros((1, 2, 2, 3), np.uint8)
    masks[0, 0, 0] = 9, 8, 7
    found = colors_to_labels(masks, {labels[0]: (9, 8, 7), labels[1]: [0, 0, 0]})
    assert found.dtype == dtype
    assert found[0].tolist() == [[labels[0], labels[1]], [labels[1], labels[1]]]


def test_unknown_colors_are_named() -> None:
    masks = np.zeros((3, 4, 4, 3), np.uint8)
    masks[1, :2], masks[1, 3, 3] = (1, 2, 3), (4, 5, 6)
    message = (
        r"mask 1 holds the color \(1, 2, 3\) in 8 pixels, and 1 more .*\(0, 0, 0\)"
    )
    with pytest.raises(ValueError, match=message):
        colors_to_labels(masks, {0: (0, 0, 0), 1: (255, 0, 0)})


def test_unknown_colors_of_files_are_named_by_file(tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    Image.new("RGB", (3, 3), (5, 5, 5)).save(path)
    with pytest.raises(ValueError, match=r"mask 0 \('.*odd.png'\) holds the color"):
        colors_to_labels([path], "voc")


@pytest.mark.parametrize(
    "masks, error, message",
    [
        (np.zeros((4, 4, 3), int), ValueError, r"masks has shape \(4, 4, 3\)"),
        (np.zeros((2, 4, 4, 5), int), ValueError, "mask 0 has shape"),
        ([np.zeros((4, 4), int)], ValueError, r"mask 0 has shape \(4, 4, 1\)"),
        (np.zeros((1, 4, 4, 3)), ValueError, "mask 0 has dtype float64"),
        (np.full((1, 4, 4, 3), 256), ValueError, "values from 256 to 256"),
        ("masks.png", TypeError, "masks is one path"),
        (np.ma.zeros((1, 4, 4, 3), int), TypeError, r"masks is a masked.* filled\(v"),
        ([np.ma.zeros((4, 4, 3), int)], TypeError, r"masks\[0\] is a masked"),
        ({0: 0}, TypeError, "masks is a dict"),
    ],
)
def test_what_is_no_picture_raises(
    masks: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        colors_to_labels(masks, {0: (0, 0, 0)})


@pytest.mark.parametrize(
    "colors, error, message",
    [
        ("cityscapes", TypeError, "colors is 'cityscapes'; expected 'voc' or a dict"),
        ({}, TypeError, "expected 'voc' or a dict"),
        ([(0, 0, 0)], TypeError, "expected 'voc' or a dict"),
        ({0: (0, 0)}, ValueError, r"label 0 the color \(0, 0\); expected three"),
        ({0: (0, 0, 256)}, ValueError, "whole numbers from 0 to 255"),
        ({0: (0, 0, (1, 2))}, ValueError, r"label 0 the color \(0, 0, \(1, 2\)\)"),
        (pd.Series({0: (0, 0, 0), 1: (1, 1, 1)}), TypeError, "expected 'voc' or a di"),
        ({0: (0.0, 0.5, 1.0)}, ValueError, "whole numbers from 0 to 255"),
        ({0: "red"}, ValueError, "label 0 the color 'red'"),
        ({0: (1, 1, 1), 1: (1, 1, 1)}, ValueError, "of another label"),
        ({0.5: (1, 1, 1)}, TypeError, r"labels \[0.5\]"),
    ],
)
def test_bad_colors_raise(colors: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        colors_to_labels(np.zeros((1, 2, 2, 3), np.uint8), colors)


# save_masks

ALL_LABELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


@pytest.mark.parametrize("palette", ["voc", None, np.full((256, 3), 9), "short"])
@pytest.mark.parametrize("dtype", ["u1", ">i4", "i8", "?"])
def test_masks_are_read_back_bit_for_bit(
    palette: Any, dtype: str, tmp_path: Path
) -> None:
    if isinstance(palette, str) and palette == "short":
        palette = [[0, 0, 0], [255, 0, 0]]
        masks = np.array([[[0, 1], [1, 255]]]).astype(dtype)
    else:
        masks = ALL_LABELS.astype(dtype)
    path = tmp_path / "mask.PNG"
    save_masks(masks, [path], palette)
    assert_array_equal(read_mask(path), masks[0])
    with Image.open(path) as image:
        assert image.mode == ("L" if palette is None else "P")
    assert os.listdir(tmp_path) == ["mask.PNG"]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_colors_are_those_of_the_palette(tmp_path: Path) -> None:
    save_masks(ALL_LABELS, [tmp_path / "voc.png"])
    assert_array_equal(read_image(tmp_path / "voc.png"), voc_palette()[ALL_LABELS[0]])
    palette = np.random.default_rng(0).integers(0, 256, (30, 3))
    masks = ALL_LABELS % 30
    save_masks(masks, [tmp_path / "own.png"], palette)
    assert_array_equal(read_image(tmp_path / "own.png"), palette[masks[0]])


def test_the_palette_is_that_of_voc(shared_data: Path) -> None:
    folder = shared_data / "voc_sample" / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    with Image.open(sorted(folder.iterdir())[0]) as image:
        colors = np.array(image.getpalette("RGB")).reshape(-1, 3)
    assert_array_equal(colors, voc_palette()[: len(colors)])
    assert voc_palette()[[0, 1, 255]].tolist() == [
        [0] * 3,
        [128, 0, 0],
        [224, 224, 192],
    ]


def test_saved_predictions_are_loaded_as_pairs(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    predictions = np.empty(3, dtype=object)
    predictions[:] = [np.full((4 + i, 5), i) for i in range(3)]
    for index in range(3):
        Image.new("L", (5, 4 + index)).save(images / f"{index}.png")
    save_masks(predictions, [masks / f"{index}.png" for index in range(3)])
    _, y = load_image_pairs(images, masks, return_X_y=True)
    for path, expected in zip(y, predictions, strict=True):
        assert_array_equal(read_mask(path), expected)


def test_files_are_replaced_and_may_be_read_for_it(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    save_masks(np.array([[[0, 3]]]), [path], None)
    save_masks([path], [path])  # the same labels, in color now
    assert_array_equal(read_mask(path), [[0, 3]])
    with Image.open(path) as image:
        assert image.mode == "P"


def test_no_file_is_overwritten_before_it_is_read(tmp_path: Path) -> None:
    first, second = tmp_path / "1.png", tmp_path / "2.png"
    save_masks(np.arange(2).repeat(4).reshape(2, 2, 2), [first, second])
    with pytest.raises(ValueError, match=r"2\.png'\) would be overwritten before"):
        save_masks([first, second], [second, tmp_path / "." / first.name])
    assert [np.asarray(Image.open(path)).max() for path in (first, second)] == [0, 1]
    third = tmp_path / "3.png"
    save_masks([second, first], [third, second])  # read before it is replaced
    assert [np.asarray(Image.open(path)).max() for path in (second, third)] == [0, 1]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_no_half_file_is_left(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mask.png"
    save_masks(np.array([[[0, 3]]]), [path])

    monkeypatch.setattr(_atomic_write.os, moment, refuse)
    with pytest.raises(OSError, match="No space left"):
        save_masks(np.array([[[1, 1]]]), [path])
    assert os.listdir(tmp_path) == ["mask.png"]
    assert_array_equal(read_mask(path), [[0, 3]])


def refuse(*names: Any) -> None:
    raise OSError("No space left on device")


def test_one_file_by_two_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match="twice"):
        save_masks(
            np.zeros((2, 4, 4), int),
            [tmp_path / "a.png", tmp_path / "sub" / ".." / "a.png"],
        )
    assert not (tmp_path / "a.png").exists()


def test_names_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / f"{'m' * 251}.png"
    save_masks(np.array([[[0, 3]]]), [path])
    assert os.listdir(tmp_path) == [path.name]
    assert_array_equal(read_mask(path), [[0, 3]])


def test_no_two_writers_share_a_temporary_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, really_replace = [], os.replace

    def watched(source: Any, target: Any) -> None:
        sources.append(str(source))
        really_replace(source, target)

    monkeypatch.setattr(_atomic_write.os, "replace", watched)
    for _ in range(2):
        save_masks(np.array([[[0, 3]]]), [tmp_path / "mask.png"])
    assert len(set(sources)) == 2


@pytest.mark.parametrize(
    "masks, palette, error, message",
    [
        (
            [[[0, 256]]],
            "voc",
            ValueError,
            "mask 0 has labels from 0 to 256; expected 0",
        ),
        ([[[-1, 2]]], "voc", ValueError, "mask 0 has labels from -1 to 2"),
        (
            [[[0.0, 1.0]]],
            "voc",
            TypeError,
            "mask 0 has dtype float64; expected integers",
        ),
        ([[["a", "b"]]], "voc", TypeError, "mask 0 has dtype <U1"),
        ([[0, 1]], "voc", ValueError, "expected"),
        ([[[0, 2]]], [[0, 0, 0]] * 2, ValueError, "label 2, but palette has 2 colors"),
        ([[[0, 1]]], "cityscapes", ValueError, "palette is 'cityscapes'"),
        ([[[0, 1]]], [0, 1, 2], ValueError, "palette is"),
        (
            [[[0, 1]]],
            [(0, 0, 0), (1, 1)],
            ValueError,
            "palette is .* 'voc', 'display', None or",
        ),
        ([[[0, 1]]], np.zeros((2, 3)), ValueError, "palette is"),
        ([[[0, 1]]], [[0, 0, 0]] * 257, ValueError, "1 to 256 colors"),
        ([[[0, 1]]], [[0, 0, 999]] * 2, ValueError, "palette has values from 0 to 999"),
    ],
)
def test_what_no_palette_file_holds_raises(
    masks: Any, palette: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_masks(np.array(masks), [tmp_path / "mask.png"], palette)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "names, error, message",
    [
        (["a.png"], ValueError, "paths has 1 entries for 2 masks"),
        (["a.png", "a.png"], ValueError, "a.png' twice"),
        (["a.png", "b.jpg"], ValueError, r"b.jpg'; expected a name that ends in .png"),
        (["a.png", "b"], ValueError, r"ends in .png or .tif"),
    ],
)
def test_bad_paths_raise_before_anything_is_written(
    names: list[str], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_masks(np.zeros((2, 4, 4), int), [tmp_path / name for name in names])
    assert not os.listdir(tmp_path)


def test_a_faulty_mask_stops_all_files(tmp_path: Path) -> None:
    masks = [np.zeros((2, 2), int), np.full((2, 2), 300)]
    with pytest.raises(ValueError, match="mask 1 has labels"):
        save_masks(masks, [tmp_path / "a.png", tmp_path / "b.png"])
    assert not os.listdir(tmp_path)


STACK = np.array([[[0, 7], [3, 1]], [[2, 2], [0, 5]], [[9, 9], [9, 8]]])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "<u4", ">i4", "i8", "?"])
@pytest.mark.parametrize("palette", ["voc", "display", None])
def test_tiffs_keep_the_dtype(palette: Any, dtype: str, tmp_path: Path) -> None:
    masks = STACK.astype(dtype)
    if masks.dtype.kind == "i":
        masks = -masks
    paths = [tmp_path / f"new/{index}.tif" for index in range(3)]
    save_masks(masks, paths, palette)
    for path, mask in zip(paths, masks, strict=True):
        found = read_mask(path)
        assert_array_equal(found, mask)
        expected = np.dtype("u1") if dtype == "?" else masks.dtype.newbyteorder("=")
        assert found.dtype == expected
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            assert page.compression.name in ("ADOBE_DEFLATE", "DEFLATE")
            is_colored = palette is not None and expected == np.uint8
            assert (page.photometric.name == "PALETTE") == is_colored


@pytest.mark.parametrize("n_masks", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["u1", "i4"])
def test_a_stack_has_a_page_for_each_mask(
    n_masks: int, dtype: str, tmp_path: Path
) -> None:
    masks = (np.arange(n_masks * 6) % 7).reshape(n_masks, 2, 3).astype(dtype)
    save_masks(masks, tmp_path / "deep" / "stack.tiff")
    found = load_stack(tmp_path / "deep" / "stack.tiff")
    assert_array_equal(found, masks)
    assert found.dtype == masks.dtype


def test_a_stack_is_written_page_by_page(tmp_path: Path) -> None:
    masks = np.zeros((60, 200, 200), np.int32)
    save_masks(masks[:2], tmp_path / "warm.tif")  # imports what it needs
    tracemalloc.start()
    save_masks(masks, tmp_path / "stack.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < masks.nbytes / 4


def test_masks_of_a_stack_must_be_alike(tmp_path: Path) -> None:
    masks = [np.zeros((2, 2), int), np.zeros((2, 3), int)]
    with pytest.raises(ValueError, match=r"mask 1 .*shape \(2, 3\).*in a stack"):
        save_masks(masks, tmp_path / "stack.tif")
    assert not os.listdir(tmp_path)


def test_files_are_named_after_images(tmp_path: Path) -> None:
    images = [Path("/data/field.1.tif"), "C.JPEG", tmp_path / "x" / "b.png"]
    save_masks(STACK, tmp_path / "masks", names=images)
    found = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert found == ["C.png", "b.png", "field.1.png"]
    assert_array_equal(read_mask(tmp_path / "masks" / "C.png"), STACK[1])
    save_masks(-STACK, tmp_path / "tiffs", names=images, extension=".tif")
    assert_array_equal(read_mask(tmp_path / "tiffs" / "b.tif"), -STACK[2])


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"names": ["a", "b"]}, ValueError, "names has 2 entries for 3 masks"),
        ({"names": ["a.x", "a.y", "b"]}, ValueError, "names leads to .*a.png' twice"),
        ({"names": "a"}, TypeError, "names is 'a'; expected a list"),
        ({"names": [1, 2, 3]}, TypeError, "names holds 1"),
        ({"names": ["a", "b", ""]}, ValueError, "names holds ''"),
        ({"names": list("abc"), "extension": "jpg"}, ValueError, "extension is 'jpg'"),
        (
            {"paths": "m.png", "names": list("abc")},
            ValueError,
            "expected a folder for them",
        ),
        ({"paths": ["a.png"], "names": list("abc")}, TypeError, "expected one folder"),
        ({"paths": "folder"}, TypeError, "or a folder together with names="),
        ({"palette": "viridis", "names": list("abc")}, ValueError, "'display', None"),
    ],
)
def test_bad_names(
    arguments: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    given = {"paths": tmp_path / "masks", **arguments}
    with pytest.raises(error, match=message):
        save_masks(STACK, given.pop("paths"), **given)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("link", [None, "symlink", "hardlink"])
def test_no_image_is_overwritten_by_its_mask(link: str | None, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    images = [photos / f"{index}.png" for index in range(3)]
    for image in images:
        Image.new("RGB", (2, 2), (1, 2, 3)).save(image)
    before = [image.read_bytes() for image in images]
    folder = photos if link is None else tmp_path / "linked"
    if link:  # the photo of one mask is where another mask goes
        folder.mkdir()
        make = os.symlink if link == "symlink" else os.link
        make(images[0], folder / "1.png")
    with pytest.raises(ValueError, match=r"names holds .*expected another folder"):
        save_masks(STACK, folder, names=iter(images))
    assert [image.read_bytes() for image in images] == before
    save_masks(STACK, tmp_path / "masks", names=iter(images))
    save_masks(STACK, photos, names=images, extension=".tif")
    assert [image.read_bytes() for image in images] == before


def test_colors_of_the_displays(tmp_path: Path) -> None:
    save_masks(ALL_LABELS, [tmp_path / "d.png"], "display")
    shown = read_image(tmp_path / "d.png")[ALL_LABELS[0] < 255]
    np.testing.assert_allclose(shown / 255, palette_colors(255), atol=1 / 500)


@pytest.mark.parametrize(
    "arguments",
    [
        (STACK[:1], ["memory://q/mask.png"]),
        (STACK, "s3://bucket/stack.tif"),
        (STACK, "s3://bucket/masks"),
        (STACK, "s3://bucket/masks", "voc", ["a.png", "b.png", "c.png"]),
    ],
    ids=["list", "stack", "folder without names", "folder"],
)
def test_addresses_to_write_to_are_refused(
    arguments: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    masks, paths, palette, names = (*arguments, "voc", None)[:4]
    with pytest.raises(ValueError, match=r"paths holds the address '\w+://.* local fo"):
        save_masks(masks, paths, palette, names=names)
    assert not os.listdir(tmp_path)


def test_paths_that_are_no_list_of_paths_raise() -> None:
    with pytest.raises(TypeError, match="paths is one path"):
        save_masks(ALL_LABELS, "mask.png")
    with pytest.raises(TypeError, match="paths is None; expected a list"):
        save_masks(ALL_LABELS, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="paths holds 3; expected str"):
        save_masks(ALL_LABELS, [3])
