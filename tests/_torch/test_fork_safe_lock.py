"""A process that is forked while another thread trains does not wait for ever."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system has no fork"
)
# In the child, an alarm ends what would wait for ever.
FORKED = """
import os, signal, threading, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)  # with more, torch itself waits for threads that are gone

def exit_code_of(child):
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        child()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
LOCKS = """
from sksegment._torch.out_of_memory import HOOKS_LOCK
from sksegment._torch.precision import TF32
from sksegment._torch.random import RNG_LOCK

def child(lock):
    with lock, lock:
        pass

for lock in (HOOKS_LOCK, TF32._lock, RNG_LOCK):
    taken, done = threading.Event(), threading.Event()
    def holder():
        with lock:
            taken.set()
            done.wait()
    thread = threading.Thread(target=holder)
    thread.start()
    taken.wait()
    assert exit_code_of(lambda: child(lock)) == 0
    done.set()
    thread.join()
    with lock:  # by the thread that forks: both sides let go of it
        assert exit_code_of(lambda: child(lock)) == 0
    child(lock)
"""
TRAINING = """
from skorch.callbacks import Callback
from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes

X, y = make_shapes(4, size=16, random_state=0)
started, done = threading.Event(), threading.Event()

class Waits(Callback):
    def on_batch_begin(self, net, **_):
        started.set()
        done.wait()

def small(**parameters):
    return FCNSegmenter(width=4, depth=1, max_epochs=1, random_state=0, **parameters)

model = small().fit(X, y)
thread = threading.Thread(target=lambda: small(callbacks=[Waits()]).fit(X, y))
thread.start()
started.wait()
codes = [
    exit_code_of(lambda: model.predict(X)),
    exit_code_of(lambda: small().fit(X, y)),
    exit_code_of(lambda: model.partial_fit(X, y)),
]
done.set()
thread.join()
assert codes == [0, 0, 0], codes
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(LOCKS, id="locks"),
        pytest.param(TRAINING, id="training", marks=pytest.mark.slow),
    ],
)
def test_a_fork_while_another_thread_holds_a_lock(script):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", FORKED + script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
