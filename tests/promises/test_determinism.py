"""One seed, one result: whatever process, thread, batch or order it is asked for in."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter, iou_scorer
from sksegment.augmentation import (
    RandomBrightness,
    RandomFlip,
    RandomNoise,
    RandomRotation,
)
from sksegment.datasets import make_shapes

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).resolve().parents[2]
X, y = make_shapes(8, size=16, n_classes=3, random_state=0)
N_THREADS = 8


def tiny(**parameters: Any) -> FCNSegmenter:
    defaults = {
        "depth": 1,
        "width": 2,
        "max_epochs": 2,
        "batch_size": 3,
        "random_state": 0,
        "device": "cpu",
    }
    return FCNSegmenter(**{**defaults, **parameters})


def bits(segmenter: FCNSegmenter) -> list[bytes]:
    """Return the weights, and all else that was learned, but for the time it took."""
    tensors = segmenter.network_.state_dict().values()
    scale = segmenter.channel_mean_, segmenter.channel_std_
    losses = [row["train_loss"] for row in segmenter.history_]
    arrays = [*(tensor.numpy() for tensor in tensors), *scale, np.array(losses)]
    return [array.tobytes() for array in arrays]


# Processes


# All that is drawn: weights, order, crops, augmentation, dropout, validation images.
EVERYTHING = """
import hashlib, json, sys
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip, RandomNoise, RandomRotation
from sksegment.datasets import make_shapes

def digest(pipe):
    text = hashlib.sha256()
    for tensor in pipe[-1].network_.state_dict().values():
        text.update(tensor.numpy().tobytes())
    text.update(pipe.predict_proba(X).tobytes())
    return text.hexdigest()

X, y = make_shapes(8, size=16, n_classes=3, random_state=0)
names = [{0: "sky", 1: "road", 2: "car"}[label] for label in y.ravel().tolist()]
import numpy as np
y = np.array(names).reshape(y.shape)
segmenter = FCNSegmenter(
    depth=1, width=2, max_epochs=3, batch_size=3, crop_size=12, random_state=0,
    crop_sampling="balanced", early_stopping=True, validation_fraction=0.25,
    class_weight={"sky": 1.0, "road": 2.0, "car": 3.0}, device="cpu",
)
pipe = make_pipeline(RandomFlip(), RandomRotation(30), RandomNoise(), segmenter)
digests = [digest(pipe.fit(X, y))]
for n_jobs in map(int, sys.argv[1:]):
    folds = cross_validate(
        pipe, X, y, cv=KFold(2), n_jobs=n_jobs, return_estimator=True
    )
    digests.append([digest(fold) for fold in folds["estimator"]])
print(json.dumps(digests))
"""


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process: subprocess.Popen[str]) -> Any:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return json.loads(output)


def test_fresh_processes_learn_the_same_bits_whatever_they_hash() -> None:
    processes = [start(EVERYTHING, PYTHONHASHSEED=seed) for seed in ("0", "1")]
    first, second = (printed(process) for process in processes)
    assert first == second


@pytest.mark.slow
def test_folds_learn_the_same_bits_in_one_process_and_in_two() -> None:
    _, alone, parallel = printed(start(EVERYTHING, "1", "2"))
    assert alone == parallel
    assert len(set(alone)) == 2


# Copies of an estimator


def again_by_clone(segmenter: FCNSegmenter) -> FCNSegmenter:
    return clone(clone(segmenter))


def again_by_parameters(segmenter: FCNSegmenter) -> FCNSegmenter:
    return FCNSegmenter().set_params(**segmenter.get_params())


def again_after_another_fit(segmenter: FCNSegmenter) -> FCNSegmenter:
    other = (
        clone(segmenter).set_params(depth=2, random_state=9).fit(X[:, ::2], y[:, ::2])
    )
    return other.set_params(**segmenter.get_params())


@pytest.mark.parametrize(
    "again", [again_by_clone, again_by_parameters, again_after_another_fit]
)
def test_equal_parameters_learn_the_same_bits(again: Callable[..., Any]) -> None:
    segmenter = tiny(crop_size=12, early_stopping=True).fit(X, y)
    assert bits(again(segmenter).fit(X, y)) == bits(segmenter)


def test_a_random_state_is_moved_by_fit_and_seeds_it() -> None:
    first, second = (tiny(random_state=np.random.RandomState(3)) for _ in range(2))
    assert bits(first.fit(X, y)) == bits(second.fit(X, y))
    assert bits(first.fit(X, y)) == bits(second.fit(X, y))
    assert bits(first) != bits(tiny(random_state=np.random.RandomState(3)).fit(X, y))


# Global random numbers


def global_states() -> dict[str, Any]:
    return {
        "numpy": [np.asarray(part).tolist() for part in np.random.get_state()],  # noqa: NPY002
        "python": random.getstate(),
        "torch": torch.get_rng_state().tolist(),
    }


@cache
def fitted() -> FCNSegmenter:
    return tiny().fit(X, y)


def refused(segmenter: FCNSegmenter, images: Any, masks: Any) -> None:
    with pytest.raises(ValueError, match="inconsistent"):
        segmenter.fit(images, masks)


CALLS: dict[str, Callable[[], Any]] = {
    "fit": lambda: tiny(crop_size=12, early_stopping=True).fit(X, y),
    "fit a pipeline": lambda: make_pipeline(
        RandomFlip(), RandomRotation(9), RandomNoise(), RandomBrightness(), tiny()
    ).fit(X, y),
    "fit with a RandomState": lambda: tiny(random_state=np.random.RandomState(0)).fit(
        X, y
    ),
    "partial_fit": lambda: tiny().partial_fit(X, y, classes=[0, 1, 2]),
    "warm start": lambda: tiny(warm_start=True).fit(X, y).fit(X, y),
    "refused fit": lambda: refused(tiny(), X, y[:3]),
    "predict": lambda: fitted().predict(X),
    "predict_proba": lambda: fitted().predict_proba(list(X)),
    "test time augmentation": lambda: (
        clone(fitted()).set_params(test_time_augmentation=True).fit(X, y).predict(X)
    ),
    "score": lambda: fitted().score(X, y),
    "scorer": lambda: iou_scorer(fitted(), X, y),
    "augment": lambda: RandomRotation(9, random_state=0).augment(X, y),
    "augment without a seed": lambda: RandomNoise().augment(X, y),
    "shapes": lambda: make_shapes(2, size=16, random_state=0),
    "unpickled": lambda: clone(fitted()).__setstate__(fitted().__getstate__()),
}


@pytest.mark.parametrize("call", CALLS)
def test_global_random_numbers_stay_where_they_are(call: str) -> None:
    fitted()
    before = global_states()
    CALLS[call]()
    assert global_states() == before


def test_without_a_seed_only_numpy_is_asked_for_one() -> None:
    before = global_states()
    tiny(random_state=None).fit(X, y)
    after = global_states()
    assert after["numpy"] != before["numpy"]
    assert (after["python"], after["torch"]) == (before["python"], before["torch"])


# Batches and orders


SIZES = [(16, 16), (9, 16), (16, 16), (16, 7), (1, 1), (9, 16), (16, 16), (5, 3)]
RAGGED = [
    image[:height, :width] for image, (height, width) in zip(X, SIZES, strict=True)
]


@pytest.mark.parametrize("norm", [None, "batch", "group"])
@pytest.mark.parametrize("images", [list(X), RAGGED], ids=["one size", "sizes"])
def test_probabilities_depend_on_neither_batch_nor_order(
    images: Any, norm: Any
) -> None:
    segmenter = tiny(norm=norm, width=8, max_epochs=1).fit(X, y)
    alone = [segmenter.predict_proba([image])[0] for image in images]
    order = np.random.default_rng(0).permutation(len(images))
    for batch_size in (1, 2, 3, 8, 100):
        segmenter.set_params(batch_size=batch_size)
        found = segmenter.predict_proba([images[index] for index in order])
        for index, proba in zip(order, found, strict=True):
            np.testing.assert_allclose(proba, alone[index], rtol=0, atol=1e-5)


# Threads


def in_threads(call: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(call, range(N_THREADS)))


def test_threads_predict_what_one_predicts() -> None:
    segmenter = tiny(width=8).fit(X, y)
    expected = segmenter.predict_proba(X).tobytes(), segmenter.score(X, y)

    def predict(_: int) -> Any:
        return [
            (segmenter.predict_proba(X).tobytes(), segmenter.score(X, y))
            for _ in range(10)
        ]

    for answers in in_threads(predict):
        assert answers == [expected] * 10


def test_threads_fit_what_one_fits() -> None:
    segmenters = [tiny(random_state=seed % 3) for seed in range(N_THREADS)]
    expected = [bits(clone(segmenter).fit(X, y)) for segmenter in segmenters]
    before = global_states()
    found = in_threads(lambda index: bits(clone(segmenters[index]).fit(X, y)))
    assert found == expected
    assert global_states() == before


def test_a_thread_predicts_the_same_while_others_fit() -> None:
    expected = fitted().predict_proba(X).tobytes()

    def fit_or_predict(index: int) -> Any:
        if index % 2:
            return bits(tiny().fit(X, y))
        return [fitted().predict_proba(X).tobytes() for _ in range(5)]

    for index, answer in enumerate(in_threads(fit_or_predict)):
        assert answer == (bits(fitted()) if index % 2 else [expected] * 5)


# Leaks


LEAKS = """
import gc, json, os
from contextlib import suppress
from pathlib import Path
import numpy as np, torch
from PIL import Image
from sklearn.pipeline import make_pipeline
from sksegment import FCNSegmenter
from sksegment.augmentation import RandomRotation

def held():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    tensors = sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())
    return {
        "bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "tensors": tensors,
    }

# A leak of the images alone would be 3 MiB a fit.
X = np.random.default_rng(0).random((4, 256, 256, 3), np.float32)
y = np.uint8(X[..., 0] > 0.5)
paths = []
for index, (image, mask) in enumerate(zip(X, y)):
    paths.append((f"{index}.png", f"{index}_mask.png"))
    Image.fromarray(np.uint8(255 * image)).save(paths[-1][0])
    Image.fromarray(mask).save(paths[-1][1])
images, masks = zip(*paths)
model = make_pipeline(
    RandomRotation(),
    FCNSegmenter(
        depth=1, width=2, max_epochs=1, crop_size=64, random_state=0, device="cpu"
    ),
)

def use(index):
    if index % 2:
        model.fit(images, masks).predict(images)
    else:
        model.fit(X, y).score(X, y)
    with suppress(ValueError):
        model.fit(X, y[:3])
    with suppress(ValueError):
        model.predict(X[..., :2])

for index in range(20):
    use(index)
before = held()
for index in range(50):
    use(index)
after = held()
print(json.dumps([before, after]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_fits_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LEAKS],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "MALLOC_MMAP_THRESHOLD_": "65536",  # large blocks go back at once
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after["bytes"] - before["bytes"] < 50 * 2**20
    for kind in ("files", "threads", "tensors"):
        assert after[kind] <= before[kind]
