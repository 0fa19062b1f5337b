"""Processes that a launcher has started to train one network together."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

# What torchrun and `accelerate launch` tell each process.
TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """The processes that train together, and which of them this one is.

    Parameters
    ----------
    rank : int, default=0
        The number of this process; 0 writes files and prints.
    count : int, default=1
        How many there are.

    Examples
    --------
    >>> Processes(rank=1, count=2).own_share(5)
    slice(3, 5, None)
    """

    rank: int = 0
    count: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether this is the only process."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def own_share(self, n_items: int) -> slice:
        """Return which of some items are those of this process: the first get more."""
        size, more = divmod(n_items, self.count)
        start = self.rank * size + min(self.rank, more)
        return slice(start, start + size + (self.rank < more))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of the tensors of all processes, without a gradient."""
        total = values.detach().clone()
        if not self.is_alone:
            dist.all_reduce(total)
        return total

    def from_first(self, make: Callable[[], Item]) -> Item:
        """Let the first process make something, and return it in all of them."""
        if self.is_alone:
            return make()
        made: list[Any] = [make() if self.is_first else None]
        dist.broadcast_object_list(made, src=0)
        result: Item = made[0]
        return result

    @contextmanager
    def failures_named(self) -> Iterator[None]:
        """Say what has happened if another process is gone."""
        try:
            yield
        except RuntimeError as error:
            if self.is_alone or not _is_lost_connection(error):
                raise
            raise OSError(
                f"Another of the {self.count} processes that train together has ended; "
                f"its own error says why. ({error})"
            ) from error


ALONE = Processes()


def join_processes(device: torch.device) -> Processes:
    """Join the processes of a launcher; without one, this process is alone.

    Parameters
    ----------
    device : torch.device
        Where this process trains.
    """
    if not is_launched():
        return ALONE
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group()
        atexit.register(_leave_processes)
    return Processes(dist.get_rank(), dist.get_world_size())


def is_launched() -> bool:
    """Tell whether a launcher has started this process to train with others."""
    if not dist.is_available():
        return False
    if dist.is_initialized():
        return dist.get_world_size() > 1
    # Workers of joblib inherit what the launcher has told their parent.
    is_told = all(name in os.environ for name in TOLD) and parent_process() is None
    return is_told and int(os.environ["WORLD_SIZE"]) > 1


def local_rank() -> int:
    """Return the number of this process on its machine: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _leave_processes() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _is_lost_connection(error: RuntimeError) -> bool:
    signs: Sequence[str] = ("connection", "timed out", "gloo", "nccl")
    is_known = isinstance(error, (dist.DistBackendError, dist.DistNetworkError))
    return is_known or any(sign in str(error).lower() for sign in signs)
