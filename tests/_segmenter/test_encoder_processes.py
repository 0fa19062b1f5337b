"""Encoders of timm that are trained by two processes, or by one that is killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.processes import ROOT, launch, results_of_one_and_two
from sksegment._training.data_parallel import _check_layers
from sksegment.networks._encoder_fcn import EncoderFCN

pytestmark = pytest.mark.usefixtures("timm")

COMMON = f"""
import hashlib, os, signal, sys
sys.path.insert(0, {str(ROOT / "docs" / "benchmarks" / "scripts" / "lib")!r})
import torchvision_stub
torchvision_stub.install()
import joblib
import torch
from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes

torch.set_num_threads(1)
folder = sys.argv[1]
rank = os.environ.get("RANK", "alone")
X, y = make_shapes(n_samples=5, size=24, n_classes=3, random_state=0)


def segmenter(**parameters):
    defaults = {{"encoder": "test_resnet", "width": 2, "max_epochs": 2}}
    defaults |= {{"random_state": 0, "device": "cpu", "precision": "float32"}}
    return FCNSegmenter(**{{**defaults, **parameters}})
"""

TOGETHER = (
    COMMON
    + """
# One image in a batch: its maps have one value at the stride, and a process has none.
settings = {
    "batch norm": {"norm": None, "optimizer": "sgd", "batch_size": 1},
    "transformer": {"encoder": "test_vit", "norm": None, "batch_size": 1},
    "frozen": {"encoder": "test_efficientnet", "depth": 3, "norm": None},
}
settings["frozen"]["encoder_learning_rate"] = 0
found = {}
for name, parameters in settings.items():
    fitted = segmenter(**parameters).fit(X, y)
    weights = {k: v.numpy() for k, v in fitted.network_.state_dict().items()}
    found[name] = [row["train_loss"] for row in fitted.history_], weights
try:
    segmenter(encoder="test_efficientnet", depth=3).fit(X, y)
except ValueError as error:
    found["refused"] = str(error)
joblib.dump(found, f"{folder}/{rank}.joblib")
"""
)


@pytest.fixture(scope="module")
def results(timm: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process learns, and what each of two learns."""
    return results_of_one_and_two(TOGETHER, tmp_path_factory.mktemp("together"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch norm", "transformer", "frozen"])
def test_two_processes_learn_what_one_learns(
    name: str, results: dict[str, Any]
) -> None:
    losses, weights = results["alone"][name]
    for rank in "01":
        np.testing.assert_allclose(results[rank][name][0], losses, rtol=0, atol=1e-6)
        for key, expected in weights.items():
            np.testing.assert_allclose(
                results[rank][name][1][key], expected, rtol=0, atol=1e-5, err_msg=key
            )
    for key, expected in results["0"][name][1].items():
        np.testing.assert_array_equal(results["1"][name][1][key], expected)


@pytest.mark.slow
def test_layers_that_cannot_be_shared_are_named(results: dict[str, Any]) -> None:
    assert "refused" not in results["alone"]
    for rank in "01":
        assert "BatchNormAct2d, which several proc" in results[rank]["refused"]
        assert "encoder_learning_rate=0" in results[rank]["refused"]


def test_only_a_frozen_encoder_may_have_layers_of_its_own() -> None:
    network = EncoderFCN(3, 2, "test_efficientnet", depth=3, width=2)
    network.frozen = True
    _check_layers(network)
    network.frozen = False
    with pytest.raises(ValueError, match=r"'encoder\.bn1' of the network is a BatchN"):
        _check_layers(network)


KILLED = (
    COMMON
    + """
def train(factor, kept):
    fitted = segmenter(
        encoder_learning_rate=factor, depth=3, max_epochs=5, checkpoint_dir=kept
    ).fit(X, y)
    digest = hashlib.sha256()
    for name, tensor in fitted.network_.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def die_in_call(number):
    real, calls = os.replace, []
    def counted(*args):
        calls.append(args)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    os.replace = counted


killed = resumed = equal = 0
for factor in (None, 0):
    whole = train(factor, None)
    for number in (2, 5):
        kept = f"{folder}/{factor}{number}"
        pid = os.fork()
        if not pid:
            die_in_call(number)
            train(factor, kept)
            os._exit(0)
        killed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        resumed += len(os.listdir(kept))
        equal += train(factor, kept) == whole
print(killed, resumed, equal)
"""
)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_killed_training_resumes_to_the_weights_of_one_that_was_not(
    tmp_path: Path,
) -> None:
    finished = launch(KILLED, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert [int(number) for number in finished.stdout.split()] == [4, 4, 4]
