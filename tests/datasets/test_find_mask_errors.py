"""find_mask_errors: what was spoiled comes first, not what networks mix up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from PIL import Image

from sksegment.datasets import (
    _find_mask_errors,
    check_masks,
    find_mask_errors,
    make_shapes,
)


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(0)


def blurred(y: Any, rng: Generator, n_classes: int) -> Any:
    """Probabilities of a network that is right, but unsure and a little noisy."""
    noise = rng.normal(0, 0.5, (len(y), n_classes, *y.shape[1:]))
    scores = noise + 4 * (np.arange(n_classes)[:, None, None] == y[:, None])
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)


def test_what_was_spoiled_is_found_first(rng: Generator) -> None:
    _, y = make_shapes(40, size=48, n_classes=3, random_state=0)
    probabilities = blurred(y, rng, 3)
    wrong = {3: (slice(8, 20), slice(10, 22)), 17: (slice(30, 44), slice(2, 12))}
    for index, place in wrong.items():
        y[index][place] = (y[index][place] + 1) % 3
    found = find_mask_errors(y, probabilities)
    assert {error.images[0] for error in found[:2]} == {3, 17}
    for error in found:
        if error.images[0] in wrong:
            rows, columns = wrong[error.images[0]]
            assert (
                rows.start <= error.window[0].start < error.window[0].stop <= rows.stop
            )
            assert columns.start <= error.window[1].start
            assert error.window[1].stop <= columns.stop
    assert [error.score for error in found] == sorted(
        [error.score for error in found], reverse=True
    )


def is_inside(part: slice, whole: slice) -> bool:
    return bool(whole.start <= part.start < part.stop <= whole.stop)


def test_masks_that_are_right_have_no_finding(rng: Generator) -> None:
    _, y = make_shapes(20, size=48, n_classes=3, random_state=0)
    assert find_mask_errors(y, blurred(y, rng, 3)) == []


def test_what_the_network_often_mixes_up_ranks_behind() -> None:
    y = np.zeros((20, 40, 40), int)
    y[:, 5:15, 5:15] = 1
    y[:, 20:30, 5:15] = 2
    seen = y.copy()
    seen[:8, 20:30, 5:15] = 1  # the network takes many 2s for 1s
    y[9, 5:15, 5:15] = 0  # and this 1 was forgotten
    found = find_mask_errors(
        y, np.stack([(seen == k) * 0.97 + 0.01 for k in range(3)], 1)
    )
    assert [error.images for error in found] == [(9,)]
    assert (found[0].label, found[0].predicted) == (0, 1)


def test_the_rank_is_rarity_times_the_root_of_the_size() -> None:
    y = np.zeros((10, 20, 20), int)
    y[:, :5] = 1
    right = np.stack([(y == k) * 0.8 + 0.1 for k in range(2)], axis=1)
    y[2, 10:16, 3:9] = 1
    (error,) = find_mask_errors(y, right)
    assert error.score == pytest.approx(-np.log(0.5 / 10) * 6)
    assert error.window == (slice(10, 16), slice(3, 9))
    assert "36 pixels have the label 1, but look like 0" in str(error)
    assert str(error).startswith("mask_error (image 2)")


def test_rarity_counts_the_other_images_that_show_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_find_mask_errors, "MAX_SHARE", 0.95)
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, (6, 9, 11))
    true = np.arange(3)[:, None, None] == y[:, None]
    scores = np.exp(rng.normal(size=true.shape) + 2 * true)
    proba = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    seen = proba.argmax(axis=1)
    given = np.take_along_axis(proba, y[:, None], axis=1)[:, 0]
    bins = (np.log(proba.max(axis=1) / given) / _find_mask_errors.BIN_WIDTH).astype(int)
    shares = set()
    for error in find_mask_errors(y, proba, min_pixels=1):
        place = (*error.images, *error.window)
        if y[place].size == 1:
            alike = (y == error.label) & (seen == error.predicted)
            shown = (alike & (bins >= bins[place])).any(axis=(1, 2))
            shown[error.images[0]] = False
            share = (shown.sum() + 0.5) / 6
            shares.add(share)
            assert error.score == pytest.approx(-np.log(share))
    assert len(shares) > 3


def test_ignored_pixels_are_no_errors(rng: Generator) -> None:
    _, y = make_shapes(20, size=48, n_classes=3, random_state=0)
    probabilities = blurred(y, rng, 3)
    y = y.astype(int)
    y[4, 10:20, 10:20] = 255
    probabilities[4, :, 10:20, 10:20] = np.nan
    assert find_mask_errors(y, probabilities, ignore_label=255) == []


def test_labels_of_any_kind_in_any_order() -> None:
    y = np.full((10, 32, 32), "soil")
    y[:, 8:16, 4:12] = "tree"
    tree = np.where(y == "tree", 0.9, 0.1)
    probabilities = np.stack([tree, 1 - tree], axis=1)
    y[3] = "soil"
    (error,) = find_mask_errors(y, probabilities, labels=["tree", "soil"])
    assert (error.label, error.predicted) == ("soil", "tree")


def test_lists_of_sizes_and_paths(tmp_path: Path) -> None:
    masks = [np.zeros((20 + k, 24), np.uint8) for k in range(8)]
    for mask in masks:
        mask[5:12, 3:9] = 1
    probabilities = [np.stack([0.9 - 0.8 * m, 0.1 + 0.8 * m]) for m in masks]
    masks[2][:] = 0
    found = find_mask_errors(masks, probabilities, labels=[0, 1])
    paths = [tmp_path / f"{k}.png" for k in range(8)]
    for path, mask in zip(paths, masks, strict=True):
        Image.fromarray(mask).save(path)
    assert find_mask_errors(paths, probabilities) == found
    assert [error.images for error in found] == [(2,)]


def test_small_places_are_left_out() -> None:
    y = np.zeros((10, 20, 20), int)
    y[:, :5] = 1
    right = np.stack([(y == k) * 0.8 + 0.1 for k in range(2)], axis=1)
    y[2, 10:14, 3:9] = 1
    assert find_mask_errors(y, right) == []
    assert len(find_mask_errors(y, right, min_pixels=24)) == 1
    assert find_mask_errors(y, right, min_pixels=25) == []


def test_findings_stand_beside_those_of_check_masks() -> None:
    X, y = make_shapes(4, size=16, random_state=0)
    y[:, :2] = 255
    assert [finding.kind for finding in check_masks(X, y)] == ["void"]


def test_probabilities_as_objects_are_numbers() -> None:
    y, probabilities = Y.copy(), np.stack([1.0 - Y, Y], axis=1)
    y[1] = 0
    found = find_mask_errors(y, probabilities, min_pixels=9)
    assert found
    assert find_mask_errors(y, probabilities.astype(object), min_pixels=9) == found


# Bad input

Y = np.zeros((3, 8, 8), int)
Y[:, :4] = 1
P = np.full((3, 2, 8, 8), 0.5)


@pytest.mark.parametrize(
    "y, probabilities, options, message",
    [
        (Y[:2], P, {}, "2 masks, and there are 3"),
        (Y, P[:, :, :7], {}, r"image 0 have shape \(2, 7, 8\)"),
        (Y, np.full((3, 3, 8, 8), 1 / 3), {}, r"there are 2 labels.*labels=estimator"),
        (Y, P * 2, {}, "does not sum to one"),
        (Y, P * np.nan, {}, "not finite"),
        (Y, P[0], {}, r"probabilities has shape \(2, 8, 8\)"),
        (Y, P, {"labels": [0, 0]}, "each class once"),
        (Y, P, {"labels": [0, 5]}, "mask 0 holds the label 1.*of the task with labels"),
        (Y, P, {"labels": []}, "each class once"),
        (Y, P, {"labels": [0, 1], "ignore_label": 1}, "holds ignore_label=1"),
        (Y, P, {"min_pixels": 0}, "min_pixels is 0"),
    ],
)
def test_bad_input(y: Any, probabilities: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_mask_errors(y, probabilities, **options)


@pytest.mark.parametrize("form", [str, complex, lambda p: None])
def test_probabilities_that_are_no_real_numbers(form: Any) -> None:
    cells = np.vectorize(form, otypes="O")(P)
    for probabilities in (cells, [*P[:2], np.array(cells[2].tolist())]):
        index = 0 if probabilities is cells else 2
        with pytest.raises(TypeError, match=f"The probabilities of image {index} h"):
            find_mask_errors(Y, probabilities)
