"""Lines and bars: who sees what, and where."""

from __future__ import annotations

import io
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from torch import nn
from tqdm import tqdm

from sksegment import FCNSegmenter, iou_scorer
from sksegment._inputs import progress
from sksegment._training import epoch_log
from sksegment.datasets import make_shapes
from sksegment.metrics import _scorers

ROOT = Path(__file__).parents[2]
FIT = re.compile(r"\[fit ([0-9a-f]{4})\] FCNSegmenter\(.*: \d+ images, 2 epochs, .* s,")


def small(**parameters: Any) -> FCNSegmenter:
    settings = {"depth": 1, "width": 2, "max_epochs": 2, "random_state": 0}
    return FCNSegmenter(**{**settings, **parameters})


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    return make_shapes(12, size=16, n_classes=2, random_state=0)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Take the streams for terminals; returns what is written to them."""
    for module in (progress, epoch_log):
        monkeypatch.setattr(module, "is_terminal", lambda stream: True)
    # Otherwise tqdm leaves out what is too quick to be read.
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    return capsys


def test_what_is_a_terminal() -> None:
    assert progress.is_terminal(Terminal())
    assert not progress.is_terminal(io.StringIO())
    assert not progress.is_terminal(None)  # as in a program without a console


def test_bars_on_a_terminal(data: Any, terminal: Any) -> None:
    X, y = data
    segmenter = small(verbose=2).fit(X, y)
    shown = terminal.readouterr().err
    for title in ("checking", "epoch 1", "epoch 2"):
        assert title in shown
    segmenter.predict(X)
    segmenter.score(X, y)
    shown = terminal.readouterr().err
    assert all(word in shown for word in ("predicting", "scoring"))
    segmenter.set_params(tile_size=16).predict(np.tile(X[:1], (1, 3, 3, 1)))
    assert "tiles" in terminal.readouterr().err


def test_progress_changes_no_number(data: Any, terminal: Any) -> None:
    one, two = (small(verbose=verbose).fit(*data) for verbose in (0, 2))
    np.testing.assert_array_equal(
        one.predict_proba(data[0]), two.predict_proba(data[0])
    )


@pytest.mark.parametrize("verbose", [0, 1])
def test_no_bars_below_2(data: Any, terminal: Any, verbose: int) -> None:
    small(verbose=verbose).fit(*data).score(*data)
    out, err = terminal.readouterr()
    assert err == ""
    assert (out != "") == bool(verbose)


def test_colors_on_a_terminal_only(data: Any, capsys: Any) -> None:
    small(verbose=1).fit(*data)
    assert "\x1b" not in capsys.readouterr().out


def test_colors_on_a_terminal(data: Any, terminal: Any) -> None:
    small(verbose=1).fit(*data)
    assert "\x1b" in terminal.readouterr().out


@pytest.mark.parametrize("verbose", [1, 2])
def test_a_redirected_log_is_plain_text(data: Any, capsys: Any, verbose: int) -> None:
    small(verbose=verbose, max_epochs=3).fit(*data).score(*data)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 + 3
    assert err == ""
    assert out.isprintable() or set(out) - {"\n"} == set(out.replace("\n", ""))
    assert "\r" not in out


def test_a_notebook_without_widgets_gets_a_line(
    data: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    small(verbose=2).fit(*data)
    assert "epoch 1" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [1, 2])
def test_a_program_without_a_console(
    data: Any, monkeypatch: pytest.MonkeyPatch, verbose: int
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    small(verbose=verbose).fit(*data).predict(data[0])


def run_search(backend: str) -> str:
    code = f"""
import numpy as np, joblib
from sklearn.model_selection import GridSearchCV
from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes
X, y = make_shapes(12, size=16, n_classes=2, random_state=0)
model = FCNSegmenter(depth=1, width=2, max_epochs=2, random_state=0, verbose=2)
with joblib.parallel_config({backend!r}):
    GridSearchCV(model, {{"width": [2, 3]}}, cv=2, n_jobs=2, refit=False).fit(X, y)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        check=True,
        text=True,
        timeout=300,
    )
    return done.stdout


def test_threads_print_one_line_a_fit_that_names_it(data: Any, capsys: Any) -> None:
    model = small(verbose=2)
    with joblib.parallel_config("threading"):
        GridSearchCV(model, {"width": [2, 3]}, cv=2, n_jobs=2, refit=False).fit(*data)
    check_lines(capsys.readouterr().out)


@pytest.mark.slow
def test_workers_print_one_line_a_fit_that_names_it() -> None:
    check_lines(run_search("loky"))


def check_lines(printed: str) -> None:
    lines = printed.splitlines()
    assert len(lines) == 4
    found = [FIT.match(line) for line in lines]
    assert all(found)
    # Two folds, told apart by their number; two candidates, by their parameters.
    assert len({match.group(1) for match in found}) == 2
    assert sum("width=3" in line for line in lines) == 2


def test_a_search_in_one_process_keeps_its_tables(data: Any, capsys: Any) -> None:
    GridSearchCV(small(verbose=1), {"width": [2]}, cv=2, n_jobs=1).fit(*data)
    assert capsys.readouterr().out.count("train_loss") == 3


def test_blocks_are_counted(data: Any, terminal: Any, tmp_path: Path) -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("zarr")
    from sksegment.blocks import predict_to_zarr

    image = np.tile(data[0][0], (4, 4, 1))
    segmenter = small(verbose=2).fit(*data)
    terminal.readouterr()
    predict_to_zarr(segmenter, image, tmp_path / "out", block_size=16)
    assert "writing" in terminal.readouterr().err
    segmenter.set_params(verbose=1)
    predict_to_zarr(segmenter, image, tmp_path / "other", block_size=16)
    assert terminal.readouterr().err == ""


# Messages


class Interrupts(nn.Module):
    """A network at which Ctrl-C strikes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)

    def forward(self, images: Any) -> Any:
        if self.training:
            raise KeyboardInterrupt
        return self.layer(images)


def interrupting(n_channels: int, n_classes: int) -> nn.Module:
    return Interrupts()


@pytest.mark.parametrize("keeps", [False, True])
def test_an_interrupted_fit_mentions_the_checkpoint(
    data: Any, tmp_path: Path, keeps: bool
) -> None:
    folder = tmp_path if keeps else None
    segmenter = FCNSegmenter(network=interrupting, checkpoint_dir=folder)
    with pytest.raises(KeyboardInterrupt) as caught:
        segmenter.fit(*data)
    (note,) = caught.value.__notes__
    assert "checkpoint_dir" in note
    assert ("is lost" in note) != keeps
    assert not hasattr(segmenter, "network_")


class InterruptedOnce(nn.Module):
    """A network at which Ctrl-C strikes once, in the second batch of all."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)

    def forward(self, images: Any) -> Any:
        if self.training:
            InterruptedOnce.calls += 1
            if InterruptedOnce.calls == 2:
                raise KeyboardInterrupt
        return self.layer(images)


def interrupted_once(n_channels: int, n_classes: int) -> nn.Module:
    return InterruptedOnce()


@pytest.mark.parametrize("form", ["arrays", "files"])
def test_nothing_is_left_of_an_interrupted_fit(
    data: Any,
    form: str,
    tmp_path: Path,
    terminal: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(InterruptedOnce, "calls", 0)
    X, y = data
    if form == "files":
        X = [tmp_path / f"{index}.png" for index in range(len(X))]
        for path, image in zip(X, data[0], strict=True):
            Image.fromarray((image * 255).astype(np.uint8)).save(path)
    segmenter = FCNSegmenter(
        network=interrupted_once, batch_size=4, max_epochs=2, random_state=0, verbose=2
    )
    threads = {*threading.enumerate()}
    # A notebook keeps the traceback, and so all frames, as `caught` does here.
    with pytest.raises(KeyboardInterrupt) as caught:
        segmenter.fit(X, y)
    shown = terminal.readouterr().err
    assert "epoch 1:" in shown
    assert shown.endswith("\r")  # the line is empty again
    assert not shown.split("\r")[-2].strip()
    assert not [*tqdm._instances]
    assert {*threading.enumerate()} == threads
    assert not hasattr(segmenter, "network_")
    segmenter.fit(X, y)
    shown = terminal.readouterr().err
    assert "epoch 2:" in shown
    assert "\n" not in shown  # no bar below another one
    other = clone(segmenter).set_params(verbose=0).fit(X, y)
    np.testing.assert_array_equal(
        segmenter.predict_proba(X[:1])[0], other.predict_proba(X[:1])[0]
    )
    assert caught.tb is not None


def test_an_interrupted_score_leaves_no_bar(
    data: Any, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = small(verbose=2).fit(*data)
    monkeypatch.setattr(_scorers, "CHUNK_PIXELS", 1)

    def interrupted(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_scorers, "accumulate_part", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        segmenter.score(*data)
    assert not [*tqdm._instances]
    assert caught.tb is not None


def make_local() -> Any:
    def network(n_channels: int, n_classes: int) -> nn.Module:
        return nn.Conv2d(n_channels, n_classes, 1)

    return network


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"network": lambda n, k: nn.Conv2d(n, k, 1)}, "network is a lambda"),
        ({"network": make_local()}, "network is a function in a function"),
        ({"loss": lambda scores, codes, weights: scores.sum()}, "loss is a lambda"),
    ],
)
def test_functions_without_a_name_are_refused_when_pickled(
    parameters: Any, message: str, tmp_path: Path
) -> None:
    segmenter = FCNSegmenter(**parameters)
    with pytest.raises(pickle.PicklingError, match=message):
        pickle.dumps(segmenter)
    with pytest.raises(pickle.PicklingError, match=message):
        joblib.dump(segmenter, tmp_path / "model.joblib")


def test_they_are_cloned_and_copied() -> None:
    from copy import deepcopy

    import cloudpickle

    segmenter = FCNSegmenter(network=lambda n, k: nn.Conv2d(n, k, 1), max_epochs=1)
    for again in (
        clone(segmenter),
        deepcopy(segmenter),
        pickle.loads(cloudpickle.dumps(segmenter)),
    ):
        assert again.network(3, 2).out_channels == 2


@pytest.mark.slow
def test_they_reach_worker_processes(data: Any) -> None:
    segmenter = FCNSegmenter(network=lambda n, k: nn.Conv2d(n, k, 1), max_epochs=1)
    scores = cross_val_score(segmenter, *data, cv=2, n_jobs=2, scoring=iou_scorer)
    assert np.isfinite(scores).all()
