"""The pages of the user guide: their code runs, their links and pictures are there."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
SCRIPT = GUIDE / "scripts" / "guide_pages.py"
_spec = importlib.util.spec_from_file_location("guide_pages", SCRIPT)
guide_pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(guide_pages)

PAGES = sorted(path.name for path in GUIDE.glob("*.md"))
# The tests have no ONNX; .ci/run runs this page where it is.
NEEDS = {
    "large_images.md": ("dask", "zarr"),
    "production.md": ("onnx", "onnxscript", "onnxruntime"),
}
# Those that train for seconds; all pages together take about 50 s of one core.
SLOW = (
    "augmentation.md",
    "choosing_a_model.md",
    "class_imbalance.md",
    "comparing_and_calibrating.md",
    "few_labels.md",
    "from_trainable_segmenter.md",
    "speed.md",
    "training.md",
)
# What a page may hold besides code that runs.
TOLD = (
    "text",
    "console",
    "{toctree}",
    "{glossary}",
    "{seealso}",
    "{note}",
    "{eval-rst}",
)

with_code = [
    pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW))
    for page in PAGES
    if any(kind in ("python", "pycon") for kind, *_ in guide_pages.blocks(GUIDE / page))
]


@pytest.mark.parametrize("page", with_code)
def test_the_code_of_the_page_runs(page, tmp_path, monkeypatch, pyplot) -> None:
    for module in NEEDS.get(page, ()):
        pytest.importorskip(module, reason=f"{page} needs {module}")
    monkeypatch.chdir(tmp_path)
    guide_pages.run_page(GUIDE / page)
    shown = guide_pages.pictures(GUIDE / page)
    assert [name for name in shown if not Path(name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page) -> None:
    kinds = [kind for kind, *_ in guide_pages.blocks(GUIDE / page)]
    others = [kind for kind in kinds if kind not in ("python", "pycon", *TOLD)]
    assert [kind for kind in others if not re.fullmatch(r"python \w+", kind)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_of_the_page_are_there(page) -> None:
    text = (GUIDE / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    links = [link for link in links if "auto_examples/" not in link]
    assert [link for link in links if not (GUIDE / link).exists()] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = [
        f"{line.strip()}.md"
        for kind, _, block in guide_pages.blocks(GUIDE / "index.md")
        if kind == "{toctree}"
        for line in block.splitlines()
        if re.fullmatch(r"\w+", line.strip())
    ]
    assert sorted([*listed, "index.md"]) == PAGES


def test_pictures_are_shown_and_small() -> None:
    shown = {name for page in PAGES for name in guide_pages.pictures(GUIDE / page)}
    files = {path.name: path.stat().st_size for path in guide_pages.IMAGES.iterdir()}
    assert {*files} == shown
    assert [name for name, size in files.items() if size > 100_000] == []


@pytest.mark.parametrize("page", ["few_labels.md", "from_trainable_segmenter.md"])
def test_settings_for_strokes_are_those_that_were_measured(page) -> None:
    text = (GUIDE / page).read_text(encoding="utf-8")
    (told,) = re.findall(r"^settings = (\{.*?^\})", text, re.MULTILINE | re.DOTALL)
    measured = ROOT / "docs" / "benchmarks" / "strokes.json"
    assert ast.literal_eval(told) == json.loads(measured.read_text("utf-8"))
