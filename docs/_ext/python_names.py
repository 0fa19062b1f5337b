"""Names of Python objects: where they lie in the repository, and on the site."""

from __future__ import annotations

import inspect
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes

import sksegment

PACKAGE = Path(sksegment.__file__).parent


def found_object(module: str, name: str) -> Any:
    return inspect.unwrap(reduce(getattr, name.split("."), import_module(module)))


def source_of(module: str, name: str) -> tuple[str, int, int] | None:
    """The file below the root of the repository, its first and its last line."""
    try:
        found = found_object(module, name)
        found = found.fget if isinstance(found, property) else found
        file = Path(inspect.getsourcefile(found) or "")
        lines, first = inspect.getsourcelines(found)
    except (AttributeError, ImportError, OSError, TypeError):
        return None  # a constant, or not ours
    if not file.is_relative_to(PACKAGE):
        return None
    path = f"sksegment/{file.relative_to(PACKAGE).as_posix()}"
    return path, first, first + len(lines) - 1


def source_address(domain: str, info: dict[str, str], repository: str) -> str | None:
    """The address of the source of an object, for ``sphinx.ext.linkcode``."""
    if domain != "py":
        return None
    source = source_of(info["module"], info["fullname"])
    if source is None:
        return None
    path, first, last = source
    return f"{repository}/blob/main/{path}#L{first}-L{last}"


def edited_file(page: str) -> str | None:
    """The file that one edits to change a page, or None if many files make it."""
    if page in ("changelog", "contributing"):
        return f"{page.upper()}.md"
    if page == "auto_examples/index":
        return "examples/GALLERY_HEADER.rst"
    if page.startswith("auto_examples/plot_"):
        return f"{page.removeprefix('auto_')}.py"
    if page.startswith("reference/generated/"):
        module, name = page.rpartition("/")[2].rsplit(".", 1)
        source = source_of(module, name)
        return source[0] if source else None
    return None


def resolve_shortcut(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link `sksegment.save_model` to its page, that of `sksegment.persistence`."""
    package, _, name = node.get("reftarget", "").partition(".")
    home = sksegment._HOME_OF.get(name)
    if node.get("refdomain") != "py" or package != "sksegment" or home is None:
        return None
    target = f"{home}.{name}"
    return env.domains.python_domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], target, node, content
    )


def pages_of_names() -> dict[str, str]:
    """Return the public names as prose writes them, with the names of their pages."""
    found = {"FCNSegmenter": "sksegment.FCNSegmenter"}
    for module in sksegment._SUBMODULES:
        for name in import_module(f"sksegment.{module}").__all__:
            found.setdefault(name, f"sksegment.{module}.{name}")
    found |= {page: page for page in found.values()}
    return {**found, "show_versions": "sksegment.show_versions"}


def link_names(app: Any, doctree: nodes.document) -> None:
    """Link the public names between backticks in Markdown to their pages."""
    document = app.env.docname
    if Path(app.env.doc2path(document)).suffix != ".md":
        return  # docstrings say what they link to
    pages = pages_of_names()
    for literal in list(doctree.findall(nodes.literal)):
        page = pages.get(literal.astext().removesuffix("()"))
        linked = (nodes.reference, nodes.title, addnodes.pending_xref)
        if page is None or isinstance(literal.parent, linked):
            continue
        link = addnodes.pending_xref(
            "", refdomain="py", reftype="obj", reftarget=page, refdoc=document
        )
        literal.replace_self(link)
        link += literal


def setup(app: Any) -> dict[str, bool]:
    app.connect("doctree-read", link_names)
    app.connect("missing-reference", resolve_shortcut)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
