"""What the tests of persistence share."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator, RandomState
from numpy.testing import assert_array_equal
from safetensors.numpy import load, save
from sklearn.pipeline import Pipeline

from sksegment import FCNSegmenter, load_model, save_model
from sksegment.persistence._file import digest

DATA = Path(__file__).resolve().parents[1] / "data"

Document = dict[str, Any]
Tensors = dict[str, np.ndarray]


def tiny(**parameters: Any) -> FCNSegmenter:
    defaults = {"depth": 1, "width": 2, "max_epochs": 1, "random_state": 0}
    return FCNSegmenter(**{**defaults, **parameters})


def through_a_file(estimator: Any, path: Path) -> Any:
    save_model(estimator, path)
    return load_model(path)


def assert_same(found: Any, expected: Any) -> None:
    """Two fitted segmenters, or Pipelines, that nothing tells apart."""
    assert type(found) is type(expected)
    if isinstance(expected, Pipeline):
        assert [name for name, _ in found.steps] == [name for name, _ in expected.steps]
        assert found.get_params(deep=False).keys() == expected.get_params(False).keys()
        for step, other in zip(found, expected, strict=True):
            if not isinstance(other, str):
                assert_same(step, other)
        return
    states = [estimator.__getstate__() for estimator in (found, expected)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[1].items():
        assert_equal_values(states[0][name], value)


def assert_equal_values(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, RandomState):
        assert_equal_values(found.get_state(), expected.get_state())
    elif isinstance(expected, dict):
        assert_equal_values([*found.items()], [*expected.items()])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for item, other in zip(found, expected, strict=True):
            assert_equal_values(item, other)
    elif isinstance(expected, np.ndarray):
        assert_array_equal(found, expected, strict=True)
        assert found.dtype.str == expected.dtype.str
    else:
        assert found == expected or (found != found and expected != expected)


def parts(content: bytes) -> tuple[Document, Tensors]:
    """Take a model file apart."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    tensors = {name: array.copy() for name, array in load(content).items()}
    return json.loads(header["__metadata__"]["sksegment"]), tensors


def put_together(document: Document, tensors: Tensors, *, forge: bool = True) -> bytes:
    """Make a model file of its parts, with the checksum that they have now."""
    if forge:
        document["sha256"] = digest(document, tensors)
    return save(tensors, {"sksegment": json.dumps(document)})


# Forged files: the checksum is right


NASTY = (
    None, True, -1, 0, 1, 2, 2**31, 2**63, 2**64, 10**30, -0.5, 1e308, "", "os.system",
    "auto", "cuda:7", "\x00", "\ud800", [], [[]], {}, {"$float": "nan"},
    {"$tuple": [8, 8]}, {"$tuple": 1}, {"$dict": [[0, 1], [0, 2]]}, {"$dict": [1, 2]},
    {"$dict": [[[], 1]]}, {"$array": []}, {"$array": ["0.classes_", "<u2"]},
    {"$array": ["0.classes_", "|O"]}, {"$array": ["0.classes_", "<U9"]}, {"$eval": "1"},
    {"$array": ["1.channel_mean_", "<f8"]}, {"$random_state": [0, 0, 0, 0]},
)  # fmt: skip


def forge(document: Document, tensors: Tensors, rng: Generator) -> None:
    """Change one thing in the document or among the tensors."""
    if rng.random() < 0.2:
        forge_tensor(tensors, rng)
        return
    places = [*containers(document["model"])]
    place = places[rng.integers(len(places))]
    keys = [*place] if isinstance(place, dict) else [*range(len(place))]
    if not keys:
        return
    key = keys[rng.integers(len(keys))]
    kind = rng.integers(4)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[f"{key}_"] = place.pop(key)
    elif kind == 2:
        other = places[rng.integers(len(places))]
        place[key] = copy.deepcopy(other)
    else:
        place[key] = NASTY[rng.integers(len(NASTY))]


def containers(value: Any) -> Iterator[Any]:
    children = value.values() if isinstance(value, dict) else value
    yield value
    for child in children:
        if isinstance(child, (dict, list)):
            yield from containers(child)


def forge_tensor(tensors: Tensors, rng: Generator) -> None:
    name = str(rng.choice([*tensors]))
    array = tensors.pop(name)
    kind = rng.integers(5)
    if kind == 0:
        tensors[name + "_"] = array
    elif kind == 1:
        tensors[name] = array.ravel()[:-1].copy()
    elif kind == 2:
        tensors[name] = array.astype([np.float64, np.float16, np.int8][rng.integers(3)])
    elif kind == 3:
        tensors[name] = np.full_like(array, 10 ** rng.integers(30) % 2**31)
