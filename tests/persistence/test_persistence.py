"""Model files: what comes back is what was saved, and nothing in a file is believed."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Checkpoint

import sksegment
from helpers.names import name_without_address
from helpers.persistence import (
    DATA,
    assert_equal_values,
    assert_same,
    through_a_file,
    tiny,
)
from sksegment import FCNSegmenter, augmentation, load_model, save_model
from sksegment._torch.random import local_rng
from sksegment.datasets import make_shapes

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
    ids=name_without_address,
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


@pytest.mark.parametrize("path", [None, 5, b"model"])
def test_what_is_no_path_is_refused_before_anything_is_packed(path: Any) -> None:
    with pytest.raises(TypeError, match=r"path is .*; expected the path of a file"):
        save_model(None, path)  # type: ignore[arg-type]


def test_a_file_may_be_read_by_whom_other_files_may_be(fitted: Any, path: Path) -> None:
    save_model(fitted, str(path))
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_saving_over_a_symbolic_link_keeps_the_link(fitted: Any, path: Path) -> None:
    link = path.with_name("link")
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("no links here")
    save_model(fitted, link)
    assert link.is_symlink()
    assert_same(load_model(path), fitted)
