"""Out of memory: prediction takes smaller steps, training says what would fit."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from itertools import accumulate, pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sksegment import FCNSegmenter
from sksegment._prediction import predictor, tiles
from sksegment._prediction.activation_sizes import probe_layers
from sksegment._prediction.predictor import place_network
from sksegment._prediction.tiles import Tiling
from sksegment._torch import out_of_memory
from sksegment._torch.out_of_memory import (
    NoRoomError,
    OutOfMemory,
    attempt,
    copy_network,
    empty_predictions,
    is_out_of_memory,
    move_network,
)
from sksegment._training import batches
from sksegment._training.memory_estimate import training_bytes
from sksegment.datasets import make_shapes
from sksegment.losses import CrossEntropyLoss
from sksegment.networks import FCN

CPU = torch.device("cpu")
FORWARD = FCN.forward
# Stands for a device that is not the CPU; nothing ever runs on it.
OTHER = torch.device("mps")

TEXTS = [
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of",
    "CUDA error: out of memory",
    "MPS backend out of memory (MPS allocated: 0 bytes, max allowed: 242.48 MiB).",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
    "memory: you tried to allocate 4000 bytes. Error code 12 (Cannot allocate memory)",
    "[enforce fail at alloc_cpu.cpp:81] data. DefaultCPUAllocator: not enough memory: "
    "you tried to allocate 1073741824 bytes.",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "could not create a memory object",
    "could not create a primitive",
    "std::bad_alloc",
]
OTHER_ERRORS = [
    RuntimeError("could not create a primitive descriptor for a pooling primitive"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("Expected all tensors to be on the same device"),
    ValueError("out of memory"),
]


def refused() -> Exception:
    """Return what torch itself raises where there is not enough memory.

    It is asked for more than any machine has. Below a limit that is set on purpose,
    oneDNN may be the first to run out; it does not look, and the process dies.
    """
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    return caught.value


ERRORS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError(TEXTS[0]),
    lambda: RuntimeError(TEXTS[3]),
    lambda: MemoryError("Unable to allocate 7.11 PiB for an array"),
    refused,
]


def small(**parameters: Any) -> FCNSegmenter:
    defaults = {"depth": 1, "width": 4, "max_epochs": 2, "random_state": 0}
    return FCNSegmenter(**{**defaults, **parameters})


@pytest.fixture(scope="module", autouse=True)
def quick_collection() -> Iterator[None]:
    """Collect no garbage among what was there before: a full round takes 0.3 s."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return make_shapes(4, size=64, n_classes=3, random_state=0)


@pytest.fixture(scope="module")
def fitted(data: tuple[np.ndarray, np.ndarray]) -> FCNSegmenter:
    return small(device="cpu").fit(*data)


@pytest.fixture
def steps(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the package logs, line by line."""
    caplog.set_level(logging.INFO, logger="sksegment")
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("sksegment")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[int, ...]]]:
    """Let FCN fail above a number of pixels; return the shapes that it is given."""

    def set_limit(
        n_pixels: int, make_error: Callable[[], BaseException] = ERRORS[0]
    ) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []

        def limited(network: FCN, images: Tensor) -> Tensor:
            # A small image alone is given a double, which is no batch.
            is_double = len(images) == 2 and torch.equal(*images)
            shape = (1 if is_double else len(images), *images.shape[-2:])
            shapes.append(shape)
            if prod(shape) > n_pixels:
                raise make_error()
            return FORWARD(network, images)

        monkeypatch.setattr(FCN, "forward", limited)
        return shapes

    return set_limit


def too_large(shapes: list[tuple[int, ...]], n_pixels: int) -> list[tuple[int, ...]]:
    return [shape for shape in shapes if prod(shape) > n_pixels]


# Which errors are of memory


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_missing_memory_are_known(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize("error", OTHER_ERRORS)
def test_other_errors_are_not_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        attempt(fail, CPU)
    assert caught.value is error


@pytest.mark.parametrize("allocate", [torch.empty, np.empty])
def test_errors_of_this_torch_and_this_numpy_are_known(allocate: Any) -> None:
    result = attempt(lambda: allocate(10**16), CPU)
    assert isinstance(result, OutOfMemory)
    assert "allocate" in result.reason


def test_what_failed_is_freed_before_the_next_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensors: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def fail() -> None:
        tensor = torch.ones(3)
        tensors.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError(TEXTS[0])

    def release(device: torch.device) -> None:
        alive.append(tensors[0]() is not None)

    monkeypatch.setattr(out_of_memory, "release_memory", release)
    assert isinstance(attempt(fail, CPU), OutOfMemory)
    assert alive == [False]


def test_the_cache_of_a_cuda_device_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("cuda"))
    out_of_memory.release_memory(CPU)
    assert calls == []
    out_of_memory.release_memory(torch.device("cuda"))
    assert calls == ["cuda"]


# Tiles


@pytest.mark.parametrize("margin", [None, 9, 27])
@pytest.mark.parametrize("size", [(200, 200), (90, 700), (33, 31)])
@pytest.mark.parametrize("tile_size", ["auto", 64, 1000])
def test_tiles_shrink_down_to_the_floor(
    tile_size: Any, size: tuple[int, int], margin: int | None
) -> None:
    tiling: Tiling | None = Tiling(tile_size, margin, stride=8, pixel_limit=10_000)
    ladder = []
    while tiling is not None:
        ladder.append(tiling)
        tiling = tiling.smaller(*size)
    for above, below in pairwise(ladder):
        assert below.side(*size) >= max(margin or 0, 16)
        assert below.side(*size) <= max(above.side(*size) / 2, margin or 0, 16)
        assert prod(below.window(*size)) < prod(above.window(*size))
    floor = tiles.replace(ladder[-1], tile_size=max(margin or 0, 16))
    assert prod(floor.window(*size)) >= prod(ladder[-1].window(*size))


# Prediction, step by step


@pytest.mark.parametrize("make_error", ERRORS)
def test_batches_are_split_and_not_tried_again(
    data: Any, fitted: FCNSegmenter, limit: Any, steps: list[str], make_error: Any
) -> None:
    X, _ = data
    segmenter = deepcopy(fitted).set_params(batch_size=2)
    labels, probabilities = segmenter.predict(X), segmenter.predict_proba(X)
    n_pixels = 64 * 64
    shapes = limit(n_pixels, make_error)
    np.testing.assert_array_equal(segmenter.predict(X), labels)
    assert too_large(shapes, n_pixels) == [(2, 64, 64)]
    assert steps == [
        "Out of memory with 2 images of 64x64 pixels on cpu: continuing with 1 image "
        "of 64x64 pixels on cpu."
    ]
    # The step is not kept: the next call begins with a batch again.
    again = segmenter.predict_proba(X)
    np.testing.assert_allclose(again, probabilities, rtol=0, atol=1e-6)
    assert len(steps) == 2
    assert segmenter.batch_size == 2


@pytest.mark.parametrize(
    "n_pixels, n_steps", [(64 * 64 - 1, 2), (50 * 50, 2), (36 * 36, 3), (30 * 30, 4)]
)
def test_images_are_cut_into_ever_smaller_tiles(
    data: Any,
    fitted: FCNSegmenter,
    limit: Any,
    steps: list[str],
    n_pixels: int,
    n_steps: int,
) -> None:
    X, _ = data
    labels, probabilities = fitted.predict(X), fitted.predict_proba(X)
    shapes = limit(n_pixels)
    np.testing.assert_array_equal(fitted.predict(X), labels)
    # One try of the batch, and one of each size that is too large, for all images.
    assert len(too_large(shapes, n_pixels)) == len(steps) == n_steps
    assert "continuing with 1 tile of" in steps[-1]
    again = fitted.predict_proba(X)
    np.testing.assert_allclose(again, probabilities, rtol=0, atol=1e-6)


def test_smaller_images_later_on_are_predicted_as_well(
    fitted: FCNSegmenter, limit: Any, steps: list[str]
) -> None:
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (64, 64), (9, 7), (100, 20), (1, 1), (64, 64)]
    images = [rng.random((*size, 3)) for size in sizes]
    labels = fitted.predict(images)
    limit(50 * 50)
    again = fitted.predict(images)
    assert len(steps) == 2
    for mask, expected in zip(again, labels, strict=True):
        np.testing.assert_array_equal(mask, expected)


def test_score_and_eight_views_step_down_as_well(
    data: Any, fitted: FCNSegmenter, limit: Any, steps: list[str]
) -> None:
    segmenter = deepcopy(fitted).set_params(test_time_augmentation=True)
    score, probabilities = segmenter.score(*data), segmenter.predict_proba(data[0])
    limit(50 * 50)
    assert segmenter.score(*data) == score
    again = segmenter.predict_proba(data[0])
    np.testing.assert_allclose(again, probabilities, rtol=0, atol=1e-6)
    assert steps


def test_numpy_out_of_memory_counts(
    data: Any, fitted: FCNSegmenter, monkeypatch: Any, steps: list[str]
) -> None:
    expected = fitted.predict(data[0])
    make_tensor = predictor.images_to_tensor

    def allocate(images: Any, *arguments: Any) -> Tensor:
        if len(images) > 1:
            return np.empty(10**16)  # type: ignore[return-value]  # it never returns
        return make_tensor(images, *arguments)

    monkeypatch.setattr(predictor, "images_to_tensor", allocate)
    np.testing.assert_array_equal(fitted.predict(data[0]), expected)
    assert len(steps) == 1


def test_what_looks_at_the_whole_image_is_blended_with_a_warning(
    data: Any, limit: Any, steps: list[str]
) -> None:
    X, _ = data
    segmenter = small(norm="group", max_epochs=1).fit(*data)
    assert segmenter.margin_ is None
    segmenter.set_params(tile_size=32)
    with pytest.warns(UserWarning, match="depends on tile_size"):
        expected = segmenter.predict_proba(X)
    segmenter.set_params(tile_size="auto")
    limit(32 * 32)
    with pytest.warns(UserWarning, match="depends on tile_size"):
        again = segmenter.predict_proba(X)
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-6)
    assert "1 tile of 32x32 pixels" in steps[-1]


@pytest.mark.parametrize(
    "n_pixels, make_error", list(zip([0, 1, 100, 10], ERRORS, strict=True))
)
def test_after_the_last_step_the_cure_is_told(
    data: Any, fitted: FCNSegmenter, limit: Any, n_pixels: int, make_error: Any
) -> None:
    limit(n_pixels, make_error)
    cure = r"(?s)1 tile of .* cpu.*tile_size below \d+, or a device"
    with pytest.raises(MemoryError, match=cure) as caught:
        fitted.predict(data[0])
    assert str(make_error()).split(".")[0] in str(caught.value)
    # Neither would keep the failed tensors alive.
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_after_running_out_of_memory_the_segmenter_works(
    data: Any, fitted: FCNSegmenter, limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted.predict(data[0])
    limit(0)
    with pytest.raises(MemoryError):
        fitted.predict(data[0])
    monkeypatch.undo()
    np.testing.assert_array_equal(fitted.predict(data[0]), expected)


@pytest.mark.parametrize("error", [*OTHER_ERRORS, KeyboardInterrupt()])
def test_other_errors_pass_and_nothing_is_tried_again(
    data: Any, fitted: FCNSegmenter, limit: Any, error: BaseException
) -> None:
    def make_error() -> BaseException:
        return error

    shapes = limit(64 * 64, make_error)
    with pytest.raises(type(error)) as caught:
        fitted.predict(data[0])
    assert caught.value is error
    assert len(too_large(shapes, 64 * 64)) == 1


def test_a_result_that_does_not_fit_is_not_tried_again(
    data: Any, fitted: FCNSegmenter, monkeypatch: Any, steps: list[str]
) -> None:
    with pytest.raises(NoRoomError, match=r"\(10000000000, 1000000\).*fewer images"):
        empty_predictions((10**10, 10**6), np.dtype(np.float32))

    def no_room(*arguments: Any) -> None:
        raise NoRoomError("no room")

    monkeypatch.setattr(predictor, "empty_predictions", no_room)
    with pytest.raises(MemoryError, match="no room"):
        deepcopy(fitted).set_params(tile_size=16).predict(data[0])
    assert steps == []


def test_threads_step_down_by_themselves(
    data: Any, fitted: FCNSegmenter, limit: Any, steps: list[str]
) -> None:
    X, _ = data
    expected = fitted.predict(X)
    limit(36 * 36)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fitted.predict(X), range(8)))
    for labels in results:
        np.testing.assert_array_equal(labels, expected)
    assert len(steps) == 8 * 3


def test_a_probe_does_not_count_what_other_threads_predict(
    data: Any, fitted: FCNSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fitted._predictor()
    run.network.eval()
    probe = partial(probe_layers, run.network, 2 * run.stride, run._run_blank)
    expected = probe()

    @torch.inference_mode()
    def predict() -> Tensor:
        return run.network(torch.zeros(1, 3, 64, 64))

    def meanwhile(network: FCN, images: Tensor) -> Tensor:
        monkeypatch.setattr(FCN, "forward", FORWARD)
        with ThreadPoolExecutor(1) as pool:  # a larger image, while the hooks are there
            pool.submit(predict).result()
        return FORWARD(network, images)

    monkeypatch.setattr(FCN, "forward", meanwhile)
    assert probe() == expected


# The CPU as the last step


@pytest.fixture
def other_device(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """A device on which every forward pass fails; return the networks copied from it.

    Its tensors are on the CPU in truth.
    """
    make_tensor, copy = predictor.images_to_tensor, predictor.copy_network
    copies: list[nn.Module] = []

    def to_cpu(images: Any, scale: Any, device: torch.device) -> Tensor:
        return make_tensor(images, scale, CPU)

    def kept_copy(network: nn.Module, device: torch.device) -> nn.Module:
        assert device == CPU
        copies.append(copy(network, device))
        return copies[-1]

    def fails_on_device(network: FCN, images: Tensor) -> Tensor:
        if not any(network is copied for copied in copies):
            raise torch.OutOfMemoryError(TEXTS[0])
        return FORWARD(network, images)

    monkeypatch.setattr(predictor, "images_to_tensor", to_cpu)
    monkeypatch.setattr(predictor, "copy_network", kept_copy)
    monkeypatch.setattr(FCN, "forward", fails_on_device)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
    return copies


@pytest.mark.parametrize("tile_size", ["auto", 16, 1000])
def test_after_the_last_tiles_comes_the_cpu(
    data: Any,
    fitted: FCNSegmenter,
    other_device: list[nn.Module],
    steps: list[str],
    tile_size: Any,
) -> None:
    X, _ = data
    on_cpu = fitted._predictor()
    images = fitted._images(X)
    run = predictor.replace(on_cpu, device=OTHER, tile_size=tile_size)
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    masks = np.array([*run.labels(images, fitted.classes_)])
    assert len(other_device) == 1  # one copy for all four images
    assert steps[-1].endswith("pixels on cpu.")
    assert all(" on mps: " in step for step in steps)
    # The network itself is where and what it was.
    assert run.network is fitted.network_
    for name, tensor in run.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    again = np.array([*run.labels(images, fitted.classes_)])
    assert len(other_device) == 2  # the next call begins on the device
    np.testing.assert_array_equal(again, masks)
    other_device.append(fitted.network_)
    np.testing.assert_array_equal(fitted.predict(X), masks)


class Immovable(nn.Sequential):
    """A network that does not fit on another device."""

    def to(self, device: Any) -> Any:  # type: ignore[override]
        if device == OTHER:
            raise torch.OutOfMemoryError(TEXTS[0])
        self.home = device
        return self


def test_a_network_that_does_not_fit_on_the_device_runs_on_the_cpu(
    steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
    network = Immovable(nn.Conv2d(1, 256, 32))
    with pytest.raises(MemoryError, match=r"2 MiB.*weights.*mps.*device='cpu'"):
        move_network(network, OTHER)
    assert network.home == CPU
    assert place_network(network, OTHER) == (network, CPU)
    assert len(steps) == 1
    with pytest.raises(MemoryError):
        place_network(Unmovable(), CPU)


class Unmovable(nn.Module):
    def to(self, device: Any) -> Any:  # type: ignore[override]
        raise RuntimeError(TEXTS[3])


def test_a_copy_shares_nothing_and_is_the_same_network() -> None:
    network = FCN(3, 4, depth=1, width=4, norm="batch").train()
    copy = copy_network(network, CPU)
    tensors, copies = (
        network.state_dict(keep_vars=True),
        copy.state_dict(keep_vars=True),
    )
    assert tensors.keys() == copies.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, copies[name])
        assert type(tensor) is type(copies[name])
        assert tensor.requires_grad == copies[name].requires_grad
        assert tensor.stride() == copies[name].stride()
        assert tensor.data_ptr() != copies[name].data_ptr()
    assert copy.training


# Training


NAMES_ALL = (
    r"Training ran out of memory on cpu with batch_size=3 and crop_size=\(32, 48\): "
    r"the largest batch holds 3 of 32x48 pixels, which takes an estimated \d+ MiB\."
)


def state(segmenter: FCNSegmenter) -> dict[str, Any]:
    tensors = segmenter.network_.state_dict()
    return {name: tensor.clone() for name, tensor in tensors.items()}


def fail(*arguments: Any, **parameters: Any) -> None:
    raise torch.OutOfMemoryError(TEXTS[0])


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


def test_validation_steps_down_and_changes_nothing(
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
