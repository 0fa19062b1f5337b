"""Progress bars, where somebody can see them."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any, TypeVar

Item = TypeVar("Item")

# From this verbosity on there are bars; below, only lines.
BARS = 2


def is_terminal(stream: Any) -> bool:
    """Tell whether a stream is a terminal, on which bars move and colors show."""
    return bool(getattr(stream, "isatty", bool)())


def in_notebook() -> bool:
    """Tell whether the program runs in a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def in_worker() -> bool:
    """Tell whether joblib, or another pool, runs this beside other tasks.

    Their lines and bars would be mixed up.
    """
    if multiprocessing.current_process().name != "MainProcess":
        return True
    joblib = sys.modules.get("joblib")
    if joblib is None:
        return False
    backend, _ = joblib.parallel.get_active_backend()
    return (backend.nesting_level or 0) > 0


def shows_bars(verbose: int) -> bool:
    """Tell whether progress is shown as a bar: asked for, and seen by somebody."""
    if verbose < BARS or in_worker():
        return False
    return in_notebook() or is_terminal(sys.stderr)


def progress_bar(total: int | None, title: str, unit: str, verbose: int) -> Any:
    """Return a bar of tqdm, to be updated and closed; one that shows nothing if unseen.

    Parameters
    ----------
    total : int or None
        Steps in all.
    title : str
        What stands before the bar.
    unit : str
        What is counted.
    verbose : int
        That of the estimator.
    """
    is_seen = shows_bars(verbose)
    # Without ipywidgets a notebook shows the bar as a line of text.
    has_widgets = in_notebook() and find_spec("ipywidgets") is not None
    if is_seen and has_widgets:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    # tqdm's own kind of bar starts a thread, which stays, to draw bars that are late.
    threadless = type("Bar", (tqdm,), {"monitor_interval": 0})
    return threadless(
        total=total,
        desc=title,
        unit=f" {unit}",
        disable=not is_seen,
        leave=False,
        dynamic_ncols=not has_widgets,
        miniters=1,  # look at the clock at each step, so that none is late
    )


class Progress(Iterator[Item]):
    """Items, of which a bar shows how many are done.

    Parameters
    ----------
    steps : generator
        Yields the items, and closes the bar when it ends or is closed itself.
    """

    def __init__(self, steps: Iterator[Item]) -> None:
        self._steps = steps

    def __next__(self) -> Item:
        return next(self._steps)

    def __iter__(self) -> Iterator[Item]:
        # Only the loop holds the steps then, not the frame around it, which lives on in
        # a traceback: if the loop is interrupted, the bar is closed at once.
        steps, self._steps = self._steps, iter(())
        return steps


def with_progress(
    items: Iterable[Item], total: int, title: str, unit: str, verbose: int
) -> Iterator[Item]:
    """Return the items one by one, and show how many of them are done.

    A single one needs no bar.

    Parameters
    ----------
    items : iterable
        What is worked on.
    total : int
        How many there are.
    title, unit : str
        What stands before the bar, and what is counted.
    verbose : int
        That of the estimator.

    Examples
    --------
    >>> from sksegment._inputs.progress import with_progress
    >>> list(with_progress("abc", 3, "letters", "letter", verbose=0))
    ['a', 'b', 'c']
    """
    if total < 2 or not shows_bars(verbose):
        return iter(items)
    return Progress(_steps(items, total, title, unit, verbose))


def _steps(
    items: Iterable[Item], total: int, title: str, unit: str, verbose: int
) -> Iterator[Item]:
    with progress_bar(total, title, unit, verbose) as bar:
        for item in items:
            yield item
            bar.update()
