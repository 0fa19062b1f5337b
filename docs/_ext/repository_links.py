"""Links between files of the repository that work on the code host and on the site.

Pages are plain Markdown and link to each other, to examples and to any other file by
relative paths, as the code host shows them. Here a link to an example becomes one to
its page of the gallery, and a link to a file that has no page one to the file on the
code host. Links that lead nowhere are left alone: Sphinx warns of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
LINK = re.compile(r"(!?)(\[[^\]]*\])\(([^()\s#:]+)(#[^()\s]*)?\)")
# Files outside docs/ that a page of docs/ includes.
INCLUDED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def target_on_site(path: str, repository: str) -> str | None:
    """Where the site has a file of the repository: in docs/, or at an address."""
    if path in INCLUDED:
        return f"docs/{INCLUDED[path]}"
    if path == "examples":
        return "docs/auto_examples/index.rst"
    if re.fullmatch(r"examples/plot_\w+\.py", path):
        return f"docs/auto_{path.removesuffix('.py')}.rst"
    if path.startswith("docs/") and path.endswith(".md"):
        return path
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{repository}/{kind}/main/{path}"


def with_links_of_site(text: str, folder: Path, page: Path, repository: str) -> str:
    """Rewrite the links of a text that lies in `folder` and is shown on `page`."""

    def rewritten(match: re.Match[str]) -> str:
        image, label, link, anchor = match.groups(default="")
        target = (folder / link).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            return match[0]
        if image:
            return f"![{label[1:-1]}]({os.path.relpath(target, page.parent)})"
        found = target_on_site(target.relative_to(ROOT).as_posix(), repository)
        if not found.startswith("http"):
            found = Path(os.path.relpath(ROOT / found, page.parent)).as_posix()
        return f"{label}({found}{anchor})"

    return LINK.sub(rewritten, text)


def read_page(app: Any, docname: str, source: list[str]) -> None:
    page = Path(app.env.doc2path(docname))
    if page.suffix == ".md":
        source[0] = with_links_of_site(
            source[0], page.parent, page, app.config.repository
        )


def read_included(app: Any, path: Path, parent: str, content: list[str]) -> None:
    folder = (DOCS / path).resolve().parent
    page = Path(app.env.doc2path(app.env.docname))
    content[0] = with_links_of_site(content[0], folder, page, app.config.repository)


def setup(app: Any) -> dict[str, bool]:
    app.add_config_value("repository", "", "env")
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
