"""Training that runs out of memory, and the estimate of what it takes."""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.out_of_memory import (
    CPU,
    FORWARD,
    OTHER_ERRORS,
    fail,
    small,
    too_large,
)
from sksegment import FCNSegmenter
from sksegment._prediction import predictor
from sksegment._training import batches
from sksegment._training.memory_estimate import training_bytes
from sksegment.losses import CrossEntropyLoss
from sksegment.networks import FCN

NAMES_ALL = (
    r"Training ran out of memory on cpu with batch_size=3 and crop_size=\(32, 48\): "
    r"the largest batch holds 3 of 32x48 pixels, which takes an estimated \d+ MiB\."
)


def state(segmenter: FCNSegmenter) -> dict[str, Any]:
    tensors = segmenter.network_.state_dict()
    return {name: tensor.clone() for name, tensor in tensors.items()}


def fail_with_values(network: FCN, images: Tensor) -> Tensor:
    if not images.is_meta:
        fail()
    return FORWARD(network, images)


@pytest.mark.parametrize(
    "place, name",
    [
        (FCN, "forward"),
        (CrossEntropyLoss, "forward"),
        (Tensor, "backward"),
        (torch.optim.Adam, "step"),
        (batches, "standardize"),
    ],
)
@pytest.mark.parametrize("how", ["fit", "warm_start", "partial_fit"])
def test_training_tells_what_would_fit_and_keeps_the_fit(
    data: Any, monkeypatch: Any, steps: list[str], place: Any, name: str, how: str
) -> None:
    X, y = data
    segmenter = small(batch_size=3, crop_size=(32, 48)).fit(X, y)
    before, history, labels = state(segmenter), segmenter.history_, segmenter.predict(X)
    segmenter.set_params(warm_start=how == "warm_start")
    again = segmenter.partial_fit if how == "partial_fit" else segmenter.fit
    with monkeypatch.context() as patched:
        patched.setattr(place, name, fail_with_values if place is FCN else fail)
        with pytest.raises(MemoryError, match=NAMES_ALL) as caught:
            again(X, y)
    assert "CUDA out of memory. Tried to allocate" in str(caught.value)
    assert caught.value.__context__ is caught.value.__cause__ is None
    assert all(torch.equal(state(segmenter)[key], before[key]) for key in before)
    assert segmenter.history_ == history
    np.testing.assert_array_equal(segmenter.predict(X), labels)
    # As if nothing had happened.
    expected = small(batch_size=3, crop_size=(32, 48)).fit(X, y)
    if how == "partial_fit":
        expected.partial_fit(X, y)
    else:
        expected.set_params(warm_start=how == "warm_start").fit(X, y)
    after = again(X, y)
    assert all(torch.equal(state(after)[key], state(expected)[key]) for key in before)


def test_the_largest_batch_is_that_of_the_largest_images(limit: Any) -> None:
    sizes = [(16, 40), (30, 20), (8, 8)]
    X, y = [np.ones(size) for size in sizes], [np.eye(*size) for size in sizes]
    limit(0)
    with pytest.raises(MemoryError, match=r"holds 2 of 30x40 pixels.*size below 40"):
        small(batch_size=2, device="cpu").fit(X, y)


def test_validation_that_does_not_fit_in_any_way_is_told_by_fit(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data
    monkeypatch.setattr(predictor, "images_to_tensor", fail)
    segmenter = small(device="cpu")
    with pytest.raises(MemoryError, match=r"Training ran .* MiB\. Prediction ran out"):
        segmenter.fit(X, y, X_val=X, y_val=y)
    assert not hasattr(segmenter, "network_")


def test_training_does_not_change_the_batch_size(data: Any, limit: Any) -> None:
    shapes = limit(3 * 64 * 64)
    segmenter = small(batch_size=4, device="cpu")
    with pytest.raises(MemoryError, match="batch_size=4 and crop_size=None"):
        segmenter.fit(*data)
    assert set(too_large(shapes, 3 * 64 * 64)) == {(4, 64, 64)}
    assert not hasattr(segmenter, "network_")
    assert segmenter.set_params(batch_size=2).fit(*data).n_iter_ == 2


def test_validation_runs_less_at_once_and_changes_nothing(
    data: Any, limit: Any, steps: list[str]
) -> None:
    X, y = data
    held_out = {"X_val": X, "y_val": y}
    expected = small(batch_size=4, crop_size=32).fit(X, y, **held_out)
    limit(4 * 32 * 32)
    segmenter = small(batch_size=4, crop_size=32).fit(X, y, **held_out)
    assert len(steps) == 2  # once in each epoch
    assert all(
        torch.equal(tensor, state(segmenter)[name])
        for name, tensor in state(expected).items()
    )
    np.testing.assert_allclose(
        [row["valid_iou"] for row in segmenter.history_],
        [row["valid_iou"] for row in expected.history_],
        rtol=1e-6,
    )


@pytest.mark.parametrize("error", [*OTHER_ERRORS, KeyboardInterrupt()])
def test_other_errors_of_training_pass(
    data: Any, limit: Any, error: BaseException
) -> None:
    limit(0, lambda: error)
    with pytest.raises(type(error)) as caught:
        small().fit(*data)
    assert caught.value is error


def test_a_network_that_does_not_fit_is_told_by_fit(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FCN, "to", fail)
    with pytest.raises(MemoryError, match=r"The network, 1 MiB of weights.*of cpu"):
        small(device="cpu").fit(*data)


class Counting(nn.Module):
    """Looks at values, which there are none of on the meta device."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(n_channels, n_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and images.abs().sum().item() > 0:
            raise MemoryError
        return self.layer(images)


def test_a_network_that_cannot_be_estimated_is_told_without(data: Any) -> None:
    with pytest.raises(MemoryError, match=r"1 of 64x64 pixels\. MemoryError\. Exp"):
        FCNSegmenter(network=Counting, device="cpu").fit(*data)


# The estimate


class Shuffled(nn.Module):
    """Makes tensors of its own in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 20, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        order = torch.arange(images.shape[0], device=images.device).flip(0)
        ramp = torch.linspace(0, 1, images.shape[-1])
        return torch.sigmoid(self.layer(images[order])) * ramp


NETWORKS = [
    lambda: FCN(3, 4, width=8, skip="concat", norm="batch"),
    lambda: FCN(3, 4, width=8),
    lambda: FCN(3, 4, width=8, skip="add", norm="group"),
    lambda: FCN(3, 4, depth=2, width=16, skip="concat", norm="batch"),
    lambda: FCN(3, 30, depth=2, width=8, skip="concat", norm="batch"),
    lambda: FCN(3, 2, depth=4, width=16, skip="concat", norm="batch"),
    Shuffled,
]


def measured_bytes(network: nn.Module, shape: tuple[int, ...], folder: Path) -> int:
    """Return the peak of what torch allocates over two training steps.

    Everything is made within: the network, its copy after the last epoch, the batch.
    """
    n_classes = network(torch.zeros(1, *shape[1:])).shape[1]
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        network = deepcopy(network).train()
        kept = deepcopy(network.state_dict())
        optimizer = torch.optim.Adam(network.parameters())
        images = torch.ones(shape)
        codes = torch.zeros((shape[0], *shape[2:]), dtype=torch.int64) % n_classes
        for _ in range(2):
            optimizer.zero_grad()
            CrossEntropyLoss()(network(images), codes).backward()
            optimizer.step()
        del kept
    profile.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    memory = [event for event in events if event["name"] == "[memory]"]
    memory.sort(key=lambda event: event["ts"])
    return max(accumulate(event["args"]["Bytes"] for event in memory))


@pytest.mark.parametrize("make_network", NETWORKS)
@pytest.mark.parametrize("shape", [(4, 3, 64, 96), (8, 3, 128, 128)])
def test_the_estimate_is_near_what_is_measured(
    make_network: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    network = make_network()
    estimated = training_bytes(network, shape, torch.float32)
    measured = measured_bytes(network, shape, tmp_path)
    assert 0.85 < estimated / measured < 1.25


def test_the_estimate_changes_nothing_and_takes_nothing() -> None:
    network = FCN(3, 4, width=64, norm="batch").eval()
    before = deepcopy(network.state_dict())
    rng = torch.get_rng_state()
    # 4 TiB, by hand: the layers at full resolution alone, of 64 values a pixel.
    estimated = training_bytes(network, (512, 3, 4096, 4096), torch.float32)
    assert estimated > 2 * 512 * 4096 * 4096 * 64 * 4
    assert torch.equal(torch.get_rng_state(), rng)
    assert not any(module.training for module in network.modules())
    for name, tensor in network.state_dict(keep_vars=True).items():
        assert torch.equal(tensor, before[name])
        assert tensor.grad is None
        assert tensor.device == CPU


def test_a_network_that_was_fitted_takes_as_much_as_a_new_one() -> None:
    network = FCN(3, 4, depth=1, width=8, norm="batch")
    new, fitted = (
        training_bytes(one, (8, 3, 64, 64), torch.float32)
        for one in (network, deepcopy(network).eval())
    )
    assert fitted == new


def test_bfloat16_takes_half_as_much_for_the_layers() -> None:
    network = FCN(3, 4, depth=1, width=8)
    exact, coarse = (
        training_bytes(network, (8, 3, 256, 256), dtype)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert 0.5 < coarse / exact < 0.6
