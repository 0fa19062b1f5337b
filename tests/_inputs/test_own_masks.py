"""An image that is passed as its own mask is refused, whatever way it takes."""

import os

import numpy as np
import pytest
from PIL import Image

from sksegment import FCNSegmenter
from sksegment._inputs.own_masks import is_own_mask
from sksegment.datasets import check_masks, load_image_pairs

rng = np.random.default_rng(0)
GREY = rng.integers(0, 3, (4, 8, 8)).astype(np.uint8)


def segmenter():
    return FCNSegmenter(width=4, depth=1, max_epochs=1, random_state=0)


def refuses(X, y, match="is its own mask"):
    with pytest.raises(ValueError, match=match):
        segmenter().fit(X, y)
    assert check_masks(X, y)[0].kind == "own_mask"


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path, pixels in zip(paths, GREY, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def test_one_array_for_images_and_masks_is_refused():
    refuses(GREY, GREY)
    refuses(GREY[..., np.newaxis], GREY)
    refuses(list(GREY), list(GREY))
    refuses(list(GREY), GREY)
    refuses(GREY, GREY[..., np.newaxis][..., 0])
    refuses(GREY, GREY.view(np.int8))


def test_the_position_of_a_single_slip_is_named():
    masks = [mask.copy() for mask in GREY]
    masks[2] = GREY[2]
    with pytest.raises(ValueError, match=r"^image 2 is its own mask: X and y hold"):
        segmenter().fit(list(GREY), masks)


def test_validation_data_are_looked_at_too():
    with pytest.raises(ValueError, match="image 0 is its own mask"):
        segmenter().fit(GREY, GREY.copy(), X_val=GREY, y_val=GREY)


def test_equal_pixels_and_shared_buffers_are_no_slip():
    stack = np.stack([GREY, GREY], axis=-1)
    assert not is_own_mask(stack[..., :1], stack[..., 1])
    segmenter().fit(GREY, GREY.copy())
    segmenter().fit(stack[..., 0], stack[..., 1])


def test_one_file_for_image_and_mask_is_refused(files, monkeypatch):
    refuses(files, files)
    monkeypatch.chdir(files[0].parent)
    refuses(files, [os.path.join(".", path.name) for path in files])
    refuses(files, [f"../{path.parent.name}/{path.name}" for path in files])


def test_links_to_the_images_are_refused(files):
    links = [path.with_name(f"link_{path.name}") for path in files]
    for path, link in zip(files, links, strict=True):
        link.symlink_to(path)
    refuses(files, links)


def test_missing_files_are_named_as_such(files):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        segmenter().fit(files, ["none.png"] * 4)


def test_folders_of_links_are_refused(files, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for path in files:
        (folder / path.name).symlink_to(path)
    with pytest.raises(ValueError, match=r"0\.png.* are one file"):
        load_image_pairs(tmp_path, folder)
