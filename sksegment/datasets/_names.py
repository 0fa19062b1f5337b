"""File names: which belong together, and which only look equal."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path


def bare_name(name: str) -> str:
    """Return what names that look equal have in common.

    They differ in their Unicode form (macOS decomposes what others compose), in case,
    or in blanks.

    Examples
    --------
    >>> from sksegment.datasets._names import bare_name
    >>> bare_name("Z\u00fcrich"), bare_name("zu\u0308rich ")
    ('zürich', 'zürich')
    """
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", " ".join(composed.split()).casefold())


def partners(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Return which other name belongs to each name: the same, or the one that looks so.

    Names that look equal to several are left out.

    Examples
    --------
    >>> from sksegment.datasets._names import partners
    >>> partners(["a", "B", "C", "d"], ["a", "b", "c", "C "])
    {'a': 'a', 'B': 'b'}
    """
    names, others = list(names), list(others)
    found = {name: name for name in names if name in set(others)}
    left = _by_bare_name(name for name in names if name not in found)
    left_others = _by_bare_name(name for name in others if name not in found)
    for bare, alike in left.items():
        if len(alike) == len(left_others[bare]) == 1:
            found[alike[0]] = left_others[bare][0]
    return found


def _by_bare_name(names: Iterable[str]) -> defaultdict[str, list[str]]:
    groups = defaultdict(list)
    for name in names:
        groups[bare_name(name)].append(name)
    return groups


def look_alike(name: str, others: Iterable[str]) -> bool:
    """Tell whether a name looks equal to another that it is not equal to."""
    return any(
        other != name and bare_name(other) == bare_name(name) for other in others
    )


def files_or_look_alikes(paths: list[Path]) -> list[Path]:
    """Return paths; for one without a file, that of the one file that looks so."""
    names: dict[Path, list[str]] = {}
    found = []
    for path in paths:
        folder = path.parent
        if not path.exists() and folder.is_dir():
            if folder not in names:
                names[folder] = [file.name for file in folder.iterdir()]
            path = folder / partners([path.name], names[folder]).get(path.name, path)
        found.append(path)
    return found


def usual_ending(names: Iterable[str]) -> str | None:
    """Return what most names add to others among them, as "_mask" to "a" in "a_mask".

    Examples
    --------
    >>> from sksegment.datasets._names import usual_ending
    >>> usual_ending(["a", "a_mask", "b", "b_mask"])
    '_mask'
    """
    endings = [
        longer.removeprefix(shorter)
        for shorter, longer in pairwise(sorted(names))
        if longer.startswith(shorter)
    ]
    return max(endings, key=endings.count) if endings else None
