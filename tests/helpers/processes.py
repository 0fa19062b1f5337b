"""Scripts that a launcher of torch starts in two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
