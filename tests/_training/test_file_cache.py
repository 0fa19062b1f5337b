"""Decoded files: read once while they fit, forgotten in turn, never a wrong pixel."""

from __future__ import annotations

import pickle
from collections import Counter
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import sklearn
from PIL import Image

from sksegment import FCNSegmenter
from sksegment._inputs import image_list
from sksegment._inputs.image_list import as_images, as_masks
from sksegment._training.image_store import FileCache

N_BYTES = 16 * 16 * 3  # of an image; a mask has a third of that
WINDOW = slice(2, 9), slice(5, 16)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
    return X, rng.integers(0, 3, (5, 16, 16), np.uint8)


@pytest.fixture
def files(tmp_path, arrays):
    found = []
    for name, stack in zip("Xy", arrays, strict=True):
        paths = [tmp_path / f"{name}{index}.png" for index in range(5)]
        for path, pixels in zip(paths, stack, strict=True):
            Image.fromarray(pixels).save(path)
        found.append(paths)
    return tuple(found)


@pytest.fixture
def reads(monkeypatch):
    """Count how often each file is decoded."""
    counts: Counter[str] = Counter()

    def counting(read: Any) -> Any:
        def counted(path: Any) -> Any:
            counts[path.stem] += 1
            return read(path)

        return counted

    for name in ("read_image", "read_mask"):
        monkeypatch.setattr(image_list, name, counting(getattr(image_list, name)))
    return counts


def holding(n_images):
    """Return a cache with room for so many images."""
    with sklearn.config_context(working_memory=4 * n_images * N_BYTES / 2**20):
        return FileCache()


def trained(X, y, **parameters):
    segmenter = FCNSegmenter(
        depth=1, width=2, max_epochs=3, crop_size=8, random_state=0, **parameters
    )
    tensors = segmenter.fit(X, y).network_.state_dict().values()
    return [tensor.numpy().tobytes() for tensor in tensors]


def test_a_file_is_decoded_once_while_it_fits(files, arrays, reads):
    cache, images, masks = holding(7), as_images(files[0]), as_masks(files[1])
    for index in [0, 1, 2, 3, 4, 2, 0, 4]:
        image = cache.crop(images, index, WINDOW)
        np.testing.assert_array_equal(image, arrays[0][index][WINDOW])
        np.testing.assert_array_equal(cache.whole(masks, index), arrays[1][index])
    assert set(reads.values()) == {1}
    assert cache.n_bytes == arrays[0].nbytes + arrays[1].nbytes


def test_the_least_recently_used_file_is_forgotten_first(files, reads):
    cache, images = holding(2), as_images(files[0])
    for index in [0, 1, 0, 2, 0, 1]:
        cache.whole(images, index)
        assert cache.n_bytes <= 2 * N_BYTES
    assert reads == {"X0": 1, "X1": 2, "X2": 1}


def test_a_file_without_room_is_decoded_each_time(files, arrays, reads):
    cache, images = holding(0.9), as_images(files[0])
    for _ in range(3):
        np.testing.assert_array_equal(cache.whole(images, 3), arrays[0][3])
    assert cache.n_bytes == 0
    assert reads == {"X3": 3}


def test_one_file_may_be_image_and_mask(files, arrays):
    cache = holding(5)
    image, mask = as_images(files[1]), as_masks(files[1])
    assert cache.whole(image, 0).shape == (16, 16, 1)
    assert cache.whole(mask, 0).shape == (16, 16)


def test_what_is_kept_cannot_be_overwritten(files):
    pixels = holding(5).whole(as_images(files[0]), 0)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0


def test_arrays_are_not_kept(arrays):
    cache, images = holding(5), as_images(arrays[0])
    assert np.shares_memory(cache.whole(images, 1), arrays[0])
    assert np.shares_memory(cache.crop(images, 1, WINDOW), arrays[0])
    assert cache.n_bytes == 0


@pytest.mark.parametrize(
    "copied", [deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_a_copied_segmenter_trains_independently(copied, files, reads):
    cache, images = holding(2), as_images(files[0])
    cache.whole(images, 0)
    copy = copied(cache)
    for index in (1, 2):
        copy.whole(images, index)
    cache.whole(images, 0)
    assert reads == {"X0": 1, "X1": 1, "X2": 1}
    assert (cache.n_bytes, copy.n_bytes) == (N_BYTES, 2 * N_BYTES)


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
@pytest.mark.parametrize("working_memory", [1024, 0])
def test_training_on_files_is_training_on_arrays(
    files, arrays, sampling, working_memory
):
    with sklearn.config_context(working_memory=working_memory):
        found = trained(*files, crop_sampling=sampling)
    assert found == trained(*map(list, arrays), crop_sampling=sampling)


def test_training_decodes_each_file_twice(files, reads):
    trained(*files, crop_sampling="balanced")
    # Once to check and count all of it, once to train on; the first for its channels.
    assert reads.pop("X0") == 3
    assert set(reads.values()) == {2}


def test_the_next_training_reads_anew(files, arrays):
    first = trained(*files)
    Image.fromarray(255 - arrays[0][2]).save(files[0][2])
    assert trained(*files) != first
