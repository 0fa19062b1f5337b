from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Doctests draw as well: never open a window.
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def global_rng_restored() -> Iterator[None]:
    """Give the next test the global random state that this one found.

    Nothing is seeded: a test that needs fixed numbers passes `random_state`.
    """
    torch = sys.modules.get("torch")
    numpy_state = np.random.get_state()  # noqa: NPY002 (the global state is the point)
    torch_state = None if torch is None else torch.get_rng_state()
    yield
    np.random.set_state(numpy_state)  # noqa: NPY002
    if torch is not None:
        torch.set_rng_state(torch_state)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Run torch on one thread, as workers do: several split some sums elsewhere."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, which is not part of the project."""
    folder = os.environ.get("SKSEGMENT_DATA")
    path = Path(folder) if folder else ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real images: {path} is no folder (set SKSEGMENT_DATA to one)")
    return path


@pytest.fixture
def pyplot() -> Iterator[ModuleType]:
    """`matplotlib.pyplot`, drawing to memory; figures are closed afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.close("all")
    yield plt
    plt.close("all")
