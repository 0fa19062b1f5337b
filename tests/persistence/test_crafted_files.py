"""Crafted files: what an attacker would try."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from safetensors.numpy import save

from helpers.persistence import Document, Tensors, parts, put_together
from sksegment import load_model
from sksegment.persistence import ModelFileError
from sksegment.persistence._file import digest

Edit = Callable[[Document, Tensors], object]


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nothing may make, and functions that nothing may call."""
    calls: list[Any] = []

    def record(*arguments: Any, **named: Any) -> None:
        calls.append(arguments)

    for target in ("os.system", "os.popen", "subprocess.Popen.__init__"):
        monkeypatch.setattr(target, record)
    for target in ("pickle.load", "pickle.loads", "joblib.load", "torch.load"):
        monkeypatch.setattr(target, record)
    # A network is made where all has been checked, and not before.
    monkeypatch.setattr("sksegment.segmenter.restored_network", record)
    yield tmp_path / "canary"
    assert not calls
    assert not (tmp_path / "canary").exists()


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Bomb(folder))


def pickled_by_joblib(folder: Path) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Bomb(folder), buffer, compress=3)
    return buffer.getvalue()


def pickled_by_torch(folder: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": Bomb(folder)}, buffer)
    return buffer.getvalue()


def zip_slip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../canary", "out of the folder")
        archive.writestr("data.pkl", pickled(folder))
    return buffer.getvalue()


def numpy_objects(folder: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(folder)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def test_pickle_would_run_the_code(tmp_path: Path) -> None:
    pickle.loads(pickled(tmp_path / "canary"))
    assert (tmp_path / "canary").is_dir()


@pytest.mark.parametrize(
    "payload",
    [pickled, pickled_by_joblib, pickled_by_torch, zip_slip, numpy_objects],
)
def test_pickles_that_run_code_are_not_opened(
    payload: Callable[[Path], bytes], path: Path, canary: Path
) -> None:
    path.write_bytes(payload(canary))
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_model(path)


def with_header(
    header: bytes, *, length: int | None = None, data: bytes = b""
) -> bytes:
    size = len(header) if length is None else length
    return struct.pack("<Q", size) + header + data


TENSOR = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
EMPTY = b'{"__metadata__":{"sksegment":"{}"}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02\x00\x00",
        with_header(b"{}"),
        with_header(b"[]"),
        with_header(b"null"),
        with_header(b"{}", length=2**63),
        with_header(b"{}", length=2**64 - 1),
        with_header(b"{}", length=3),
        with_header(b"[" * 100_000),
        with_header(b'{"a":' * 100_000),
        with_header(b'{"a":%s,"a":%s}' % (TENSOR, TENSOR), data=bytes(8)),
        with_header(EMPTY[:-1] + b"," + EMPTY[1:]),
        with_header(b'{"__metadata__":{"sksegment":1}}'),
        with_header(b'{"__metadata__":{"sksegment":"\\ud800"}}'),
        with_header(b'{"__metadata__":{"sksegment":"[]"}}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":1}'),
        with_header(b'{"__metadata__":{"sksegment":"{}","b":"c"}}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":NaN}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":1e999}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":%s}' % (b"9" * 9999)),
        with_header(b'{"__metadata__":\xff}'),
    ],
    ids=range(21),
)
def test_headers_that_promise_what_is_not_there(
    content: bytes, path: Path, canary: Path
) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        load_model(path)


def test_a_header_longer_than_safetensors_allows_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**40))
        file.truncate(2**40 + 8)  # of which the disk holds nothing
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_model(path)


@pytest.mark.parametrize(
    "offsets", [[(0, 8), (4, 12)], [(0, 8), (0, 8)], [(0, 8), (12, 20)], [(8, 0)]]
)
def test_tensors_that_overlap_or_leave_gaps(
    offsets: Any, content: bytes, path: Path, canary: Path
) -> None:
    document, _ = parts(content)
    header: Document = {"__metadata__": {"sksegment": json.dumps(document)}}
    for number, place in enumerate(offsets):
        header[str(number)] = {"dtype": "F32", "shape": [2], "data_offsets": place}
    path.write_bytes(with_header(json.dumps(header).encode(), data=bytes(20)))
    with pytest.raises(ModelFileError, match="its tensors"):
        load_model(path)


def parameter(name: str, value: Any) -> Edit:
    return lambda document, _: document["model"]["parameters"].update({name: value})


def attribute(name: str, value: Any) -> Edit:
    return lambda document, _: document["model"]["fitted"].update({name: value})


def option(**options: Any) -> Edit:
    """Another network, in the parameters and where it is made from."""

    def edit(document: Document, _: Tensors) -> None:
        document["model"]["parameters"].update(options)
        document["model"]["fitted"]["_architecture"].update(options)

    return edit


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    return lambda _, tensors: tensors.update({name: change(tensors[name])})


def a_thousand_million_classes(document: Document, tensors: Tensors) -> None:
    document["model"]["fitted"]["_architecture"]["n_classes"] = 10**9
    tensors["0.classes_"] = np.zeros((10**9, 0), np.uint32)
    document["model"]["fitted"]["classes_"]["$array"][1] = "<U0"


def a_network_for_labels_of_all_pixels(document: Document, tensors: Tensors) -> None:
    document["model"]["fitted"]["_architecture"]["n_classes"] = 100_000
    tensors["0.classes_"] = np.arange(100_000, dtype=np.uint8)


def nested(document: Document, _: Tensors) -> None:
    document["model"]["parameters"]["classes"] = json.loads("[" * 500 + "]" * 500)


def in_a_pipeline(*steps: Any, **fields: Any) -> Edit:
    def edit(document: Document, _: Tensors) -> None:
        model = {"class": "Pipeline", "transform_input": None, "verbose": False}
        last = ["last", document["model"]]
        document["model"] = {**model, "steps": [*steps, last], **fields}

    return edit


def code_points(document: Document, tensors: Tensors) -> None:
    document["model"]["fitted"]["classes_"]["$array"][1] = "<U1"
    tensors["0.classes_"] = np.array([[1], [2], [2**32 - 1]], np.uint32)


def neither_true_nor_false(document: Document, tensors: Tensors) -> None:
    document["model"]["parameters"]["classes"] = {"$array": ["own", "|b1"]}
    tensors["own"] = np.array([0, 2], np.uint8).view(np.bool_)


def random_state(place: Any, n_words: int = 624) -> Edit:
    def edit(document: Document, tensors: Tensors) -> None:
        state = [{"$array": ["words", "<u4"]}, place, 0, 0.0]
        document["model"]["parameters"]["random_state"] = {"$random_state": state}
        tensors["words"] = np.ones(n_words, np.uint32)

    return edit


CODE = "__import__('os').system('touch canary')"
WEIGHT = "network_.classifier.weight"
FLIP = {"class": "RandomFlip", "parameters": {}}


@pytest.mark.parametrize(
    "edit",
    [
        *(
            lambda document, _, name=name: document["model"].update({"class": name})
            for name in ("os.system", "subprocess.Popen", "Resized", "", None, [], CODE)
        ),
        *(
            parameter(name, CODE)
            for name in ("network", "loss", "optimizer", "device", "depth", "callbacks")
        ),
        parameter("callbacks", ["skorch.callbacks.Checkpoint"]),
        parameter("checkpoint_dir", "/tmp"),
        parameter("pretrained", "/tmp/weights.pickle"),
        parameter("__class__", "os.system"),
        parameter("classes", {"$object": "os.system"}),
        parameter("classes", {"$eval": CODE}),
        parameter("classes", {"$array": ["0.classes_", "|O"]}),
        parameter("classes", {"$array": ["0.classes_", "V1000000000"]}),
        parameter("classes", {"$array": ["0.classes_", "<U900000000"]}),
        parameter("classes", {"$array": ["0.classes_", "|u1"]}),  # used twice
        parameter("classes", {"$array": ["/etc/passwd", "|u1"]}),
        parameter("classes", {"$array": [["0.classes_"], "|u1"]}),
        parameter("classes", {"$float": CODE}),
        parameter("ignore_label", 10**400),
        random_state(625),
        random_state(-1),
        random_state(2.0),
        random_state(0, n_words=3),
        option(depth=8),
        option(depth=10**6),
        option(width=10**5),
        option(width=10**9),
        option(width=10**30),
        option(network="fcn8s"),
        option(network="os.system"),
        option(shell=True),
        attribute("_architecture", CODE),
        attribute("_architecture", {}),
        attribute("network_", CODE),
        attribute("history_", [CODE]),
        attribute("_seed", -1),
        attribute("n_features_in_", 4),
        tensor("2.channel_std_", lambda std: 0 * std),
        tensor("1.channel_mean_", lambda mean: mean + np.nan),
        tensor("0.classes_", lambda classes: classes[::-1].copy()),
        tensor("0.classes_", lambda classes: 0 * classes),
        tensor(WEIGHT, lambda weight: weight.astype(np.float64)),
        tensor(WEIGHT, lambda weight: weight.astype(np.float16)),
        tensor(WEIGHT, lambda weight: weight.ravel()),
        tensor(WEIGHT, lambda weight: weight * np.float32(np.nan)),
        tensor(WEIGHT, lambda weight: weight + np.float32(np.inf)),
        lambda _, tensors: tensors.pop(WEIGHT),
        lambda _, tensors: tensors.update(extra=np.zeros(2)),
        lambda _, tensors: tensors.update({"network_.extra": np.zeros(2)}),
        lambda document, _: document.update(model="FCNSegmenter"),
        lambda document, _: document.update(extra=1),
        lambda document, _: document.update(format_version=True),
        lambda document, _: document.update(format_version="1"),
        lambda document, _: document.update(format_version=0),
        a_thousand_million_classes,
        a_network_for_labels_of_all_pixels,
        code_points,
        neither_true_nor_false,
        nested,
        in_a_pipeline(["system", {"class": "os.system", "parameters": {}}]),
        in_a_pipeline(["a", {"class": "AugmentedImages", "parameters": {}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"p": CODE}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"p": 2}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"p__q": 2}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"random_state": CODE}}]),
        in_a_pipeline(["a", FLIP], ["a", FLIP]),
        in_a_pipeline(["a__b", FLIP]),
        in_a_pipeline(["steps", FLIP]),
        in_a_pipeline([1, FLIP]),
        in_a_pipeline("ab"),
        in_a_pipeline(memory="/tmp"),
        in_a_pipeline(verbose="yes"),
        in_a_pipeline(transform_input=CODE),
        in_a_pipeline(steps=[]),
        in_a_pipeline(steps=[["last", FLIP]]),
        in_a_pipeline(steps=CODE),
    ],
)  # fmt: skip
def test_crafted_files_are_refused(
    edit: Edit, content: bytes, path: Path, canary: Path
) -> None:
    document, tensors = parts(content)
    edit(document, tensors)
    path.write_bytes(put_together(document, tensors))
    with pytest.raises(ModelFileError, match=re.escape(str(path))):
        load_model(path)


def test_nan_in_the_document_is_refused(content: bytes, path: Path) -> None:
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        document, tensors = parts(content)
        document["model"]["parameters"]["ignore_label"] = "here"
        document["sha256"] = digest(document, tensors)
        text = json.dumps(document).replace('"here"', word)
        path.write_bytes(save(tensors, {"sksegment": text}))
        with pytest.raises(ModelFileError, match="its document"):
            load_model(path)


def test_keys_that_stand_twice_in_the_document_are_refused(
    content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    text = json.dumps(document).replace('"depth": 1', '"depth": 2, "depth": 1')
    path.write_bytes(save(tensors, {"sksegment": text}))
    with pytest.raises(ModelFileError, match="one key twice"):
        load_model(path)
