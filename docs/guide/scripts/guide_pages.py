"""Run the code of the guide's pages, and keep the pictures that it makes.

    python docs/guide/scripts/guide_pages.py [PAGE.md ...]

Blocks marked ``python`` run in order, in one namespace, in an empty folder; blocks
marked ``pycon`` are doctests in the same namespace. Blocks with a second word
(``python keras``) are lines of another library, and do not run. A picture of the folder
images/ that a page saves under its name takes the place of the older one.
"""

import doctest
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

GUIDE = Path(__file__).resolve().parents[1]
IMAGES = GUIDE / "images"
BLOCK = re.compile(r"^```(?:\{code-block\} )?([^\n]*)\n(.*?)^```", re.M | re.S)
PICTURE = re.compile(r"!\[[^\]]*\]\(images/([\w.]+)\)")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: Path) -> list[tuple[str, int, str]]:
    """Return kind, first line and text of the code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        (match[1], text.count("\n", 0, match.start(2)), match[2])
        for match in BLOCK.finditer(text)
    ]


def pictures(page: Path) -> list[str]:
    """Return the names of the pictures that a page shows from the folder images/."""
    return PICTURE.findall(page.read_text(encoding="utf-8"))


def run_page(page: Path) -> dict[str, Any]:
    """Run a page in the current folder, and return the names that it defines."""
    names: dict[str, Any] = {"__name__": page.stem}
    for kind, line, code in blocks(page):
        if kind == "python":
            # Empty lines in front: a traceback names the line of the page.
            exec(compile("\n" * line + code, page.name, "exec"), names)
        elif kind == "pycon":
            _run_doctest(page, line, code, names)
    return names


def _run_doctest(page: Path, line: int, code: str, names: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), line)
    test.globs = names  # the namespace itself: what a block defines stays
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    if runner.run(test, out=report.append, clear_globs=False).failed:
        raise AssertionError("".join(report))


def keep_picture(path: Path) -> None:
    """Copy a picture to images/, with 256 colors, which make it small."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(IMAGES / path.name, optimize=True)


def main() -> None:
    """Run the pages that are named, or all, and keep their pictures."""
    names = sys.argv[1:] or sorted(path.name for path in GUIDE.glob("*.md"))
    for name in names:
        print(name)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            run_page(GUIDE / name)
            for picture in pictures(GUIDE / name):
                if Path(picture).exists():
                    keep_picture(Path(picture))
            os.chdir(GUIDE)


if __name__ == "__main__":
    main()
