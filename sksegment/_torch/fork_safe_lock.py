"""A lock that no child process inherits in a locked state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, whoever held it in the parent.

    A fork copies the locks of all threads, but only the thread that forked: a lock that
    another thread held would never be released in the child.

    Examples
    --------
    >>> from sksegment._torch.fork_safe_lock import ForkSafeLock
    >>> lock = ForkSafeLock()
    >>> with lock.held(), lock.held():
    ...     print("one thread at a time")
    one thread at a time
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = RLock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; a fork within leaves the child the one that it holds."""
        lock = self._lock
        with lock:
            yield
