"""Weights for an encoder, and how fast they are trained: not at all, or slowly."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback

from sksegment import FCNSegmenter, load_model, save_model
from sksegment._training import encoded_batches, train
from sksegment.augmentation import RandomFlip
from sksegment.datasets import make_shapes
from sksegment.networks._encoder_fcn import EncoderFCN

pytestmark = pytest.mark.usefixtures("timm", "one_thread")
X, y = make_shapes(4, size=32, n_classes=2, random_state=0)


def small(**parameters: Any) -> FCNSegmenter:
    defaults = {
        "encoder": "test_resnet",
        "depth": 3,
        "width": 2,
        "max_epochs": 1,
        "random_state": 0,
        "device": "cpu",
    }
    return FCNSegmenter(**{**defaults, **parameters})


def encoder_of(segmenter: FCNSegmenter) -> dict[str, np.ndarray]:
    state = segmenter.network_.encoder.state_dict()
    return {name: tensor.numpy(force=True) for name, tensor in state.items()}


def weights_of(segmenter: FCNSegmenter) -> dict[str, np.ndarray]:
    state = segmenter.network_.state_dict()
    return {name: tensor.numpy(force=True) for name, tensor in state.items()}


def assert_equal_weights(ours: FCNSegmenter, theirs: FCNSegmenter) -> None:
    found, expected = weights_of(ours), weights_of(theirs)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, err_msg=name)


@pytest.fixture(scope="module")
def state(timm: Any) -> dict[str, torch.Tensor]:
    """Weights as somebody would save them from timm: statistics and classes as well."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = timm.create_model("test_resnet")
        with torch.no_grad():
            model(torch.randn(4, 3, 64, 64))  # in training: moves the statistics
    return model.state_dict()


@pytest.fixture(params=[".pth", ".safetensors"])
def path(state: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = tmp_path / f"weights{request.param}"
    save = torch.save if request.param == ".pth" else safetensors.torch.save_file
    save(state, path)
    return path


def test_a_frozen_encoder_has_the_weights_of_the_file(path: Path, state: Any) -> None:
    segmenter = small(pretrained=path, encoder_learning_rate=0, max_epochs=2).fit(X, y)
    for name, array in encoder_of(segmenter).items():
        if not name.endswith("num_batches_tracked"):
            assert_array_equal(array, state[name].numpy(), err_msg=name)
    fresh = small(pretrained=path, encoder_learning_rate=0, max_epochs=1).fit(X, y)
    assert (weights_of(fresh)["classifier.weight"] != 0).any()


def test_images_are_standardized_as_timm_states(path: Path, timm: Any) -> None:
    stated = timm.get_pretrained_cfg("test_resnet")
    segmenter = small(pretrained=path).fit(X, y)
    white = 255 if X.max() > 1.25 else 1
    assert_allclose(segmenter.channel_mean_, np.array(stated.mean) * white)
    assert_allclose(segmenter.channel_std_, np.array(stated.std) * white)


def test_gray_images_get_the_sum_of_the_kernels(path: Path, state: Any) -> None:
    segmenter = small(pretrained=path, encoder_learning_rate=0).fit(X[..., :1], y)
    first = next(name for name, one in state.items() if one.ndim == 4)
    expected = state[first].sum(dim=1, keepdim=True).numpy()
    assert_allclose(encoder_of(segmenter)[first], expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["test_convnext", "test_vit", "test_efficientnet"])
def test_renamed_layers_find_their_weights(
    kind: str, timm: Any, tmp_path: Path
) -> None:
    saved = timm.create_model(kind).state_dict()
    torch.save(saved, tmp_path / "weights.pth")
    segmenter = small(
        encoder=kind,
        depth=None,
        pretrained=tmp_path / "weights.pth",
        encoder_learning_rate=0,
    ).fit(X, y)
    theirs = {tuple(one.flatten()[:8].tolist()) for one in saved.values()}
    ours = segmenter.network_.encoder.state_dict().values()
    assert all(tuple(one.flatten()[:8].tolist()) in theirs for one in ours)


def wrong(state: dict[str, Any], how: str) -> dict[str, Any]:
    first = next(iter(state))
    if how == "missing":
        return {name: one for name, one in state.items() if name != first}
    if how == "extra":
        return {**state, "more.weight": torch.zeros(1)}
    if how == "misshapen":
        return {**state, first: state[first][1:]}
    if how == "not finite":
        return {**state, first: torch.full_like(state[first], torch.nan)}
    if how == "wrapped":
        return {"state_dict": state}
    return {f"module.{name}": one for name, one in state.items()}


@pytest.mark.parametrize(
    "how, message",
    [
        ("missing", r"has no tensor {first}, but .*timm.create_model\('test_resnet'\)"),
        ("extra", "has 1 tensors that test_resnet does not: more.weight"),
        ("misshapen", r"{first} of .* has the shape .*; expected"),
        ("not finite", "{first} of .* holds NaN or infinity"),
        ("wrapped", "has its tensors under 'state_dict'"),
        ("prefixed", "names that begin with 'module.'"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    how: str, message: str, state: Any, tmp_path: Path
) -> None:
    torch.save(wrong(state, how), tmp_path / "weights.pth")
    first = next(iter(state))
    with pytest.raises(ValueError, match=message.replace("{first}", first)):
        small(pretrained=tmp_path / "weights.pth").fit(X, y)


def test_weights_of_another_encoder_are_refused(path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"tensors that test_convnext does not: (bn|conv)1\."
    ):
        small(encoder="test_convnext", pretrained=path).fit(X, y)


def test_imagenet_takes_the_weights_of_timm_and_names_them(
    timm: Any,
    state: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = timm.create_model

    def cached(name: str, pretrained: bool = False, **options: Any) -> Any:
        model = made(name, **options)
        if pretrained:
            model.load_state_dict(state)
        return model

    monkeypatch.setattr(timm, "create_model", cached)
    segmenter = small(pretrained="imagenet", encoder_learning_rate=0, verbose=1)
    first = next(iter(state))
    assert_array_equal(encoder_of(segmenter.fit(X, y))[first], state[first].numpy())
    tag = timm.get_pretrained_cfg("test_resnet").tag
    assert f"Weights of timm: test_resnet.{tag}" in capsys.readouterr().out


def test_copies_and_files_of_a_fitted_segmenter_ask_for_no_weights(
    timm: Any, state: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = timm.create_model, []

    def cached(name: str, pretrained: bool = False, **options: Any) -> Any:
        model = made(name, **options)
        if pretrained:
            asked.append(name)
            model.load_state_dict(state)
        return model

    monkeypatch.setattr(timm, "create_model", cached)
    fitted = small(pretrained="imagenet").fit(X, y)
    assert asked == ["test_resnet"]
    save_model(fitted, tmp_path / "model.safetensors")
    joblib.dump(fitted, tmp_path / "model.joblib")
    assert b"torch" not in (tmp_path / "model.joblib").read_bytes()
    assert clone(fitted).pretrained == "imagenet"
    expected = fitted.predict_proba(X)
    copies = (
        load_model(tmp_path / "model.safetensors"),
        joblib.load(tmp_path / "model.joblib"),
        copy.deepcopy(fitted),
    )
    for again in copies:
        assert_array_equal(again.predict_proba(X), expected)
    assert asked == ["test_resnet"]


def test_without_network_model_cache_and_cure_are_named(
    timm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            raise ConnectionError("Name or service not known")
        return made(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    message = r"test_resnet\.\w+ of timm.*hub'.*not known.*pretrained='test_resnet"
    with pytest.raises(OSError, match=message):
        small(pretrained="imagenet").fit(X, y)


def test_imagenet_without_weights_in_timm_is_refused(timm: Any) -> None:
    names = timm.list_models("resnet*")
    bare = next(name for name in names if not timm.is_model_pretrained(name))
    with pytest.raises(ValueError, match=f"no weights for encoder='{bare}'"):
        small(encoder=bare, pretrained="imagenet").fit(X, y)


def test_a_fitted_segmenter_passes_its_encoder_on() -> None:
    first = small().fit(X, y)
    second = small(pretrained=first, encoder_learning_rate=0).fit(X, y * 7)
    ours, theirs = encoder_of(second), encoder_of(first)
    for name, array in theirs.items():
        assert_array_equal(ours[name], array, err_msg=name)
    with pytest.raises(ValueError, match="encoder is 'test_convnext', but the segm"):
        small(encoder="test_convnext", pretrained=first).fit(X, y)
    with pytest.raises(ValueError, match="encoder is None, but the segm"):
        small(encoder=None, pretrained=first).fit(X, y)


class Rates(Callback):
    def on_train_begin(self, net: Any, **_: Any) -> None:
        self.rates_ = {
            id(weight): group["initial_lr"] if "initial_lr" in group else group["lr"]
            for group in net.optimizer_.param_groups
            for weight in group["params"]
        }
        Rates.seen = {
            name: self.rates_[id(weight)]
            for name, weight in net.module_.named_parameters()
        }


@pytest.mark.parametrize("factor, expected", [(0.1, 0.1), (None, 1.0)])
def test_the_encoder_has_its_own_learning_rate(
    factor: float | None, expected: float
) -> None:
    small(encoder_learning_rate=factor, learning_rate=0.01, callbacks=[Rates()]).fit(
        X, y
    )
    for name, rate in Rates.seen.items():
        share = expected if name.startswith("encoder.") else 1
        assert rate == pytest.approx(0.01 * share), name


@pytest.fixture
def n_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images that an encoder is run on in training."""
    counts = [0]
    encode = EncoderFCN.encode

    def counted(self: EncoderFCN, images: torch.Tensor) -> Any:
        counts[0] += len(images) if self.training else 0
        return encode(self, images)

    monkeypatch.setattr(EncoderFCN, "encode", counted)
    return counts


def test_maps_of_a_frozen_encoder_are_computed_once(n_encoded: list[int]) -> None:
    small(encoder_learning_rate=0, max_epochs=3).fit(X, y)
    assert n_encoded == [len(X)]


def test_maps_of_augmented_images_are_computed_each_time(n_encoded: list[int]) -> None:
    images = RandomFlip().fit_transform(X, y)
    small(encoder_learning_rate=0, max_epochs=3).fit(images, y)
    assert n_encoded == [3 * len(X)]


def test_maps_that_do_not_fit_are_computed_anew_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch, n_encoded: list[int]
) -> None:
    kept = small(encoder_learning_rate=0, max_epochs=2).fit(X, y)
    monkeypatch.setattr(train, "working_memory", lambda device: 0)
    assert_equal_weights(small(encoder_learning_rate=0, max_epochs=2).fit(X, y), kept)
    assert n_encoded == [len(X) + 2 * len(X)]


def test_kept_maps_train_as_images_do(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"encoder_learning_rate": 0, "max_epochs": 2, "precision": "float32"}
    kept = small(**options).fit(X, y)
    monkeypatch.setattr(train, "_fed", lambda net, batches: batches)
    run = small(**options).fit(X, y)
    for name, array in weights_of(run).items():
        assert_allclose(weights_of(kept)[name], array, atol=1e-4, err_msg=name)
    assert encoded_batches.EncodedBatches.__doc__


class Interruption(Callback):
    """Raise what Ctrl-C does in the middle of an epoch; counts as watching only."""

    at = 0

    def on_batch_begin(self, net: Any, **_: Any) -> None:
        if len(net.history) == Interruption.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("factor", [None, 0])
def test_an_interrupted_training_ends_in_the_same_weights(
    factor: float | None, tmp_path: Path
) -> None:
    segmenter = small(
        encoder_learning_rate=factor,
        max_epochs=4,
        checkpoint_dir=tmp_path,
        callbacks=[Interruption()],
    )
    Interruption.at = 3
    with pytest.raises(KeyboardInterrupt):
        segmenter.fit(X, y)
    Interruption.at = 0
    segmenter.fit(X, y)
    assert_equal_weights(
        segmenter, small(encoder_learning_rate=factor, max_epochs=4).fit(X, y)
    )


def test_the_weights_of_lite0_fit_in_the_order_of_the_state_dict(
    timm: Any, lite0: Path
) -> None:
    segmenter = FCNSegmenter(
        encoder="tf_efficientnet_lite0",
        pretrained=lite0,
        encoder_learning_rate=0,
        max_epochs=1,
        random_state=0,
    ).fit(X, y)
    assert_array_equal(segmenter.channel_mean_, segmenter.channel_std_)  # 0.5 of white
    whole = timm.create_model("tf_efficientnet_lite0")
    whole.load_state_dict(torch.load(lite0, weights_only=True), strict=False)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, maps = whole.eval().forward_intermediates(images)
        ours = segmenter.network_.eval().encode(images).maps
    for one, other in zip(ours, maps, strict=True):
        # Another memory order, other kernels.
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
