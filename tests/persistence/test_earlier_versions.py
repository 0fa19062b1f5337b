"""Model files of earlier versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import sksegment
from helpers.persistence import DATA
from sksegment import load_model


@pytest.mark.parametrize(
    "model", sorted(DATA.glob("format_*.safetensors")), ids=lambda p: p.stem
)
def test_files_of_earlier_versions_load_and_predict_the_same(model: Path) -> None:
    expected = np.load(model.with_suffix(".npz"))
    pipe = load_model(model)
    labels = pipe.predict(expected["X"])
    assert_array_equal(labels, expected["labels"], strict=True)
    difference = pipe.predict_proba(expected["X"]) - expected["probabilities"]
    assert abs(difference).max() < 1e-4
    assert [name for name, _ in pipe.steps[:-1]] == ["randomflip", "randomzoom"]
    assert pipe[-1].class_weight == {"dark": 1.0, "bright": 2.0}
    assert pipe[-1].crop_size == (8, 12)
    assert len(pipe[-1].history_) == pipe[-1].n_iter_ == 60


def test_there_is_a_file_of_this_format() -> None:
    version = sksegment.persistence._file.FORMAT_VERSION
    assert (DATA / f"format_{version}.safetensors").is_file()
