"""The recipe for a few strokes: its settings, and what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sksegment import FCNSegmenter, load_model, save_model

FILE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "strokes.json"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    if not FILE.exists():
        pytest.skip(f"no settings: {FILE} is missing")
    read: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return read


def disks_and_strokes() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return a noisy image of disks, its mask, and a few lines of labels."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    mask = (np.hypot(rows % 32 - 16, columns % 32 - 16) < 8).astype(np.int64)
    image = rng.normal(mask, 0.7)
    labels = np.full(mask.shape, -1)
    labels[16, 9:24] = labels[80, 41:56] = 1
    labels[32, 5:28] = labels[64, 36:60] = 0
    return image[None], mask[None], labels[None]


@pytest.fixture(scope="module")
def fitted(settings: dict[str, Any]) -> FCNSegmenter:
    X, _, y = disks_and_strokes()
    parameters = {**settings, "max_epochs": 25}
    return FCNSegmenter(ignore_label=-1, random_state=0, **parameters).fit(X, y)


def test_settings_are_plain_values_of_parameters(settings: dict[str, Any]) -> None:
    assert set(settings) < set(FCNSegmenter().get_params())
    for value in settings.values():
        assert isinstance(value, (str, int, float))
        assert "/" not in str(value)


def test_a_few_strokes_find_the_disks(fitted: FCNSegmenter) -> None:
    X, mask, _ = disks_and_strokes()
    assert fitted.score(X, mask) > 0.7


def test_tiles_equal_the_whole_image(fitted: FCNSegmenter) -> None:
    X, _, _ = disks_and_strokes()
    whole = fitted.predict_proba(X)
    fitted.set_params(tile_size=37)
    try:
        np.testing.assert_allclose(fitted.predict_proba(X), whole, atol=1e-5)
    finally:
        fitted.set_params(tile_size="auto")


def test_a_model_file_keeps_network_and_pseudo_labels(
    fitted: FCNSegmenter, tmp_path: Path
) -> None:
    X, _, _ = disks_and_strokes()
    save_model(fitted, tmp_path / "strokes.safetensors")
    loaded = load_model(tmp_path / "strokes.safetensors")
    assert loaded.pseudo_labels == "forest"
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_the_same_seed_learns_the_same_bits(settings: dict[str, Any]) -> None:
    X, _, y = disks_and_strokes()
    parameters = {**settings, "max_epochs": 2}
    first, second = (
        FCNSegmenter(ignore_label=-1, random_state=3, **parameters).fit(X, y)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_options_of_other_networks_are_refused(settings: dict[str, Any]) -> None:
    X, _, y = disks_and_strokes()
    with pytest.raises(ValueError, match="skip='add' has no effect on"):
        FCNSegmenter(ignore_label=-1, skip="add", **settings).fit(X, y)
