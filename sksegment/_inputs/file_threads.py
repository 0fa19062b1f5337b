"""Threads in which files are decoded while the program goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

# More are hardly faster: between files, decoders wait for each other in Python.
MAX_THREADS = 4
# Bytes of decoded files, and files for each thread, that may wait to be taken.
MAX_WAITING = 2**26
FILES_WAITING = 8

Arrays = tuple[NDArray[Any], ...]


def file_threads() -> ThreadPoolExecutor:
    """Return threads for decoding files, as many as there are processors, up to 4.

    Decoders leave Python's lock while they work. One thread is enough to decode while a
    GPU computes.
    """
    from joblib import cpu_count

    return ThreadPoolExecutor(min(MAX_THREADS, cpu_count()), "sksegment-files")


@contextmanager
def read_ahead(
    read: Callable[[int], Arrays], n_items: int
) -> Iterator[Iterator[Arrays]]:
    """Read items 0, 1, ... in threads, ahead of whoever takes them.

    Parameters
    ----------
    read : callable
        Takes an index and returns arrays. What it raises is raised where they would be
        taken.
    n_items : int
        Number of items.

    Yields
    ------
    iterator of tuple of ndarray
        The items in order. As many are read ahead as `MAX_WAITING` bytes hold if the
        others are as large as the last one. No thread is left when the context ends.
    """
    pool = file_threads()
    try:
        yield _in_order(read, n_items, pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    read: Callable[[int], Arrays], n_items: int, pool: ThreadPoolExecutor
) -> Iterator[Arrays]:
    waiting: deque[Future[Arrays]] = deque()
    n_ahead = 0  # until the first item shows how large they are
    for index in range(n_items):
        waiting.append(pool.submit(read, index))
        while len(waiting) > n_ahead:
            arrays = waiting.popleft().result()
            n_bytes = sum(array.nbytes for array in arrays)
            n_ahead = min(FILES_WAITING * pool._max_workers, MAX_WAITING // n_bytes)
            yield arrays
    while waiting:
        yield waiting.popleft().result()
