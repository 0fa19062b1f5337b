"""Items read ahead in threads: in order, bounded, and without a thread at the end."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from sksegment._inputs import file_threads
from sksegment._inputs.file_threads import read_ahead


def thread_names():
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("sksegment-files")]


def test_items_come_in_order_whichever_is_ready_first():
    def read(index):
        time.sleep(0.002 * (index % 3))
        return (np.full(4, index),)

    with read_ahead(read, 20) as items:
        assert [int(array[0]) for (array,) in items] == list(range(20))
    assert thread_names() == []


def test_an_error_is_raised_where_its_item_would_be_taken():
    def read(index):
        if index == 3:
            raise OSError("item 3")
        return (np.full(4, index),)

    taken = []
    with pytest.raises(OSError, match="item 3"), read_ahead(read, 9) as items:
        taken.extend(int(array[0]) for (array,) in items)
    assert thread_names() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_of_whoever_takes_the_items_leaves_no_thread(error):
    def fail_at_the_second_item():
        with read_ahead(lambda _: (np.zeros(1),), 50) as items:
            next(items)
            raise error

    with pytest.raises(error):
        fail_at_the_second_item()
    assert thread_names() == []


@pytest.mark.parametrize("n_waiting", [0, 1, 3])
def test_large_items_are_read_as_they_are_wanted(n_waiting, monkeypatch):
    item = np.zeros(100)
    monkeypatch.setattr(file_threads, "MAX_WAITING", n_waiting * item.nbytes)
    n_read = 0

    def read(index):
        nonlocal n_read
        n_read += 1
        return (item,)

    with read_ahead(read, 20) as items:
        for n_taken, _ in enumerate(items, start=1):
            assert n_read <= n_taken + n_waiting + 1


def test_small_items_are_read_before_they_are_wanted():
    wanted = threading.Event()

    def read(index):
        if index == 1:
            wanted.set()
        return (np.zeros(1),)

    with read_ahead(read, 5) as items:
        next(items)
        next(items)
        assert wanted.wait(10)
