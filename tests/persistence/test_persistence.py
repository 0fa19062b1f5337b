"""Model files: what comes back is what was saved, and nothing in a file is believed."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import re
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from numpy.random import Generator, RandomState
from numpy.testing import assert_array_equal
from safetensors.numpy import load, save
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Checkpoint

import sksegment
from sksegment import FCNSegmenter, augmentation, load_model, save_model
from sksegment._torch.random import local_rng
from sksegment.datasets import make_shapes
from sksegment.persistence import ModelFileError
from sksegment.persistence._file import digest
from sksegment.persistence._validation import FITTED

DATA = Path(__file__).resolve().parents[1] / "data"

Document = dict[str, Any]
Tensors = dict[str, np.ndarray]
Edit = Callable[[Document, Tensors], object]


def tiny(**parameters: Any) -> FCNSegmenter:
    defaults = {"depth": 1, "width": 2, "max_epochs": 1, "random_state": 0}
    return FCNSegmenter(**{**defaults, **parameters})


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return make_shapes(4, size=16, n_classes=3, random_state=0)


@pytest.fixture(scope="module")
def fitted(data: Any) -> FCNSegmenter:
    return tiny(norm=None, class_weight={0: 1.0, 1: 2.0}).fit(*data)


@pytest.fixture(scope="module")
def pipeline(data: Any) -> Pipeline:
    steps = [augmentation.RandomFlip(), augmentation.RandomZoom((0.9, 1.1)), tiny()]
    return make_pipeline(*steps).fit(*data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def through_a_file(estimator: Any, path: Path) -> Any:
    save_model(estimator, path)
    return load_model(path)


def assert_same(found: Any, expected: Any) -> None:
    """Two fitted segmenters, or Pipelines, that nothing tells apart."""
    assert type(found) is type(expected)
    if isinstance(expected, Pipeline):
        assert [name for name, _ in found.steps] == [name for name, _ in expected.steps]
        assert found.get_params(deep=False).keys() == expected.get_params(False).keys()
        for step, other in zip(found, expected, strict=True):
            if not isinstance(other, str):
                assert_same(step, other)
        return
    states = [estimator.__getstate__() for estimator in (found, expected)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[1].items():
        assert_equal_values(states[0][name], value)


def assert_equal_values(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, RandomState):
        assert_equal_values(found.get_state(), expected.get_state())
    elif isinstance(expected, dict):
        assert_equal_values([*found.items()], [*expected.items()])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for item, other in zip(found, expected, strict=True):
            assert_equal_values(item, other)
    elif isinstance(expected, np.ndarray):
        assert_array_equal(found, expected, strict=True)
        assert found.dtype.str == expected.dtype.str
    else:
        assert found == expected or (found != found and expected != expected)


# What comes back


@pytest.mark.parametrize("skip", [None, "concat", "add"])
@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_every_network_predicts_the_same_bits(
    skip: Any, norm: Any, data: Any, path: Path
) -> None:
    X, y = data
    segmenter = tiny(depth=2, skip=skip, norm=norm).fit(X, y)
    again = through_a_file(segmenter, path)
    assert_same(again, segmenter)
    assert_array_equal(again.predict(X), segmenter.predict(X), strict=True)
    assert_array_equal(again.predict_proba(X), segmenter.predict_proba(X), strict=True)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([False, True]),
        np.array([0, 255], np.uint8),
        np.array([-1, 7], np.int8),
        np.array([205, 420], ">i4"),
        np.array([-(2**62), 2**62 + 1]),
        np.array([2**63, 2**64 - 1], np.uint64),
        np.array([0.0, 2.0], np.float32),
        np.array([0.0, 3.0]),
        np.array(["road", "sky and clouds"]),
        np.array(["", "日本"]),
        np.array(["b", "a"], ">U9"),
    ],
    ids=lambda labels: labels.dtype.str,
)
def test_labels_keep_value_and_dtype(labels: Any, path: Path) -> None:
    X, codes = make_shapes(4, size=16, n_classes=2, random_state=0)
    segmenter = tiny().fit(X, labels[codes])
    again = through_a_file(segmenter, path)
    assert again.classes_.dtype.str == segmenter.classes_.dtype.str
    assert_array_equal(again.classes_, segmenter.classes_, strict=True)
    assert_array_equal(again.predict(X), segmenter.predict(X), strict=True)


@pytest.mark.parametrize(
    "parameters",
    [
        {"classes": [0, 1, 2], "ignore_label": 255},
        {"classes": (0, 1, 2, 3)},
        {"classes": np.array([0, 1, 2], ">u2")},
        {"class_weight": {0: 1, 1: 2.5, 2: 0.1 + 0.2}},
        {"class_weight": "balanced"},
        {"class_weight": "median_frequency", "loss": "lovasz"},
        {"crop_size": (8, 12), "crop_sampling": "balanced"},
        {"crop_size": [8, 12]},
        {"ignore_label": -1, "learning_rate": 1e-300, "weight_decay": 5e-324},
        {"early_stopping": True, "validation_fraction": 0.5},
        {"random_state": RandomState(3)},
        {"random_state": None, "callbacks": [], "verbose": 0},
        {"device": "cpu", "tile_size": 64, "precision": "float32"},
    ],
    ids=str,
)
def test_parameters_keep_value_and_type(parameters: Any, data: Any, path: Path) -> None:
    segmenter = tiny(**parameters).fit(*data)
    if isinstance(parameters.get("random_state"), RandomState):
        segmenter.random_state.normal()  # the next one is drawn already
    assert_same(through_a_file(segmenter, path), segmenter)


def test_what_is_no_plain_data_but_has_an_equal_becomes_it(
    data: Any, path: Path
) -> None:
    segmenter = tiny(
        classes=range(3),
        device=torch.device("cpu"),
        learning_rate=np.float32(0.25),
        max_epochs=np.int64(1),
        class_weight={np.int64(0): np.float64(2.0)},
    ).fit(*data)
    found = through_a_file(segmenter, path).get_params()
    assert found["classes"] == [0, 1, 2]
    assert found["device"] == "cpu"
    assert found["learning_rate"] == 0.25
    assert type(found["max_epochs"]) is int
    assert found["class_weight"] == {0: 2.0}


def test_labels_of_pandas_become_a_list(data: Any, path: Path) -> None:
    X, codes = data
    names = np.array(["a", "b", "c"], dtype=object)
    segmenter = tiny(classes=names).fit(X, names.astype(str)[codes])
    assert through_a_file(segmenter, path).classes == ["a", "b", "c"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 1e-310, True, None])
def test_history_keeps_what_json_has_no_words_for(
    value: Any, fitted: Any, path: Path
) -> None:
    segmenter = copy.deepcopy(fitted)
    segmenter.history_[0]["$own"] = (value, np.float32(0.1))
    found = through_a_file(segmenter, path).history_[0]["$own"]
    assert_equal_values(found, (value, float(np.float32(0.1))))
    assert np.signbit(found[0] or 0) == np.signbit(value or 0)


def test_all_augmenters_come_back(data: Any, path: Path) -> None:
    X, y = data
    names = [name for name in augmentation.__all__ if name != "AugmentedImages"]
    augmenters = [(name, getattr(augmentation, name)()) for name in names]
    pipe = Pipeline([*augmenters, ("nothing", "passthrough"), ("last", tiny())])
    pipe.set_params(RandomNoise__random_state=7, RandomShear__fill=0, verbose=False)
    pipe.set_params(RandomZoom__scale=np.array([0.5, 2.0]), RandomGamma__p=0.25)
    pipe.fit(X, y)
    again = through_a_file(pipe, path)
    assert len(names) == 9
    assert_same(again, pipe)
    assert_array_equal(again.predict_proba(X), pipe.predict_proba(X))
    assert_array_equal(
        again.fit(X, y).predict_proba(X), pipe.fit(X, y).predict_proba(X)
    )


@pytest.mark.parametrize("go_on", ["warm_start", "partial_fit"])
def test_training_goes_on_as_after_a_pickle(go_on: str, data: Any, path: Path) -> None:
    segmenter = tiny(warm_start=True, random_state=None).fit(*data)
    twins = [pickle.loads(pickle.dumps(segmenter)), through_a_file(segmenter, path)]
    for twin in twins:
        twin.fit(*data) if go_on == "warm_start" else twin.partial_fit(*data)
        assert twin.n_iter_ == 2
        for row in twin.history_:
            row["dur"] = 0.0
    assert_same(*twins)


def test_a_loaded_model_can_be_saved_again(pipeline: Any, path: Path) -> None:
    again = through_a_file(pipeline, path)
    content = path.read_bytes()
    save_model(again, path)
    assert path.read_bytes() == content


def test_files_of_a_model_that_was_changed_afterwards(data: Any, path: Path) -> None:
    segmenter = tiny().fit(*data).set_params(depth=2, width=3, norm=None)
    again = through_a_file(segmenter, path)
    assert_array_equal(again.predict(data[0]), segmenter.predict(data[0]))
    assert again.depth == 2


def test_what_lies_outside_of_the_model_is_not_kept(pipeline: Any, path: Path) -> None:
    model = copy.deepcopy(pipeline).set_params(memory=str(path.parent))
    names = {*model[-1].get_params()} & {"checkpoint_dir", "pretrained"}
    model[-1].set_params(**dict.fromkeys(names, str(path.parent)))
    again = through_a_file(model, path)
    assert again.memory is None
    assert [getattr(again[-1], name) for name in names] == [None] * len(names)
    assert str(path.parent).encode() not in path.read_bytes()


def test_a_fitted_pretrained_is_not_kept_and_imagenet_is(
    fitted: Any, path: Path
) -> None:
    model = copy.deepcopy(fitted).set_params(pretrained=fitted)
    assert through_a_file(model, path).pretrained is None
    model.set_params(pretrained="imagenet")
    assert through_a_file(model, path).pretrained == "imagenet"


def test_a_device_that_is_not_there_does_not_keep_a_file_from_loading(
    fitted: Any, data: Any, path: Path
) -> None:
    model = copy.deepcopy(fitted).set_params(device="cuda:99")
    again = through_a_file(model, path)
    assert again.device == "cuda:99"
    with pytest.raises(ValueError, match="this machine does not have"):
        again.predict(data[0])
    again.set_params(device="cpu").predict(data[0])


@pytest.mark.cuda
def test_a_file_made_on_cuda_opens_without_a_gpu(path: Path) -> None:
    X, y = make_shapes(4, size=16, n_classes=2, random_state=0)
    segmenter = tiny(device="auto", precision="float32").fit(X, y)
    save_model(segmenter, path)
    np.savez(path.with_suffix(".npz"), X=X, p=segmenter.predict_proba(X))
    code = (
        "import sys, numpy as np, torch; from sksegment import load_model\n"
        "assert not torch.cuda.is_available()\n"
        "data, model = np.load(sys.argv[2]), load_model(sys.argv[1])\n"
        "assert abs(model.predict_proba(data['X']) - data['p']).max() < 1e-4\n"
    )
    run(code, path, path.with_suffix(".npz"), CUDA_VISIBLE_DEVICES="")


def test_weights_are_read_without_torch(fitted: Any, path: Path) -> None:
    save_model(fitted, path)
    code = (
        "import sys; from safetensors.numpy import load_file\n"
        "tensors = load_file(sys.argv[1])\n"
        "assert 'torch' not in sys.modules\n"
        "print(float(tensors['network_.classifier.weight'].sum()))\n"
    )
    expected = fitted.network_.state_dict()["classifier.weight"].numpy().sum()
    assert float(run(code, path)) == float(expected)


def run(code: str, *arguments: Path, **environment: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(DATA.parent.parent), **environment},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
def test_loading_takes_little_more_memory_than_twice_the_file(
    data: Any, path: Path, measured: Callable[..., list[float]]
) -> None:
    save_model(tiny(depth=3, width=128, optimizer="sgd").fit(*data), path)
    size = path.stat().st_size
    assert size > 150e6
    (taken,) = measured(
        "import sys\n"
        "from sksegment.persistence import load_model\n"
        "before = peak()\n"
        "load_model(sys.argv[1])\n"
        "print(peak() - before)\n",
        path,
    )
    assert taken < 2 * size + 100e6


def test_global_random_numbers_stay_as_they_were(fitted: Any, path: Path) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    through_a_file(fitted, path)
    assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


def test_models_load_while_another_thread_trains(fitted: Any) -> None:
    content = pickle.dumps(fitted)
    with ThreadPoolExecutor(1) as executor, local_rng(torch.device("cpu")):
        state = torch.get_rng_state()
        executor.submit(pickle.loads, content).result(timeout=30)
        assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("parameters", [{}, {"norm": "group", "loss": "dice"}])
def test_another_default_dtype_of_torch_makes_no_difference(
    parameters: Any, data: Any, path: Path
) -> None:
    segmenter = tiny(**parameters).fit(*data)
    expected = segmenter.predict_proba(data[0])
    for again in (
        pickle.loads(pickle.dumps(segmenter)),
        through_a_file(segmenter, path),
    ):
        assert_array_equal(again.predict_proba(data[0]), expected, strict=True)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("fill", ["reflect", 0.0])
def test_augmenters_work_with_another_default_dtype(data: Any, fill: Any) -> None:
    names = [name for name in augmentation.__all__ if name != "AugmentedImages"]
    steps = [getattr(augmentation, name)() for name in names]
    rotation = augmentation.RandomRotation(30, fill=fill)
    model = make_pipeline(*steps, rotation, tiny(ignore_label=9))
    assert 0 <= model.fit(*data).score(*data) <= 1


@pytest.mark.usefixtures("double_precision")
def test_own_networks_train_with_another_default_dtype(data: Any) -> None:
    segmenter = FCNSegmenter(network=own_network, max_epochs=1).fit(*data)
    assert segmenter.network_.network.weight.dtype == torch.float32


# Networks that were changed


def test_compiled_networks_are_saved_as_what_was_compiled(
    fitted: Any, data: Any, path: Path
) -> None:
    expected = fitted.predict_proba(data[0])
    model = copy.copy(fitted)
    model.network_ = torch.compile(fitted.network_, backend="eager")
    for again in (copy.deepcopy(model), through_a_file(model, path)):
        assert_array_equal(again.predict_proba(data[0]), expected, strict=True)


@pytest.mark.parametrize(
    "change, told",
    [
        (torch.nn.Sequential, r"missing here and of shape \(3, 2, 1, 1\)"),
        (torch.nn.utils.parametrizations.weight_norm, "missing here"),
        (lambda layer: torch.nn.Conv2d(2, 9, 1), r"of shape \(9, 2, 1, 1\) here and"),
    ],
    ids=["wrapped", "parametrized", "wider"],
)
def test_networks_with_other_layers_are_not_saved(
    change: Any, told: str, fitted: Any, path: Path
) -> None:
    model = copy.deepcopy(fitted)
    model.network_.classifier = change(model.network_.classifier)
    message = rf"^network_ .*: 'classifier\.weight' is {told}.*network_\.compile"
    for attempt in (pickle.dumps, copy.deepcopy, lambda made: save_model(made, path)):
        with pytest.raises(ValueError, match=message):
            attempt(model)
    assert not path.exists()


def test_a_function_that_makes_another_network_by_now_is_named(data: Any) -> None:
    model = FCNSegmenter(network=own_network, max_epochs=1).fit(*data)
    state = model.__getstate__()
    state["_architecture"] = {**state["_architecture"], "network": other_network}
    message = r"^network=.*other_network.*does not make the network"
    with pytest.raises(ValueError, match=message):
        FCNSegmenter().__setstate__(state)


# Versions


def test_a_pickle_of_a_newer_version_warns(fitted: Any) -> None:
    state = {**fitted.__getstate__(), "_sksegment_version": "99.0.0"}
    message = rf"sksegment 99\.0\.0.* sksegment {re.escape(sksegment.__version__)}"
    with pytest.warns(UserWarning, match=message):
        FCNSegmenter().__setstate__(state)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("version", ["0.0.1", sksegment.__version__, None])
def test_a_pickle_of_this_or_an_older_version_does_not_warn(
    version: Any, fitted: Any
) -> None:
    state = {**fitted.__getstate__(), "_sksegment_version": version}
    FCNSegmenter().__setstate__(state)


# What is not saved


class Subclass(FCNSegmenter):
    pass


def own_network(n_channels: int, n_classes: int) -> torch.nn.Module:
    return torch.nn.Conv2d(n_channels, n_classes, 1)


def other_network(n_channels: int, n_classes: int) -> torch.nn.Module:
    return torch.nn.Conv2d(n_channels, n_classes, 3, padding=1)


def own_loss(scores: Any, codes: Any, weights: Any) -> Any:
    return scores.square().mean()


@pytest.mark.parametrize("estimator", [tiny(), make_pipeline(tiny())])
def test_what_is_not_fitted_is_not_saved(estimator: Any, path: Path) -> None:
    with pytest.raises(NotFittedError):
        save_model(estimator, path)
    assert not path.exists()


@pytest.mark.parametrize(
    "estimator",
    [
        None,
        "model",
        FCNSegmenter,
        LogisticRegression(),
        GridSearchCV(tiny(), {}),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_other_estimators_are_refused(estimator: Any, path: Path) -> None:
    with pytest.raises(TypeError, match="expected an FCNSegmenter"):
        save_model(estimator, path)
    assert not path.exists()


def test_subclasses_are_refused(data: Any, path: Path) -> None:
    segmenter = Subclass(depth=1, width=2, max_epochs=1).fit(*data)
    with pytest.raises(TypeError, match="given a Subclass"):
        save_model(segmenter, path)


def test_other_steps_are_refused_by_name(pipeline: Any, path: Path) -> None:
    model = Pipeline([("scaler", StandardScaler()), *pipeline.steps])
    with pytest.raises(TypeError, match=r"'scaler' is a StandardScaler.*joblib"):
        save_model(model, path)


@pytest.mark.parametrize(
    "name, value",
    [
        ("network", own_network),
        ("loss", own_loss),
        ("callbacks", [Checkpoint()]),
        ("callbacks", [("name", Checkpoint)]),
    ],
)
def test_code_is_refused_by_name(
    name: str, value: Any, fitted: Any, path: Path
) -> None:
    with pytest.raises(TypeError, match=rf"^{name} is .*joblib\.dump"):
        save_model(copy.deepcopy(fitted).set_params(**{name: value}), path)
    assert not path.exists()


def test_a_network_of_the_users_own_is_refused(data: Any, path: Path) -> None:
    model = FCNSegmenter(network=own_network, max_epochs=1).fit(*data)
    with pytest.raises(TypeError, match=r"^network is .*joblib\.dump"):
        save_model(model.set_params(network="fcn"), path)


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("classes", {0, 1}, TypeError),
        ("classes", [0, object()], TypeError),
        ("classes", np.array([0, 1j]), TypeError),
        ("ignore_label", 2**80, TypeError),
        ("ignore_label", np.longdouble(1), TypeError),
        ("random_state", RandomState(np.random.PCG64(0)), TypeError),
        ("learning_rate", -1, ValueError),
        ("learning_rate", float("nan"), ValueError),
        ("batch_size", 0, ValueError),
        ("network", "unet", ValueError),
        ("device", "tpu", ValueError),
    ],
)
def test_other_parameters_are_refused_by_name(
    name: str, value: Any, error: Any, fitted: Any, path: Path
) -> None:
    with pytest.raises(error, match=name):
        save_model(copy.deepcopy(fitted).set_params(**{name: value}), path)
    assert not path.exists()


def test_a_history_with_objects_is_refused_by_its_place(
    fitted: Any, path: Path
) -> None:
    model = copy.deepcopy(fitted)
    model.history_[0]["note"] = object()
    with pytest.raises(TypeError, match=r"history_\[0\]\['note'\] is a object"):
        save_model(model, path)


def test_a_history_that_could_not_be_read_again_is_refused(
    fitted: Any, path: Path
) -> None:
    model = copy.deepcopy(fitted)
    model.history_[0]["note"] = json.loads("[" * 40 + "]" * 40)
    with pytest.raises(ValueError, match="nested deeper"):
        save_model(model, path)
    assert not path.exists()


def test_weights_that_are_not_finite_are_refused(fitted: Any, path: Path) -> None:
    model = copy.deepcopy(fitted)
    with torch.no_grad():
        model.network_.classifier.bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in 'classifier\.bias'"):
        save_model(model, path)


def test_without_safetensors_the_cure_is_told(
    fitted: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(fitted, path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: save_model(fitted, path), lambda: load_model(path)):
        with pytest.raises(
            ImportError, match=r'pip install "sksegment\[safetensors\]"'
        ):
            call()


# Writing


@pytest.mark.parametrize("place", ["os.replace", "os.fsync", "safetensors.numpy.save"])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file(
    place: str, error: BaseException, fitted: Any, pipeline: Any, path: Path
) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise error

    save_model(fitted, path)
    content = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, fail)
        for target in (path, path.with_name("new")):
            with pytest.raises(type(error)):
                save_model(pipeline, target)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_cannot_be_written_is_named(fitted: Any, tmp_path: Path) -> None:
    for target in (tmp_path / "missing" / "model", tmp_path):
        with pytest.raises(OSError) as caught:
            save_model(fitted, target)
        assert caught.value.filename == str(target)
    assert os.listdir(tmp_path) == []


def test_a_file_may_be_read_by_whom_other_files_may_be(fitted: Any, path: Path) -> None:
    save_model(fitted, str(path))
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_a_link_stays_a_link(fitted: Any, path: Path) -> None:
    link = path.with_name("link")
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("no links here")
    save_model(fitted, link)
    assert link.is_symlink()
    assert_same(load_model(path), fitted)


# Reading what is no model file


def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing")
    with pytest.raises((IsADirectoryError, PermissionError)):
        load_model(tmp_path)


def test_errors_name_the_file_and_are_value_errors(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_model(path)
    assert type(caught.value) is ModelFileError
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def parts(content: bytes) -> tuple[Document, Tensors]:
    """Take a model file apart."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    tensors = {name: array.copy() for name, array in load(content).items()}
    return json.loads(header["__metadata__"]["sksegment"]), tensors


def put_together(document: Document, tensors: Tensors, *, forge: bool = True) -> bytes:
    """Make a model file of its parts, with the checksum that they have now."""
    if forge:
        document["sha256"] = digest(document, tensors)
    return save(tensors, {"sksegment": json.dumps(document)})


@pytest.fixture(scope="module")
def content(fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("content") / "model.safetensors"
    save_model(fitted, path)
    return path.read_bytes()


def test_a_file_that_is_taken_apart_and_put_together_loads(
    content: bytes, fitted: Any, path: Path
) -> None:
    path.write_bytes(put_together(*parts(content)))
    assert_same(load_model(path), fitted)


def test_a_file_of_a_newer_format_says_to_update(content: bytes, path: Path) -> None:
    tensors = parts(content)[1]
    newer = {"format_version": 2, "something": "else"}
    path.write_bytes(put_together(newer, tensors, forge=False))
    with pytest.raises(ModelFileError, match=r"format version 2.*Update sksegment"):
        load_model(path)


def test_a_parameter_that_an_older_version_lacked_gets_its_default(
    content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    for name in ("tile_size", "test_time_augmentation", "pretrained"):
        document["model"]["parameters"].pop(name, None)
    document["package_version"] = "0.0.1"
    path.write_bytes(put_together(document, tensors))
    found = load_model(path)
    assert found.tile_size == "auto"
    assert found.test_time_augmentation is False
    assert found.get_params().keys() == FCNSegmenter().get_params().keys()


def test_a_parameter_that_a_newer_version_has_is_refused(
    content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    document["model"]["parameters"]["sharpness"] = 1
    path.write_bytes(put_together(document, tensors))
    with pytest.raises(ModelFileError, match=r"no parameter 'sharpness'.*update"):
        load_model(path)


@pytest.mark.parametrize("name", FITTED)
def test_a_fitted_attribute_that_is_missing_is_refused(
    name: str, content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    del document["model"]["fitted"][name]
    path.write_bytes(put_together(document, tensors))
    with pytest.raises(ModelFileError, match="it has the fields"):
        load_model(path)


# Damaged files


def damaged(content: bytes, rng: Generator) -> bytes:
    """Change a file somewhere, as a bad disk, cable or editor may."""
    length = struct.unpack("<Q", content[:8])[0]
    # Half of the changes fall into the header, where most of the meaning is.
    stop = 8 + length if rng.random() < 0.5 else len(content)
    start, end = sorted(rng.integers(0, stop, 2))
    before, part, after = content[:start], content[start:end], content[end:]
    noise = rng.bytes(int(rng.integers(1, 20)))
    kinds = (
        lambda: flipped(content, int(rng.integers(0, 8 * stop))),
        lambda: before + bytes([content[start] ^ int(noise[0])]) + content[start + 1 :],
        lambda: before,
        lambda: before + after,
        lambda: before + noise + part + after,
        lambda: before + part + part + after,
        lambda: before + part[::-1] + after,
        lambda: before + bytes(len(part)) + after,
        lambda: part + before + after,
        lambda: struct.pack("<Q", int(rng.integers(0, 2 * length))) + content[8:],
        lambda: other_digit(content, start),
        lambda: content + noise,
        lambda: swapped_tensors(content, rng),
    )
    return kinds[rng.integers(len(kinds))]()


def overwrite(path: Path, content: bytes) -> None:
    """Write to a file that is there; some systems flush one that is emptied first."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def other_digit(content: bytes, start: int) -> bytes:
    """Write another digit, so that JSON stays JSON."""
    digit = re.compile(rb"\d").search(content, start)
    if digit is None:
        return content
    other = b"%d" % ((int(digit[0]) + 1) % 10)
    return content[: digit.start()] + other + content[digit.end() :]


def swapped_tensors(content: bytes, rng: Generator) -> bytes:
    """Exchange two tensors of one shape, and leave the checksum as it was."""
    document, tensors = parts(content)
    name = str(rng.choice([*tensors]))
    same = [key for key in tensors if tensors[key].shape == tensors[name].shape]
    other = str(rng.choice(same))
    tensors[name], tensors[other] = tensors[other], tensors[name]
    return put_together(document, tensors, forge=False)


@pytest.mark.parametrize(
    "n_files", [1_000, pytest.param(9_000, marks=pytest.mark.slow)]
)
def test_10_000_damaged_files(
    content: bytes, fitted: Any, data: Any, path: Path, n_files: int
) -> None:
    rng = np.random.default_rng(n_files)
    expected = fitted.predict_proba(data[0])
    n_loaded = 0
    path.touch()
    for _ in range(n_files):
        overwrite(path, damaged(content, rng))
        try:
            found = load_model(path)
        except ModelFileError:
            continue
        n_loaded += 1
        assert_same(found, fitted)
        assert_array_equal(found.predict_proba(data[0]), expected)
    # Some exchange a thing for its equal, or the spaces that JSON does not mind.
    assert n_loaded < 0.1 * n_files


# Forged files: the checksum is right


NASTY = (
    None, True, -1, 0, 1, 2, 2**31, 2**63, 2**64, 10**30, -0.5, 1e308, "", "os.system",
    "auto", "cuda:7", "\x00", "\ud800", [], [[]], {}, {"$float": "nan"},
    {"$tuple": [8, 8]}, {"$tuple": 1}, {"$dict": [[0, 1], [0, 2]]}, {"$dict": [1, 2]},
    {"$dict": [[[], 1]]}, {"$array": []}, {"$array": ["0.classes_", "<u2"]},
    {"$array": ["0.classes_", "|O"]}, {"$array": ["0.classes_", "<U9"]}, {"$eval": "1"},
    {"$array": ["1.channel_mean_", "<f8"]}, {"$random_state": [0, 0, 0, 0]},
)  # fmt: skip


def forge(document: Document, tensors: Tensors, rng: Generator) -> None:
    """Change one thing in the document or among the tensors."""
    if rng.random() < 0.2:
        forge_tensor(tensors, rng)
        return
    places = [*containers(document["model"])]
    place = places[rng.integers(len(places))]
    keys = [*place] if isinstance(place, dict) else [*range(len(place))]
    if not keys:
        return
    key = keys[rng.integers(len(keys))]
    kind = rng.integers(4)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[f"{key}_"] = place.pop(key)
    elif kind == 2:
        other = places[rng.integers(len(places))]
        place[key] = copy.deepcopy(other)
    else:
        place[key] = NASTY[rng.integers(len(NASTY))]


def containers(value: Any) -> Iterator[Any]:
    children = value.values() if isinstance(value, dict) else value
    yield value
    for child in children:
        if isinstance(child, (dict, list)):
            yield from containers(child)


def forge_tensor(tensors: Tensors, rng: Generator) -> None:
    name = str(rng.choice([*tensors]))
    array = tensors.pop(name)
    kind = rng.integers(5)
    if kind == 0:
        tensors[name + "_"] = array
    elif kind == 1:
        tensors[name] = array.ravel()[:-1].copy()
    elif kind == 2:
        tensors[name] = array.astype([np.float64, np.float16, np.int8][rng.integers(3)])
    elif kind == 3:
        tensors[name] = np.full_like(array, 10 ** rng.integers(30) % 2**31)


@pytest.mark.filterwarnings("ignore")  # of numbers that overflow, for example
@pytest.mark.parametrize(
    "seed, n_files", [(1, 200), pytest.param(2, 2000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["segmenter", "pipeline"])
def test_forged_files_are_refused_or_load_as_something_legal(
    kind: str, seed: int, n_files: int, content: bytes, pipeline: Any, path: Path
) -> None:
    if kind == "pipeline":
        save_model(pipeline, path)
        content = path.read_bytes()
    rng = np.random.default_rng(seed)
    X = np.random.default_rng(0).random((2, 8, 8, 3))
    n_refused = 0
    for _ in range(n_files):
        document, tensors = parts(content)
        forge(document, tensors, rng)
        path.write_bytes(put_together(document, tensors))
        try:
            found = load_model(path)
        except ModelFileError:
            n_refused += 1
            continue
        segmenter = found[-1] if kind == "pipeline" else found
        segmenter.set_params(device="cpu")
        assert np.isin(found.predict(X), segmenter.classes_).all()
        assert_same(through_a_file(found, path), found)
    assert n_refused > n_files / 3


# Crafted files: what an attacker would try


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nothing may make, and functions that nothing may call."""
    calls: list[Any] = []

    def record(*arguments: Any, **named: Any) -> None:
        calls.append(arguments)

    for target in ("os.system", "os.popen", "subprocess.Popen.__init__"):
        monkeypatch.setattr(target, record)
    for target in ("pickle.load", "pickle.loads", "joblib.load", "torch.load"):
        monkeypatch.setattr(target, record)
    # A network is made where all has been checked, and not before.
    monkeypatch.setattr("sksegment.segmenter.restored_network", record)
    yield tmp_path / "canary"
    assert not calls
    assert not (tmp_path / "canary").exists()


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Bomb(folder))


def pickled_by_joblib(folder: Path) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Bomb(folder), buffer, compress=3)
    return buffer.getvalue()


def pickled_by_torch(folder: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": Bomb(folder)}, buffer)
    return buffer.getvalue()


def zip_slip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../canary", "out of the folder")
        archive.writestr("data.pkl", pickled(folder))
    return buffer.getvalue()


def numpy_objects(folder: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(folder)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def test_the_bomb_is_live(tmp_path: Path) -> None:
    pickle.loads(pickled(tmp_path / "canary"))
    assert (tmp_path / "canary").is_dir()


@pytest.mark.parametrize(
    "payload",
    [pickled, pickled_by_joblib, pickled_by_torch, zip_slip, numpy_objects],
)
def test_bombs_do_not_go_off(
    payload: Callable[[Path], bytes], path: Path, canary: Path
) -> None:
    path.write_bytes(payload(canary))
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_model(path)


def with_header(
    header: bytes, *, length: int | None = None, data: bytes = b""
) -> bytes:
    size = len(header) if length is None else length
    return struct.pack("<Q", size) + header + data


TENSOR = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
EMPTY = b'{"__metadata__":{"sksegment":"{}"}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02\x00\x00",
        with_header(b"{}"),
        with_header(b"[]"),
        with_header(b"null"),
        with_header(b"{}", length=2**63),
        with_header(b"{}", length=2**64 - 1),
        with_header(b"{}", length=3),
        with_header(b"[" * 100_000),
        with_header(b'{"a":' * 100_000),
        with_header(b'{"a":%s,"a":%s}' % (TENSOR, TENSOR), data=bytes(8)),
        with_header(EMPTY[:-1] + b"," + EMPTY[1:]),
        with_header(b'{"__metadata__":{"sksegment":1}}'),
        with_header(b'{"__metadata__":{"sksegment":"\\ud800"}}'),
        with_header(b'{"__metadata__":{"sksegment":"[]"}}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":1}'),
        with_header(b'{"__metadata__":{"sksegment":"{}","b":"c"}}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":NaN}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":1e999}'),
        with_header(b'{"__metadata__":{"sksegment":"{}"},"a":%s}' % (b"9" * 9999)),
        with_header(b'{"__metadata__":\xff}'),
    ],
    ids=range(21),
)
def test_headers_that_promise_what_is_not_there(
    content: bytes, path: Path, canary: Path
) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        load_model(path)


def test_a_header_longer_than_safetensors_allows_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**40))
        file.truncate(2**40 + 8)  # of which the disk holds nothing
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_model(path)


@pytest.mark.parametrize(
    "offsets", [[(0, 8), (4, 12)], [(0, 8), (0, 8)], [(0, 8), (12, 20)], [(8, 0)]]
)
def test_tensors_that_overlap_or_leave_gaps(
    offsets: Any, content: bytes, path: Path, canary: Path
) -> None:
    document, _ = parts(content)
    header: Document = {"__metadata__": {"sksegment": json.dumps(document)}}
    for number, place in enumerate(offsets):
        header[str(number)] = {"dtype": "F32", "shape": [2], "data_offsets": place}
    path.write_bytes(with_header(json.dumps(header).encode(), data=bytes(20)))
    with pytest.raises(ModelFileError, match="its tensors"):
        load_model(path)


def parameter(name: str, value: Any) -> Edit:
    return lambda document, _: document["model"]["parameters"].update({name: value})


def attribute(name: str, value: Any) -> Edit:
    return lambda document, _: document["model"]["fitted"].update({name: value})


def option(**options: Any) -> Edit:
    """Another network, in the parameters and where it is made from."""

    def edit(document: Document, _: Tensors) -> None:
        document["model"]["parameters"].update(options)
        document["model"]["fitted"]["_architecture"].update(options)

    return edit


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    return lambda _, tensors: tensors.update({name: change(tensors[name])})


def a_thousand_million_classes(document: Document, tensors: Tensors) -> None:
    document["model"]["fitted"]["_architecture"]["n_classes"] = 10**9
    tensors["0.classes_"] = np.zeros((10**9, 0), np.uint32)
    document["model"]["fitted"]["classes_"]["$array"][1] = "<U0"


def a_network_for_labels_of_all_pixels(document: Document, tensors: Tensors) -> None:
    document["model"]["fitted"]["_architecture"]["n_classes"] = 100_000
    tensors["0.classes_"] = np.arange(100_000, dtype=np.uint8)


def nested(document: Document, _: Tensors) -> None:
    document["model"]["parameters"]["classes"] = json.loads("[" * 500 + "]" * 500)


def in_a_pipeline(*steps: Any, **fields: Any) -> Edit:
    def edit(document: Document, _: Tensors) -> None:
        model = {"class": "Pipeline", "transform_input": None, "verbose": False}
        last = ["last", document["model"]]
        document["model"] = {**model, "steps": [*steps, last], **fields}

    return edit


def code_points(document: Document, tensors: Tensors) -> None:
    document["model"]["fitted"]["classes_"]["$array"][1] = "<U1"
    tensors["0.classes_"] = np.array([[1], [2], [2**32 - 1]], np.uint32)


def neither_true_nor_false(document: Document, tensors: Tensors) -> None:
    document["model"]["parameters"]["classes"] = {"$array": ["own", "|b1"]}
    tensors["own"] = np.array([0, 2], np.uint8).view(np.bool_)


def random_state(place: Any, n_words: int = 624) -> Edit:
    def edit(document: Document, tensors: Tensors) -> None:
        state = [{"$array": ["words", "<u4"]}, place, 0, 0.0]
        document["model"]["parameters"]["random_state"] = {"$random_state": state}
        tensors["words"] = np.ones(n_words, np.uint32)

    return edit


CODE = "__import__('os').system('touch canary')"
WEIGHT = "network_.classifier.weight"
FLIP = {"class": "RandomFlip", "parameters": {}}


@pytest.mark.parametrize(
    "edit",
    [
        *(
            lambda document, _, name=name: document["model"].update({"class": name})
            for name in ("os.system", "subprocess.Popen", "Resized", "", None, [], CODE)
        ),
        *(
            parameter(name, CODE)
            for name in ("network", "loss", "optimizer", "device", "depth", "callbacks")
        ),
        parameter("callbacks", ["skorch.callbacks.Checkpoint"]),
        parameter("checkpoint_dir", "/tmp"),
        parameter("pretrained", "/tmp/weights.pickle"),
        parameter("__class__", "os.system"),
        parameter("classes", {"$object": "os.system"}),
        parameter("classes", {"$eval": CODE}),
        parameter("classes", {"$array": ["0.classes_", "|O"]}),
        parameter("classes", {"$array": ["0.classes_", "V1000000000"]}),
        parameter("classes", {"$array": ["0.classes_", "<U900000000"]}),
        parameter("classes", {"$array": ["0.classes_", "|u1"]}),  # used twice
        parameter("classes", {"$array": ["/etc/passwd", "|u1"]}),
        parameter("classes", {"$array": [["0.classes_"], "|u1"]}),
        parameter("classes", {"$float": CODE}),
        parameter("ignore_label", 10**400),
        random_state(625),
        random_state(-1),
        random_state(2.0),
        random_state(0, n_words=3),
        option(depth=8),
        option(depth=10**6),
        option(width=10**5),
        option(width=10**9),
        option(width=10**30),
        option(network="fcn8s"),
        option(network="os.system"),
        option(shell=True),
        attribute("_architecture", CODE),
        attribute("_architecture", {}),
        attribute("network_", CODE),
        attribute("history_", [CODE]),
        attribute("_seed", -1),
        attribute("n_features_in_", 4),
        tensor("2.channel_std_", lambda std: 0 * std),
        tensor("1.channel_mean_", lambda mean: mean + np.nan),
        tensor("0.classes_", lambda classes: classes[::-1].copy()),
        tensor("0.classes_", lambda classes: 0 * classes),
        tensor(WEIGHT, lambda weight: weight.astype(np.float64)),
        tensor(WEIGHT, lambda weight: weight.astype(np.float16)),
        tensor(WEIGHT, lambda weight: weight.ravel()),
        tensor(WEIGHT, lambda weight: weight * np.float32(np.nan)),
        tensor(WEIGHT, lambda weight: weight + np.float32(np.inf)),
        lambda _, tensors: tensors.pop(WEIGHT),
        lambda _, tensors: tensors.update(extra=np.zeros(2)),
        lambda _, tensors: tensors.update({"network_.extra": np.zeros(2)}),
        lambda document, _: document.update(model="FCNSegmenter"),
        lambda document, _: document.update(extra=1),
        lambda document, _: document.update(format_version=True),
        lambda document, _: document.update(format_version="1"),
        lambda document, _: document.update(format_version=0),
        a_thousand_million_classes,
        a_network_for_labels_of_all_pixels,
        code_points,
        neither_true_nor_false,
        nested,
        in_a_pipeline(["system", {"class": "os.system", "parameters": {}}]),
        in_a_pipeline(["a", {"class": "AugmentedImages", "parameters": {}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"p": CODE}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"p": 2}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"p__q": 2}}]),
        in_a_pipeline(["a", {**FLIP, "parameters": {"random_state": CODE}}]),
        in_a_pipeline(["a", FLIP], ["a", FLIP]),
        in_a_pipeline(["a__b", FLIP]),
        in_a_pipeline(["steps", FLIP]),
        in_a_pipeline([1, FLIP]),
        in_a_pipeline("ab"),
        in_a_pipeline(memory="/tmp"),
        in_a_pipeline(verbose="yes"),
        in_a_pipeline(transform_input=CODE),
        in_a_pipeline(steps=[]),
        in_a_pipeline(steps=[["last", FLIP]]),
        in_a_pipeline(steps=CODE),
    ],
)  # fmt: skip
def test_crafted_files_are_refused(
    edit: Edit, content: bytes, path: Path, canary: Path
) -> None:
    document, tensors = parts(content)
    edit(document, tensors)
    path.write_bytes(put_together(document, tensors))
    with pytest.raises(ModelFileError, match=re.escape(str(path))):
        load_model(path)


def test_nan_in_the_document_is_refused(content: bytes, path: Path) -> None:
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        document, tensors = parts(content)
        document["model"]["parameters"]["ignore_label"] = "here"
        document["sha256"] = digest(document, tensors)
        text = json.dumps(document).replace('"here"', word)
        path.write_bytes(save(tensors, {"sksegment": text}))
        with pytest.raises(ModelFileError, match="its document"):
            load_model(path)


def test_keys_that_stand_twice_in_the_document_are_refused(
    content: bytes, path: Path
) -> None:
    document, tensors = parts(content)
    text = json.dumps(document).replace('"depth": 1', '"depth": 2, "depth": 1')
    path.write_bytes(save(tensors, {"sksegment": text}))
    with pytest.raises(ModelFileError, match="one key twice"):
        load_model(path)


# Files of earlier versions


@pytest.mark.parametrize(
    "model", sorted(DATA.glob("format_*.safetensors")), ids=lambda p: p.stem
)
def test_files_of_earlier_versions_load_and_predict_the_same(model: Path) -> None:
    expected = np.load(model.with_suffix(".npz"))
    pipe = load_model(model)
    labels = pipe.predict(expected["X"])
    assert_array_equal(labels, expected["labels"], strict=True)
    difference = pipe.predict_proba(expected["X"]) - expected["probabilities"]
    assert abs(difference).max() < 1e-4
    assert [name for name, _ in pipe.steps[:-1]] == ["randomflip", "randomzoom"]
    assert pipe[-1].class_weight == {"dark": 1.0, "bright": 2.0}
    assert pipe[-1].crop_size == (8, 12)
    assert len(pipe[-1].history_) == pipe[-1].n_iter_ == 60


def test_there_is_a_file_of_this_format() -> None:
    version = sksegment.persistence._file.FORMAT_VERSION
    assert (DATA / f"format_{version}.safetensors").is_file()
