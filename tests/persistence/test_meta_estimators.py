"""Model files of estimators that hold others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load, save
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter, load_model, save_model
from sksegment.augmentation import RandomFlip
from sksegment.calibration import TemperatureScaling
from sksegment.datasets import make_shapes
from sksegment.ensemble import VotingSegmenter
from sksegment.persistence import ModelFileError
from sksegment.persistence._file import digest

X, y = make_shapes(4, size=16, n_classes=3, random_state=0)


def tiny(**parameters: Any) -> FCNSegmenter:
    given = {"depth": 1, "width": 2, "max_epochs": 1, "random_state": 0}
    return FCNSegmenter(**{**given, **parameters})


@pytest.fixture(scope="module")
def voting() -> VotingSegmenter:
    """An ensemble of a network, a Pipeline, a frozen network and an ensemble."""
    members = [
        ("plain", tiny()),
        ("flips", make_pipeline(RandomFlip(), tiny(depth=2))),
        ("frozen", FrozenEstimator(tiny(random_state=3).fit(X, y))),
        ("nested", VotingSegmenter([("a", tiny(random_state=4))])),
    ]
    return VotingSegmenter(members, weights=[1, 2, 3, 4], n_jobs=1).fit(X, y)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_an_ensemble_comes_back(voting: VotingSegmenter, path: Path) -> None:
    save_model(voting, path)
    again = load_model(path)
    assert type(again) is VotingSegmenter
    assert [*again.named_estimators_] == ["plain", "flips", "frozen", "nested"]
    assert_array_equal(again.predict_proba(X), voting.predict_proba(X))
    assert again.margin_ == voting.margin_
    assert again.n_jobs == 1
    assert type(again.named_estimators_.frozen) is FrozenEstimator


def test_a_pipeline_that_ends_with_one_is_refused_by_its_name(
    voting: VotingSegmenter, path: Path
) -> None:
    told = "given a Pipeline that ends with a VotingSegmenter; .* put such Pipelines"
    with pytest.raises(TypeError, match=told):
        save_model(make_pipeline(RandomFlip(), voting), path)


def test_it_can_be_trained_again(voting: VotingSegmenter, path: Path) -> None:
    save_model(voting, path)
    again = load_model(path).fit(X, y)
    assert_array_equal(again.predict_proba(X), voting.predict_proba(X))


def test_weights_of_none_stay_none(path: Path) -> None:
    save_model(VotingSegmenter.from_fitted([tiny().fit(X, y)] * 2), path)
    assert load_model(path).weights is None


@pytest.mark.parametrize("frozen", [False, True])
def test_a_temperature_comes_back(frozen: bool, path: Path) -> None:
    inner = tiny(width=4, max_epochs=8)
    model = FrozenEstimator(inner.fit(X, y)) if frozen else inner
    scaling = TemperatureScaling(model, cv=2).fit(X, y)
    save_model(scaling, path)
    again = load_model(path)
    assert again.temperature_ == scaling.temperature_
    assert again.cv == 2
    assert_array_equal(again.predict_proba(X), scaling.predict_proba(X))


@pytest.mark.parametrize("temperature", [0, -1, "1", None, True])
def test_forged_temperatures_are_refused(temperature: Any, path: Path) -> None:
    fitted = FrozenEstimator(tiny(width=4, max_epochs=8).fit(X, y))
    save_model(TemperatureScaling(fitted).fit(X, y), path)
    forged(path, set_to("temperature", temperature))
    with pytest.raises(ModelFileError, match="temperature_"):
        load_model(path)


def test_members_that_are_no_plain_data_are_refused(path: Path) -> None:
    class Own(FCNSegmenter):
        pass

    with pytest.raises(TypeError, match="given a Own"):
        save_model(
            VotingSegmenter([("own", Own(depth=1, max_epochs=1))]).fit(X, y), path
        )
    assert not path.exists()


def forged(path: Path, edit: Any) -> None:
    """Edit the document of a model file, and give it the right checksum."""
    content = path.read_bytes()
    tensors = load(content)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["sksegment"])
    edit(document["model"], tensors)
    document["sha256"] = digest(document, tensors)
    path.write_bytes(save(tensors, {"sksegment": json.dumps(document)}))


def set_to(name: str, value: Any) -> Any:
    return lambda model, tensors: model.update({name: value})


@pytest.mark.parametrize(
    "edit",
    [
        set_to("weights", ["a", 1, 1, 1]),
        set_to("weights", [1, 1]),
        set_to("weights", {"__reduce__": 1}),
        set_to("n_jobs", "many"),
        set_to("names", ["plain", "flips", "frozen"]),
        set_to("names", ["plain", "flips", "frozen", "frozen"]),
        set_to("names", [1, 2, 3, 4]),
        set_to("names", "name"),
        set_to("members", []),
        set_to("members", ["drop", "drop", "drop", "drop"]),
        set_to("members", [{"class": "os.system"}] * 4),
        set_to("class", "Ensemble"),
        set_to("more", 1),
        lambda model, tensors: tensors.update({"estimators_.7.x": np.zeros(1)}),
        lambda model, tensors: tensors.pop(min(tensors)),
        lambda model, tensors: model["members"].reverse(),
    ],
)
def test_forged_ensembles_are_refused(
    edit: Any, voting: VotingSegmenter, path: Path
) -> None:
    save_model(voting, path)
    forged(path, edit)
    with pytest.raises(ModelFileError):
        load_model(path)
