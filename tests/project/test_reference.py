"""The API reference: every public name is on a page, with an example and a way on."""

from __future__ import annotations

import doctest
import importlib
import re
import runpy
import zlib
from pathlib import Path
from typing import Any

import pytest
from numpydoc.validate import validate

import sksegment

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# They stand in the package under a shorter name, and have their page where they live.
SHORTCUTS = {"SegmentationDisplay", "iou_scorer", "load_model", "save_model"}
MODULES = ["sksegment", *(f"sksegment.{name}" for name in sksegment._SUBMODULES)]
NAMES = [
    f"{module}.{name}"
    for module in MODULES
    if module != "sksegment.segmenter"
    for name in importlib.import_module(module).__all__
    if module != "sksegment" or name not in {*SHORTCUTS, "__version__"}
]
SCORERS = [name for name in NAMES if name.endswith("_scorer") and "make" not in name]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example_and_a_see_also_section(name: str) -> None:
    asked = {"EX01", "SA01"}
    mistakes = [text for code, text in validate(name)["errors"] if code in asked]
    assert not mistakes


@pytest.mark.parametrize("name", SCORERS)
def test_examples_of_scorers_run(name: str) -> None:
    # pytest finds the docstrings of functions and classes only.
    text = sksegment.metrics.__dict__[name.rpartition(".")[2]].__doc__
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert len(test.examples) > 5
    assert doctest.DocTestRunner().run(test).failed == 0


def test_every_public_name_is_listed_on_one_page_of_the_reference() -> None:
    listed: list[str] = []
    for page in DOCS.glob("reference/*.rst"):
        text = page.read_text(encoding="utf-8")
        (module,) = re.findall(r"^\.\. currentmodule:: (\S+)$", text, re.MULTILINE)
        listed += [f"{module}.{name}" for name in re.findall(r"^   (\w+)$", text, re.M)]
    assert sorted(listed) == sorted(NAMES)


def test_every_page_of_the_reference_is_in_its_table_of_contents() -> None:
    contents = (DOCS / "reference" / "index.md").read_text(encoding="utf-8")
    pages = {page.stem for page in DOCS.glob("reference/*.rst")}
    assert pages == set(re.findall(r"^\w+$", contents, re.MULTILINE))


def inventory_lines(project: str) -> list[str]:
    """The entries of an inventory, as Sphinx reads them."""
    content = (DOCS / "_inventories" / f"{project}.inv").read_bytes()
    header, body = content.split(b"zlib.\n", 1)
    assert header.startswith(b"# Sphinx inventory version 2\n")
    return zlib.decompress(body).decode().splitlines()


def test_the_inventories_have_the_names_that_we_link_to() -> None:
    made: dict[str, Any] = runpy.run_path(
        str(DOCS / "_inventories" / "make_inventories.py")
    )
    for project, listed in made["projects"]().items():
        expected = sorted(line.rstrip() for line in made["lines"](listed["objects"]))
        assert inventory_lines(project) == expected, "run make_inventories.py"


def test_the_order_of_the_gallery_names_every_example_once() -> None:
    order = runpy.run_path(str(DOCS / "_ext" / "gallery_order.py"))["ORDER"]
    assert len(order) == len(set(order))
    examples = {path.stem.removeprefix("plot_") for path in ROOT.glob("examples/*.py")}
    assert examples <= set(order), "name the new example in docs/_ext/gallery_order.py"
