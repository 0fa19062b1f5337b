"""Images and masks on two scales, palettes: one warning, or the colors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sksegment import FCNSegmenter
from sksegment._inputs.image_list import as_images
from sksegment.datasets import make_shapes
from sksegment.datasets._voc_palette import voc_palette


def segmenter(**parameters: Any) -> FCNSegmenter:
    return FCNSegmenter(width=4, depth=1, max_epochs=1, random_state=0, **parameters)


def warnings_of_fit(X: Any, y: Any, **parameters: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        segmenter(**parameters).fit(X, y)
    return [str(w.message) for w in caught if w.category is UserWarning]


def byte_images(n: int = 4) -> tuple[list[Any], Any]:
    X, y = make_shapes(n, size=32, n_classes=2, random_state=0)
    return [(x.clip(0, 1) * 255).astype(np.uint8) for x in X], y


def test_images_of_8_and_16_bits_are_said_once() -> None:
    X, y = byte_images()
    X[1], X[3] = (X[i].astype(np.uint16) * 257 for i in (1, 3))
    (message,) = warnings_of_fit(X, y)
    assert message.startswith("2 of 4 images hold more than 8 bits (image 1), others")
    assert "np.iinfo(image.dtype).max" in message


@pytest.mark.parametrize("factor", [1, 0])
def test_images_of_16_bits_that_hold_8_are_fine(factor: int) -> None:
    X, y = byte_images()
    X[1] = X[1].astype(np.uint16) * factor + 1 - factor
    assert warnings_of_fit(X, y) == []
    assert warnings_of_fit([x.astype(np.uint16) * 257 for x in X], y) == []


def test_masks_of_1_and_of_255_are_said_once() -> None:
    X, y = byte_images()
    masks = [y[0], y[1] * 255, y[2], y[3] * 255]
    (message,) = warnings_of_fit(X, masks)
    assert message.startswith(
        "2 of 4 masks hold 0 and 255 (mask 1), the others 0 and 1"
    )
    assert warnings_of_fit(X, masks, classes=[0, 1, 255]) == []
    assert warnings_of_fit(X, masks, ignore_label=255) == []
    assert warnings_of_fit(X, y * 255) == []


def test_label_255_beside_two_others_is_still_said_to_be_void() -> None:
    X, y = byte_images()
    y[:, :2] = 255
    (message,) = warnings_of_fit(X, y)
    assert "ignore_label=255" in message
    assert "masks hold" not in message


@pytest.mark.parametrize("alpha", [False, True])
def test_pillow_images_with_a_palette_are_colors_as_from_a_path(
    tmp_path: Path, alpha: bool
) -> None:
    _, y = make_shapes(3, size=32, random_state=0)
    pictures, paths = [], []
    for index, mask in enumerate(y.astype(np.uint8)):
        picture = Image.fromarray(mask)
        picture.putpalette(voc_palette().tobytes())
        paths.append(tmp_path / f"{index}.png")
        picture.save(paths[-1], **({"transparency": 0} if alpha else {}))
        pictures.append(Image.open(paths[-1]))
    for found, mask in zip(as_images(pictures), y, strict=True):
        assert_array_equal(found, voc_palette()[mask])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The alpha channel")
        for found, expected in zip(as_images(pictures), as_images(paths), strict=True):
            assert_array_equal(found, expected)
    model = segmenter().fit(pictures, pictures)  # as masks, their indices
    assert_array_equal(model.classes_, np.unique(y))
    assert model.n_features_in_ == 3
