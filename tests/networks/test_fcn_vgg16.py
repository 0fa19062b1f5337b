"""FCN-32s, FCN-16s and FCN-8s against the layers of the paper, written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
import torch
import torch.nn.functional as F
from torch import nn

from sksegment import FCNSegmenter
from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.image_list import as_images
from sksegment._prediction.predictor import Predictor
from sksegment.datasets import make_shapes
from sksegment.networks import FCN8s, FCN16s, FCN32s
from sksegment.networks._factory import NETWORKS, make_network
from sksegment.networks._fcn_vgg16 import (
    LAST_OFFSETS,
    POOL_OFFSETS,
    bilinear_kernel,
    upsample,
)
from sksegment.networks._state import arrays_of, restored_network

# Each network, and by how much its last step enlarges.
FACTORS = {FCN32s: 32, FCN16s: 16, FCN8s: 8}
NAMES = {"fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s}
# So short a training may miss a class.
pytestmark = pytest.mark.filterwarnings("ignore:In its last epoch")

SIZES = [(1, 1), (1, 33), (17, 2), (32, 32), (45, 70)]


def thin(network, widths=(2, 2, 3, 3, 3), head=4):
    """Make a class like FCN32s with far fewer channels."""
    return type(
        network.__name__, (network,), {"stage_widths": widths, "head_width": head}
    )


@pytest.fixture(params=FACTORS, ids=lambda network: network.__name__)
def network_class(request):
    return request.param


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def noise(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def thin_network(network_class, n_channels=3, n_classes=4, **widths):
    """Make a thin network whose scores are not zero, in double precision."""
    network = seeded(lambda: thin(network_class, **widths)(n_channels, n_classes))
    network = network.double().eval()
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            if parameter.ndim == 1:
                parameter.copy_(0.1 * noise(*parameter.shape, seed=seed))
            elif parameter.shape[0] == n_classes:
                parameter.copy_(noise(*parameter.shape, seed=seed))
    return network


def predictor(network, tile_size):
    scale = Scale(np.zeros(3), np.ones(3), -np.ones(3), np.ones(3))
    return Predictor(network, scale, torch.device("cpu"), torch.float32, 1, tile_size)


# The layers


@pytest.mark.parametrize(
    "network, n_classes, expected",
    [
        (FCN32s, 21, 134_346_581),
        (FCN16s, 21, 134_346_581 + 512 * 21 + 21),
        (FCN8s, 21, 134_362_751),
        (FCN32s, 11, 134_305_611),
        (FCN8s, 11, 134_314_081),
    ],
)
def test_parameters_are_as_many_as_published(network, n_classes, expected):
    with torch.device("meta"):
        made = network(3, n_classes)
    assert sum(parameter.numel() for parameter in made.parameters()) == expected


def caffe_kernel(size):
    """The bilinear kernel, element by element as the authors' code has it."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    line = [1 - abs(i - centre) / factor for i in range(size)]
    return torch.tensor([[a * b for b in line] for a in line], dtype=torch.float64)


def deconvolved(scores, size, stride):
    """Upsample by a full kernel that is bilinear on the diagonal of the classes."""
    n_classes = scores.shape[1]
    weight = torch.zeros(n_classes, n_classes, size, size, dtype=torch.float64)
    for index in range(n_classes):
        weight[index, index] = caffe_kernel(size)
    return F.conv_transpose2d(scores, weight, stride=stride)


def by_hand(weights, images, factor):
    """Run the layers of net.py of the authors' three networks, one after the other."""
    height, width = images.shape[2:]

    def layer(name, blob, padding=0):
        return F.conv2d(
            blob, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding
        )

    def crop(blob, offset, rows, columns):
        assert blob.shape[2] >= offset + rows
        assert blob.shape[3] >= offset + columns
        return blob[:, :, offset : offset + rows, offset : offset + columns]

    blob, pools = images, []
    for stage, length in enumerate((2, 2, 3, 3, 3)):
        for index in range(length):
            padding = 100 if stage == index == 0 else 1
            blob = F.relu(layer(f"encoder.{stage}.{index}.0", blob, padding))
        blob = nn.MaxPool2d(2, 2, ceil_mode=True)(blob)
        pools.append(blob)
    score = layer("score_fr", F.relu(layer("fc7.0", F.relu(layer("fc6.0", blob)))))
    if factor == 32:
        return crop(deconvolved(score, 64, 32), 19, height, width)
    score = deconvolved(score, 4, 2)
    score = score + crop(layer("score_pool4", pools[3]), 5, *score.shape[2:])
    if factor == 16:
        return crop(deconvolved(score, 32, 16), 27, height, width)
    score = deconvolved(score, 4, 2)
    score = score + crop(layer("score_pool3", pools[2]), 9, *score.shape[2:])
    return crop(deconvolved(score, 16, 8), 31, height, width)


@pytest.mark.parametrize("size", SIZES)
def test_scores_are_those_of_the_layers_of_the_paper(network_class, size):
    network = thin_network(network_class)
    images = noise(2, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        expected = by_hand(network.state_dict(), images, FACTORS[network_class])
        torch.testing.assert_close(network(images), expected, atol=1e-12, rtol=1e-9)


def test_wide_layers_have_the_published_shapes(network_class):
    with torch.device("meta"):
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in network_class(3, 21).state_dict().items()
        }
    assert shapes["encoder.0.0.0.weight"] == (64, 3, 3, 3)
    assert shapes["encoder.4.2.0.weight"] == (512, 512, 3, 3)
    assert shapes["fc6.0.weight"] == (4096, 512, 7, 7)
    assert shapes["fc7.0.weight"] == (4096, 4096, 1, 1)
    assert shapes["score_fr.weight"] == (21, 4096, 1, 1)


@pytest.mark.parametrize("n_channels, n_classes", [(1, 1), (2, 5), (7, 2)])
def test_scores_have_the_size_of_the_images(network_class, n_channels, n_classes):
    network = thin(network_class)(n_channels, n_classes).eval()
    with torch.inference_mode():
        for height in (1, 2, 31, 32, 33, 64, 77, 96, 101):
            scores = network(torch.zeros(1, n_channels, height, 5))
            assert scores.shape == (1, n_classes, height, 5)
            assert network(torch.zeros(1, n_channels, 3, height)).shape[3] == height


# Upsampling


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_upsampling_is_bilinear_within_the_image(factor):
    scores = noise(2, 3, 5, 6, dtype=torch.float64)
    kernel = bilinear_kernel(factor).double()
    # A transposed convolution has half a factor more on each side.
    half = factor // 2
    inner = upsample(scores, kernel)[..., half:-half, half:-half]
    expected = F.interpolate(scores, scale_factor=factor, mode="bilinear")
    edge = slice(half, -half)
    torch.testing.assert_close(inner[..., edge, edge], expected[..., edge, edge])


def test_grids_of_all_scores_lie_on_each_other():
    """A score says of what pixel it is the centre: upsampled, pixels say their number.

    A pixel of pooling k covers 2**k pixels of what the first convolution makes, which
    begins 99 pixels before the image; the 7x7 convolution answers for its middle.
    """

    def centres(step, n_pooled):
        start = (step - 1) / 2 - 99
        line = start + step * torch.arange(n_pooled, dtype=torch.float64)
        return line.expand(1, 1, n_pooled, n_pooled)

    score = centres(32, 20)[..., 3:-3, 3:-3]
    twice = upsample(score, bilinear_kernel(2).double())
    four_times = upsample(twice, bilinear_kernel(2).double())
    for scores, pooled, offset in (
        (twice, centres(16, 60), POOL_OFFSETS["score_pool4"]),
        (four_times, centres(8, 120), POOL_OFFSETS["score_pool3"]),
    ):
        inside = slice(6, 20)  # away from the borders of the coarser scores
        finer = pooled[..., offset:, offset:][..., inside, inside]
        torch.testing.assert_close(scores[..., inside, inside], finer)
    for factor, scores in ((32, score), (16, twice), (8, four_times)):
        pixels = upsample(scores, bilinear_kernel(factor).double())
        cropped = pixels[0, 0, 200, LAST_OFFSETS[factor] :][50:250]
        torch.testing.assert_close(cropped, torch.arange(50.0, 250.0).double())


# What a pixel depends on


def test_margin_is_how_far_gradients_reach(network_class):
    network = thin(network_class, widths=(1,) * 5, head=1)(1, 1).double().eval()
    for parameter in network.parameters():
        nn.init.ones_(parameter)  # nothing cancels, and no ReLU closes
    # A little over the margin above and below, on the grid of 32 pixels.
    centre = 32 * (network.margin // 32 + 2)
    rows = torch.arange(2 * centre, dtype=torch.float64)
    radius = 0
    for position in range(centre, centre + 32):
        # Max pooling hands the gradient to its largest pixel only: ramps up and down.
        for ramp in (rows, rows.flip(0)):
            image = (ramp[:, None] + 1).expand(-1, 2)[None, None].clone()
            image.requires_grad_()
            network(image)[0, 0, position, 0].backward()
            seen = image.grad[0, 0].abs().sum(dim=1).nonzero()
            radius = max(radius, int((seen - position).abs().max()))
    assert network.margin == radius


@pytest.mark.parametrize("size", [(1000, 33), (40, 897)])
def test_tiles_give_the_scores_of_the_whole_image(network_class, size):
    network = thin_network(network_class).float()
    image = noise(*size, 3, seed=1).numpy()
    (expected,) = predictor(network, 2000).probabilities(as_images([image]))
    tiled = predictor(network, 64)
    calls = []
    handle = network.register_forward_hook(lambda *_: calls.append(1))
    (answer,) = tiled.probabilities(as_images([image]))
    handle.remove()
    assert len(calls) > 10
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize("height, n_passes", [(500, 1), (1100, 5)])
def test_tiles_that_would_see_the_whole_image_are_not_cut(height, n_passes):
    network = thin_network(FCN8s).float()
    run = predictor(network, "auto")
    with sklearn.config_context(working_memory=0.01):
        assert run._pixel_limit < 500 * 9
        calls = []
        network.register_forward_hook(lambda *_: calls.append(1))
        list(run.probabilities(as_images([np.ones((height, 9, 3), np.float32)])))
    assert len(calls) == n_passes


def test_padding_does_not_count_as_memory_for_each_pixel():
    network = thin_network(FCN8s).float()
    run = predictor(network, "auto")
    # The two channels of the first stage, at the size of the padded image.
    assert run._layer_sizes.largest == pytest.approx(2, rel=0.02)


# Training


def test_initial_weights_follow_he_et_al_and_score_layers_are_zero(network_class):
    network = seeded(lambda: thin(network_class, widths=(16,) * 5, head=16)(3, 4))
    for name, parameter in network.named_parameters():
        if name.endswith("bias") or name.startswith("score"):
            assert not parameter.any()
        else:
            expected = (2 / parameter[0].numel()) ** 0.5
            # Four standard errors of a standard deviation.
            tolerance = 4 / (2 * parameter.numel()) ** 0.5
            assert parameter.std().item() == pytest.approx(expected, rel=tolerance)
    with torch.no_grad():
        assert not network.eval()(noise(1, 3, 40, 40)).any()


def test_dropout_reaches_both_wide_layers_in_training_only(network_class):
    network = thin(network_class)(3, 2, dropout=0.3)
    drops = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert [drop.p for drop in drops] == [0.3, 0.3]
    network = thin_network(network_class, head=64).float()
    image = noise(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(network.train()(image), network(image))
        assert torch.equal(network.eval()(image), network(image))


def test_state_dict_lists_what_is_learned_as_data_passes_it(network_class):
    network = thin(network_class)(2, 3).eval()
    assert set(network.state_dict()) == dict(network.named_parameters()).keys()
    passed = []
    for name, module in network.named_modules():
        if list(module.parameters(recurse=False)):
            module.register_forward_hook(lambda *_, name=name: passed.append(name))
    network(torch.zeros(1, 2, 8, 8))
    listed = dict.fromkeys(key.rpartition(".")[0] for key in network.state_dict())
    assert list(listed) == passed


@pytest.mark.parametrize("name", NAMES)
def test_the_segmenter_learns_with_them(monkeypatch, name):
    monkeypatch.setitem(NETWORKS, name, thin(NAMES[name], (8, 8, 12, 12, 12), head=24))
    # A coarse question: is the whole image bright or dark?
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 4)[:, None, None] * np.ones((8, 24, 24), int)
    X = 100 * y + rng.normal(0, 20, y.shape)
    segmenter = FCNSegmenter(
        network=name,
        max_epochs=15,
        batch_size=4,
        learning_rate=5e-3,
        dropout=0.0,
        random_state=0,
    )
    segmenter.fit(X, y)
    assert (segmenter.stride_, segmenter.margin_) == (32, segmenter.network_.margin)
    assert segmenter.score(X, y) > 0.9


def test_loaded_networks_keep_what_is_fixed(monkeypatch, network_class):
    (name,) = (name for name, made in NAMES.items() if made is network_class)
    monkeypatch.setitem(NETWORKS, name, thin(network_class))
    architecture = {"network": name, "n_channels": 3, "n_classes": 4, "dropout": 0.5}
    network = thin_network(network_class).float()
    again = restored_network(architecture, arrays_of(network), None)
    for found, expected in zip(again.buffers(), network.buffers(), strict=True):
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
    with torch.inference_mode():
        # In float64: in float32, processors differ by more than 1e-5.
        images = noise(1, 3, 40, 33).double()
        found, expected = again.double()(images), network.double()(images)
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@pytest.mark.slow
def test_full_size_network_is_trained_and_predicts():
    X, y = make_shapes(n_samples=2, size=16, n_classes=3, random_state=0)
    segmenter = FCNSegmenter(network="fcn8s", max_epochs=1, random_state=0)
    assert segmenter.fit(X, y).predict(X).shape == (2, 16, 16)


# Parameters


@pytest.mark.parametrize("name", NAMES)
def test_named_networks_are_made_by_name(name):
    with torch.device("meta"):
        network = make_network(name, 2, 5, dropout=0.1)
    assert type(network) is NAMES[name]
    assert network.score_fr.out_channels == 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "option, value", [("depth", 1), ("width", 5), ("skip", "add"), ("norm", "group")]
)
def test_parameters_that_do_not_reach_the_network_are_refused(name, option, value):
    default = FCNSegmenter().get_params()[option]
    segmenter = FCNSegmenter(network=name, **{option: value})
    message = rf"{option}={value!r} has no effect on network='{name}'; .*{default!r}"
    with pytest.raises(ValueError, match=message):
        segmenter.fit(np.zeros((1, 4, 4)), np.zeros((1, 4, 4), int))


class Shallow(FCNSegmenter):
    """A segmenter with another default, and few parameters."""

    def __init__(self, *, network="fcn32s", depth=1):
        super().__init__(network=network, depth=depth, max_epochs=1)


def test_defaults_are_those_of_the_signature(monkeypatch):
    monkeypatch.setitem(NETWORKS, "fcn32s", thin(FCN32s))
    X = np.zeros((2, 4, 4))
    y = np.arange(2)[:, None, None] * np.ones((2, 4, 4), int)
    assert Shallow().fit(X, y).stride_ == 32
    with pytest.raises(ValueError, match=r"depth=3 has no effect on .* default, 1"):
        Shallow(depth=3).fit(X, y)
