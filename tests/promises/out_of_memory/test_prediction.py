"""Out of memory: prediction takes smaller steps, training says what would fit."""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.out_of_memory import (
    CPU,
    ERRORS,
    FORWARD,
    OTHER_ERRORS,
    TEXTS,
    small,
    too_large,
)
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
from sksegment.networks import FCN

# Stands for a device that is not the CPU; nothing ever runs on it.
OTHER = torch.device("mps")


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
    np.testing.assert_allclose(again, probabilities, rtol=0, atol=1e-5)
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
    np.testing.assert_allclose(again, probabilities, rtol=0, atol=1e-5)


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


def test_score_and_test_time_augmentation_run_less_at_once(
    data: Any, fitted: FCNSegmenter, limit: Any, steps: list[str]
) -> None:
    segmenter = deepcopy(fitted).set_params(test_time_augmentation=True)
    score, probabilities = segmenter.score(*data), segmenter.predict_proba(data[0])
    limit(50 * 50)
    assert segmenter.score(*data) == score
    again = segmenter.predict_proba(data[0])
    np.testing.assert_allclose(again, probabilities, rtol=0, atol=1e-5)
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


def test_networks_that_see_the_whole_image_are_blended_with_a_warning(
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
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-5)
    assert "1 tile of 32x32 pixels" in steps[-1]


@pytest.mark.parametrize(
    "n_pixels, make_error", list(zip([0, 1, 100, 10], ERRORS, strict=True))
)
def test_out_of_memory_with_the_smallest_tiles_names_the_cure(
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


def test_each_thread_runs_less_at_once_by_itself(
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
def test_out_of_memory_with_the_smallest_tiles_goes_to_the_cpu(
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
