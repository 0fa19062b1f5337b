"""What a site needs beside its pages: llms.txt, a page 404, links to edit a page."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

from docutils import nodes
from python_names import edited_file
from sphinx import addnodes

LONGEST = 250  # characters of a description in llms.txt
LEFT_OUT = ("404", "index", "sg_execution_times")


def first_sentence(doctree: nodes.document) -> str:
    """What a page is about: the first sentence of its first paragraph."""
    for found in doctree.findall(nodes.paragraph):
        if not isinstance(found.parent, (nodes.section, addnodes.desc_content)):
            continue
        text = " ".join(found.astext().split())
        return shorten(text.split(". ")[0].rstrip(".:"), LONGEST, placeholder=" ...")
    return ""


def entry(app: Any, page: str) -> str:
    title = app.env.titles[page].astext()
    address = f"{app.config.html_baseurl}{app.builder.get_target_uri(page)}"
    about = first_sentence(app.env.get_doctree(page))
    return f"- [{title}]({address})" + (f": {about}" if about else "")


def pages_below(app: Any, page: str) -> list[str]:
    """A page and all that its tables of contents lead to, in their order."""
    found = [page]
    for child in app.env.toctree_includes.get(page, []):
        found += pages_below(app, child)
    return found


def write_llms_txt(app: Any, exception: Exception | None) -> None:
    """List the pages for language models, as https://llmstxt.org asks."""
    if exception or app.builder.format != "html":
        return
    about = first_sentence(app.env.get_doctree("index"))
    lines = ["# sksegment", "", f"> {about}", ""]
    for section in app.env.toctree_includes["index"]:
        lines += [f"## {app.env.titles[section].astext()}", ""]
        pages = [page for page in pages_below(app, section) if page not in LEFT_OUT]
        lines += [*(entry(app, page) for page in dict.fromkeys(pages)), ""]
    Path(app.outdir, "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def complete_page(app: Any, page: str, template: str, context: Any, doc: Any) -> None:
    if page == "404":  # it is shown at any address, so links must not be relative to it
        base = f'<base href="{app.config.html_baseurl}">'
        context["metatags"] = base + context.get("metatags", "")
    file = edited_file(page)
    if file:  # the theme knows only files of docs/
        address = f"{app.config.repository}/edit/main/{file}"
        context["get_edit_provider_and_url"] = lambda: ("GitHub", address)


def setup(app: Any) -> dict[str, bool]:
    app.connect("build-finished", write_llms_txt)
    app.connect("html-page-context", complete_page, priority=900)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
