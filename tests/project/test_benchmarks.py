"""The benchmarks of quality on tiny data, and the page for users of Keras."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from skimage.io import imsave
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes
from sksegment.networks import FCN

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "benchmarks" / "scripts"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import benchmarks as their scripts do: from their folder, under bare names."""
    monkeypatch.syspath_prepend(str(FOLDER))
    known, n_threads = set(sys.modules), torch.get_num_threads()
    yield importlib.import_module
    torch.set_num_threads(n_threads)
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(FOLDER):
            del sys.modules[name]


def tiny_set(load: Load) -> Any:
    X, y = make_shapes(4, size=16, random_state=0)
    return load("lib.image_sets").ImageSet(X, y, X, y, classes=(0, 1, 2, 3))


TINY = {"depth": 1, "width": 2, "skip": None, "norm": None}


# What is shared


def test_shrinking_keeps_image_and_mask_together(load: Load) -> None:
    mask = np.kron(np.arange(6).reshape(2, 3), np.ones((5, 5), int))
    image = np.stack([10 * mask, 20 * mask], axis=2).astype(np.uint8)
    # What does not fill a block of 5x5 is cut off.
    uneven = [np.pad(image, [(0, 2), (0, 4), (0, 0)]), np.pad(mask, [(0, 2), (0, 4)])]
    small_image, small_mask = load("lib.shared").reduced(*uneven, 5)
    np.testing.assert_array_equal(small_mask, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(small_image[..., 1], 20 * small_mask)
    assert small_image.dtype == np.uint8


def test_a_record_finds_what_was_run_and_nothing_else(
    load: Load, tmp_path: Path
) -> None:
    record = load("lib.shared").Record(tmp_path / "runs.jsonl")
    assert record.rows() == []
    record.add({"seed": 0, "width": None}, {"iou": 0.5})
    assert record.find({"seed": 0, "width": None}) == {"iou": 0.5}
    assert record.find({"seed": 1, "width": None}) is None
    record.add({"seed": 1, "width": None}, {"iou": 0.25})
    assert record.find({"seed": 0, "width": None}) == {"iou": 0.5}
    assert len(record.rows()) == 2


def test_spread_is_the_standard_deviation_of_the_seeds(load: Load) -> None:
    assert load("lib.shared").with_spread([0.5]) == "50.0"
    assert load("lib.shared").with_spread([0.4, 0.5, 0.6]) == "50.0 ± 10.0"


# Defaults


def test_multiply_adds_are_those_of_a_convolution(load: Load) -> None:
    network = nn.Conv2d(3, 5, 3, padding=1).to("meta")
    counted = load("lib.equal_cost").forward_multiply_adds(network, (1, 3, 8, 6))
    assert counted == 8 * 6 * 3 * 5 * 9


def test_a_run_counts_the_multiply_adds_of_its_images(load: Load) -> None:
    images = tiny_set(load)
    counted = load("lib.equal_cost").multiply_adds(TINY, images)
    with FlopCounterMode(display=False) as counter:
        FCN(3, 4, **TINY)(torch.zeros(1, 3, 16, 16))
    assert counted == [3 * counter.get_total_flops() / 2] * 4


@pytest.mark.parametrize("width", [2, 4, 8])
def test_a_setting_gets_the_epochs_that_the_budget_comes_to(
    load: Load, width: int
) -> None:
    equal_cost, images = load("lib.equal_cost"), tiny_set(load)
    parameters = {**TINY, "width": width}
    epoch = sum(equal_cost.multiply_adds(parameters, images))
    task = equal_cost.Task("shapes", "tiny", 0, parameters, budget=1e-4)
    n_epochs = equal_cost.segmenter_of(task, images, epoch).max_epochs
    assert abs(n_epochs * epoch - 1e-4 * equal_cost.MULTIPLY_ADDS) <= epoch / 2


def test_a_run_trains_and_scores(load: Load) -> None:
    equal_cost, images = load("lib.equal_cost"), tiny_set(load)
    epoch = sum(equal_cost.multiply_adds(TINY, images))
    budget = 3 * epoch / equal_cost.MULTIPLY_ADDS
    task = equal_cost.Task("shapes", "tiny", 0, TINY, budget)
    same_task, result = equal_cost.run(task, images)
    assert same_task is task
    assert result["multiply_adds"] == 3 * epoch
    assert 0 <= result["iou"] <= 1
    assert 1 <= result["n_predicted"] <= 4


@pytest.mark.parametrize("trial", ["label_smoothing", "averaged_weights", "augmented"])
def test_a_trial_changes_what_is_trained(load: Load, trial: str) -> None:
    equal_cost, images = load("lib.equal_cost"), tiny_set(load)
    networks = []
    for parameters in (TINY, {**TINY, trial: True}):
        task = equal_cost.Task("shapes", "tiny", 0, parameters, budget=None)
        segmenter = equal_cost.segmenter_of(task, images, cost=1)
        segmenter.set_params(max_epochs=3)
        model = equal_cost.model_of(task, segmenter)
        assert equal_cost.fitted(model, images, range(4))
        networks.append(segmenter.network_.state_dict())
    weights = [network["classifier.weight"] for network in networks]
    assert not torch.equal(*weights)


def test_averaged_weights_are_those_that_torch_averaged(load: Load) -> None:
    images = tiny_set(load)
    average = load("lib.trial_parts").AveragedWeights()
    segmenter = FCNSegmenter(
        **TINY, classes=images.classes, max_epochs=2, callbacks=[average]
    ).fit(images.X, images.y)
    averaged = average.averaged_.module.state_dict()
    for name, values in segmenter.network_.state_dict().items():
        torch.testing.assert_close(values, averaged[name])


def test_label_smoothing_is_torchs(load: Load) -> None:
    parts = load("lib.trial_parts")
    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    codes = torch.arange(40).reshape(2, 4, 5) % 4 - 1
    kept = codes >= 0
    expected = nn.CrossEntropyLoss(label_smoothing=parts.SMOOTHING)(
        scores.movedim(1, -1)[kept], codes[kept]
    )
    found = parts.smoothed_cross_entropy(scores, codes, None)
    torch.testing.assert_close(found, expected)


def test_the_best_constant_answer(load: Load) -> None:
    images = tiny_set(load)
    background = np.mean(images.y_test == 0)
    assert images.constant_iou() == pytest.approx(background / 4)


def runs(setting: str, ious: list[float]) -> list[dict[str, Any]]:
    task = {"setting": setting, "image_set": "a", "n_images": None, "budget": 1.0}
    return [
        {"task": {**task, "seed": i}, "result": {"iou": v}} for i, v in enumerate(ious)
    ]


def test_the_table_is_sorted_by_the_gain_over_the_centre(load: Load) -> None:
    rows = runs("bad", [0.2]) + runs("centre", [0.4, 0.5]) + runs("good", [0.5, 0.6])
    table = load("lib.defaults_page").settings_table(rows, ["a"]).splitlines()[2:]
    assert [line.split("`")[1] for line in table] == ["good", "centre", "bad"]
    assert "55.0 ± 7.1 | 2 | +10.0 | a +10.0" in table[0]
    # Against the centre with the same seed, and not against its mean.
    assert "20.0 | 1 | -20.0 | a -20.0" in table[2]


def test_a_setting_that_lacks_a_set_is_not_compared(load: Load) -> None:
    rows = runs("centre", [0.4]) + runs("good", [0.5])
    table = load("lib.defaults_page").settings_table(rows, ["a", "b"])
    assert table.count("| - | - |") == 2


def test_an_interrupted_table_goes_on(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults, images = load("defaults"), tiny_set(load)
    monkeypatch.setattr(defaults, "IMAGE_SETS", {"shapes": lambda data: images})
    monkeypatch.setattr(defaults, "SETTINGS", {"centre": TINY, "wide": TINY})
    monkeypatch.setattr(defaults, "FEW_IMAGES", ())
    results = tmp_path / "results" / "defaults.jsonl"
    command = ["defaults.py", "--jobs", "1", "--budget", "1e-6"]
    monkeypatch.setattr(sys, "argv", [*command, "--results", str(results)])
    defaults.main()
    lines = results.read_text().splitlines()
    assert len(lines) == 2 * len(defaults.SEEDS)
    results.write_text("\n".join(lines[:4]) + "\n")
    defaults.main()
    again = results.read_text().splitlines()
    assert again[:4] == lines[:4]
    assert scores(again) == scores(lines)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--table"])
    defaults.main()
    assert "| `centre` |" in (tmp_path / "defaults.md").read_text("utf-8")


def scores(lines: list[str]) -> list[float]:
    return [json.loads(line)["result"]["iou"] for line in lines]


# CamVid


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        X, y = make_shapes(4, size=32, random_state=len(split))
        X = (255 * X).astype(np.uint8)
        folder = tmp_path / "camvid" / split
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        for index, (image, mask) in enumerate(zip(X, y, strict=True)):
            imsave(folder / "images" / f"{index}.png", image, check_contrast=False)
            imsave(
                folder / "masks" / f"{index}.png",
                mask.astype(np.uint8),
                check_contrast=False,
            )
    return tmp_path


def camvid_command(folder: Path, setting: str, *more: str) -> list[str]:
    paths = ["--data", f"{folder}", "--output", f"{folder / 'out'}"]
    results = ["--results", f"{folder / 'results' / 'camvid.jsonl'}"]
    return ["camvid.py", *paths, *results, "--setting", setting, "--half", *more]


@pytest.mark.parametrize("setting", ["segnet", "augmented"])
@pytest.mark.filterwarnings("ignore:In its last epoch the network predicted")
def test_camvid_stops_in_time_goes_on_and_scores_once(
    load: Load, pairs: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    camvid, results = load("camvid"), pairs / "results" / "camvid.jsonl"
    command = camvid_command(pairs, setting, "--epochs", "2")
    monkeypatch.setattr(sys, "argv", [*command, "--minutes", "0"])
    camvid.main()
    assert not results.exists()
    val = pairs / "camvid" / "val"
    test = ["--test", f"{val / 'images'}", f"{val / 'masks'}"]
    monkeypatch.setattr(sys, "argv", [*command, *test])
    camvid.main()
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [row["task"]["scored"] for row in rows] == ["val", "test"]
    assert rows[0]["result"]["n_epochs"] == 2
    assert rows[0]["result"]["iou"] == rows[1]["result"]["iou"]
    camvid.main()
    assert len(results.read_text().splitlines()) == 2
    monkeypatch.setattr(sys, "argv", [*command, "--table"])
    camvid.main()
    assert f"`{setting}`, half, 2 epochs" in (pairs / "camvid.md").read_text("utf-8")


def test_the_deadline_interrupts_when_it_is_over(load: Load) -> None:
    camvid = load("camvid")
    camvid.Deadline(minutes=1).on_batch_end(None)
    with pytest.raises(KeyboardInterrupt):
        camvid.Deadline(minutes=-1).on_batch_end(None)


# Keras


def test_the_page_for_users_of_keras_runs() -> None:
    page = (ROOT / "docs" / "guide" / "from_keras.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "<from_keras.md>", "exec"), names)
    assert names["masks"].shape == names["y_test"].shape
    assert names["probabilities"].shape == (8, 4, 32, 32)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_weights_of_keras_make_the_same_network(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    parity = load("keras_parity")
    found = parity.compared(width=2, size=16, dtype="float64")
    for name, most in parity.LARGEST_DIFFERENCE.items():
        assert found[name] <= most
