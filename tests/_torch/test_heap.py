"""Freed memory stays with the process, and is used again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Eight images of 128x128 at width 16: each of the largest activations has 8 MiB.
PAGE_FAULTS = """
import resource
import numpy as np
from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

X, y = make_shapes(8, size=128, random_state=0)
small = X[:, :16, :16], y[:, :16, :16]
parameters = dict(device="cpu", precision="float32", max_epochs=1, random_state=0)
segmenter = FCNSegmenter(batch_size=8, **parameters).fit(*small)
for _ in range(4):
    segmenter.predict(X)
before = page_faults()
for _ in range(4):
    segmenter.predict(X)
print((page_faults() - before) / 4)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries do not learn"
)
def test_prediction_uses_memory_again():
    own = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    words = [sys.executable, "-W", "ignore", "-c", PAGE_FAULTS]
    done = subprocess.run(words, env=own, capture_output=True, text=True, check=True)
    pages_of_an_activation = 8 * 2**20 / os.sysconf("SC_PAGE_SIZE")
    assert float(done.stdout) < pages_of_an_activation / 4
