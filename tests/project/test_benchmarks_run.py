"""The benchmarks at sizes that say nothing of speed: they run, and compare equals."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "scripts"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import benchmarks as their scripts do: from their folder, under bare names."""
    if not FOLDER.is_dir():
        pytest.skip(f"no benchmarks: {FOLDER} is no folder")
    monkeypatch.syspath_prepend(str(FOLDER))
    known = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(FOLDER):
            del sys.modules[name]


@pytest.mark.parametrize(
    "script, n_rows",
    [
        ("training", 2),
        ("overhead", 1),
        ("prediction", 4),
        ("one_core", 7),
        ("onnx_prediction", 2),
        ("mean_iou", 3),
        ("boundary_scores", 4),
        ("augmentation", 3),
        ("keras_fit", 3),
        ("bfloat16_labels", 1),
    ],
)
def test_each_script_gives_its_rows(load: Load, script: str, n_rows: int) -> None:
    options = load("lib.script").Options(quick=True)
    rows = list(load(script).rows(options))
    assert len(rows) == n_rows
    for row in rows:
        if row.value is None:
            assert row.verdict == "not run"
            assert row.note
        else:
            # Below 0 where a run that should take longer took less.
            assert math.isfinite(row.value)
            assert row.low <= row.value <= row.high


@pytest.mark.slow
@pytest.mark.parametrize("script", ["memory", "imports", "grid_search", "growth"])
def test_scripts_that_start_processes(load: Load, script: str) -> None:
    options = load("lib.script").Options(quick=True)
    rows = list(load(script).rows(options))
    assert any(row.value is not None for row in rows)


def test_gpu_script_runs_on_a_cpu(load: Load) -> None:
    options = load("lib.script").Options(quick=True, device="cpu")
    rows = list(load("gpu").speed_rows(options))
    assert all(math.isfinite(row.value) for row in rows)
    assert rows[-1].value == 100  # labels of the model that another process opened


def test_missing_peers_are_named(load: Load) -> None:
    options = load("lib.script").Options(quick=True)
    notes = [row.note for row in load("keras_fit").rows(options)]
    assert all("--peer keras-" in note for note in notes)


def test_a_peer_that_crashes_is_a_row_and_no_error(load: Load) -> None:
    options = load("lib.script").Options(True, {"keras-jax": sys.executable})
    (row,) = (r for r in load("keras_fit").rows(options) if r.peer == "keras-jax")
    assert "exit status 1" in row.note  # there is no Keras here


@pytest.mark.parametrize("width", [2, 3])
def test_both_sides_are_the_same_network(load: Load, width: int) -> None:
    plain = load("lib.plain_torch")
    from sksegment.networks import FCN

    network = FCN(3, 5, width=width).eval()
    copy = plain.plain_copy(network, 3, width).eval()
    images = torch.randn(2, 3, 24, 16)
    with torch.inference_mode():
        torch.testing.assert_close(copy(images), network(images), atol=1e-4, rtol=1e-4)


def test_both_sides_are_the_same_u_net(load: Load) -> None:
    from sksegment.networks import FCN

    network = FCN(3, 5, width=3, skip="concat", norm="batch").train()
    images = torch.randn(2, 3, 24, 16)
    network(images)  # statistics
    copy = load("lib.plain_unet").unet_copy(network, 3, 3).eval()
    with torch.inference_mode():
        torch.testing.assert_close(
            copy(images), network.eval()(images), atol=1e-4, rtol=1e-4
        )


def test_networks_that_differ_are_not_compared(load: Load) -> None:
    from sksegment.networks import FCN

    images = torch.randn(1, 3, 16, 16)
    with pytest.raises(AssertionError, match="differ"):
        load("training").check_equal(FCN(3, 4, width=2), FCN(3, 4, width=2), images)


def test_hand_written_loops_learn(load: Load) -> None:
    plain = load("lib.plain_torch")
    X, y = load("lib.segmenter").shapes(8, 16)
    images, masks = plain.as_tensors(X, y)
    for make in (plain.naive_epoch, with_float32(plain.tuned_epoch)):
        network = plain.plain_copy(load_network(4), 3, 4)
        epoch = make(network, images, masks)
        before = loss(network, images, masks)
        for _ in range(20):
            epoch()
        assert loss(network, images, masks) < 0.9 * before


def load_network(width: int) -> torch.nn.Module:
    from sksegment.networks import FCN

    torch.manual_seed(0)
    return FCN(3, 4, width=width)


def with_float32(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda network, images, masks: make(network, images, masks, torch.float32)


def loss(network: torch.nn.Module, images: torch.Tensor, masks: torch.Tensor) -> float:
    with torch.inference_mode():
        scores = network.eval()(images)
    return float(torch.nn.functional.cross_entropy(scores, masks))


def test_timed_functions_alternate_and_the_first_round_is_dropped(load: Load) -> None:
    calls: list[str] = []

    def contestant(name: str) -> Callable[[], float]:
        return lambda: calls.append(name) or float(len(calls))

    seconds = load("lib.timing").alternated(
        {name: contestant(name) for name in "ab"}, n_rounds=2
    )
    assert calls == ["a", "b"] * 3
    assert seconds == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_epochs_of_fit_take_turns_with_those_of_peers(load: Load) -> None:
    segmenter = load("lib.segmenter")
    X, y = segmenter.shapes(2, 16)
    turns: list[int] = []
    peers = {"peer": lambda: turns.append(1) or 7.0}
    ours, theirs = segmenter.fit_in_turns(
        segmenter.plain_segmenter(2), X, y, peers, n_epochs=3
    )
    assert len(turns) == 4
    assert theirs == {"peer": [7.0] * 3}
    assert len(ours) == 3
    assert 0 < max(ours) < 7  # the turns of peers are not in it


def test_ratio_is_that_of_medians_and_spread_that_of_pairs(load: Load) -> None:
    ratios = load("lib.timing").ratios([1.0, 2.0, 4.0], [3.0, 8.0, 4.0])
    assert ratios == (4 / 2, 1.0, 4.0)


def test_verdicts(load: Load) -> None:
    rows = load("lib.rows")
    twice = rows.ratio_row("q", "p", [1.0], [2.0], aim=1.5)
    assert twice.verdict == "met"
    assert rows.ratio_row("q", "p", [1.0], [2.0], aim=3.0).verdict == "**aim missed**"
    assert rows.ratio_row("q", "p", [2.0], [1.0]).verdict == "**we lose**"
    assert rows.overhead_row("q", "p", [1.1], [1.0], aim=20).verdict == "met"
    assert rows.overhead_row("q", "p", [1.3], [1.0], aim=20).verdict == "**aim missed**"
    assert rows.missing_row("q", "p", "why").verdict == "not run"


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_exponents_are_found_beside_fixed_costs(load: Load, power: float) -> None:
    sizes = [2**k for k in range(4, 16)]
    seconds = [0.001 + 0.01 * size**power for size in sizes]
    assert load("growth").exponent(sizes, seconds) == pytest.approx(power, abs=0.01)


def test_mean_iou_contestants_must_agree(load: Load) -> None:
    script = load("mean_iou")
    y_true, y_pred = script.patchy_masks(2, 64)
    script.all_contestants(y_true, y_pred)
    script.bincount_iou = lambda y_true, y_pred: 0.5
    with pytest.raises(AssertionError, match="disagree"):
        script.all_contestants(y_true, y_pred)


def test_page_shows_what_is_lost_and_what_failed(load: Load) -> None:
    run_all = load("run_all")
    script = load("lib.script")
    row = load("lib.rows").ratio_row("a question", "a peer", [2.0], [1.0], aim=3.0)
    done = script.measured("training", lambda _: iter([row]), script.Options(True))
    failed = {"script": "memory", "failed": 1, "rows": [], "hardware": done["hardware"]}
    records = [{**record, "command": "a command"} for record in (done, failed)]
    page = run_all.page(json.loads(json.dumps(records)))
    assert page.count("a command") == 1
    lost = page.split("## Where we lose")[1].split("## training.py")[0]
    assert "a question" in lost
    assert "**we lose**" in lost
    assert "not in the table: memory" in lost
    assert "**Failed** with exit status 1" in page
    assert f"numpy {np.__version__}" in page
    assert "--quick" in page


def test_results_of_other_scripts_are_kept(load: Load, tmp_path: Path) -> None:
    run_all = load("run_all")
    file = tmp_path / "results.jsonl"
    assert run_all.read_records(file) == {}
    records = {
        (name, has_bfloat16): {
            "script": name,
            "rows": [],
            "hardware": {"bfloat16": has_bfloat16},
        }
        for name in ("memory", "growth")
        for has_bfloat16 in (True, False)
    }
    run_all.write_records(file, records.values())
    assert run_all.read_records(file) == records


def test_results_of_both_kinds_of_processor_stand_side_by_side(load: Load) -> None:
    run_all = load("run_all")
    script, ratio_row = load("lib.script"), load("lib.rows").ratio_row
    records = []
    for has_bfloat16, seconds in ((True, 4.0), (False, 2.5)):
        rows = [ratio_row("both", "a peer", [1.0], [seconds], aim=3.0)]
        if has_bfloat16:
            rows.append(ratio_row("one", "a peer", [1.0], [2.0]))
        record = script.measured(
            "training", lambda _, rows=rows: rows, script.Options()
        )
        record["hardware"]["bfloat16"] = has_bfloat16
        records.append({**record, "command": "a command"})
    page = run_all.page(records)
    table = page.split("## Both kinds of processor")[1].split("## training.py")[0]
    (line,) = (line for line in table.splitlines() if "a peer" in line)
    assert line == (
        "| both | a peer | **4 x** (4 to 4) | **2.5 x** (2.5 to 2.5) | at least 3 x |"
    )
    short = page.split("## Where we lose")[1].split("## Both")[0]
    assert "with bfloat16 in hardware:\n\nNowhere." in short
    assert "**2.5 x**" in short.split("with no bfloat16 in hardware:")[1]
    assert page.count("## training.py") == 1


def test_load_of_this_process_is_not_load_of_others(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = load("lib.processor")
    # Ten seconds of four cores: 20 s of them busy, 16 s of those with our own work.
    monkeypatch.setattr(processor.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(processor.time, "monotonic", iter([0.0, 10.0]).__next__)
    monkeypatch.setattr(processor, "_busy", iter([100.0, 120.0]).__next__)
    monkeypatch.setattr(processor, "_own", iter([5.0, 21.0]).__next__)
    load_ = processor.LoadMeter().stop()
    assert load_.others == pytest.approx(4 / 40)
    assert not load_.is_quiet


def test_busy_time_is_all_but_idle_and_waiting(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processor = load("lib.processor")
    monkeypatch.setattr(processor, "STAT", tmp_path / "stat")
    assert processor._busy() is None
    # user, nice, system, idle, waiting, interrupts, soft ones, stolen, guests
    (tmp_path / "stat").write_text("cpu  10 20 30 400 500 6 7 8 90 90\ncpu0 1\n")
    ticks = processor.os.sysconf("SC_CLK_TCK")
    assert processor._busy() == pytest.approx(81 / ticks)


def test_page_does_not_tell_where_things_lie(load: Load) -> None:
    run_all = load("run_all")
    arguments = run_all.parsed_arguments(
        ["--data", "/home/me/x", "--peer", "keras-jax=/home/me/y", "--only", "memory"]
    )
    command = run_all.command(arguments)
    assert "/home" not in command
    assert "--data DATA --peer keras-jax=PYTHON --only memory" in command
    assert run_all.options_again(arguments)[-2:] == ["--peer", "keras-jax=/home/me/y"]


def test_every_script_is_run(load: Load) -> None:
    scripts = {
        path.stem
        for path in FOLDER.glob("*.py")
        if "run_script(__doc__, rows)" in path.read_text(encoding="utf-8")
    }
    assert scripts == set(load("run_all").SCRIPTS)


def test_capped_weights_are_those_of_the_package_up_to_the_cap(
    load: Load, tmp_path: Path
) -> None:
    from skimage.io import imsave

    from sksegment.losses._class_weight import class_weights

    script = load("rare_classes")
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([5.0] * 10 + [0.2], 6)
    masks = [rng.choice(11, p=share, size=(40, 40)) for share in shares]
    files = [tmp_path / f"{index}.png" for index in range(len(masks))]
    for file, mask in zip(files, masks, strict=True):
        imsave(file, mask.astype(np.uint8), check_contrast=False)
    pixels = np.stack([np.bincount(mask.ravel(), minlength=11) for mask in masks])
    expected = class_weights("median_frequency", np.arange(11), pixels.astype(float))
    found = np.array(list(script.capped_weights(files).values()))
    np.testing.assert_allclose(found, np.minimum(expected, script.CAP), rtol=1e-6)
    assert found.max() == script.CAP


@pytest.mark.parametrize("name", ["rare_classes", "street_encoder"])
def test_pages_of_streets_have_a_row_for_each_setting(load: Load, name: str) -> None:
    script = load(name)
    result = {"iou": [0.5] * 10 + [0.0], "seconds": 12.0}
    environment = {"versions": "v", "hardware": "h", "date": "2026-01-01"}
    rows = [
        {
            "task": {"setting": setting, "seed": 0},
            "result": result,
            "environment": environment,
        }
        for setting in script.SETTINGS
    ]
    page = script.page(rows, "results/x.jsonl")
    assert page.count("| 45.5 |") == len(script.SETTINGS)


@pytest.mark.slow
def test_two_versions_take_turns(load: Load, tmp_path: Path) -> None:
    script = load("earlier_version")
    what, *seconds, ratio = script.compare("fit_of_two", script.ROOT, tmp_path, 1)
    assert what.startswith("Train on 2 images")
    assert all(float(value) > 0 for value in seconds)
    assert float(ratio.split()[0]) > 0
