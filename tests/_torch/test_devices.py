"""What is set in torch while a network runs, and how much of a GPU images may take."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from sksegment._inputs.samples import as_samples
from sksegment._inputs.training_set import survey
from sksegment._torch.devices import searched_kernels, to_device
from sksegment._torch.precision import allows_tf32, full_float32
from sksegment._training import memory_estimate
from sksegment._training.batches import Batches
from sksegment.networks import FCN

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
CUDNN = torch.backends.cudnn

OWN_PRECISION = """
import torch
from sksegment import FCNSegmenter
from sksegment._torch.precision import full_float32
from sksegment.datasets import make_shapes

{choice}
def state():
    cudnn = torch.backends.cudnn
    return (torch.backends.fp32_precision, cudnn.fp32_precision,
            cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic)

before = state()
X, y = make_shapes(4, size=16, random_state=0)
FCNSegmenter(depth=1, width=2, max_epochs=2).fit(X, y, X_val=X, y_val=y).predict(X)
assert state() == before, (before, state())
torch.backends.fp32_precision = "ieee"
print(torch.backends.cudnn.conv.fp32_precision)
with full_float32(torch.device("cuda")):
    pass
"""
# What a later choice comes to where nobody fitted anything.
NOBODY_FITTED = """
import torch
{choice}
torch.backends.fp32_precision = "ieee"
print(torch.backends.cudnn.conv.fp32_precision)
"""


@pytest.mark.parametrize(
    "choice",
    [
        "",
        'torch.backends.fp32_precision = "ieee"',
    ],
)
def test_what_the_user_set_in_torch_is_obeyed_and_left_alone(choice: str) -> None:
    if not hasattr(CUDNN, "conv"):
        pytest.skip("this torch has no precision of its own for each operation")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script.format(choice=choice)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for script in (OWN_PRECISION, NOBODY_FITTED)
    ]
    (ours, errors), (theirs, _) = (process.communicate() for process in processes)
    assert processes[0].returncode == 0, errors
    assert ours == theirs != ""


@pytest.mark.parametrize(
    "device, wanted, expected",
    [(CUDA, True, True), (CUDA, False, False), (CPU, True, False)],
)
def test_kernels_are_searched_where_that_pays(
    device: torch.device, wanted: bool, expected: bool
) -> None:
    assert not CUDNN.benchmark
    with searched_kernels(device, wanted):
        assert CUDNN.benchmark is expected
    with pytest.raises(KeyboardInterrupt), searched_kernels(device, wanted):
        raise KeyboardInterrupt
    assert not CUDNN.benchmark


def test_no_kernels_are_searched_where_the_user_wants_the_same_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with searched_kernels(CUDA, True):
        assert not CUDNN.benchmark


def test_full_float32_ends_with_its_block() -> None:
    before = allows_tf32()
    with full_float32(CUDA):
        assert not allows_tf32()
    assert allows_tf32() == before
    with full_float32(CPU):
        assert allows_tf32() == before


def test_tf32_stays_off_until_the_last_thread_has_left() -> None:
    before = CUDNN.allow_tf32
    CUDNN.allow_tf32 = True
    try:
        first, second = full_float32(CUDA), full_float32(CUDA)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert not allows_tf32()
        second.__exit__(None, None, None)
        assert allows_tf32()
    finally:
        CUDNN.allow_tf32 = before


class OnCard:
    """A tensor of a card, as far as sending it goes; no card is needed."""

    device = torch.device("cuda:0")
    nbytes = 12

    def pin_memory(self) -> None:
        raise RuntimeError("only dense CPU tensors can be pinned")

    def to(self, device: torch.device) -> OnCard:
        assert device.type == "cuda"
        return self


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_what_is_on_the_card_is_not_pinned(device: str) -> None:
    tensor = OnCard()
    assert to_device(tensor, torch.device(device)) is tensor  # type: ignore[arg-type]


def test_a_tensor_that_is_there_is_not_sent() -> None:
    tensor = torch.zeros(3)
    assert to_device(tensor, CPU) is tensor
    assert to_device(tensor, torch.device("meta")).is_meta


@pytest.mark.parametrize("free", [10**6, 10**8, 10**11])
def test_training_comes_before_images_that_stay(
    monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    X, y = np.ones((6, 64, 64, 3)), np.zeros((6, 64, 64), int)
    samples = survey(as_samples(X, y, None), np.array([0, 1]), None)
    batches = Batches(samples, samples.scale, (), 4, None, "uniform", 0, CUDA)
    network = FCN(3, 2, width=8)
    need = memory_estimate.training_bytes(network, (3, 3, 64, 64), torch.float32)
    assert 10**6 < 1.5 * need < 10**8
    monkeypatch.setattr(memory_estimate, "free_bytes", lambda device: free)
    room = memory_estimate.room_for_images(network, batches, torch.float32)
    assert room == max(0, min(free / 4, free - 1.5 * need))
    batches.device = CPU
    assert memory_estimate.room_for_images(network, batches, torch.float32) == 0


@pytest.mark.skipif(not hasattr(CUDNN, "conv"), reason="one switch for all operations")
@pytest.mark.parametrize(
    "set_by_user",
    [
        "",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.cudnn.fp32_precision = 'tf32'",
        "cudnn.conv.fp32_precision = 'tf32'; cudnn.rnn.fp32_precision = 'ieee'",
        "cudnn.allow_tf32 = False",
        "torch.backends.fp32_precision = 'ieee'",
    ],
)
def test_convolutions_are_exact_whatever_the_user_set(set_by_user: str) -> None:
    # In a process of its own: some settings cannot be taken back.
    script = f"""
import torch
from torch.backends import cudnn
from sksegment._torch.precision import full_float32
{set_by_user}
before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
with full_float32(torch.device("cuda")):
    if before == ("tf32", "tf32") and not {set_by_user!r}:
        assert not cudnn.allow_tf32  # legible, as for who asks at the same time
    assert cudnn.conv.fp32_precision in ("ieee", "none"), cudnn.conv.fp32_precision
assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == before
"""
    subprocess.run([sys.executable, "-c", script], check=True)
