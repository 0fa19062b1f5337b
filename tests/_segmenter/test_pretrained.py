"""Weights to start from: VGG16 as torchvision builds it, files, fitted segmenters."""

from __future__ import annotations

import pickle
import urllib.error

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

from sksegment import FCNSegmenter
from sksegment._inputs.channel_scale import Scale
from sksegment._segmenter.pretrained import start_from
from sksegment.augmentation import RandomFlip
from sksegment.networks import FCN, FCN8s, FCN16s, FCN32s, _vgg16_weights
from sksegment.networks._factory import NETWORKS
from sksegment.networks._imagenet_scale import imagenet_scale
from sksegment.networks._weight_transfer import spread_channels

# VGG16 with 3 in place of 64 channels.
WIDTHS = (3, 6, 12, 24, 24)
HEAD = 8
CLASSES = np.arange(3)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# A training that learns to tell bright from dark.
WELL = {"norm": None, "width": 4, "max_epochs": 40, "learning_rate": 0.01}
# A training that leaves the weights where they start.
NEVER_FAR = {"max_epochs": 1, "learning_rate": 1e-12, "random_state": 0}

# So short a training may miss a class.
pytestmark = pytest.mark.filterwarnings("ignore:In its last epoch")


class VGG16(nn.Module):
    """The layers of torchvision's vgg16 and vgg16_bn, under its names."""

    def __init__(self, has_norm=False, widths=WIDTHS, head=HEAD):
        super().__init__()
        layers, n_channels = [], 3
        for width, length in zip(widths, (2, 2, 3, 3, 3), strict=True):
            for _ in range(length):
                layers += [nn.Conv2d(n_channels, width, 3, padding=1)]
                layers += [nn.BatchNorm2d(width)] * has_norm + [nn.ReLU()]
                n_channels = width
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Linear(n_channels * 49, head), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(head, head), nn.ReLU(), nn.Dropout(), nn.Linear(head, 10)),
        )


def vgg16(has_norm=False):
    """Make a VGG16 with weights, biases and statistics that all differ."""
    network = VGG16(has_norm).eval()
    with torch.no_grad():
        for seed, tensor in enumerate(network.state_dict().values()):
            if tensor.is_floating_point():
                fan_in = tensor[0].numel() if tensor.ndim > 1 else 10
                values = noise(*tensor.shape, seed=seed) * (2 / fan_in) ** 0.5
                tensor.copy_(values if tensor.ndim > 1 else 1 + values.tanh())
    return network


def thin(network):
    """Make a class like FCN32s with the channels of `VGG16` above."""
    return type(
        network.__name__, (network,), {"stage_widths": WIDTHS, "head_width": HEAD}
    )


@pytest.fixture
def thin_networks(monkeypatch):
    for name, network in (("fcn32s", FCN32s), ("fcn16s", FCN16s), ("fcn8s", FCN8s)):
        monkeypatch.setitem(NETWORKS, name, thin(network))


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator)


def saved(path, network):
    torch.save(network.state_dict(), path)
    return path


def scale_of(n_channels=3, low=0.0, high=255.0):
    ones = np.ones(n_channels)
    return Scale(50 * ones, 7 * ones, low * ones, high * ones)


def load(path, network, scale=None):
    """Load a file into a network; return the scale and the new parameters."""
    with torch.no_grad():
        return start_from(path, network.eval(), {}, scale or scale_of(), CLASSES)


def problem(n_channels=3, labels=(0, 1), dtype=np.uint8):
    """Six small images; bright is one label and dark the other."""
    rng = np.random.default_rng(0)
    codes = np.arange(6)[:, None, None] % 2 * np.ones((6, 8, 8), int)
    images = 40 + 150 * codes[..., None] + rng.integers(0, 30, (6, 8, 8, n_channels))
    return images.astype(dtype), np.asarray(labels)[codes]


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """Let no test reach for a server."""

    def refuse(*args, **kwargs):
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)


def states(segmenter):
    return {name: t.numpy() for name, t in segmenter.network_.state_dict().items()}


def assert_equal_states(state, other, names=None):
    for name in names or other:
        assert_array_equal(state[name], other[name], err_msg=name)


# VGG16


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_encoder_of_fcn_computes_what_vgg16_computes(tmp_path, depth, norm):
    oracle = vgg16(has_norm=norm == "batch")
    network = FCN(3, 4, depth=depth, width=WIDTHS[0], norm=norm)
    _, new = load(saved(tmp_path / "vgg16.pth", oracle), network)
    assert {name.partition(".")[0] for name in new} == {"decoder", "classifier"}
    pools = [i for i, m in enumerate(oracle.features) if isinstance(m, nn.MaxPool2d)]
    images = output = noise(2, 3, 32, 48)
    with torch.no_grad():
        for stage in network.encoder:
            output = F.max_pool2d(stage(output), 2)
        output = network.bottleneck(output)
        expected = oracle.features[: pools[depth]](images)
    assert expected.isfinite().all()
    torch.testing.assert_close(output, expected)


def test_an_encoder_deeper_than_vgg16_begins_with_it(tmp_path):
    oracle = vgg16()
    network = FCN(3, 4, depth=5, width=WIDTHS[0])
    _, new = load(saved(tmp_path / "vgg16.pth", oracle), network)
    assert {name.partition(".")[0] for name in new} == {
        *("bottleneck", "decoder", "classifier")
    }
    output = images = noise(1, 3, 32, 32)
    with torch.no_grad():
        for stage in network.encoder:
            output = F.max_pool2d(stage(output), 2)
        torch.testing.assert_close(output, oracle.features(images))


@pytest.mark.parametrize("network_class", [FCN32s, FCN16s, FCN8s])
def test_wide_layers_answer_as_the_classifier_of_vgg16(tmp_path, network_class):
    oracle = vgg16()
    network = thin(network_class)(3, 4)
    _, new = load(saved(tmp_path / "vgg16.pth", oracle), network)
    assert all(name.startswith("score") for name in new)
    features = noise(2, WIDTHS[-1], 7, 7).relu()
    with torch.no_grad():
        expected = oracle.classifier[:6](features.flatten(1))
        output = network.fc7(network.fc6(features))
        torch.testing.assert_close(output[..., 0, 0], expected)
        stage, images = network.encoder[1], noise(1, WIDTHS[0], 9, 9)
        torch.testing.assert_close(stage(images), oracle.features[5:9](images))
    assert not network.score_fr.weight.any()


@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_channels_that_are_alike_give_the_answer_of_rgb(tmp_path, n_channels):
    path = saved(tmp_path / "vgg16.pth", vgg16())
    networks = [FCN(number, 4, depth=1, width=3) for number in (3, n_channels)]
    grey = noise(1, 1, 8, 8)
    with torch.no_grad():
        answers = []
        for network, number in zip(networks, (3, n_channels), strict=True):
            load(path, network, scale_of(number))
            answers.append(network.encoder[0](grey.expand(-1, number, -1, -1)))
    torch.testing.assert_close(*answers)


def test_kernels_of_as_many_channels_are_left_alone():
    weight = noise(4, 3, 3, 3)
    assert spread_channels(weight, 3) is weight


@pytest.mark.parametrize(
    "change, message",
    [
        ({"features.2.bias": None}, r"no tensor features\.2\.bias, but features\.0"),
        ({"features.2.bias": torch.zeros(4)}, r"shape \(4,\); expected \(3,\)"),
        (
            {"features.0.weight": torch.zeros(64, 3, 3, 3)},
            r"features\.0\.weight of .*vgg16\.pth has the shape \(64, 3, 3, 3\); "
            r"expected \(3, 3, 3, 3\)",
        ),
        ({"classifier.0.weight": torch.zeros(8, 25)}, r"\(8, 25\); expected \(8, 117"),
        ({"classifier.3.bias": torch.full((8,), torch.nan)}, r"3\.bias of .* NaN"),
        ({"features.5.weight": "text"}, r"no tensor features\.5\.weight"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, change, message):
    state = {**vgg16().state_dict(), **change}
    path = tmp_path / "vgg16.pth"
    torch.save(
        {name: value for name, value in state.items() if value is not None}, path
    )
    with pytest.raises(ValueError, match=message):
        load(path, thin(FCN32s)(3, 4))


@pytest.mark.parametrize(
    "has_norm, norm, message",
    [
        (True, None, "with batch normalisation, but the network is one without"),
        (False, "batch", "without batch normalisation, .* expected vgg16_bn"),
        (False, "group", "norm='group'"),
    ],
)
def test_weights_of_another_norm_are_refused(tmp_path, has_norm, norm, message):
    path = saved(tmp_path / "vgg16.pth", vgg16(has_norm))
    with pytest.raises(ValueError, match=message):
        load(path, FCN(3, 4, width=3, norm=norm))


class Bomb:
    """Unpickled, it would call a function."""

    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no pickle at all" * 100),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda path: torch.save(vgg16(), path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"features.0.weight": Bomb()}, path),
    ],
)
def test_files_that_are_no_state_dict_are_refused(tmp_path, write):
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(ValueError, match=r"weights\.pth.*state dict of VGG16"):
        load(path, FCN(3, 4, width=3))


def parallel(state):
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrapped, message",
    [
        (lambda state: {"epoch": 3, "state_dict": state}, r"under 'state_dict'; expec"),
        (
            lambda state: {"opt": {0: torch.ones(1)}, "model": state},
            r"torch.load\(path\)\['model",
        ),
        (parallel, r"begin with 'module\.', as in 'module\.features\.0\.weight'"),
        (lambda state: {}, "has no tensor .* but nothing"),
        (lambda state: {"bn1.running_mean": torch.ones(3)}, "but bn1.running_mean"),
        (
            lambda state: {**state, "features.0.bias": torch.ones(3).int()},
            "of torch.int32",
        ),
        (
            lambda state: {**state, "features.0.bias": torch.eye(3).to_sparse()},
            "sparse",
        ),
    ],
)
def test_wrapped_state_dicts_are_told(tmp_path, wrapped, message):
    path = tmp_path / "vgg16.pth"
    torch.save(wrapped(vgg16().state_dict()), path)
    with pytest.raises(ValueError, match=message):
        load(path, FCN(3, 4, width=3))


@pytest.mark.parametrize(
    "more",
    [{"ema.features.0.weight": torch.ones(1)}, {"meta": {"mean": torch.ones(3)}}],
)
def test_what_else_a_state_dict_holds_does_not_matter(tmp_path, more):
    path = tmp_path / "vgg16.pth"
    torch.save({**vgg16().state_dict(), **more}, path)
    load(path, FCN(3, 4, width=3))


def test_a_compiled_segmenter_gives_its_weights():
    source = fitted()
    expected = starting_from(source).fit(*problem()).predict_proba(problem()[0])
    source.network_ = torch.compile(source.network_, backend="eager")
    again = starting_from(source).fit(*problem()).predict_proba(problem()[0])
    assert_array_equal(again, expected)


@pytest.mark.parametrize("name", ["resnet50", "", "folder"])
def test_paths_that_are_no_file_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    X, y = problem()
    segmenter = FCNSegmenter(pretrained=name, depth=1, width=2, **NEVER_FAR)
    message = "is not a file; expected None, 'imagenet'"
    with pytest.raises(FileNotFoundError, match=message):
        segmenter.fit(X, y)
    assert not hasattr(segmenter, "classes_")


def test_networks_of_ones_own_load_their_weights_themselves(tmp_path):
    path = saved(tmp_path / "vgg16.pth", vgg16())
    segmenter = FCNSegmenter(network=one_layer, pretrained=path, **NEVER_FAR)
    with pytest.raises(ValueError, match="has no effect on a network of your own"):
        segmenter.fit(*problem())


def one_layer(n_channels, n_classes):
    return nn.Conv2d(n_channels, n_classes, 3, padding=1)


@pytest.mark.slow
def test_full_size_weights_fit(tmp_path):
    # Zeros of stride 0 take no room in the file.
    with torch.device("meta"):
        full = VGG16(widths=(64, 128, 256, 512, 512), head=4096)
    state = {
        name: torch.full((1,), 0.5).expand(tensor.shape)
        for name, tensor in full.state_dict().items()
    }
    torch.save(state, tmp_path / "vgg16.pth")
    network = FCN8s(3, 21)
    load(tmp_path / "vgg16.pth", network)
    for name, tensor in network.state_dict().items():
        value = 0.0 if name.startswith("score") else 0.5
        assert tensor.min() == tensor.max() == value


# The scale of ImageNet


@pytest.mark.parametrize(
    "low, high, white",
    [
        (0, 255, 255),
        (3, 200, 255),
        (0, 1, 1),
        (0.2, 0.4, 1),
        (-0.03, 1.07, 1),  # resized by cubic interpolation
        (0, 1023, 1023),
        (100, 4095, 4095),
        (0, 16383, 16383),
        (0, 65535, 65535),
        (0, 40000, 65535),
    ],
)
def test_rgb_images_are_standardised_as_for_imagenet(low, high, white):
    scale = imagenet_scale(scale_of(3, low, high))
    assert_allclose(scale.mean, MEAN * white)
    assert_allclose(scale.std, STD * white)
    assert_array_equal([scale.low, scale.high], [[low] * 3, [high] * 3])


@pytest.mark.parametrize(
    "n_channels, low, high", [(1, 0, 255), (4, 0, 1), (3, -1000, 3000), (3, 0, 1e6)]
)
def test_other_images_keep_their_own_scale(n_channels, low, high):
    scale = scale_of(n_channels, low, high)
    assert imagenet_scale(scale) is scale


def test_the_segmenter_uses_file_and_scale(tmp_path):
    oracle = vgg16()
    path = saved(tmp_path / "vgg16.pth", oracle)
    X, y = problem()
    options = {"width": 3, "depth": 2, "norm": None}
    segmenter = FCNSegmenter(pretrained=str(path), **options, **NEVER_FAR).fit(X, y)
    assert_allclose(segmenter.channel_mean_, 255 * MEAN)
    assert_allclose(segmenter.channel_std_, 255 * STD)
    assert_array_equal(segmenter.channel_max_, X.max(axis=(0, 1, 2)))
    first = states(segmenter)["encoder.0.0.0.weight"]
    assert_allclose(first, oracle.features[0].weight.detach().numpy(), atol=1e-9)
    # Restoring and cloning read no file.
    path.unlink()
    again = pickle.loads(pickle.dumps(segmenter))
    assert_array_equal(again.predict(X), segmenter.predict(X))
    assert clone(segmenter).pretrained == str(path)
    again.set_params(warm_start=True).fit(X, y)
    with pytest.raises(OSError, match="not a file"):
        again.set_params(warm_start=False).fit(X, y)
    assert again.n_iter_ == 2  # a refused fit leaves the one before


# ImageNet


@pytest.mark.parametrize(
    "network, norm, name",
    [
        ("fcn", None, "vgg16-397923af.pth"),
        ("fcn", "batch", "vgg16_bn-6c64b313.pth"),
        ("fcn8s", "batch", "vgg16-397923af.pth"),
    ],
)
def test_imagenet_is_fetched_from_torchvision_in_fit(
    monkeypatch, thin_networks, network, norm, name
):
    urls = []

    def fetch(url, *, map_location, check_hash, weights_only):
        urls.append(url)
        assert (map_location, check_hash, weights_only) == ("cpu", True, True)
        return vgg16("_bn" in url).state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    monkeypatch.setattr(_vgg16_weights, "VGG16_WIDTH", 3)
    options = {"width": 3, "norm": norm} if network == "fcn" else {}
    segmenter = FCNSegmenter(
        network=network, pretrained="imagenet", **options, **NEVER_FAR
    )
    clone(segmenter)
    assert urls == []
    segmenter.fit(*problem())
    pickle.loads(pickle.dumps(segmenter)).predict(problem()[0])
    assert urls == [f"https://download.pytorch.org/models/{name}"]
    assert_allclose(segmenter.channel_mean_, 255 * MEAN)


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route to host"),
        RuntimeError('invalid hash value (expected "397923af", got "0")'),
        PermissionError("no room"),
        EOFError(),
        pickle.UnpicklingError("invalid load key, '<'."),
    ],
)
def test_without_network_the_way_by_a_path_is_told(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    X, y = problem()
    segmenter = FCNSegmenter(width=3, norm=None, depth=1, **NEVER_FAR).fit(X, y)
    before = segmenter.predict_proba(X)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    monkeypatch.setattr(_vgg16_weights, "VGG16_WIDTH", 3)
    segmenter.set_params(pretrained="imagenet")
    with pytest.raises(
        OSError,
        match=r"checkpoints.vgg16-397923af\.pth': .*Delete that file .*, or fetch it "
        r"elsewhere and pass its path: pretrained='vgg16-397923af\.pth'",
    ):
        segmenter.fit(X, y)
    assert_array_equal(segmenter.predict_proba(X), before)


def test_another_width_is_told_before_anything_is_downloaded():
    segmenter = FCNSegmenter(pretrained="imagenet", **NEVER_FAR)
    with pytest.raises(ValueError, match="does not fit width=16; expected width=64"):
        segmenter.fit(*problem())


# Fitted segmenters


def fitted(**parameters):
    options = {"depth": 1, "width": 2, "max_epochs": 2, "random_state": 1}
    return FCNSegmenter(**{**options, **parameters}).fit(*problem())


def starting_from(source, **parameters):
    options = {"depth": 1, "width": 2, "pretrained": source, **NEVER_FAR}
    return FCNSegmenter(**{**options, **parameters})


@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_a_fitted_segmenter_gives_weights_and_scale(norm):
    source = fitted(norm=norm)
    X, y = problem()
    # A training set of other brightness: the scale must not be its own.
    segmenter = starting_from(source, norm=norm).fit(X // 2, y)
    for name, weights in states(source).items():
        if "running" not in name and "tracked" not in name:
            assert_allclose(states(segmenter)[name], weights, atol=1e-8)
    assert_array_equal(segmenter.channel_mean_, source.channel_mean_)
    assert_array_equal(segmenter.channel_std_, source.channel_std_)
    assert_array_equal(segmenter.channel_max_, (X // 2).max(axis=(0, 1, 2)))
    assert segmenter.n_iter_ == 1


def test_training_leaves_the_segmenter_it_starts_from_alone():
    source = fitted()
    before = pickle.dumps(source)
    starting_from(source, max_epochs=2, learning_rate=0.1).fit(*problem())
    assert pickle.dumps(source) == before


@pytest.mark.parametrize("labels", [(0, 255), ("a", "b"), (0, 1)])
def test_layers_of_other_classes_stay_new(capsys, labels):
    source = fitted()
    segmenter = starting_from(source, verbose=1).fit(*problem(labels=labels))
    first, second = states(source), states(segmenter)
    names = ["encoder.0.0.0.weight", "decoder.0.up.weight"]
    for name in names:
        assert_allclose(first[name], second[name], atol=1e-8)
    same = labels == (0, 1)
    assert np.allclose(first["classifier.weight"], second["classifier.weight"]) == same
    told = capsys.readouterr().out
    expected = "pretrained: none" if same else "classifier.weight, classifier.b"
    assert expected in told


def test_three_classes_go_on_from_two():
    X, y = problem()
    y[:, 0] = 2
    segmenter = starting_from(fitted()).fit(X, y)
    assert states(segmenter)["classifier.weight"].shape[0] == 3


def test_other_channels_keep_their_own_scale():
    source = fitted()
    X, y = problem(n_channels=1)
    segmenter = starting_from(source).fit(X[..., 0], y)
    total = states(source)["encoder.0.0.0.weight"].sum(axis=1, keepdims=True)
    assert_allclose(states(segmenter)["encoder.0.0.0.weight"], total, atol=1e-6)
    assert_allclose(segmenter.channel_mean_, X.mean())


def test_stages_of_the_paper_start_from_one_another(thin_networks):
    X, y = problem()
    source = FCNSegmenter(network="fcn32s", max_epochs=2, random_state=0).fit(X, y)
    for name, added in (("fcn16s", {"score_pool4"}), ("fcn8s", {"score_pool3"})):
        segmenter = FCNSegmenter(network=name, pretrained=source, **NEVER_FAR)
        finer = segmenter.fit(X, y)
        new = states(finer).keys() - states(source).keys()
        assert {key.partition(".")[0] for key in new} == added
        for key, weights in states(source).items():
            assert_allclose(states(finer)[key], weights, atol=1e-8)
        for key in new:
            assert_allclose(states(finer)[key], 0, atol=1e-8)
        source = finer


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 3}, "width is 3, but .* pretrained has width=2; expected the same"),
        ({"depth": 2}, "depth is 2"),
        # Of the same shapes, or with some to spare:
        ({"norm": None}, "norm is None, but .* has norm='batch'"),
        ({"skip": "add"}, "skip is 'add', but .* has skip=None"),
        ({"network": one_layer}, "network is <function one_layer"),
    ],
)
def test_segmenters_of_another_design_are_refused(options, message):
    source = fitted(skip=None, norm="batch")
    segmenter = starting_from(source, **{"skip": None, "norm": "batch", **options})
    if "network" in options:
        segmenter = FCNSegmenter(pretrained=source, **options, **NEVER_FAR)
    with pytest.raises(ValueError, match=message):
        segmenter.fit(*problem())


def test_coarser_networks_do_not_start_from_finer_ones(thin_networks):
    source = FCNSegmenter(network="fcn8s", **NEVER_FAR).fit(*problem())
    segmenter = FCNSegmenter(network="fcn16s", pretrained=source, **NEVER_FAR)
    message = "network is 'fcn16s', but .* has network='fcn8s'; .* or a coarser"
    with pytest.raises(ValueError, match=message):
        segmenter.fit(*problem())


def test_dropout_may_differ():
    segmenter = starting_from(fitted(dropout=0.2), dropout=0.6)
    assert segmenter.fit(*problem()).network_.bottleneck[-1].p == 0.6


def test_images_in_other_units_are_told():
    X, y = problem()
    with pytest.warns(UserWarning, match="other units"):
        starting_from(fitted()).fit(X / 255, y)


def test_networks_of_ones_own_take_all_weights_or_none():
    source = FCNSegmenter(network=one_layer, **NEVER_FAR).fit(*problem())
    again = FCNSegmenter(network=one_layer, pretrained=source, **NEVER_FAR)
    for name, weights in states(again.fit(*problem())).items():
        assert_allclose(weights, states(source)[name], atol=1e-8)
    X, y = problem()
    y[:, 0] = 2
    with pytest.raises(ValueError, match=r"network\.weight .* \(2, 3, 3, 3\)"):
        again.fit(X, y)


# scikit-learn


@pytest.mark.parametrize(
    "pretrained, error, message",
    [
        (3, TypeError, "pretrained is 3; expected None, 'imagenet', the path"),
        (LogisticRegression(), TypeError, "pretrained is LogisticRegression"),
        (make_pipeline(FCNSegmenter()), TypeError, "pass its last step"),
        (FCNSegmenter, TypeError, "expected None"),
        (FCNSegmenter(), NotFittedError, r"not fitted; .*FrozenEstimator\(fitted\)"),
        (FrozenEstimator(FCNSegmenter()), NotFittedError, "not fitted"),
        (FrozenEstimator(None), TypeError, "expected None"),
        (b"vgg16.pth", TypeError, "expected None"),
    ],
)
def test_other_sources_are_refused(pretrained, error, message):
    segmenter = FCNSegmenter(pretrained=pretrained, **NEVER_FAR)
    with pytest.raises(error, match=message):
        segmenter.fit(*problem())
    assert not hasattr(segmenter, "network_")


@pytest.mark.parametrize("frozen", [False, True])
def test_clones_keep_the_fitted_segmenter(frozen):
    source = fitted()
    pretrained = FrozenEstimator(source) if frozen else source
    segmenter = starting_from(pretrained)
    for copy in (clone(segmenter), clone(clone(segmenter.fit(*problem())))):
        assert copy.pretrained is pretrained
        assert not hasattr(copy, "network_")
        assert copy.get_params() == segmenter.get_params()
    assert not hasattr(clone(source), "network_")
    pipeline = clone(make_pipeline(RandomFlip(), segmenter))
    assert pipeline[-1].pretrained is pretrained


def test_folds_start_from_the_fitted_segmenter():
    X, y = problem()
    source = fitted(**WELL)
    assert source.score(X, y) == 1
    # One step of no length: without the weights this would be chance.
    pipeline = make_pipeline(RandomFlip(), starting_from(source, norm=None, width=4))
    scores = cross_val_score(pipeline, X, y, cv=3, error_score="raise")
    assert_array_equal(scores, 1)


def test_searches_take_fitted_segmenters_in_a_frozen_estimator():
    X, y = problem()
    sources = [fitted(**WELL), fitted(**{**WELL, "max_epochs": 1})]
    start = starting_from(None, norm=None, width=4)
    search = GridSearchCV(
        start,
        {"pretrained": [None, *map(FrozenEstimator, sources)]},
        cv=2,
        error_score="raise",
    )
    search.fit(X, y)
    assert search.best_params_["pretrained"].estimator is sources[0]
    assert search.best_score_ == 1
    bare = GridSearchCV(start, {"pretrained": sources}, cv=2, error_score="raise")
    with pytest.raises(NotFittedError, match="FrozenEstimator"):
        bare.fit(X, y)


def test_parameters_of_the_fitted_segmenter_are_not_those_of_the_other():
    source = fitted()
    segmenter = starting_from(source)
    assert segmenter.get_params() == segmenter.get_params(deep=False)
    with pytest.raises(ValueError, match="pretrained__depth would change nothing"):
        segmenter.set_params(pretrained__depth=2)
    assert source.depth == 1
    with pytest.raises(ValueError, match="Invalid parameter 'deep'"):
        segmenter.set_params(deep=2)


def test_a_segmenter_with_a_segmenter_is_pickled_whole():
    X, y = problem()
    segmenter = starting_from(fitted()).fit(X, y)
    again = pickle.loads(pickle.dumps(segmenter))
    assert_array_equal(again.predict_proba(X), segmenter.predict_proba(X))
    assert_array_equal(
        again.pretrained.predict_proba(X), segmenter.pretrained.predict_proba(X)
    )
    assert again.fit(X, y).n_iter_ == 1
