"""What holds for every example, without running it: .ci/run runs them all."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import skimage.data

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
# Whatever draws numbers, and must be given a seed.
RANDOM = {"FCNSegmenter", "KFold", "ShuffleSplit", "make_shapes", "train_test_split"}

each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls_of(path: Path) -> list[tuple[str, ast.Call]]:
    """Return the calls of an example with the name that is called: `data.coins`."""
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in calls]


def example(name: str) -> Path:
    return ROOT / "examples" / f"plot_{name}.py"


def test_there_are_as_many_as_the_gallery_promises() -> None:
    assert len(EXAMPLES) >= 18


@each_example
def test_it_begins_with_a_title_and_says_what_it_shows(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring is not None
    title, line, blank, *text = docstring.splitlines()
    assert (line, blank) == ("=" * len(title), "")
    assert any(text)
    assert "\n# %%\n" in path.read_text(encoding="utf-8")


@each_example
def test_it_uses_public_names_only(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            assert "._" not in f"{node.module}", ast.unparse(node)
        if isinstance(node, ast.Attribute):
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            assert not private, ast.unparse(node)


@each_example
def test_it_gives_the_same_on_every_run(path: Path) -> None:
    for name, call in calls_of(path):
        if name in RANDOM:
            keywords = {keyword.arg for keyword in call.keywords}
            seeded = keywords & {"random_state", None}  # None stands for **settings
            assert seeded, f"{ast.unparse(call)} needs random_state"
        assert not name.startswith(("np.random.seed", "np.random.rand")), name
        if name.endswith("default_rng"):
            assert call.args, "default_rng needs a seed"


def pictures() -> list[str]:
    """Return the pictures of scikit-image that examples load."""
    names = [name for path in EXAMPLES for name, _ in calls_of(path)]
    return sorted({name[len("data.") :] for name in names if name.startswith("data.")})


@pytest.mark.parametrize("name", pictures())
def test_pictures_come_with_scikit_image(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError(f"data.{name} is downloaded")

    fetchers = import_module("skimage.data._fetchers")
    if fetchers._image_fetcher is not None:
        monkeypatch.setattr(fetchers._image_fetcher, "fetch", refuse)
        monkeypatch.setattr(fetchers._image_fetcher, "path", "nowhere")  # no cache
    monkeypatch.setattr(fetchers, "_skip_pytest_case_requiring_pooch", refuse)
    loaded = getattr(skimage.data, name)()
    assert len(loaded) > 0


def test_the_settings_for_strokes_are_those_of_the_benchmark() -> None:
    (call,) = [call for name, call in calls_of(example("strokes")) if "FCN" in name]
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    benchmark = json.loads((ROOT / "docs/benchmarks/strokes.json").read_text("utf-8"))
    assert given == {**benchmark, "ignore_label": 0, "random_state": 0}


def test_stored_figures_are_those_of_the_benchmark() -> None:
    text = (ROOT / "docs/benchmarks/few_labels.md").read_text(encoding="utf-8")
    pattern = r"\| (\d+) \| (from scratch|Lite0, fine-tuned) \| \d+ \| ([\d.]+)"
    rows = sorted(
        (int(n), name, float(iou)) for n, name, iou in re.findall(pattern, text)
    )
    names = {"Lite0, fine-tuned": "pretrained, fine-tuned"}
    measured: dict[str, list[float]] = {}
    for _, name, iou in rows:
        measured.setdefault(names.get(name, name), []).append(iou)
    measured["photos"] = sorted({n for n, _, _ in rows})
    (stored,) = [
        ast.literal_eval(node.value)
        for node in tree_of(example("pretrained_encoder")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "stored"
    ]
    assert stored == measured
