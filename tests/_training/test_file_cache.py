"""Decoded files: read once while they fit, forgotten in turn, never a wrong pixel."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import sklearn
from PIL import Image
from skorch.callbacks import Callback

from sksegment import FCNSegmenter
from sksegment._inputs import image_list
from sksegment._inputs.image_list import as_images, as_masks
from sksegment._training import image_store
from sksegment._training.file_cache import FileCache

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


def test_when_it_is_full_the_newest_file_makes_way(files, reads):
    cache, images = holding(2), as_images(files[0])
    for index in [0, 1, 2, 0, 2, 1, 0]:
        cache.whole(images, index)
        assert cache.n_bytes <= 2 * N_BYTES
    assert reads == {"X0": 1, "X1": 2, "X2": 1}


def test_half_of_the_files_are_kept_in_epochs_of_random_order(files, reads):
    cache, images = holding(3), as_images(files[0])
    rng = np.random.default_rng(0)
    n_epochs = 40
    for _ in range(n_epochs):
        for index in rng.permutation(5):
            cache.whole(images, index)
    # Of five files three are kept, and one of them makes way.
    assert sum(reads.values()) < n_epochs * 5 * 0.6


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


@pytest.mark.parametrize("n_kept", [0, 3, 8])
def test_files_read_ahead_are_decoded_once_and_are_the_same(
    n_kept, files, arrays, reads
):
    cache = holding(n_kept)
    images, masks = as_images(files[0]), as_masks(files[1])
    for index in range(5):
        for later in range(index, min(5, index + 3)):
            cache.read_ahead(images, later)
            cache.read_ahead(masks, later)
        np.testing.assert_array_equal(cache.whole(images, index), arrays[0][index])
        np.testing.assert_array_equal(cache.whole(masks, index), arrays[1][index])
    assert set(reads.values()) == {1}
    assert cache.n_ahead == 0
    cache.close()


def test_arrays_are_not_read_ahead(arrays):
    cache = holding(5)
    cache.read_ahead(as_images(arrays[0]), 0)
    assert cache.n_ahead == 0


def test_no_thread_that_reads_files_outlives_the_cache(files):
    cache, images = holding(5), as_images(files[0])
    for index in range(5):
        cache.read_ahead(images, index)
    cache.close()
    assert file_thread_names() == []
    assert cache.whole(images, 4).shape == (16, 16, 3)


def test_a_copy_reads_by_itself_what_was_being_read_ahead(files, arrays):
    cache, images = holding(5), as_images(files[0])
    cache.read_ahead(images, 1)
    copy = pickle.loads(pickle.dumps(cache))
    cache.close()
    np.testing.assert_array_equal(copy.whole(images, 1), arrays[0][1])


def file_thread_names():
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("sksegment-files")]


def damaged(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("kind", [0, 1])
def test_a_file_that_is_damaged_before_training_is_named(files, kind):
    damaged(files[kind][3])
    with pytest.raises(OSError, match=files[kind][3].name):
        trained(*files)
    assert file_thread_names() == []


@pytest.mark.parametrize("kind", [0, 1])
def test_a_file_that_is_damaged_during_training_is_named(files, kind):
    class Damage(Callback):
        def on_epoch_end(self, net, **_):
            for path in files[kind]:
                damaged(path)

    with (
        sklearn.config_context(working_memory=0),  # nothing is kept
        pytest.raises(OSError, match=rf"{'Xy'[kind]}\d.png"),
    ):
        trained(*files, callbacks=[Damage()])
    assert file_thread_names() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_epoch_that_is_interrupted_leaves_no_thread(files, error):
    class Interrupt(Callback):
        def on_batch_end(self, net, **_):
            raise error

    with pytest.raises(error):
        trained(*files, callbacks=[Interrupt()], batch_size=1)
    assert file_thread_names() == []


def test_files_wait_for_the_network_only_within_their_limit(files, monkeypatch):
    n_ahead = []

    class Watch(Callback):
        def on_batch_begin(self, net, **_):
            n_ahead.append(stores[-1].files.n_ahead)

    stores = []
    new = image_store.ImageStore.__init__

    def remembered(store, *arguments, **named):
        new(store, *arguments, **named)
        stores.append(store)

    monkeypatch.setattr(image_store.ImageStore, "__init__", remembered)
    for n_images, most in ((0, 0), (2, 4), (100, 6)):
        monkeypatch.setattr(image_store, "MAX_WAITING", n_images * 4 * 16 * 16)
        n_ahead.clear()
        trained(*files, callbacks=[Watch()], batch_size=1)
        assert max(n_ahead) <= most
        assert max(n_ahead) > 0 or not most
