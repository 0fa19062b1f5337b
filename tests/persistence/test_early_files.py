"""Files that commit a040fed wrote, when all modules lay in one folder."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from sksegment import FCNSegmenter, load_model
from sksegment.augmentation import RandomFlip, RandomNoise, RandomRotation

DATA = Path(__file__).resolve().parents[1] / "data"
JOBLIB_FILE = DATA / "a040fed.joblib.gz"


@pytest.fixture
def expected() -> dict[str, Any]:
    with np.load(DATA / "a040fed.npz") as file:
        return dict(file)


def check_predictions(model: Any, expected: dict[str, Any]) -> None:
    np.testing.assert_array_equal(model.predict(expected["X"]), expected["labels"])
    probabilities = model.predict_proba(expected["X"])
    # Another processor adds up in another order.
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-5)


def test_early_joblib_file_opens_and_predicts_the_same(
    expected: dict[str, Any],
) -> None:
    search = joblib.load(JOBLIB_FILE)
    check_predictions(search, expected)
    segmenter = search.best_estimator_[-1]
    assert isinstance(segmenter, FCNSegmenter)
    assert segmenter.classes_.tolist() == ["bright", "dark"]
    assert len(segmenter.history_) == segmenter.n_iter_ == 20


def test_early_model_file_opens_and_predicts_the_same(
    expected: dict[str, Any],
) -> None:
    model = load_model(DATA / "a040fed.safetensors")
    check_predictions(model, expected)
    kinds = [type(step) for _, step in model.steps]
    assert kinds == [RandomFlip, RandomRotation, RandomNoise, FCNSegmenter]


def test_early_joblib_file_can_be_trained_further(expected: dict[str, Any]) -> None:
    segmenter = joblib.load(JOBLIB_FILE).best_estimator_[-1]
    segmenter.partial_fit(expected["X"], expected["labels"])
    assert segmenter.n_iter_ == 21


def test_early_joblib_file_names_public_modules_only() -> None:
    with gzip.open(JOBLIB_FILE) as file:
        stream = file.read()
    assert b"sksegment.segmenter" in stream
    assert b"sksegment._" not in stream
