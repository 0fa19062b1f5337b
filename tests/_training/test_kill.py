"""A training run that is killed at any moment resumes to the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from skorch.callbacks import Freezer

from helpers.checkpoint import assert_equal_weights, interrupted, segmenter

KILLED = """
import contextlib, hashlib, os, random, signal, sys, time
from pathlib import Path
import torch
from sksegment import FCNSegmenter, _atomic_write
from sksegment.datasets import make_shapes

torch.set_num_threads(1)
folder = Path(sys.argv[1])
X, y = make_shapes(8, size=16, n_classes=3, random_state=0)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class HalfAFile:
    def __init__(self, path, mode):
        self.file = open(path, mode)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        die()

def die_in_call(name, number):
    real, calls = getattr(os, name), []
    def counted(*args):
        calls.append(args)
        return die() if len(calls) == number else real(*args)
    setattr(os, name, counted)

def train():
    model = FCNSegmenter(
        depth=1, width=3, max_epochs=60, batch_size=8, random_state=0,
        checkpoint_dir=folder / "kept",
    ).fit(X, y)
    digest = hashlib.sha256()
    for name, tensor in model.network_.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    (folder / "weights").write_text(digest.hexdigest())

def is_running(pid):
    return not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

def wait_for_epochs(pid, number):
    # Sleeps, or it would take the time of the training that it watches.
    seen = set()
    while len(seen) < number and is_running(pid):
        time.sleep(0.002)
        for path in folder.glob("kept/*/checkpoint.pt"):
            with contextlib.suppress(FileNotFoundError):
                seen.add(path.stat().st_mtime_ns)

def child(prepare=lambda: None, epochs=None, seconds=0):
    pid = os.fork()
    if not pid:
        prepare()
        train()
        os._exit(0)
    if epochs is not None:
        wait_for_epochs(pid, epochs)
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status := os.waitpid(pid, 0)[1]) else 0

def weights():
    return (folder / "weights").read_text()

train()  # what torch loads at the first step, the children have then
start = time.monotonic()
assert child() == 0
epoch = (time.monotonic() - start) / 60
whole = weights()
rng = random.Random(0)
moments = [
    dict(epochs=rng.randint(0, 8), seconds=rng.uniform(0, epoch))
    for _ in range(12)
]
for number in (1, 5, 9):
    moments.append(dict(prepare=lambda n=number: die_in_call("fsync", n)))
    moments.append(dict(prepare=lambda n=number: die_in_call("replace", n)))
moments.append(dict(prepare=lambda: setattr(_atomic_write, "open", HalfAFile)))
moments.append(dict(prepare=lambda: die_in_call("unlink", 1)))
killed = resumed = equal = 0
for moment in moments:
    (folder / "weights").unlink()
    killed += child(**moment) == signal.SIGKILL
    resumed += bool([*folder.glob("kept/*/checkpoint.pt")])
    assert child() == 0
    equal += weights() == whole
    assert not [*(folder / "kept").iterdir()]
print(killed, resumed, equal)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_killed_at_any_moment_it_ends_in_the_same_weights(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    killed, resumed, equal = map(int, done.stdout.split())
    assert equal == 20
    # Where the machine is slow to kill, a training may be done already.
    assert killed >= 15
    assert resumed >= 12


def test_what_a_callback_froze_stays_frozen_when_training_goes_on(
    tmp_path: Path, data: Any
) -> None:
    X, y = data
    freezer = [Freezer("encoder*")]
    expected = segmenter(callbacks=freezer).fit(X, y)
    interrupted(X, y, callbacks=tuple(freezer), checkpoint_dir=tmp_path)
    resumed = segmenter(callbacks=freezer, checkpoint_dir=tmp_path).fit(X, y)
    assert_equal_weights(resumed, expected)
