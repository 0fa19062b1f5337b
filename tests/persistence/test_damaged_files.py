"""Files that are no model files, or were damaged or forged."""

from __future__ import annotations

import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from numpy.testing import assert_array_equal

from helpers.persistence import assert_same, forge, parts, put_together, through_a_file
from sksegment import FCNSegmenter, load_model, save_model
from sksegment.persistence import ModelFileError
from sksegment.persistence._validation import FITTED


def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing")
    with pytest.raises((IsADirectoryError, PermissionError)):
        load_model(tmp_path)


def test_errors_name_the_file_and_are_value_errors(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_model(path)
    assert type(caught.value) is ModelFileError
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_a_file_that_is_taken_apart_and_put_together_loads(
    content: bytes, fitted: Any, path: Path
) -> None:
    path.write_bytes(put_together(*parts(content)))
    assert_same(load_model(path), fitted)


def test_a_file_of_a_newer_format_says_to_update(content: bytes, path: Path) -> None:
    tensors = parts(content)[1]
    newer = {"format_version": 2, "something": "else"}
    path.write_bytes(put_together(newer, tensors, forge=False))
    with pytest.raises(ModelFileError, match=r"format version 2.*Update sksegment"):
        load_model(path)


def test_a_parameter_that_an_older_version_lacked_gets_its_default(
    content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    for name in ("tile_size", "test_time_augmentation", "pretrained"):
        document["model"]["parameters"].pop(name, None)
    document["package_version"] = "0.0.1"
    path.write_bytes(put_together(document, tensors))
    found = load_model(path)
    assert found.tile_size == "auto"
    assert found.test_time_augmentation is False
    assert found.get_params().keys() == FCNSegmenter().get_params().keys()


def test_a_parameter_that_a_newer_version_has_is_refused(
    content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    document["model"]["parameters"]["sharpness"] = 1
    path.write_bytes(put_together(document, tensors))
    with pytest.raises(ModelFileError, match=r"no parameter 'sharpness'.*update"):
        load_model(path)


@pytest.mark.parametrize("name", FITTED)
def test_a_fitted_attribute_that_is_missing_is_refused(
    name: str, content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    del document["model"]["fitted"][name]
    path.write_bytes(put_together(document, tensors))
    with pytest.raises(ModelFileError, match="it has the fields"):
        load_model(path)


# Damaged files


def damaged(content: bytes, rng: Generator) -> bytes:
    """Change a file somewhere, as a bad disk, cable or editor may."""
    length = struct.unpack("<Q", content[:8])[0]
    # Half of the changes fall into the header, where most of the meaning is.
    stop = 8 + length if rng.random() < 0.5 else len(content)
    start, end = sorted(rng.integers(0, stop, 2))
    before, part, after = content[:start], content[start:end], content[end:]
    noise = rng.bytes(int(rng.integers(1, 20)))
    kinds = (
        lambda: flipped(content, int(rng.integers(0, 8 * stop))),
        lambda: before + bytes([content[start] ^ int(noise[0])]) + content[start + 1 :],
        lambda: before,
        lambda: before + after,
        lambda: before + noise + part + after,
        lambda: before + part + part + after,
        lambda: before + part[::-1] + after,
        lambda: before + bytes(len(part)) + after,
        lambda: part + before + after,
        lambda: struct.pack("<Q", int(rng.integers(0, 2 * length))) + content[8:],
        lambda: other_digit(content, start),
        lambda: content + noise,
        lambda: swapped_tensors(content, rng),
    )
    return kinds[rng.integers(len(kinds))]()


def overwrite(path: Path, content: bytes) -> None:
    """Write to a file that is there; some systems flush one that is emptied first."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def other_digit(content: bytes, start: int) -> bytes:
    """Write another digit, so that JSON stays JSON."""
    digit = re.compile(rb"\d").search(content, start)
    if digit is None:
        return content
    other = b"%d" % ((int(digit[0]) + 1) % 10)
    return content[: digit.start()] + other + content[digit.end() :]


def swapped_tensors(content: bytes, rng: Generator) -> bytes:
    """Exchange two tensors of one shape, and leave the checksum as it was."""
    document, tensors = parts(content)
    name = str(rng.choice([*tensors]))
    same = [key for key in tensors if tensors[key].shape == tensors[name].shape]
    other = str(rng.choice(same))
    tensors[name], tensors[other] = tensors[other], tensors[name]
    return put_together(document, tensors, forge=False)


@pytest.mark.parametrize(
    "n_files", [1_000, pytest.param(9_000, marks=pytest.mark.slow)]
)
def test_10_000_damaged_files(
    content: bytes, fitted: Any, data: Any, path: Path, n_files: int
) -> None:
    rng = np.random.default_rng(n_files)
    expected = fitted.predict_proba(data[0])
    n_loaded = 0
    path.touch()
    for _ in range(n_files):
        overwrite(path, damaged(content, rng))
        try:
            found = load_model(path)
        except ModelFileError:
            continue
        n_loaded += 1
        assert_same(found, fitted)
        assert_array_equal(found.predict_proba(data[0]), expected)
    # Some exchange a thing for its equal, or the spaces that JSON does not mind.
    assert n_loaded < 0.1 * n_files


@pytest.mark.filterwarnings("ignore")  # of numbers that overflow, for example
@pytest.mark.parametrize(
    "seed, n_files", [(1, 200), pytest.param(2, 2000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["segmenter", "pipeline"])
def test_forged_files_are_refused_or_load_as_something_legal(
    kind: str, seed: int, n_files: int, content: bytes, pipeline: Any, path: Path
) -> None:
    if kind == "pipeline":
        save_model(pipeline, path)
        content = path.read_bytes()
    rng = np.random.default_rng(seed)
    X = np.random.default_rng(0).random((2, 8, 8, 3))
    n_refused = 0
    for _ in range(n_files):
        document, tensors = parts(content)
        forge(document, tensors, rng)
        path.write_bytes(put_together(document, tensors))
        try:
            found = load_model(path)
        except ModelFileError:
            n_refused += 1
            continue
        segmenter = found[-1] if kind == "pipeline" else found
        segmenter.set_params(device="cpu")
        assert np.isin(found.predict(X), segmenter.classes_).all()
        assert_same(through_a_file(found, path), found)
    assert n_refused > n_files / 3
