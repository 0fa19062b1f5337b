"""FCNSegmenter with an encoder of timm: what it promises without one, it keeps."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from helpers.threads import on_one_thread
from sksegment import FCNSegmenter, iou_scorer, load_model, save_model
from sksegment._segmenter import model
from sksegment.datasets import make_shapes
from sksegment.persistence import ModelFileError

pytestmark = pytest.mark.usefixtures("timm", "one_thread")
X, y = make_shapes(4, size=40, n_classes=3, random_state=0)


def small(**parameters: Any) -> FCNSegmenter:
    defaults = {
        "encoder": "test_resnet",
        "width": 2,
        "max_epochs": 1,
        "random_state": 0,
        "device": "cpu",
    }
    return FCNSegmenter(**{**defaults, **parameters})


@pytest.fixture(scope="module")
def fitted(timm: Any) -> FCNSegmenter:
    with on_one_thread():
        return small().fit(X, y)


def weights(segmenter: FCNSegmenter) -> dict[str, np.ndarray]:
    return {
        name: tensor.numpy(force=True)
        for name, tensor in segmenter.network_.state_dict().items()
    }


def test_an_encoder_learns_shapes() -> None:
    X, y = make_shapes(8, size=32, n_classes=2, random_state=0)
    segmenter = small(depth=3, max_epochs=15, width=4, precision="float32").fit(X, y)
    constant = max(np.mean(y == label) for label in (0, 1)) / 2
    assert segmenter.score(X, y) > constant + 0.2


@pytest.mark.parametrize("size", [(1, 1), (7, 50)])
def test_images_of_any_size_train_and_predict(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, *size, 2), dtype=np.uint8)
    masks = np.zeros((1, *size), int)
    segmenter = small(classes=[0, 1]).fit(images, masks)
    assert segmenter.predict(images).shape == (1, *size)


def test_the_defaults_of_depth_and_width_are_those_without_an_encoder() -> None:
    plain = FCNSegmenter(max_epochs=1, random_state=0, device="cpu")
    named = clone(plain).set_params(depth=3, width=16)
    ours, theirs = (weights(one.fit(X, y)) for one in (plain, named))
    for name in ours:
        assert_array_equal(ours[name], theirs[name])


def test_tiles_equal_the_whole_image(fitted: FCNSegmenter) -> None:
    segmenter = small(depth=3).fit(X, y)
    image = make_shapes(1, size=300, n_classes=3, random_state=1)[0]
    whole = segmenter.predict_proba(image)
    tiled = segmenter.set_params(tile_size=64).predict_proba(image)
    assert segmenter.margin_ is not None
    assert segmenter.stride_ == 8
    assert_allclose(tiled, whole, atol=1e-5)


def test_the_margin_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    measure = model.measure_strip_margin
    monkeypatch.setattr(
        model, "measure_strip_margin", lambda *args: calls.append(0) or measure(*args)
    )
    model.encoder_margin.cache_clear()
    margins = [
        small(depth=3, random_state=seed, dropout=dropout, classes=classes)
        .fit(X, y)
        .margin_
        for seed, dropout, classes in ((0, 0.0, None), (1, 0.5, range(4)))
    ]
    assert len(calls) == 1
    assert margins[0] == margins[1] is not None
    assert small(depth=2).fit(X, y).margin_ < margins[0]


def test_without_memory_to_measure_the_margin_it_is_the_whole_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    model.encoder_margin.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(model, "measure_strip_margin", fail)
        assert small(depth=3).fit(X, y).margin_ is None
    assert small(depth=3).fit(X, y).margin_ is not None


def test_tiles_of_a_transformer_are_blended_and_said() -> None:
    segmenter = small(encoder="test_vit").fit(X, y)
    assert segmenter.margin_ is None
    image = make_shapes(1, size=100, n_classes=3, random_state=1)[0]
    with pytest.warns(UserWarning, match="blended"):
        segmenter.set_params(tile_size=64).predict(image)


def test_probabilities_depend_on_neither_batch_nor_order(fitted: FCNSegmenter) -> None:
    together = fitted.predict_proba(X)
    alone = np.concatenate([fitted.predict_proba(X[i : i + 1]) for i in range(4)])
    assert_allclose(alone, together, atol=1e-6)
    assert_allclose(fitted.predict_proba(X[::-1]), together[::-1], atol=1e-6)


def test_fitting_twice_is_fitting_once(fitted: FCNSegmenter) -> None:
    again = weights(small().fit(X, y))
    for name, array in weights(fitted).items():
        assert_array_equal(array, again[name])


def test_pickles_and_model_files_predict_the_same_bits(
    fitted: FCNSegmenter, tmp_path: Path
) -> None:
    expected = fitted.predict_proba(X)
    assert b"torch" not in pickle.dumps(fitted)
    path = tmp_path / "model.safetensors"
    save_model(fitted, path)
    for again in (pickle.loads(pickle.dumps(fitted)), load_model(path)):
        assert_array_equal(again.predict_proba(X), expected)
        assert (again.margin_, again.stride_) == (fitted.margin_, fitted.stride_)
        assert again.set_params(warm_start=True).fit(X, y).n_iter_ == 2


@pytest.mark.parametrize("encoder", ["hf-hub:timm/resnet18", "local-dir:/tmp", "no"])
def test_a_model_file_with_an_unlisted_encoder_is_refused(
    fitted: FCNSegmenter, tmp_path: Path, encoder: str
) -> None:
    forged = pickle.loads(pickle.dumps(fitted))
    path = tmp_path / "model.safetensors"
    save_model(forged, path)
    raw = path.read_bytes()
    # The checksum is that of a forger who knows how to make one.
    from sksegment.persistence import _file

    model, tensors = _file.read_model_file(path)
    model["fitted"]["_architecture"]["encoder"] = encoder
    _file.write_model_file(path, model, tensors)
    assert path.read_bytes() != raw
    with pytest.raises(ModelFileError, match="no model of timm"):
        load_model(path)


def test_weights_of_another_version_of_timm_are_told(
    fitted: FCNSegmenter, tmp_path: Path
) -> None:
    state = pickle.loads(pickle.dumps(fitted)).__getstate__()
    state["network_"].pop(next(iter(state["network_"])))
    state["_timm_version"] = "0.9.0"
    with pytest.raises(ValueError, match=r"saved with timm 0\.9\.0, and this is timm"):
        FCNSegmenter().__setstate__(state)


def test_a_search_over_encoders() -> None:
    grid = {"encoder": [None, "test_resnet"]}
    search = GridSearchCV(small(depth=2), grid, scoring=iou_scorer, cv=2).fit(X, y)
    assert search.best_params_["encoder"] in grid["encoder"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_parameters_that_an_old_pickle_lacks_get_their_defaults() -> None:
    state = FCNSegmenter(network="fcn8s").__getstate__()
    for name in ("encoder", "encoder_learning_rate"):
        del state[name]
    state |= {"depth": 3, "width": 16}  # the defaults of that time
    old = FCNSegmenter()
    old.__setstate__(state)
    assert old.get_params() == FCNSegmenter(network="fcn8s").get_params()


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"encoder": "resnet_34"}, "encoder is 'resnet_34'.*resnet34"),
        ({"depth": 6}, "depth=6 does not fit encoder='test_resnet'"),
        ({"encoder": "mixer_s16_224"}, "does not take images of shape"),
        ({"network": "fcn8s", "width": None}, "encoder='test_resnet' has no effect"),
        ({"network": dict, "width": None}, "encoder='test_resnet' has no effect"),
        ({"encoder": None, "encoder_learning_rate": 0.1}, "no effect without an enc"),
        ({"encoder_learning_rate": -1}, "encoder_learning_rate is -1; expected"),
    ],
)
def test_bad_parameters_raise_before_training(
    parameters: dict[str, Any], message: str, fitted: FCNSegmenter
) -> None:
    segmenter = pickle.loads(pickle.dumps(fitted)).set_params(**parameters)
    before = weights(segmenter)
    with pytest.raises((ValueError, TypeError), match=message):
        segmenter.fit(X, y)
    for name, array in weights(segmenter).items():
        assert_array_equal(array, before[name])


def test_another_encoder_does_not_continue(fitted: FCNSegmenter) -> None:
    segmenter = pickle.loads(pickle.dumps(fitted))
    segmenter.set_params(warm_start=True, encoder="test_convnext")
    with pytest.raises(ValueError, match="encoder is 'test_convnext', but the fitted"):
        segmenter.fit(X, y)
