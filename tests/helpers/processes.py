"""Scripts that a launcher of torch starts in two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch.distributed as dist

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def launch(
    script: str, folder: Path, *launcher: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with a folder as its argument, by a launcher or without one."""
    (folder / "script.py").write_text(script)
    command = [*launcher, str(folder / "script.py"), str(folder)]
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def skip_without_gloo() -> None:
    """Skip a test that needs processes on a CPU to exchange tensors."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("needs a torch with gloo")


def results_of_one_and_two(script: str, folder: Path) -> dict[str, Any]:
    """Run a script in one process and in two; return what each has dumped there."""
    skip_without_gloo()
    for launcher in ((), TORCHRUN):
        finished = launch(script, folder, *launcher)
        assert finished.returncode == 0, finished.stderr
    return {path.stem: joblib.load(path) for path in folder.glob("*.joblib")}
