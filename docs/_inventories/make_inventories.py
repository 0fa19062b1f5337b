"""Write the inventories of other projects from names.toml, for sphinx.ext.intersphinx.

python docs/_inventories/make_inventories.py
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
HEADER = """\
# Sphinx inventory version 2
# Project: {project}
# Version:
# The remainder of this file is compressed using zlib.
"""


def projects() -> dict[str, dict[str, Any]]:
    return tomllib.loads((FOLDER / "names.toml").read_text("utf-8"))


def lines(objects: list[tuple[str, str, list[str]]]) -> Iterator[str]:
    """One line for each name: the name, its kind, priority, address and title."""
    for kind, page, names in objects:
        for name in names:
            address = page.format(name=name)
            anchor = "" if "#" in address else f"#{name}"
            # Labels have a title, which stands for the link; "-" is the name itself.
            title = name.replace("_", " ") if kind == "std:label" else "-"
            yield f"{name} {kind} 1 {address}{anchor} {title}\n"


def inventory(project: str, objects: list[tuple[str, str, list[str]]]) -> bytes:
    body = "".join(sorted(lines(objects))).encode()
    return HEADER.format(project=project).encode() + zlib.compress(body, 9)


if __name__ == "__main__":
    for project, listed in projects().items():
        content = inventory(project, listed["objects"])
        (FOLDER / f"{project}.inv").write_bytes(content)
