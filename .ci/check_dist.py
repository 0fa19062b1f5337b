"""Check a wheel and an sdist: python .ci/check_dist.py DIST TREE.

The sdist must hold every file of the tree that git does not ignore, less what serves
git and the code host alone; the wheel, which `python -m build` makes from the sdist,
must hold the package.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

from pathspec import GitIgnoreSpec

HIDDEN = {".ci", ".gitignore"}  # the others are for git, for the code host, or caches
EXTRAS = {"standard", "dask", "onnx", "test", "docs"}  # some that must not be lost


def tree_files(tree: Path) -> set[str]:
    """Return the files of the tree that belong to the project."""
    ignored = GitIgnoreSpec.from_lines((tree / ".gitignore").read_text().splitlines())

    def files(folder: Path) -> Iterator[str]:
        for path in folder.iterdir():
            name = path.relative_to(tree).as_posix()
            if name.startswith(".") and name.split("/")[0] not in HIDDEN:
                continue
            if ignored.match_file(name + "/" * path.is_dir()):
                continue
            if path.is_dir():
                yield from files(path)
            else:
                yield name

    return set(files(tree))


def sdist_files(sdist: Path) -> set[str]:
    """Return the files of the project in an sdist, as paths of the tree."""
    with tarfile.open(sdist) as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]
    # Inside, everything lies in a folder sksegment-0.1.0; PKG-INFO is the metadata.
    return {name.partition("/")[2] for name in names} - {"PKG-INFO"}


def wheel_files(wheel: Path) -> dict[str, bytes]:
    """Return the files in a wheel, with their content."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def mistakes(dist: Path, tree: Path) -> Iterator[str]:
    """Yield what is missing, superfluous or wrong, one sentence each."""
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    expected = tree_files(tree)
    for name in sorted(expected ^ sdist_files(sdist)):
        lost = name in expected
        yield f"{name} {'is missing from' if lost else 'does not belong into'} {sdist}"
    content = wheel_files(wheel)
    package = {name for name in expected if name.startswith("sksegment/")}
    for name in sorted(
        package ^ {name for name in content if ".dist-info/" not in name}
    ):
        yield f"{name} is in one of {tree} and {wheel} only"
    (metadata,) = (name for name in content if name.endswith(".dist-info/METADATA"))
    fields = Parser().parsestr(content[metadata].decode())
    if not {*fields.get_all("Provides-Extra", [])} >= EXTRAS:
        yield f"{metadata} lacks some of the extras {sorted(EXTRAS)}"
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in content):
        yield f"{wheel} has no licence"


if __name__ == "__main__":
    found = [*mistakes(Path(sys.argv[1]), Path(sys.argv[2]))]
    print("\n".join(found) or "wheel and sdist are complete")
    sys.exit(bool(found))
