"""The fused network against the layers that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes
from sksegment.networks import FCN, FCN8s, _fused
from sksegment.networks._fused import fused

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        not _fused._has_operators(torch.float32),
        reason="this build of torch lacks the operators of oneDNN",
    ),
]


def network_of(n_channels=3, depth=2, width=4, skip="concat", norm="batch"):
    """Return a network whose batch norms have seen something."""
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FCN(n_channels, 3, depth, width, skip, norm)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
    return network.eval()


def images_of(*shape, n_channels=3):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((*shape, n_channels), generator=generator)
    return images.permute(0, 3, 1, 2)


EVERY_FCN = [
    pytest.param(depth, skip, norm, id=f"{depth}-{skip}-{norm}")
    for depth in (1, 2, 3, 4)
    for skip in (None, "concat", "add")
    for norm in (None, "batch")
]


SIZES = ((24, 40), (7, 9), (24, 40))


@pytest.mark.parametrize(("depth", "skip", "norm"), EVERY_FCN)
@torch.inference_mode()
def test_fused_scores_are_those_of_the_layers_alone_and_in_a_batch(depth, skip, norm):
    network = network_of(depth=depth, width=2, skip=skip, norm=norm)
    run, images = fused(network, torch.float32), images_of(3, 9, 21)
    together = run(images)
    expected = network(images).softmax(dim=1)
    torch.testing.assert_close(together.softmax(dim=1), expected, rtol=0, atol=1e-5)
    assert torch.equal(run(images[1:2]), together[1:2])


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (45, 61)])
@torch.inference_mode()
def test_fused_scores_of_a_lone_image_have_the_bits_of_a_batch(n_channels, size):
    run = fused(network_of(n_channels, width=8), torch.float32)
    images = images_of(5, *size, n_channels=n_channels)
    together = run(images)
    for n_images in (1, 2):
        assert torch.equal(run(images[:n_images]), together[:n_images])


@pytest.mark.slow
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(("depth", "skip", "norm"), EVERY_FCN)
@torch.inference_mode()
def test_fused_scores_of_lone_images_of_many_sizes_have_the_bits_of_a_batch(
    depth, skip, norm, n_channels
):
    run = fused(network_of(n_channels, depth, 8, skip, norm), torch.float32)
    rng = np.random.default_rng(depth)
    for size in [*rng.integers(1, 301, (2, 2)), *rng.integers(1, 60, (5, 2))]:
        images = images_of(3, *size, n_channels=n_channels)
        assert torch.equal(run(images[1:2]), run(images)[1:2])


@pytest.mark.parametrize("norm", ["batch", None])
@torch.inference_mode()
def test_later_changes_of_the_network_do_not_act_at_any_size(norm):
    network = network_of(norm=norm)
    expected = {
        size: fused(network, torch.float32)(images_of(1, *size)) for size in SIZES
    }
    run = fused(network, torch.float32)
    for parameter in network.parameters():
        parameter.add_(1.0)
    for size in SIZES:
        assert torch.equal(run(images_of(1, *size)), expected[size])


@torch.inference_mode()
def test_fused_scores_in_bfloat16_are_near():
    network, images = network_of(width=16), images_of(2, 40, 40)
    found = fused(network, torch.bfloat16)
    if found is None:
        pytest.skip("oneDNN has no bfloat16 on this processor")
    scores = found(images)
    assert scores.dtype is torch.bfloat16
    distance = (scores.float().softmax(1) - network(images).softmax(1)).abs()
    assert distance.mean() < 0.02


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
@torch.inference_mode()
def test_a_norm_that_changed_acts_at_once(name):
    network, images = network_of(), images_of(1, 9, 21)
    fused(network, torch.float32)(images)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            getattr(module, name).data.add_(0.5)
    found, expected = fused(network, torch.float32)(images), network(images)
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_other_settings_of_a_layer_act_at_once():
    network, images = network_of(), images_of(1, 9, 21)
    before = fused(network, torch.float32)(images)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.5
    found, expected = fused(network, torch.float32)(images), network(images)
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), rtol=0, atol=1e-5)
    assert not torch.equal(found, before)


@torch.inference_mode()
def test_weights_of_another_network_in_a_layer_act_at_once():
    network, images = network_of(), images_of(1, 9, 21)
    other = network_of()
    for parameter in other.parameters():
        parameter.data.mul_(0.9)
    fused(network, torch.float32)(images)
    network.load_state_dict(other.state_dict())
    found, expected = fused(network, torch.float32)(images), network(images)
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), rtol=0, atol=1e-5)


def with_hook(network):
    network.encoder[0][0][0].register_forward_hook(lambda *_: None)


def with_hook_before(network):
    network.decoder[0].register_forward_pre_hook(lambda *_: None)


def with_another_layer(network):
    network.encoder[0][0][2] = nn.GELU()


def with_one_layer_more(network):
    network.encoder[0].append(nn.Sequential(nn.ReLU()))


def with_one_layer_less(network):
    del network.encoder[0][0][2]


def with_layers_in_another_order(network):
    block = network.encoder[0][0]
    block[1], block[2] = block[2], block[1]


def with_another_classifier(network):
    network.classifier = nn.Conv2d(4, 3, 3, padding="same")


def with_mirrored_borders(network):
    layer = network.encoder[0][0][0]
    network.encoder[0][0][0] = nn.Conv2d(
        3, layer.out_channels, 3, padding=1, padding_mode="reflect"
    )


def with_wider_kernels(network):
    layer = network.encoder[0][0][0]
    network.encoder[0][0][0] = nn.Conv2d(
        3, layer.out_channels, 3, padding=2, dilation=2
    )


def with_group_norm(network):
    network.encoder[0][0][1] = nn.GroupNorm(1, 4)


def with_norm_of_the_batch(network):
    network.encoder[0][0][1].track_running_stats = False
    network.encoder[0][0][1].running_mean = None
    network.encoder[0][0][1].running_var = None


def with_weight_norm(network):
    parametrizations.weight_norm(network.classifier)


def pruned(network):
    prune.l1_unstructured(network.classifier, "weight", 0.5)


def with_another_forward(network):
    network.forward = lambda images: images


def in_training(network):
    network.encoder[0][0][1].train()


def in_double_precision(network):
    network.double()


def on_another_device(network):
    network.to("meta")


def compiled(network):
    network.compile(backend="eager")


@pytest.mark.parametrize(
    "change",
    [
        with_hook,
        with_hook_before,
        with_another_layer,
        with_one_layer_more,
        with_one_layer_less,
        with_layers_in_another_order,
        with_another_classifier,
        with_mirrored_borders,
        with_group_norm,
        with_wider_kernels,
        with_norm_of_the_batch,
        with_weight_norm,
        pruned,
        with_another_forward,
        in_training,
        in_double_precision,
        on_another_device,
        compiled,
    ],
)
def test_a_changed_network_is_not_fused(change):
    network = network_of().train(False)
    change(network)
    training = change is in_training
    for module in network.modules():
        module.training = module.training and training
    assert fused(network, torch.float32) is None


class Heir(FCN):
    """Computes something else."""

    def forward(self, images):
        return -super().forward(images)


@pytest.mark.parametrize(
    "network",
    [Heir(3, 2, depth=1, width=2), FCN(3, 2, 1, 2, norm="group"), FCN8s(3, 2)],
)
def test_other_networks_are_not_fused(network):
    assert fused(network.eval(), torch.float32) is None


def test_a_hook_on_all_modules_keeps_networks_from_being_fused():
    hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert fused(network_of(), torch.float32) is None
    finally:
        hook.remove()


def test_without_the_operators_of_torch_networks_are_not_fused(monkeypatch):
    monkeypatch.setattr(_fused, "OPERATORS", ("_no_such_operator",))
    assert fused(network_of(), torch.float32) is None


def test_without_onednn_networks_are_not_fused(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert fused(network_of(), torch.float32) is None


@pytest.fixture(scope="module")
def fitted():
    X, y = make_shapes(6, size=32, random_state=0)
    segmenter = FCNSegmenter(depth=1, width=4, max_epochs=2, random_state=0)
    return segmenter.set_params(device="cpu").fit(X, y), X[:2]


def without_fusing(segmenter, X, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_fused, "OPERATORS", ("_no_such_operator",))
        return segmenter.predict_proba(X)


@pytest.mark.parametrize("views", [False, True])
@pytest.mark.parametrize("tile_size", ["auto", 16])
def test_predictions_are_those_without_fusing(fitted, views, tile_size, monkeypatch):
    segmenter, X = fitted
    segmenter.set_params(test_time_augmentation=views, tile_size=tile_size)
    expected = without_fusing(segmenter, X, monkeypatch)
    found = segmenter.predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert not np.array_equal(found, expected)  # otherwise, nothing was fused
    labels = segmenter.classes_[found.argmax(axis=1)]
    np.testing.assert_array_equal(segmenter.predict(X), labels)


def test_changed_weights_act_at_once(fitted, monkeypatch):
    segmenter, X = fitted
    before = segmenter.predict_proba(X)
    bias = segmenter.network_.classifier.bias
    with torch.no_grad():
        bias[0] += 5
        try:
            changed = segmenter.predict_proba(X)
            expected = without_fusing(segmenter, X, monkeypatch)
        finally:
            bias[0] -= 5
    np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-5)
    assert (changed[:, 0] > before[:, 0]).all()


def test_hooks_of_the_network_see_every_prediction(fitted):
    segmenter, X = fitted
    calls = []
    with segmenter.network_.register_forward_hook(lambda *_: calls.append(1)):
        segmenter.predict(X[:1])
    assert calls
