"""Peers that live in environments of their own, run by their own interpreter."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SCRIPTS = Path(__file__).resolve().parents[1]
KERAS = ("keras-torch", "keras-jax", "keras-tensorflow")


class PeerError(Exception):
    """A peer does not run here; its own message is on standard error."""


class Worker:
    """A program of a peer that does one piece of work for each line that it is sent.

    It answers with a line of JSON, the first of which tells what it is.
    """

    def __init__(self, python: str, program: str, *arguments: Any) -> None:
        # What leads Python to sksegment would lead the peer to our packages.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, "-m", f"lib.{program}", *map(str, arguments)],
            cwd=SCRIPTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self.about = self._answer()

    def work(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def seconds(self) -> float:
        return float(self.work()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"it ended with exit status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The end of its input ends the worker. Waited for, its seconds count as ours.
        self._process.communicate()


def keras_worker(
    name: str, python: str, width: int, size: int, n_images: int, n_classes: int
) -> Worker:
    """Start Keras with one of its backends, on images of its own of the same size."""
    backend = name.removeprefix("keras-")
    return Worker(python, "keras_worker", backend, width, size, n_images, n_classes)


def how_to_bring(name: str) -> str:
    return f"no --peer {name}=PYTHON was given"
