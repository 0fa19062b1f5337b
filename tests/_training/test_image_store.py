"""Where batches get their pieces from, and that a GPU is never waited for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from sksegment import augmentation
from sksegment._inputs.image_list import ImageList
from sksegment._inputs.samples import as_samples
from sksegment._inputs.training_set import survey
from sksegment._torch.tensors import in_torch_dtype
from sksegment._training import image_store
from sksegment._training.batches import Batches
from sksegment._training.skorch_net import predicted_classes
from sksegment.augmentation._plan import PlannedStep
from sksegment.losses._factory import make_loss

CPU = torch.device("cpu")
# A stand-in for a GPU: its tensors have no values, so nothing can be asked of them.
META = torch.device("meta")
SIZES = [(9, 14), (20, 16), (9, 14), (33, 7), (16, 16)]
# With values on the device, Python has to wait until they are there.
QUESTIONS = {"tolist", "item", "cpu", "numpy", "__bool__", "__float__", "__int__"}
STEPS = [
    augmentation.RandomFlip(),
    augmentation.RandomRotation(30),
    augmentation.RandomZoom((0.7, 1.4), p=0.5, fill=0.5),
    augmentation.RandomBrightness(),
    augmentation.RandomContrast(),
    augmentation.RandomGamma(),
    augmentation.RandomNoise(),
]


def made(
    dtype: Any = np.uint8,
    weight: Any = None,
    crop_size: Any = None,
    sampling: str = "uniform",
    steps: Any = (),
    device: torch.device = CPU,
    room: float = 0,
) -> Batches:
    rng = np.random.default_rng(0)
    X = [rng.integers(200, size=(*size, 3)).astype(dtype) for size in SIZES]
    y = [rng.integers(3, size=size) for size in SIZES]
    samples = survey(as_samples(X, y, weight), None, None)
    planned = [PlannedStep(step, None) for step in steps]
    return Batches(
        samples, samples.scale, planned, 2, crop_size, sampling, 0, device, 0, room
    )


def values(batches: Batches) -> list[bytes]:
    """Return all that an epoch consists of."""
    return [
        tensor.contiguous().numpy().tobytes()
        for images, target in batches
        for tensor in (images, *target)
        if tensor is not None
    ]


def pixel_weights() -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.random(size) for size in SIZES]


def some_pixels() -> list[Any]:
    return [np.where(weight < 0.5, 0, weight) for weight in pixel_weights()]


CASES = [
    {},
    {"dtype": np.uint16},
    {"dtype": np.float64},
    {"crop_size": (12, 12)},
    {"crop_size": (12, 12), "sampling": "balanced"},
    {"weight": pixel_weights(), "crop_size": (24, 10)},
    {"weight": [1, 2, 3, 4, 5]},
    {"weight": some_pixels(), "crop_size": (12, 12), "sampling": "balanced"},
    {"steps": STEPS, "crop_size": (16, 16)},
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("room", [900, 10**9])
def test_images_that_stay_on_a_device_make_the_same_batches(
    case: dict[str, Any], room: float
) -> None:
    read = made(**case)
    expected = [values(read) for _ in range(3)]
    kept = made(**case, room=room)
    assert [values(kept) for _ in range(3)] == expected


def test_what_stays_on_a_device_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    crop = ImageList.crop

    def counted(images: ImageList, index: int, window: Any) -> Any:
        if window != image_store.CORNER:
            reads.append(index)
        return crop(images, index, window)

    monkeypatch.setattr(ImageList, "crop", counted)
    batches = made(crop_size=(12, 12), room=10**9)
    values(batches)
    assert sorted(reads) == sorted(2 * [*range(len(SIZES))])  # an image and its mask
    values(batches)
    assert len(reads) == 2 * len(SIZES)


def bytes_of(batches: Batches) -> dict[int, int]:
    """Return how many bytes of each image are kept."""
    return {
        index: sum(tensor.nbytes for tensor in piece if tensor is not None)
        for index, piece in batches._store._kept.items()
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("weight", [None, pixel_weights(), [1, 2, 3, 4, 5]])
@pytest.mark.parametrize("room", [0, 700, 2000, 5000, 10**9])
def test_images_stay_only_where_there_is_room(
    dtype: Any, weight: Any, room: int
) -> None:
    batches = made(dtype, weight, room=room)
    values(batches)
    kept = bytes_of(batches)
    assert sum(kept.values()) == room - batches._store.capacity
    assert batches._store.capacity >= 0
    assert len(kept) == len(SIZES) or room < 10**9
    for index in set(range(len(SIZES))) - set(kept):
        assert batches._store._size_on_device(index) > batches._store.capacity


def test_a_large_image_is_read_in_parts_and_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    windows = []
    crop = ImageList.crop

    def noted(images: ImageList, index: int, window: Any) -> Any:
        windows.append((index, window))
        return crop(images, index, window)

    monkeypatch.setattr(ImageList, "crop", noted)
    monkeypatch.setattr(image_store, "MAX_KEPT", 1000)
    batches = made(crop_size=(8, 8), room=10**9)
    values(batches)
    assert set(bytes_of(batches)) == {0, 2, 3}  # of 504, 504 and 924 bytes
    assert all(
        window != image_store.WHOLE for index, window in windows if index in (1, 4)
    )


def test_no_image_stays_on_a_device_whose_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def taken(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        calls.append(tensor)
        if len(calls) == 1:
            raise torch.OutOfMemoryError
        return tensor

    expected = values(made())
    monkeypatch.setattr(image_store, "to_device", taken)
    batches = made(room=10**9)
    assert values(batches) == expected
    assert not bytes_of(batches)


def test_images_kept_on_the_device_can_be_released() -> None:
    batches = made(room=10**9)
    values(batches)
    assert bytes_of(batches)
    batches.release_images()
    assert not bytes_of(batches)


class NoWaiting(TorchFunctionMode):
    """Refuses what makes Python wait for a device: questions, and plain copies."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        answer = function(*args, **kwargs)
        was_there = bool(args) and getattr(args[0], "is_meta", False)
        asked = name in QUESTIONS and was_there
        arrived = getattr(answer, "is_meta", False) and not was_there
        copied = name == "new_tensor" and was_there
        copied = copied or (name in {"to", "tensor", "as_tensor"} and arrived)
        assert not asked, name
        assert not copied or kwargs.get("non_blocking"), name
        return answer


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "focal"])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_step_of_an_epoch_waits_for_the_device(loss: str, weighted: bool) -> None:
    weight = pixel_weights() if weighted else None
    batches = made(
        weight=weight, crop_size=(16, 16), steps=STEPS, device=META, room=10**9
    )
    criterion = make_loss(loss, np.ones(3, np.float32)).to(META)
    with NoWaiting():
        for images, (codes, weights) in batches:
            assert images.is_meta
            assert images.shape[1:] == (3, 16, 16)
            scores = images.requires_grad_()
            criterion(scores, codes, weights).backward()
            predicted_classes(scores, codes)


@pytest.mark.cuda
@pytest.mark.parametrize("weighted", [False, True])
def test_no_step_of_an_epoch_waits_for_a_gpu(weighted: bool) -> None:
    device = torch.device("cuda")
    weight = pixel_weights() if weighted else None
    batches = made(
        weight=weight, crop_size=(16, 16), steps=STEPS, device=device, room=10**9
    )
    for _ in batches:  # the first epoch sends the images
        pass
    criterion = make_loss("cross_entropy", np.ones(3, np.float32)).to(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for images, (codes, weights) in batches:
            scores = images.requires_grad_()
            criterion(scores, codes, weights).backward()
            predicted_classes(scores, codes)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(batches._store._kept) == len(SIZES)


def test_waiting_for_the_device_would_be_noticed() -> None:
    with NoWaiting():
        with pytest.raises(AssertionError, match="to"):
            torch.zeros(2).to(META)
        with pytest.raises(AssertionError, match="new_tensor"):
            torch.zeros(2, device=META).new_tensor([1.0])


@pytest.mark.parametrize(
    "dtype, expected",
    [
        (np.uint8, np.uint8),
        (np.bool_, np.float32),
        (np.float16, np.float32),
        (">u2", np.float32),
        (np.float32, np.float32),
        (np.int32, np.float64),
        (np.uint64, np.float64),
        (np.longdouble, np.float64),
    ],
)
def test_values_travel_in_a_dtype_that_holds_them(dtype: Any, expected: Any) -> None:
    high = 1 if dtype == np.bool_ else 2**8 - 1
    image = np.arange(high + 1).astype(dtype).reshape(-1, 1, 1)
    image.flags.writeable = False
    found = in_torch_dtype(image)
    assert found.dtype == expected
    assert found.flags.writeable
    np.testing.assert_array_equal(found.ravel(), np.arange(high + 1))
