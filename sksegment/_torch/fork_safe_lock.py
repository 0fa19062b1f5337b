"""A lock that no child process inherits in a locked state."""

from __future__ import annotations

import os
from threading import RLock, local


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, whoever held it in the parent.

    A fork copies the locks of all threads, but only the thread that forked: a lock that
    another thread held would never be released in the child.

    Examples
    --------
    >>> from sksegment._torch.fork_safe_lock import ForkSafeLock
    >>> lock = ForkSafeLock()
    >>> with lock, lock:
    ...     print("one thread at a time")
    one thread at a time
    """

    def __init__(self) -> None:
        # Each thread lets go of the locks that it took, be they those of the parent.
        self._taken = local()
        self._renew()
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        vars(self._taken).setdefault("locks", []).append(lock)

    def __exit__(self, *_: object) -> None:
        self._taken.locks.pop().release()
