"""The package as a whole: imports, public names, docstrings, README."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pickletools import genops
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString
from skimage.io import imsave

import sksegment
from sksegment import augmentation, datasets, metrics

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sksegment"
FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))

# Whoever changes the public surface changes this list, and the changelog, with it.
PUBLIC = {
    "sksegment": [
        "FCNSegmenter",
        "SegmentationDisplay",
        "__version__",
        "iou_scorer",
        "load_model",
        "save_model",
        "show_versions",
    ],
    "sksegment.augmentation": [
        "AugmentedImages",
        "RandomBrightness",
        "RandomContrast",
        "RandomFlip",
        "RandomGamma",
        "RandomNoise",
        "RandomRotation",
        "RandomShear",
        "RandomTranslation",
        "RandomZoom",
    ],
    "sksegment.blocks": ["predict_blocks", "predict_to_zarr"],
    "sksegment.calibration": ["TemperatureScaling"],
    "sksegment.datasets": [
        "Finding",
        "MaskError",
        "check_masks",
        "colors_to_labels",
        "find_mask_errors",
        "load_image_pairs",
        "load_stack",
        "load_voc",
        "make_shapes",
        "save_masks",
    ],
    "sksegment.display": [
        "AugmentationDisplay",
        "CalibrationDisplay",
        "ConfusionDisplay",
        "EpochCurveDisplay",
        "ScoreDisplay",
        "SegmentationDisplay",
        "TrainingHistoryDisplay",
        "UncertaintyDisplay",
    ],
    "sksegment.ensemble": ["VotingSegmenter", "predict_uncertainty"],
    "sksegment.export": ["export_onnx"],
    "sksegment.losses": [
        "CombinedLoss",
        "CrossEntropyLoss",
        "DiceLoss",
        "FocalLoss",
        "LovaszLoss",
    ],
    "sksegment.metrics": [
        "boundary_f1_score",
        "boundary_iou_score",
        "calibration_curve",
        "compare_scores",
        "dice_score",
        "dice_scorer",
        "expected_calibration_error",
        "hausdorff_distance",
        "image_scores",
        "iou_score",
        "iou_scorer",
        "make_segmentation_scorer",
        "mean_accuracy_score",
        "neg_pixel_log_loss_scorer",
        "pixel_accuracy_score",
        "pixel_accuracy_scorer",
        "pixel_confusion_matrix",
        "pixel_log_loss",
        "segmentation_report",
        "surface_dice_score",
    ],
    "sksegment.model_selection": [
        "SpatialBlockKFold",
        "StratifiedImageKFold",
        "cross_val_predict",
        "cut_blocks",
        "epoch_curve",
        "rank_to_label",
    ],
    "sksegment.networks": ["FCN", "FCN16s", "FCN32s", "FCN8s", "FilterBankFCN"],
    "sksegment.persistence": ["ModelFileError", "load_model", "save_model"],
    "sksegment.segmenter": ["FCNSegmenter"],
}

SCORERS = [
    "dice_scorer",
    "iou_scorer",
    "neg_pixel_log_loss_scorer",
    "pixel_accuracy_scorer",
]

HEAVY = [
    "PIL",
    "joblib",
    "matplotlib",
    "numpy",
    "safetensors",
    "scipy",
    "skimage",
    "sklearn",
    "skorch",
    "tifffile",
    "torch",
]


# Imports


def loaded_after(statement: str) -> set[str]:
    """Names of the heavy packages that a fresh interpreter has loaded."""
    code = (
        f"{statement}\nimport json, sys\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import sksegment; dir(sksegment)") == set()


@pytest.mark.parametrize(
    "module", ["augmentation", "datasets", "metrics", "model_selection"]
)
def test_light_modules_load_neither_torch_nor_matplotlib(module: str) -> None:
    loaded = loaded_after(f"import sksegment.{module}")
    assert not loaded & {"torch", "skorch", "matplotlib"}


def test_metrics_load_numpy_alone() -> None:
    assert loaded_after("import sksegment.metrics") == {"numpy"}


def test_the_display_loads_no_matplotlib() -> None:
    assert "matplotlib" not in loaded_after("import sksegment.display")


# Public names


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module: str) -> None:
    imported = importlib.import_module(module)
    assert sorted(imported.__all__) == PUBLIC[module]
    missing = [name for name in PUBLIC[module] if not hasattr(imported, name)]
    assert not missing
    assert set(PUBLIC[module]) <= set(dir(imported))


def test_every_public_module_is_listed_and_reached_lazily() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    modules = {name for name in found if not name.startswith("_")}
    assert {f"sksegment.{name}" for name in modules} == set(PUBLIC) - {"sksegment"}
    assert modules == set(sksegment._SUBMODULES)
    for name in modules:
        assert inspect.ismodule(getattr(sksegment, name))


def test_unknown_names_raise() -> None:
    with pytest.raises(AttributeError, match="no attribute 'UNet'"):
        sksegment.UNet  # noqa: B018
    assert not hasattr(sksegment, "_private")


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_pickle_by_name(name: str) -> None:
    scorer = getattr(importlib.import_module("sksegment.metrics"), name)
    assert pickle.loads(pickle.dumps(scorer)) is scorer


def pickled_names(value: Any) -> set[str]:
    """The modules of sksegment that a pickle looks classes and functions up in."""
    texts = [str(argument) for _, argument, _ in genops(pickle.dumps(value, 2))]
    return {text.split()[0] for text in texts if text.startswith("sksegment")}


def test_made_scorers_and_augmented_images_pickle_by_public_modules() -> None:
    scorer = metrics.make_segmentation_scorer(metrics.iou_score, exclude=(0,))
    plan = augmentation.RandomFlip().fit_transform([[[0, 1], [1, 0]]])
    assert pickled_names(scorer) == {"sksegment.metrics"}
    assert pickled_names(plan) == {"sksegment.augmentation"}
    assert repr(pickle.loads(pickle.dumps(scorer))) == repr(scorer)
    assert repr(pickle.loads(pickle.dumps(plan))) == repr(plan)


def test_classes_pickle_by_their_public_module() -> None:
    for module, names in PUBLIC.items():
        for name in set(names) - {"__version__"}:
            public = getattr(importlib.import_module(module), name)
            if inspect.isclass(public) and module != "sksegment":
                assert public.__module__ == module


# Docstrings


DOCUMENTED = [
    (module, name)
    for module, names in PUBLIC.items()
    for name in names
    if module != "sksegment" and name not in SCORERS
]


@pytest.mark.parametrize("module, name", DOCUMENTED)
def test_docstring_matches_signature(module: str, name: str) -> None:
    public = getattr(importlib.import_module(module), name)
    mistakes = list(signature_mistakes(public, name))
    if inspect.isclass(public):
        for method, function in public_methods(public):
            mistakes += signature_mistakes(function, f"{name}.{method}")
    assert not mistakes, "\n".join(mistakes)


def public_methods(public: type) -> Iterator[tuple[str, Any]]:
    """Methods that sksegment wrote, those of its private base classes included."""
    for name in dir(public):
        method = inspect.getattr_static(public, name)
        function = getattr(method, "__func__", method)
        if (
            not name.startswith("_")
            and inspect.isfunction(function)
            and function.__module__.startswith("sksegment")
        ):
            yield name, function


def signature_mistakes(public: Any, name: str) -> Iterator[str]:
    docstring = (
        inspect.getdoc(public) if not inspect.isclass(public) else public.__doc__
    )
    if not docstring:
        yield f"{name} has no docstring"
        return
    if inspect.isclass(public) and issubclass(public, Exception):
        return  # their signature is Python's own
    sections = NumpyDocString(inspect.cleandoc(docstring))
    types = {
        parameter.strip().lstrip("*"): entry.type
        for entry in sections["Parameters"]
        for parameter in entry.name.split(",")
    }
    signature = inspect.signature(public)
    returned = signature.return_annotation
    returns = returned not in ("None", None)
    told = sections["Returns"] or sections["Yields"]
    if inspect.isfunction(public) and returns and not told:
        yield f"{name} returns {returned} and has no Returns section"
    parameters = {
        parameter.name: parameter
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    }
    if list(types) != list(parameters):
        yield f"{name} documents {list(types)}, expected {list(parameters)}"
    for parameter in parameters.keys() & types.keys():
        yield from default_mistakes(parameters[parameter], types[parameter], name)


def default_mistakes(
    parameter: inspect.Parameter, documented_type: str, name: str
) -> Iterator[str]:
    """Compare `default=...` in the docstring with the default in the signature."""
    if documented_type.startswith("Ignored") or parameter.kind in (
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    ):
        return
    match = re.search(r"default=(.+)$", documented_type)
    written = match and written_value(match[1])
    actual = None
    if callable(parameter.default) and parameter.default is not parameter.empty:
        actual = f"{parameter.default.__name__} (no literal)"
    elif parameter.default is not parameter.empty:
        actual = repr(parameter.default)
    if written != actual:
        yield (
            f"{name}: {parameter.name} : {documented_type!r} says default {written}, "
            f"the signature says {actual}"
        )


def written_value(text: str) -> str:
    """The repr of the value that a docstring writes as `text`."""
    if text in ("numpy.nan", "np.nan", "nan"):
        return "nan"
    try:
        return repr(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return f"{text} (no literal)"


# Size


@pytest.mark.parametrize("file", FILES)
def test_functions_are_short(file: str) -> None:
    source = (PACKAGE / file).read_text(encoding="utf-8")
    long = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            if lines > 50:
                long.append(f"{node.name}: {lines} lines")
    assert not long


# README


def readme_blocks(language: str) -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)


def test_readme_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = readme_blocks("python")
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "<README.md>", "exec"), names)
    assert names["masks"].shape == names["y"].shape
    assert (tmp_path / "segmenter.joblib").is_file()


def test_the_code_of_the_landing_page_runs_on_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    X, y = datasets.make_shapes(6, size=16, n_classes=2, random_state=0)
    for folder, pictures in (("images", X * 255), ("masks", y * 255)):
        (tmp_path / folder).mkdir()
        for index, picture in enumerate(pictures):
            file = tmp_path / folder / f"{index}.png"
            imsave(file, picture.astype("uint8"), check_contrast=False)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block.replace("FCNSegmenter(", "FCNSegmenter(max_epochs=3, "), names)
    assert [mask.shape for mask in names["predicted"]] == [(16, 16)] * 6
    assert names["search"].classes_.tolist() == [0, 255]


def test_readme_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_readme_commands_exist() -> None:
    commands = "".join(readme_blocks("console"))
    for script in re.findall(r"python (\S+\.py)", commands):
        assert (ROOT / script).is_file()
