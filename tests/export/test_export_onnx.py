"""ONNX files: what they answer, what they say of themselves, and what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import sksegment.export._onnx as onnx_module
from sksegment import FCNSegmenter, networks
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes
from sksegment.export import export_onnx
from sksegment.export._onnx import _describe

REASON = "needs pip install 'sksegment[onnx]'"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
pytest.importorskip("onnxscript", reason=REASON)

ROOT = Path(__file__).resolve().parents[2]
SIZES = [(1, 1, 1), (3, 1, 1), (1, 61, 50), (2, 1, 40), (1, 128, 128), (2, 24, 80)]


def fitted(n_channels: int = 3, labels: Any = (0, 1, 2), **parameters: Any) -> Any:
    rng = np.random.default_rng(0)
    _, codes = make_shapes(n_samples=6, size=24, n_classes=3, random_state=0)
    noise = rng.normal(0, 20, (*codes.shape, n_channels))
    X = 100 * codes[..., np.newaxis] + noise
    defaults = {"network": "fcn", "max_epochs": 3, "random_state": 0}
    if parameters.get("network", "fcn") == "fcn":
        defaults |= {"depth": 1, "width": 4}
    return FCNSegmenter(**{**defaults, **parameters}).fit(X, np.array(labels)[codes])


def run(path: Path, images: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    return session.run(None, {"images": images.astype(np.float32)})


def assert_answers_as(segmenter: Any, path: Path) -> None:
    rng = np.random.default_rng(1)
    for n_images, height, width in SIZES:
        shape = (n_images, height, width, segmenter.n_features_in_)
        # Up to values that are clipped.
        images = rng.uniform(-300, 600, shape).astype(np.float32)
        labels, probabilities = run(path, images)
        expected = segmenter.predict_proba(images)
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
        assert labels.dtype == np.int64
        winners = probabilities.argmax(axis=1)
        if segmenter.classes_.dtype.kind == "U":
            np.testing.assert_array_equal(labels, winners)
        else:
            np.testing.assert_array_equal(labels, segmenter.classes_[winners])


@pytest.fixture(scope="module")
def segmenter() -> FCNSegmenter:
    return fitted(labels=(0, 100, 205))


@pytest.fixture(scope="module")
def exported(segmenter: FCNSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    path.write_bytes(b"an older file")
    export_onnx(make_pipeline(RandomFlip(), segmenter), path)
    return path


def test_the_file_takes_raw_images_of_any_size(
    segmenter: FCNSegmenter, exported: Path
) -> None:
    assert_answers_as(segmenter, exported)


def test_the_file_says_what_it_takes_and_returns(
    segmenter: FCNSegmenter, exported: Path
) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    session = onnxruntime.InferenceSession(exported)
    values = [*session.get_inputs(), *session.get_outputs()]
    assert {value.name: (value.type, value.shape) for value in values} == {
        "images": ("tensor(float)", ["n", "height", "width", 3]),
        "labels": ("tensor(int64)", ["n", "height", "width"]),
        "probabilities": ("tensor(float)", ["n", 3, "height", "width"]),
    }
    stored = session.get_modelmeta().custom_metadata_map
    facts = {key: json.loads(value) for key, value in stored.items()}
    assert facts["classes"] == [0, 100, 205]
    assert facts["labels"] == "values"
    assert facts["stride"] == segmenter.stride_ == 2
    assert facts["margin"] == segmenter.margin_
    assert facts["channel_max"] == segmenter.channel_max_.tolist()


def test_classes_of_bytes_are_described_as_text() -> None:
    names = np.array([b"sky", b"road", b"\xff"])
    segmenter = fitted(labels=names, max_epochs=1, nodata=-1, nodata_label=b"void")
    model = onnx.ModelProto()
    _describe(model, segmenter, "codes")
    facts = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert facts["classes"] == ["road", "sky", "\\xff"]
    assert facts["nodata_label"] == "void"


def test_the_service_of_the_page_answers_over_http(
    segmenter: FCNSegmenter, exported: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "guide" / "production.md").read_text()
    (script,) = (part for part in page.split("```") if "BaseHTTPRequestHandler" in part)
    (tmp_path / "cells.onnx").write_bytes(exported.read_bytes())
    with contextlib.chdir(tmp_path):
        names: dict[str, Any] = {"__name__": "service"}
        exec(script.removeprefix("python"), names)
    image = np.full((9, 7, 3), 100.0)
    buffer = io.BytesIO()
    np.save(buffer, image)
    with ThreadingHTTPServer(("127.0.0.1", 0), names["Segment"]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with urllib.request.urlopen(address, buffer.getvalue()) as answer:
            mask = np.load(io.BytesIO(answer.read()))
        server.shutdown()
    np.testing.assert_array_equal(mask, segmenter.predict(image[np.newaxis])[0])


def test_a_file_that_answers_differently_is_not_put_in_place(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = exported.read_bytes()
    monkeypatch.setattr(onnx_module, "_exported", lambda segmenter: content)
    other = fitted(labels=(0, 100, 205), random_state=1)
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=r"off by .* for images of 1x1 pixels"):
        export_onnx(other, path)
    assert not [*tmp_path.iterdir()]
    path.write_bytes(b"an older file")
    with pytest.raises(ValueError, match="No file was written"):
        export_onnx(other, path)
    assert path.read_bytes() == b"an older file"


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("nowhere/model.onnx", FileNotFoundError, "There is no folder .*nowhere"),
        ("", IsADirectoryError, "path is a folder; expected the path of a file"),
        (None, TypeError, "path is None; expected the path of a file"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_the_export(
    name: str | None,
    error: type[Exception],
    message: str,
    segmenter: FCNSegmenter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(onnx_module, "_exported")
    with pytest.raises(error, match=message) as caught:
        export_onnx(segmenter, None if name is None else tmp_path / name)  # type: ignore[arg-type]
    assert ".part" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_a_file_that_cannot_be_written_is_named(
    segmenter: FCNSegmenter,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = exported.read_bytes()
    monkeypatch.setattr(onnx_module, "_exported", lambda segmenter: content)
    path = tmp_path / (300 * "n")
    with pytest.raises(OSError, match="nnn") as caught:
        export_onnx(segmenter, path)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize(
    "estimator, error, message",
    [
        (FCNSegmenter(), NotFittedError, "not fitted"),
        (LogisticRegression(), TypeError, "LogisticRegression; expected an FCNSeg"),
        (
            make_pipeline(FunctionTransformer(np.sqrt), FCNSegmenter()),
            TypeError,
            "The step 'functiontransformer'",
        ),
    ],
)
def test_estimators_that_cannot_be_exported_are_refused(
    estimator: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export_onnx(estimator, tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    segmenter: FCNSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r'pip install "sksegment\[onnx\]"'):
        export_onnx(segmenter, tmp_path / "model.onnx")


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the networks of the paper small: their weights would take 540 MB."""
    base = networks.FCN32s.__mro__[1]
    monkeypatch.setattr(base, "stage_widths", (2, 2, 3, 3, 4))
    monkeypatch.setattr(base, "head_width", 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {"norm": "group"},
        {"depth": 2, "skip": "add", "norm": None},
        {"skip": None, "n_channels": 1},
        {"n_channels": 13, "labels": ("cell", "sky", "wall")},
        {"test_time_augmentation": True, "labels": (-7.0, 0.0, 7.0)},
        {"network": "fcn32s"},
        {"network": "fcn16s"},
        {"network": "fcn8s"},
    ],
    ids=lambda parameters: "-".join(map(str, parameters.values())),
)
def test_every_network_answers_as_the_segmenter(
    parameters: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch)
    segmenter = fitted(**parameters)
    path = tmp_path / "model.onnx"
    export_onnx(segmenter, path)
    assert_answers_as(segmenter, path)


class Halving(nn.Module):
    """Scores at half the resolution."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_channels, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, n_classes, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class Deciding(nn.Conv2d):
    """Decides by the values of the image, which no graph can hold."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__(n_channels, n_classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores = super().forward(images)
        return -scores if bool(images.mean() > 0.5) else scores


@pytest.mark.slow
def test_a_network_of_ones_own_is_exported(tmp_path: Path) -> None:
    segmenter = fitted(network=Halving)
    export_onnx(segmenter, tmp_path / "model.onnx")
    assert_answers_as(segmenter, tmp_path / "model.onnx")


@pytest.mark.slow
def test_a_network_that_no_graph_can_hold_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=r"network=.*Deciding.* cannot be exported"):
        export_onnx(fitted(network=Deciding), tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]
