"""Results in zarr: resumed after whatever happens, and never mixed up."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import joblib
import numpy as np
import pytest
import zarr
from dask.diagnostics import ProgressBar

import sksegment.blocks._predict_to_zarr as module
from sksegment import FCNSegmenter
from sksegment.blocks import predict_to_zarr

Fit = Callable[..., FCNSegmenter]


class Writer:
    """Writes blocks, notes which, and fails at the one that is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail: Exception | None = None):
        self.write, self.fail = module.write_block, fail
        self.blocks: list[tuple[int, int]] = []
        self.allowed = 3 if fail else 10**9
        monkeypatch.setattr(module, "write_block", self)

    def __call__(self, segmenter: Any, image: Any, target: Any, sides: Any, m: str):
        if len(self.blocks) == self.allowed and self.fail:
            raise self.fail
        self.blocks.append(tuple(side.core[0] for side in sides))
        self.write(segmenter, image, target, sides, m)


def chunk_files(store: Path) -> list[Path]:
    return [path for path in (store / "c").rglob("*") if path.is_file()]


@pytest.mark.parametrize("form", ["numpy", "dask"])
def test_labels_and_probabilities_are_those_of_the_whole_image(
    form: str, segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    given = da.from_array(image, chunks=(60, 50, 3)) if form == "dask" else image
    labels = predict_to_zarr(segmenter, given, tmp_path / "a.zarr", block_size=50)
    expected = segmenter.predict([image])[0]
    np.testing.assert_array_equal(labels[:], expected)
    assert labels.dtype == expected.dtype
    assert labels.chunks == (50, 50)
    assert labels.attrs["classes"] == [0, 1, 2, 3]
    probabilities = predict_to_zarr(
        segmenter, given, tmp_path / "b.zarr", method="predict_proba", block_size=50
    )
    assert probabilities.chunks == (4, 50, 50)
    np.testing.assert_allclose(
        probabilities[:], segmenter.predict_proba([image])[0], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["U", "S"])
def test_string_classes_are_stored_as_codes(
    kind: str, fit: Fit, image: np.ndarray, tmp_path: Path
) -> None:
    segmenter = fit(labels=np.array(["sky", "tree", "car", "road"], kind))
    labels = predict_to_zarr(segmenter, image, tmp_path / "a.zarr", block_size=90)
    assert labels.dtype == np.uint8
    assert labels.attrs["labels"] == "codes"
    names = np.array(labels.attrs["classes"])[labels[:]]
    np.testing.assert_array_equal(names, segmenter.predict([image])[0].astype("U"))


@pytest.mark.parametrize("place", ["memory", "file", "group", "store"])
def test_stores_of_other_kinds_hold_results_and_resume(
    place: str,
    segmenter: FCNSegmenter,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store: Any = {
        "memory": f"memory://{tmp_path.name}/a.zarr",
        "file": f"file://{tmp_path}/new/a.zarr",
        "group": tmp_path / "scene.zarr" / "labels",
        "store": zarr.storage.MemoryStore(),
    }[place]
    if place == "group":
        zarr.create_group(tmp_path / "scene.zarr")
    predict_to_zarr(segmenter, image, store, block_size=64)
    writer = Writer(monkeypatch)
    again = predict_to_zarr(segmenter, image, store, block_size=64)
    assert writer.blocks == []
    np.testing.assert_array_equal(again[:], segmenter.predict([image])[0])


def test_no_name_is_the_folder_of_the_program(
    segmenter: FCNSegmenter,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    monkeypatch.chdir(tmp_path)
    for name in ("", "."):
        with pytest.raises(ValueError, match="a folder with other files"):
            predict_to_zarr(segmenter, image, name)


# Resuming


def test_only_missing_blocks_are_predicted_also_those_of_class_0(
    fit: Fit,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = fit()
    # Everything is of class 0: zarr would leave out such chunks.
    with np.errstate(all="ignore"):
        segmenter.network_.classifier.bias.data[0] += 1000
    store = tmp_path / "a.zarr"
    labels = predict_to_zarr(segmenter, image, store, block_size=50)
    assert not labels[:].any()
    assert len(chunk_files(store)) == 3 * 4
    for name in ("c/0/1", "c/2/3"):
        (store / name).unlink()
    # What a killed process may leave behind.
    (store / "c/0/1.0123456789abcdef.partial").write_bytes(b"half")
    writer = Writer(monkeypatch)
    predict_to_zarr(segmenter, image, store, block_size=50)
    assert sorted(writer.blocks) == [(0, 50), (100, 150)]


def test_a_full_disk_raises_and_finished_blocks_stay(
    segmenter: FCNSegmenter,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "a.zarr"
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch, dask.config.set(scheduler="synchronous"):
        Writer(patch, fail=full)
        with pytest.raises(OSError, match="No space left") as caught:
            predict_to_zarr(segmenter, image, store, block_size=50)
    assert "finished blocks stay" in caught.value.__notes__[0]
    writer = Writer(monkeypatch)
    labels = predict_to_zarr(segmenter, image, store, block_size=50)
    assert len(writer.blocks) == 12 - 3
    np.testing.assert_array_equal(labels[:], segmenter.predict([image])[0])


SCRIPT = """
import sys
import time
import joblib
import numpy as np
import torch
import sksegment.blocks._predict_to_zarr as module

torch.set_num_threads(1)
write = module.write_block

def slowly(*arguments):
    write(*arguments)
    time.sleep(0.05)

module.write_block = slowly
segmenter, image = joblib.load(sys.argv[1])
module.predict_to_zarr(segmenter, image, sys.argv[2], block_size=16)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_any_moment_no_chunk_is_partial(
    segmenter: FCNSegmenter,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "a.zarr"
    joblib.dump((segmenter, image), tmp_path / "given.joblib")
    command = [sys.executable, "-c", SCRIPT, tmp_path / "given.joblib", store]
    for wanted in (3, 20):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        while len(chunk_files(store)) < wanted:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    expected = segmenter.predict([image])[0]
    found = [path for path in chunk_files(store) if path.suffix != ".partial"]
    assert 20 <= len(found) < 9 * 11
    array = zarr.open_array(store, mode="r")
    for path in found:
        row, column = int(path.parent.name), int(path.name)
        block = np.s_[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        np.testing.assert_array_equal(array[block], expected[block])
    writer = Writer(monkeypatch)
    labels = predict_to_zarr(segmenter, image, store, block_size=16)
    assert len(writer.blocks) == 9 * 11 - len(found)
    np.testing.assert_array_equal(labels[:], expected)


def test_blocks_are_handed_to_dask_in_waves(
    segmenter: FCNSegmenter,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "WAVE", 5)
    writer = Writer(monkeypatch)
    with ProgressBar(dt=0.01):
        labels = predict_to_zarr(segmenter, image, tmp_path / "a.zarr", block_size=50)
    assert len(writer.blocks) == 12
    assert capsys.readouterr().out.count("100% Completed") >= 3
    np.testing.assert_array_equal(labels[:], segmenter.predict([image])[0])


@pytest.mark.slow
def test_the_memory_of_the_client_does_not_grow_with_the_blocks(
    segmenter: FCNSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAVE", 50)
    monkeypatch.setattr(module, "write_block", lambda *arguments: None)

    def peak(side: int) -> int:
        image = np.broadcast_to(np.float32(0.5), (side, side, 3))
        tracemalloc.start()
        predict_to_zarr(segmenter, image, tmp_path / f"{side}.zarr", block_size=10)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(100)
    few, many = peak(200), peak(400)  # 8 waves and 32
    assert many < 1.5 * few


# Other results, other places


def other_weights(fit: Fit, image: np.ndarray) -> dict[str, Any]:
    return {"segmenter": fit(random_state=1)}


def other_content(fit: Fit, image: np.ndarray) -> dict[str, Any]:
    changed = image.copy()
    changed[0, 0] += 1
    return {"image": changed}


OTHERS: dict[str, Callable[[Fit, np.ndarray], dict[str, Any]]] = {
    "model": other_weights,
    "image shape": lambda fit, image: {"image": image[:-1]},
    "image dtype": lambda fit, image: {"image": image.astype(np.float64)},
    "image content": other_content,
    "block_size": lambda fit, image: {"block_size": 60},
    "method": lambda fit, image: {"method": "predict_proba"},
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_result_is_refused_by_name_unless_it_may_be_overwritten(
    what: str,
    fit: Fit,
    segmenter: FCNSegmenter,
    image: np.ndarray,
    tmp_path: Path,
) -> None:
    given = {"segmenter": segmenter, "image": image, "block_size": 100}
    store = tmp_path / "a.zarr"
    before = predict_to_zarr(**given, store=store)[:]
    other = {**given, **OTHERS[what](fit, image)}
    with pytest.raises(ValueError, match=f"holds another result: .*{what} is"):
        predict_to_zarr(**other, store=store)
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], before)
    if what == "method":
        new = predict_to_zarr(**other, store=store, overwrite=True)
        assert new.shape == (4, *image.shape[:2])


def test_a_segmenter_from_a_file_is_the_same_model(
    segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path, monkeypatch: Any
) -> None:
    predict_to_zarr(segmenter, image, tmp_path / "a.zarr", block_size=100)
    joblib.dump(segmenter, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    writer = Writer(monkeypatch)
    predict_to_zarr(again, image, tmp_path / "a.zarr", block_size=100)
    assert writer.blocks == []


def test_what_somebody_else_put_there_is_left_alone(
    segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    zarr.create_group(tmp_path / "group.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(3, 3), dtype="u1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("all of it")
    (tmp_path / "file").write_text("text")
    with pytest.raises(TypeError, match="store is 3; expected a path"):
        predict_to_zarr(segmenter, image, 3)
    for name, message in [
        ("group.zarr", "holds something else"),
        ("array.zarr", "an array that predict_to_zarr did not make"),
        ("folder", "a folder with other files, such as 'thesis.txt'"),
        ("file", "is a file"),
    ]:
        with pytest.raises(ValueError, match=message):
            predict_to_zarr(segmenter, image, tmp_path / name)
    with pytest.raises(ValueError, match="a folder with other files"):
        predict_to_zarr(segmenter, image, tmp_path / "folder", overwrite=True)
    assert (tmp_path / "folder" / "thesis.txt").exists()


def link_to(folder: Path) -> Path:
    link = folder.with_name("link.zarr")
    link.symlink_to(folder, target_is_directory=True)
    return link


SAME_PLACE: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    "path": lambda path: (path, str(path)),
    "zarr array": lambda path: (zarr.open_array(path), path),
    "dask array": lambda path: (da.from_zarr(str(path)), path),
    "address": lambda path: (f"file://{path}", path),
    "store is an address": lambda path: (path, f"file://{path}"),
    "link": lambda path: (link_to(path), path),
    "relative": lambda path: (path, os.path.relpath(path)),
    "store": lambda path: (path, zarr.storage.LocalStore(path)),
}


@pytest.mark.parametrize("form", SAME_PLACE)
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_image_is_never_overwritten(
    form: str,
    overwrite: bool,
    segmenter: FCNSegmenter,
    image: np.ndarray,
    tmp_path: Path,
) -> None:
    path = tmp_path / "image.zarr"
    zarr.create_array(path, data=image)
    given, store = SAME_PLACE[form](path)
    with pytest.raises(ValueError, match="is where the image lies"):
        predict_to_zarr(segmenter, given, store, overwrite=overwrite)
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], image)


@pytest.mark.parametrize("place", ["memory", "store"])
def test_images_outside_the_disk_are_never_overwritten(
    place: str, segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    here = {
        "memory": f"memory://{tmp_path.name}/image.zarr",
        "store": zarr.storage.MemoryStore(),
    }[place]
    array = zarr.create_array(here, data=image)
    with pytest.raises(ValueError, match="is where the image lies"):
        predict_to_zarr(segmenter, array, here, overwrite=True)
    np.testing.assert_array_equal(array[:], image)


def test_the_array_beside_the_image_may_be_overwritten(
    segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    group = zarr.create_group(tmp_path / "scene.zarr")
    group.create_array("image", data=image)
    place = tmp_path / "scene.zarr" / "image-labels"
    zarr.create_array(place, shape=(3, 3), dtype="u1")
    labels = predict_to_zarr(segmenter, group["image"], place, overwrite=True)
    np.testing.assert_array_equal(labels[:], segmenter.predict([image])[0])


def test_a_read_only_store_is_named(
    segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    store = zarr.storage.LocalStore(tmp_path / "a.zarr", read_only=True)
    with pytest.raises(OSError, match="cannot be written"):
        predict_to_zarr(segmenter, image, store)


def test_images_in_other_units_are_warned_of(
    segmenter: FCNSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="Are they in other units"):
        predict_to_zarr(segmenter, 255 * image, tmp_path / "a.zarr")
