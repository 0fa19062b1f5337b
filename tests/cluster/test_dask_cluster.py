"""Searches and blocks on a cluster of two processes, on this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from skimage.io import imsave
from sklearn.model_selection import GridSearchCV, KFold

import sksegment.blocks._predict_to_zarr as module
from sksegment import FCNSegmenter
from sksegment.blocks import predict_to_zarr
from sksegment.datasets import make_shapes

distributed = pytest.importorskip(
    "distributed", reason="needs pip install 'sksegment[dask]'"
)
zarr = pytest.importorskip("zarr", reason="needs pip install 'sksegment[dask]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # those of dask's own parts
]


# First: dask would go on with another cluster, if there is one.
def test_a_lost_cluster_is_named_and_finished_blocks_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = make_shapes(n_samples=4, size=32, n_classes=3, random_state=0)
    segmenter = FCNSegmenter(depth=2, width=8, max_epochs=2, random_state=0).fit(X, y)
    image = np.tile(X[0], (12, 12, 1))
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    client = distributed.Client(cluster)
    store = tmp_path / "labels.zarr"
    write = module.write_block

    def slowly(*arguments: Any) -> None:
        write(*arguments)
        time.sleep(0.05)

    monkeypatch.setattr(module, "write_block", slowly)

    def close() -> None:
        while len([*(store / "c").rglob("*")]) < 10:
            time.sleep(0.01)
        client.close()
        cluster.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(OSError, match=r"lost the workers.*finished blocks stay"):
        predict_to_zarr(segmenter, image, store, block_size=32)
    thread.join()
    assert [path for path in (store / "c").rglob("*") if path.is_file()]
    monkeypatch.setattr(module, "write_block", write)
    labels = predict_to_zarr(segmenter, image, store, block_size=32)
    np.testing.assert_array_equal(labels[:], segmenter.predict([image])[0])


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers of one thread each; torch takes one thread, too."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(_use_one_thread)
        yield client


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    folder = tmp_path_factory.mktemp("images")
    X, y = make_shapes(n_samples=8, size=32, n_classes=3, random_state=0)
    images = [str(folder / f"{index}.png") for index in range(8)]
    masks = [str(folder / f"{index}_mask.png") for index in range(8)]
    for index in range(8):
        pixels = (255 * X[index]).astype(np.uint8)
        imsave(images[index], pixels, check_contrast=False)
        imsave(masks[index], y[index].astype(np.uint8), check_contrast=False)
    return images, masks


def search(**parameters: Any) -> GridSearchCV:
    segmenter = FCNSegmenter(
        depth=1, **{"width": 4, "max_epochs": 3, "random_state": 0, **parameters}
    )
    return GridSearchCV(segmenter, {"learning_rate": [1e-3, 1e-2]}, cv=KFold(3))


def assert_equal_searches(found: GridSearchCV, expected: GridSearchCV) -> None:
    for key, scores in expected.cv_results_.items():
        if key.endswith("test_score"):
            np.testing.assert_array_equal(found.cv_results_[key], scores)
    weights = [s.best_estimator_.network_.state_dict() for s in (found, expected)]
    for name, tensor in weights[1].items():
        np.testing.assert_array_equal(weights[0][name].numpy(), tensor.numpy())


def test_a_search_on_the_cluster_equals_a_serial_one_bit_for_bit(
    client: Any, paths: tuple[list[str], list[str]], one_thread: None, tmp_path: Path
) -> None:
    expected = search().fit(*paths)
    with joblib.parallel_config("dask"):
        found = search(checkpoint_dir=str(tmp_path / "shared")).fit(*paths)
    assert_equal_searches(found, expected)
    assert not [*(tmp_path / "shared").iterdir()]


def test_a_search_survives_a_worker_that_is_killed_in_the_middle_of_a_fit(
    client: Any, paths: tuple[list[str], list[str]], one_thread: None, tmp_path: Path
) -> None:
    parameters = {"max_epochs": 60, "checkpoint_dir": str(tmp_path)}
    expected = search(max_epochs=60).fit(*paths)
    killed: list[int] = []

    def kill_one() -> None:
        while not [*tmp_path.glob("*/checkpoint.pt")]:
            time.sleep(0.01)
        (pid, *_) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    thread = threading.Thread(target=kill_one)
    thread.start()
    with joblib.parallel_config("dask"):
        found = search(**parameters).fit(*paths)
    thread.join()
    assert killed
    client.run(_use_one_thread)
    for key in ("mean_test_score", "split0_test_score"):
        np.testing.assert_allclose(
            found.cv_results_[key], expected.cv_results_[key], rtol=0, atol=1e-6
        )


def test_blocks_survive_a_worker_that_is_killed(
    client: Any, paths: tuple[list[str], list[str]], one_thread: None, tmp_path: Path
) -> None:
    X, y = make_shapes(n_samples=8, size=32, n_classes=3, random_state=0)
    segmenter = FCNSegmenter(depth=2, width=8, max_epochs=2, random_state=0).fit(X, y)
    image = np.tile(X[0], (24, 24, 1))
    stored = zarr.create_array(
        tmp_path / "image.zarr", shape=image.shape, chunks=(96, 96, 3), dtype="f4"
    )
    stored[:] = image
    killed: list[int] = []

    def kill_one() -> None:
        while len([*(tmp_path / "labels.zarr" / "c").rglob("*")]) < 10:
            time.sleep(0.01)
        (pid, *_) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    thread = threading.Thread(target=kill_one)
    thread.start()
    labels = predict_to_zarr(
        segmenter, tmp_path / "image.zarr", tmp_path / "labels.zarr", block_size=48
    )
    thread.join()
    assert killed
    np.testing.assert_array_equal(labels[:], segmenter.predict([image])[0])
