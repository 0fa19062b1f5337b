"""One network trained by two processes, against one that a single process trains."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from helpers.processes import (
    TORCHRUN,
    launch,
    results_of_one_and_two,
    skip_without_gloo,
)
from sksegment._torch.processes import Processes
from sksegment._training.data_parallel import SharedBatchNorm

COMMON = """
import os
import sys
import joblib
import numpy as np
import torch
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes

torch.set_num_threads(1)
folder = sys.argv[1]
rank = os.environ.get("RANK", "alone")
X, y = make_shapes(n_samples=9, size=24, n_classes=3, random_state=0)
# Batches of 2 and 3 images of different sizes, and one that a process has no share of.
images = [image[: 16 + index] for index, image in enumerate(X)]
masks = [mask[: 16 + index] for index, mask in enumerate(y)]


def segmenter(**parameters):
    defaults = {"depth": 1, "width": 4, "max_epochs": 4, "learning_rate": 1e-3}
    # In bfloat16, sums over shares would be rounded otherwise.
    defaults |= {"random_state": 0, "device": "cpu", "precision": "float32"}
    return FCNSegmenter(**{**defaults, **parameters})


def told(fitted):
    return {
        "losses": [row["train_loss"] for row in fitted.history_],
        "ious": [row.get("valid_iou") for row in fitted.history_],
        "weights": {k: v.numpy() for k, v in fitted.network_.state_dict().items()},
        "kinds": [type(layer).__name__ for layer in fitted.network_.modules()],
        "probabilities": fitted.predict_proba(X),
    }
"""

EQUAL = (
    COMMON
    + """
settings = {
    "none": {"norm": None},
    "group": {"norm": "group"},
    "batch": {"norm": "batch"},
    "single": {"norm": None, "batch_size": 1},
    "weighted": {"norm": None, "class_weight": "balanced", "crop_size": 12},
    "stopping": {"norm": None, "early_stopping": True, "loss": "focal"},
    "filters": {"network": "filter_bank"},
}
found = {}
for name, parameters in settings.items():
    pipeline = make_pipeline(RandomFlip(), segmenter(**parameters))
    found[name] = told(pipeline.fit(images, masks)[-1])
unseeded = segmenter(random_state=None, max_epochs=1).fit(X, y)
found["unseeded"] = told(unseeded)
joblib.dump(found, f"{folder}/{rank}.joblib")
"""
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process learns, and what each of two learns."""
    return results_of_one_and_two(EQUAL, tmp_path_factory.mktemp("parallel"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["none", "group", "single", "weighted", "stopping", "filters"]
)
def test_two_processes_learn_what_one_learns(
    name: str, results: dict[str, Any]
) -> None:
    alone, first = results["alone"][name], results["0"][name]
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=0, atol=1e-6)
    for key, expected in alone["weights"].items():
        # Adam enlarges the rounding of gradients that are nearly 0.
        np.testing.assert_allclose(first["weights"][key], expected, rtol=0, atol=1e-5)
    if name == "stopping":
        np.testing.assert_allclose(first["ious"], alone["ious"], rtol=0, atol=1e-3)


@pytest.mark.slow
def test_batch_normalisation_sees_the_whole_batch(results: dict[str, Any]) -> None:
    alone, first = results["alone"]["batch"], results["0"]["batch"]
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=0, atol=1e-6)
    for key, expected in alone["weights"].items():
        # A bias before batch normalisation has no effect: Adam follows its rounding,
        # and the running mean follows the bias.
        if not key.endswith(("0.bias", "up.bias", "running_mean")):
            np.testing.assert_allclose(
                first["weights"][key], expected, rtol=1e-4, atol=1e-5
            )
    assert first["kinds"] == alone["kinds"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", "batch", "unseeded", "stopping"])
def test_all_processes_end_fitted_and_equal(name: str, results: dict[str, Any]) -> None:
    first, second = results["0"][name], results["1"][name]
    assert first["losses"] == second["losses"]
    for key, expected in first["weights"].items():
        np.testing.assert_array_equal(second["weights"][key], expected)
    np.testing.assert_array_equal(first["probabilities"], second["probabilities"])


FAILING = (
    COMMON
    + """
from skorch.callbacks import Callback


class Fail(Callback):
    def on_epoch_end(self, net, **kwargs):
        if rank == "1" and len(net.history) == 2:
            raise RuntimeError("the disk of this process is gone")


try:
    segmenter(loss="dice").fit(X, y)
except ValueError as error:
    open(f"{folder}/refused{rank}", "w").write(str(error))
folds = [([0, 1], [2]), ([1, 2], [0])]
scores = cross_val_score(segmenter(max_epochs=1), X, y, cv=folds, n_jobs=2)
open(f"{folder}/scores{rank}", "w").write(repr(scores.tolist()))
kept = segmenter(checkpoint_dir=f"{folder}/checkpoints", callbacks=[Fail], verbose=1)
kept.fit(X, y)
"""
)


@pytest.mark.slow
def test_what_cannot_be_shared_is_refused_and_one_failure_ends_all(
    results: dict[str, Any], tmp_path: Path
) -> None:
    finished = launch(FAILING, tmp_path, *TORCHRUN)
    assert finished.returncode != 0
    assert "the disk of this process is gone" in finished.stderr
    for rank in "01":
        refused = (tmp_path / f"refused{rank}").read_text()
        assert "loss is 'dice'" in refused
        # Workers of joblib inherit what the launcher tells, and do not join.
        assert (tmp_path / f"scores{rank}").exists()
    # The first process alone prints, and writes checkpoints.
    assert finished.stdout.count("train_loss") == 1
    assert len([*(tmp_path / "checkpoints").iterdir()]) == 1


@pytest.mark.slow
def test_accelerate_launches_it_as_well(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="needs pip install accelerate")
    script = (
        COMMON + 'joblib.dump(told(segmenter().fit(X, y)), f"{folder}/{rank}.joblib")'
    )
    launcher = (
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
    )
    finished = launch(script, tmp_path, *launcher, "--num_machines", "1")
    assert finished.returncode == 0, finished.stderr
    first, second = (joblib.load(tmp_path / f"{rank}.joblib") for rank in "01")
    assert first["losses"] == second["losses"]


# The parts


@pytest.mark.parametrize("n_items", range(6))
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_even_and_complete(n_items: int, count: int) -> None:
    items = [*range(n_items)]
    shares = [items[Processes(rank, count).own_share(n_items)] for rank in range(count)]
    assert [item for share in shares for item in share] == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture
def lone_group(tmp_path: Path) -> Iterator[None]:
    """A process group of one: sums over it are those of this process."""
    skip_without_gloo()
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 3, 1, 2), (1, 3, 1, 1)])
def test_shared_batch_normalisation_is_that_of_torch(
    shape: tuple[int, ...], momentum: float | None, lone_group: None
) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(shape, generator=generator, requires_grad=True)
    expected = nn.BatchNorm2d(3, momentum=momentum)
    with torch.no_grad():
        expected.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
    shared = copy.deepcopy(expected)
    shared.__class__ = SharedBatchNorm
    if shape == (1, 3, 1, 1):  # torch refuses; the running statistics are used
        expected.eval()
    answers = [layer(inputs).square().sum() for layer in (expected, shared)]
    gradients = [torch.autograd.grad(answer, inputs)[0] for answer in answers]
    torch.testing.assert_close(*answers)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
    for name, values in expected.state_dict().items():
        if "var" in name or "mean" in name:
            torch.testing.assert_close(shared.state_dict()[name], values)


@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (1, 3, 1, 1)])
def test_without_values_to_share_the_statistics_are_used_and_stay(
    shape: tuple[int, ...], lone_group: None
) -> None:
    inputs = torch.ones(shape, requires_grad=True)
    shared = nn.BatchNorm2d(3)
    shared.__class__ = SharedBatchNorm
    before = copy.deepcopy(shared.state_dict())
    shared(inputs).sum().backward()
    assert shared.weight.grad is not None  # other processes wait for it
    for name, values in shared.state_dict().items():
        assert torch.equal(values, before[name]), name
