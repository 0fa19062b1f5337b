"""Check the pages that Sphinx made: python docs/check_site.py SITE.

Every link inside the site leads to a page and a place in it, every example and every
public name has a page, no example printed a traceback. Prints what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sksegment

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = ["404.html", "llms.txt", "objects.inv", "sitemap.xml", "_static/switcher.json"]
# Names that are shortcuts to where they are documented, and a str.
SHORTCUTS = {"SegmentationDisplay", "iou_scorer", "load_model", "save_model"}
WITHOUT_PAGE = {("sksegment", name) for name in {*SHORTCUTS, "__version__"}}
WITHOUT_PAGE |= {("sksegment.segmenter", "FCNSegmenter")}


class Page(HTMLParser):
    """The links of a page, and the places in it that links may lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.places |= {values[key] for key in ("id", "name") if values.get(key)}
        self.links |= {values[key] for key in ("href", "src") if values.get(key)}


def broken_links(site: Path) -> Iterator[str]:
    found = {*site.rglob("*.html")} - {*site.glob("_static/**/*.html")}  # templates
    pages = {path.resolve(): Page(path) for path in sorted(found)}
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its links start at the root of the site on the web
        for link in sorted(page.links):
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            place = unquote(url.fragment)
            if not target.exists():
                yield f"{path.relative_to(site)}: {link} leads nowhere"
            elif place and target in pages and place not in pages[target].places:
                yield f"{path.relative_to(site)}: {link} has no such place"


def missing_pages(site: Path) -> Iterator[str]:
    for name in FILES:
        if not (site / name).is_file():
            yield f"{name} is missing"
    for module, name in public_names():
        page = f"reference/generated/{module}.{name}.html"
        if not (site / page).is_file():
            yield f"{page} is missing: docs/reference/ does not list {name}"


def public_names() -> Iterator[tuple[str, str]]:
    modules = ["sksegment", *(f"sksegment.{name}" for name in sksegment._SUBMODULES)]
    for module in modules:
        for name in import_module(module).__all__:
            if (module, name) not in WITHOUT_PAGE:
                yield module, name


def failed_examples(site: Path) -> Iterator[str]:
    for example in sorted(EXAMPLES.glob("plot_*.py")):
        page = site / "auto_examples" / f"{example.stem}.html"
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        if "Total running time of the script" not in text:
            yield f"{example.name} did not run"
        if "Traceback (most recent call last)" in text:
            yield f"{example.name} printed a traceback"


def main(site: Path) -> int:
    checks = (broken_links, missing_pages, failed_examples)
    mistakes = [mistake for check in checks for mistake in check(site.resolve())]
    print("\n".join(mistakes) or "the site is complete, and no link is broken")
    return int(bool(mistakes))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
