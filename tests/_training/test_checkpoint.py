"""Checkpoints: an interrupted training goes on, and ends as if nothing had happened."""

from __future__ import annotations

import copy
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    LRScheduler,
    PrintLog,
    ProgressBar,
)
from torch import nn

from helpers.checkpoint import (
    N_EPOCHS,
    Interrupt,
    assert_equal_weights,
    interrupted,
    segmenter,
)
from helpers.names import name_without_address
from sksegment._segmenter.pretrained import source_contents
from sksegment._training.checkpoint import Checkpoint, open_checkpoint, read_progress
from sksegment._training.fingerprint import fingerprint
from sksegment.augmentation import RandomFlip, RandomNoise
from sksegment.metrics import iou_scorer


def progress(directory: Path) -> dict[str, Any]:
    """Return what the only checkpoint of a directory holds."""
    (file,) = directory.glob("*/checkpoint.pt")
    return read_progress(file)


def without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key != "dur"} for row in history]


def own_network(n_channels: int, n_classes: int) -> nn.Module:
    return nn.Conv2d(n_channels, n_classes, 3, padding=1)


def wider_network(n_channels: int, n_classes: int) -> nn.Module:
    return nn.Conv2d(n_channels, n_classes, 5, padding=2)


class WeightedLoss(nn.Module):
    """A loss whose setting is no tensor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.cross_entropy = nn.CrossEntropyLoss(ignore_index=-1)

    def forward(self, scores: Any, codes: Any, weights: Any) -> Any:
        return self.factor * self.cross_entropy(scores, codes)


class SlowCallback(EpochTimer):  # type: ignore[misc]
    """Meet Ctrl-C in the middle of what a callback does at the end of an epoch."""

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        if len(net.history) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)


@pytest.fixture
def heard() -> Iterator[None]:
    """Let SIGINT interrupt: shells make background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Going on


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"learning_rate_schedule": "constant"},
        {"learning_rate_schedule": "poly", "optimizer": "sgd", "weight_decay": 0.01},
        {"optimizer": "adamw", "norm": "group", "skip": "add"},
        {"crop_size": 8, "crop_sampling": "balanced"},
        {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2},
        {"network": own_network, "class_weight": "balanced"},
    ],
    ids=name_without_address,
)
def test_an_interrupted_training_ends_in_the_same_weights(
    tmp_path: Path, data: Any, parameters: dict[str, Any]
) -> None:
    X, y = data
    interrupted(X, y, 3, checkpoint_dir=tmp_path, **parameters)
    assert len(progress(tmp_path)["history"]) == 2
    resumed = segmenter(checkpoint_dir=tmp_path, **parameters).fit(X, y)
    whole = segmenter(**parameters).fit(X, y)
    assert_equal_weights(resumed, whole)
    assert without_seconds(resumed.history_) == without_seconds(whole.history_)
    assert resumed.best_epoch_ == whole.best_epoch_
    assert resumed.n_iter_ == whole.n_iter_


def test_only_the_epochs_that_are_missing_are_trained(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    interrupted(X, y, 4, checkpoint_dir=tmp_path)
    seconds = [row["dur"] for row in progress(tmp_path)["history"]]
    resumed = segmenter(checkpoint_dir=tmp_path).fit(X, y)
    assert [row["dur"] for row in resumed.history_[:3]] == seconds


def test_a_training_may_be_interrupted_again_and_again(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    for epoch in (1, 2, 4, 4, 6):
        interrupted(X, y, epoch, checkpoint_dir=tmp_path)
    resumed = segmenter(checkpoint_dir=tmp_path).fit(X, y)
    assert_equal_weights(resumed, segmenter().fit(X, y))


def test_augmentation_weights_and_validation_go_on_too(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    steps = (RandomFlip(random_state=3), RandomNoise())
    weights = {"fcnsegmenter__sample_weight": np.arange(6.0)}
    weights |= {"fcnsegmenter__X_val": X[6:], "fcnsegmenter__y_val": y[6:]}
    stop = [Interrupt(3, RuntimeError("power failure"))]
    kept = {"checkpoint_dir": tmp_path, "early_stopping": True}
    with pytest.raises(RuntimeError, match="power failure"):
        make_pipeline(*steps, segmenter(callbacks=stop, **kept)).fit(
            X[:6], y[:6], **weights
        )
    assert len(progress(tmp_path)["history"]) == 2
    resumed = make_pipeline(*steps, segmenter(**kept)).fit(X[:6], y[:6], **weights)
    whole = make_pipeline(*steps, segmenter(early_stopping=True))
    assert_equal_weights(resumed[-1], whole.fit(X[:6], y[:6], **weights)[-1])
    assert not [*tmp_path.iterdir()]


def test_a_warm_start_goes_on_from_its_own_checkpoint(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    first, second = (segmenter(warm_start=True).fit(X, y) for _ in range(2))
    stop = Interrupt(3, RuntimeError("power failure"))
    first.set_params(checkpoint_dir=tmp_path, callbacks=[stop])
    with pytest.raises(RuntimeError, match="power failure"):
        first.fit(X, y)
    first.set_params(callbacks=None).fit(X, y)
    assert_equal_weights(first, second.fit(X, y))
    assert without_seconds(first.history_) == without_seconds(second.history_)
    assert not [*tmp_path.iterdir()]


def test_without_random_state_the_seed_comes_from_the_checkpoint(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    interrupted(X, y, checkpoint_dir=tmp_path, random_state=None)
    found = progress(tmp_path)
    resumed = segmenter(checkpoint_dir=tmp_path, random_state=None).fit(X, y)
    assert resumed._seed == found["seed"]
    assert len(resumed.history_) == N_EPOCHS
    losses = [row["train_loss"] for row in found["history"]]
    assert [row["train_loss"] for row in resumed.history_[:3]] == losses


# One folder a training


def test_a_finished_training_leaves_nothing(tmp_path: Path, data: Any) -> None:
    segmenter(checkpoint_dir=tmp_path / "new" / "folder").fit(*data)
    assert not [*(tmp_path / "new" / "folder").iterdir()]


def other_training(change: str, X: Any, y: Any) -> tuple[dict[str, Any], Any, Any]:
    X, y = X.copy(), y.copy()
    parameters = {}
    if change == "pixel":
        X[0, 0, 0, 0] += 1
    elif change == "label":
        y[0, 0, 0] = (y[0, 0, 0] + 1) % 3
    elif change == "order":
        X, y = X[::-1], y[::-1]
    elif change == "seed":
        parameters = {"random_state": 1}
    else:
        parameters = {"learning_rate": 0.01}
    return parameters, X, y


@pytest.mark.parametrize("change", ["pixel", "label", "order", "seed", "parameter"])
def test_another_training_is_left_alone(tmp_path: Path, data: Any, change: str) -> None:
    X, y = data
    interrupted(X, y, checkpoint_dir=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.pt")}
    parameters, other_X, other_y = other_training(change, X, y)
    other = segmenter(checkpoint_dir=tmp_path, **parameters).fit(other_X, other_y)
    assert_equal_weights(other, segmenter(**parameters).fit(other_X, other_y))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.pt")} == before
    resumed = segmenter(checkpoint_dir=tmp_path).fit(X, y)
    assert_equal_weights(resumed, segmenter().fit(X, y))


@pytest.mark.parametrize("change", ["none", "content"])
def test_of_files_the_content_counts(tmp_path: Path, data: Any, change: str) -> None:
    X, y = (255 * data[0]).astype(np.uint8), data[1]
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path, image in zip(paths, X, strict=False):
        Image.fromarray(image).save(path)
    interrupted(paths, y[:4], checkpoint_dir=tmp_path / "kept")
    if change == "content":
        Image.fromarray(X[5]).save(paths[0])
    os.utime(paths[1])
    seconds = [row["dur"] for row in progress(tmp_path / "kept")["history"]]
    fitted = segmenter(checkpoint_dir=tmp_path / "kept").fit(paths, y[:4])
    goes_on = [row["dur"] for row in fitted.history_[:3]] == seconds
    assert goes_on == (change == "none")


def test_the_settings_of_a_loss_of_ones_own_count(tmp_path: Path, data: Any) -> None:
    X, y = data
    loss = WeightedLoss(1)
    interrupted(X, y, checkpoint_dir=tmp_path, loss=loss)
    (file,) = tmp_path.glob("*/checkpoint.pt")
    before = file.read_bytes()
    segmenter(checkpoint_dir=tmp_path, loss=WeightedLoss(2)).fit(X, y)
    assert file.read_bytes() == before
    loss.cross_entropy.weight = torch.tensor([1.0, 2.0, 3.0])
    segmenter(checkpoint_dir=tmp_path, loss=loss).fit(X, y)
    assert file.read_bytes() == before
    segmenter(checkpoint_dir=tmp_path, loss=WeightedLoss(1)).fit(X, y)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_segmenter_to_start_from_counts_by_its_weights(
    tmp_path: Path, data: Any, factor: float
) -> None:
    # The program that is run again trains it again: in other seconds.
    X, y = data
    interrupted(X, y, checkpoint_dir=tmp_path, pretrained=segmenter().fit(X, y))
    (file,) = tmp_path.glob("*/checkpoint.pt")
    source = segmenter().fit(X, y)
    with torch.no_grad():
        next(source.network_.parameters()).mul_(factor)
    resumed = segmenter(checkpoint_dir=tmp_path, pretrained=source).fit(X, y)
    assert_equal_weights(resumed, segmenter(pretrained=source).fit(X, y))
    assert file.exists() == (factor != 1)


def test_of_a_file_to_start_from_the_content_counts(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.pth"
    assert source_contents(path) == path  # that there is none, fit will say
    path.write_bytes(b"one")
    one = source_contents(path)
    path.write_bytes(b"two")
    assert source_contents(str(path)) != one
    path.rename(tmp_path / "renamed.pth")
    (tmp_path / "renamed.pth").write_bytes(b"one")
    assert source_contents(tmp_path / "renamed.pth") == one


class Clip(Callback):  # type: ignore[misc]
    """A callback of one's own, which counts."""

    def __init__(self, limit: Any = 1e-3) -> None:
        self.limit = limit
        self.n_steps = 0

    def on_grad_computed(self, net: Any, **_: Any) -> None:
        self.n_steps += 1
        nn.utils.clip_grad_norm_(net.module_.parameters(), float(self.limit))


def unit_scale(parameter: Any) -> None:
    parameter.data.fill_(0.1)


CALLBACKS = {
    "none": [],
    "clipping": [GradientNormClipping(1e-3)],
    "clipping less": [GradientNormClipping(1)],
    "frozen": [Freezer("*.weight")],
    "frozen later": [Freezer("*.weight", at=2)],
    "initialised": [Initializer("*.bias", fn=unit_scale)],
    "own class": [Clip],
    "own": [Clip(1e-2)],
    "tensor": [Clip(torch.tensor(1.0))],
}


def named_by(callbacks: list[Any]) -> str:
    return fingerprint({"callbacks": callbacks}, 0, [], [], {})


def test_callbacks_tell_trainings_apart_unless_they_only_watch() -> None:
    assert len({named_by(callbacks) for callbacks in CALLBACKS.values()}) == 9
    both = [*CALLBACKS["own"], *CALLBACKS["frozen"]]
    assert named_by(both) != named_by(both[::-1])
    assert named_by([ProgressBar(), PrintLog, EpochTimer()]) == named_by([])


@pytest.mark.parametrize("name", ["clipping", "frozen", "initialised", "own"])
def test_a_training_without_its_callbacks_is_another(
    tmp_path: Path, data: Any, name: str
) -> None:
    X, y = data
    callbacks = copy.deepcopy(CALLBACKS[name])
    interrupted(X, y, 3, callbacks=callbacks, checkpoint_dir=tmp_path)
    before = progress(tmp_path)["history"]
    other = segmenter(checkpoint_dir=tmp_path).fit(X, y)
    assert_equal_weights(other, segmenter().fit(X, y))
    assert progress(tmp_path)["history"] == before


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("whose", ["used", "new"])
def test_callbacks_are_known_again(
    tmp_path: Path, data: Any, name: str, whose: str
) -> None:
    X, y = data[0][:2], data[1][:2]
    callbacks = copy.deepcopy(CALLBACKS[name])
    interrupted(X, y, 3, callbacks=callbacks, checkpoint_dir=tmp_path)
    if whose == "new":  # as in another process
        callbacks = copy.deepcopy(CALLBACKS[name])
    named = [(f"own_{index}", one) for index, one in enumerate(callbacks)]
    segmenter(checkpoint_dir=tmp_path, callbacks=[ProgressBar(), *named]).fit(X, y)
    assert not [*tmp_path.iterdir()]


def test_a_callback_that_no_other_process_could_find_is_refused(
    tmp_path: Path, data: Any
) -> None:
    frozen = Freezer(lambda name: "encoder" in name)
    with pytest.raises(
        TypeError, match=r"patterns of Freezer in callbacks is .*lambda"
    ):
        segmenter(checkpoint_dir=tmp_path, callbacks=[frozen]).fit(*data)


def test_a_network_that_changed_under_its_name_is_told(
    tmp_path: Path, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(*data, checkpoint_dir=tmp_path, network=own_network)
    monkeypatch.setattr(own_network, "__code__", wider_network.__code__)
    model = segmenter(checkpoint_dir=tmp_path, network=own_network)
    with pytest.raises(ValueError, match=r"checkpoint\.pt' is of another network"):
        model.fit(*data)
    (file,) = tmp_path.glob("*/checkpoint.pt")
    file.unlink()
    model.fit(*data)


def test_trainings_alike_at_the_same_time_have_a_folder_each(tmp_path: Path) -> None:
    with open_checkpoint(tmp_path, "a") as one:
        one.save({"seed": 1})
        with open_checkpoint(tmp_path, "a") as two:
            assert two.progress == {}
            two.save({"seed": 2})
            assert one.path != two.path
        assert not two.path.exists()
        assert one.path.exists()
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("one_thread")  # as the workers have
def test_the_fits_of_a_search_share_a_directory(tmp_path: Path, data: Any) -> None:
    X, y = data
    grid = {"learning_rate": [1e-2, 1e-3]}

    def search(n_jobs: int, **parameters: Any) -> Any:
        model = segmenter(max_epochs=2, classes=range(3), **parameters)
        searched = GridSearchCV(
            model, grid, scoring=iou_scorer, cv=2, n_jobs=n_jobs, refit=False
        )
        return searched.fit(X, y).cv_results_["mean_test_score"]

    kept = search(2, checkpoint_dir=tmp_path)
    np.testing.assert_array_equal(kept, search(1))
    assert not [*tmp_path.iterdir()]


def test_a_training_is_found_again_by_another_process(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    interrupted(X, y, checkpoint_dir=tmp_path, steps=(RandomFlip(),))
    script = f"""
from sksegment.augmentation import RandomFlip
from helpers.checkpoint import *
from sksegment.datasets import make_shapes
X, y = make_shapes(8, size=16, n_classes=3, random_state=0)
interrupted(X, y, 6, checkpoint_dir={str(tmp_path)!r}, steps=(RandomFlip(),))
"""
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    # This tree, installed or not.
    environment["PYTHONPATH"] = os.pathsep.join([str(tests.parent), str(tests)])
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert len(progress(tmp_path)["history"]) == 5


# What goes wrong


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_raises_and_leaves_the_old_checkpoint(
    tmp_path: Path, data: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    X, y = data
    before = segmenter(max_epochs=1).fit(X, y)
    model = segmenter(checkpoint_dir=tmp_path)
    model.__dict__.update({**vars(before), **model.get_params()})
    interrupted(X, y, 3, checkpoint_dir=tmp_path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"sksegment._atomic_write.os.{call}", full)
        with pytest.raises(OSError, match="checkpoint cannot be written") as raised:
            model.fit(X, y)
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.glob("*/*")] == ["checkpoint.pt"]
    assert len(progress(tmp_path)["history"]) == 2
    assert_equal_weights(model, before)  # the fit that failed changed nothing
    assert_equal_weights(model.fit(X, y), segmenter().fit(X, y))


def test_a_folder_that_cannot_be_made_is_told_before_training(
    tmp_path: Path, data: Any
) -> None:
    (tmp_path / "file").touch()
    model = segmenter(checkpoint_dir=tmp_path / "file" / "folder")
    with pytest.raises(NotADirectoryError, match=r"checkpoint_dir is '.*file.folder'"):
        model.fit(*data)
    assert not hasattr(model, "network_")


def test_errors_of_the_disk_do_not_hide_the_first_error(
    tmp_path: Path, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("sksegment._atomic_write.os.replace", read_only)
        patch.setattr("pathlib.Path.unlink", read_only)
        with pytest.raises(OSError, match="the checkpoint cannot be written") as error:
            segmenter(checkpoint_dir=tmp_path).fit(*data)
    assert error.value.errno == errno.EROFS
    segmenter(checkpoint_dir=tmp_path).fit(*data)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("where", [0, 40, -1])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, data: Any, where: int) -> None:
    X, y = data
    interrupted(X, y, checkpoint_dir=tmp_path)
    (file,) = tmp_path.glob("*/checkpoint.pt")
    content = bytearray(file.read_bytes())
    content[where] ^= 1
    file.write_bytes(content)
    with pytest.raises(OSError, match=r"checkpoint\.pt' is damaged.*Remove it"):
        segmenter(checkpoint_dir=tmp_path).fit(X, y)
    file.unlink()
    segmenter(checkpoint_dir=tmp_path).fit(X, y)


def test_a_checkpoint_makes_no_objects_of_other_classes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "checkpoint.pt"
    path.parent.mkdir()
    Checkpoint(path, {}).save({"seed": path})
    with (
        pytest.raises(OSError, match=r"cannot be read; .*Remove it"),
        open_checkpoint(tmp_path, "a"),
    ):
        pass


def test_ctrl_c_reaches_the_caller_and_the_training_goes_on(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    stop = Interrupt(3, KeyboardInterrupt())
    model = segmenter(checkpoint_dir=tmp_path, callbacks=[stop], classes=range(3))
    search = GridSearchCV(model, {"depth": [1]}, scoring=iou_scorer, cv=2, refit=False)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    assert len(progress(tmp_path)["history"]) == 2
    model.set_params(callbacks=None)
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    model.set_params(checkpoint_dir=None)
    np.testing.assert_array_equal(
        scores, search.fit(X, y).cv_results_["mean_test_score"]
    )


def test_ctrl_c_while_a_checkpoint_is_written_reaches_the_caller(
    tmp_path: Path, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctrl_c(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sksegment._atomic_write.os.fsync", ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            segmenter(checkpoint_dir=tmp_path).fit(*data)
    assert not [*tmp_path.iterdir()]


def test_ctrl_c_within_a_callback_is_not_a_stop_request(
    tmp_path: Path, data: Any, heard: None
) -> None:
    X, y = data
    model = segmenter(checkpoint_dir=tmp_path, callbacks=[SlowCallback()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "network_")
    assert len(progress(tmp_path)["history"]) == 2
    resumed = segmenter(checkpoint_dir=tmp_path).fit(X, y)
    assert_equal_weights(resumed, segmenter().fit(X, y))


def test_callbacks_may_be_called_as_those_of_sksegment(
    tmp_path: Path, data: Any
) -> None:
    named = [("early_stopping", EpochTimer())]
    for stops in (False, True):
        model = segmenter(
            checkpoint_dir=tmp_path, callbacks=named, early_stopping=stops
        )
        whole = segmenter(early_stopping=stops).fit(*data)
        assert_equal_weights(model.fit(*data), whole)


def test_a_training_that_diverges_leaves_no_checkpoint(
    tmp_path: Path, data: Any
) -> None:
    model = segmenter(
        checkpoint_dir=tmp_path, optimizer="sgd", learning_rate=1e30, norm=None
    )
    with pytest.raises(ValueError, match="NaN or infinite"):
        model.fit(*data)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("callback", [LRScheduler(), EarlyStopping, ("a", LRScheduler)])
def test_callbacks_whose_state_would_be_lost_are_refused(
    tmp_path: Path, data: Any, callback: Any
) -> None:
    model = segmenter(
        checkpoint_dir=tmp_path,
        callbacks=[callback],
        learning_rate_schedule="constant",
    )
    with pytest.raises(ValueError, match="a checkpoint does not keep"):
        model.fit(*data)


def test_what_no_other_process_could_find_is_refused(tmp_path: Path, data: Any) -> None:
    model = segmenter(checkpoint_dir=tmp_path, network=lambda *args: own_network(*args))
    with pytest.raises(TypeError, match=r"network is <function.*functions of a module"):
        model.fit(*data)
