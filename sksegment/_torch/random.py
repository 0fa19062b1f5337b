"""The random numbers of torch: seeded for one use, and left as they were found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sksegment._torch.fork_safe_lock import ForkSafeLock

# The seeds that torch is given are below this.
MAX_TORCH_SEED = 2**63 - 1
RNG_LOCK = ForkSafeLock()


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what torch draws on the CPU and on one device, and on no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def local_rng(device: torch.device) -> Iterator[None]:
    """Leave torch's global random state as it was found.

    The whole process shares it: fits in several threads wait for each other.
    """
    devices = [device] if device.type == "cuda" else []
    fork = torch.random.fork_rng(devices=devices)
    with RNG_LOCK, fork, _local_mps_rng(device):
        yield


@contextmanager
def _local_mps_rng(device: torch.device) -> Iterator[None]:
    if device.type != "mps":
        yield
        return
    before = torch.mps.get_rng_state()
    try:
        yield
    finally:
        torch.mps.set_rng_state(before)
