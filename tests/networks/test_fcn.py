"""The networks against plain torch layers, hand counts and probed gradients."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes
from sksegment.networks import FCN
from sksegment.networks._factory import make_network
from sksegment.networks._fcn import receptive_radius
from sksegment.networks._layers import ConvBlock, GroupNorm, UpConv
from sksegment.networks._receptive_field import measure_margin
from sksegment.networks._user_network import Resized

SKIPS = (None, "concat", "add")
NORMS = (None, "batch", "group")

# The encoder, the bottleneck and the decoder of FCN(3, 4), written down by hand from
# the post: channels in and out of each 3x3 convolution, "down" and "up" between them.
BLOG = [
    *((3, 64), (64, 64), "down"),
    *((64, 128), (128, 128), "down"),
    *((128, 256), (256, 256), (256, 256), "down"),
    *((256, 512), (512, 512), (512, 512), "drop"),
    *("up", (512, 256), (256, 256), (256, 256)),
    *("up", (256, 128), (128, 128)),
    *("up", (128, 64), (64, 64)),
]


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def noise(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def blog_network():
    layers = []
    for step in BLOG:
        if step == "down":
            layers.append(nn.MaxPool2d(2))
        elif step == "up":
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        elif step == "drop":
            layers.append(nn.Dropout(0.5))
        else:
            layers += [nn.Conv2d(*step, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(64, 4, 1))


def test_blog_network_has_the_parameters_counted_by_hand():
    encoder = (1_792 + 36_928) + (73_856 + 147_584) + (295_168 + 2 * 590_080)
    bottleneck = 1_180_160 + 2 * 2_359_808
    decoder = (1_179_904 + 2 * 590_080) + (295_040 + 147_584) + (73_792 + 36_928)
    counted = sum(parameter.numel() for parameter in FCN(3, 4).parameters())
    assert counted == encoder + bottleneck + decoder + (4 * 64 + 4)


def test_blog_network_equals_plain_layers_with_its_weights():
    network = seeded(lambda: FCN(3, 4)).eval()
    plain = blog_network().eval()
    weights = zip(plain.state_dict(), network.state_dict().values(), strict=True)
    plain.load_state_dict(dict(weights))
    # In float64: in float32, processors differ by more than 1e-5.
    network, plain = network.double(), plain.double()
    images = noise(2, 3, 24, 40).double()
    with torch.inference_mode():
        torch.testing.assert_close(network(images), plain(images), atol=1e-9, rtol=0)


def test_size_that_is_no_multiple_repeats_the_border_and_crops():
    network = seeded(lambda: FCN(1, 2, depth=2, width=4)).eval()
    images = noise(1, 1, 5, 6)
    padded = torch.cat([images] + [images[:, :, -1:]] * 3, dim=2)
    padded = torch.cat([padded] + [padded[..., -1:]] * 2, dim=3)
    with torch.inference_mode():
        expected = network(padded)[..., :5, :6]
        torch.testing.assert_close(network(images), expected, atol=0, rtol=0)


@pytest.mark.parametrize("depth", range(1, 6))
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("skip", SKIPS)
def test_scores_have_the_size_of_the_images(depth, skip, norm):
    width = 2 + depth % 3
    network = FCN(2, 3, depth=depth, width=width, skip=skip, norm=norm).eval()
    assert network.stride == 2**depth
    with torch.inference_mode():
        for height, width in [(1, 1), (17, 5), (33, 64)]:
            scores = network(noise(1, 2, height, width))
            assert scores.shape == (1, 3, height, width)
            assert scores.isfinite().all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("skip", SKIPS)
def test_one_image_of_one_pixel_can_be_trained_on(skip, norm):
    network = seeded(lambda: FCN(3, 2, width=4, skip=skip, norm=norm)).train()
    network(noise(1, 3, 1, 1)).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("width", [2, 16, 24, 40, 64])
def test_group_norm_takes_any_number_of_channels_in_equal_groups(width):
    norm = GroupNorm(width)
    images = noise(2, width, 4, 4)
    expected = F.group_norm(images, norm.num_groups)
    assert width % norm.num_groups == 0
    torch.testing.assert_close(norm(images), expected)


@pytest.mark.parametrize("skip_channels", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (4, 7)])
def test_up_conv_is_nearest_upsampling_and_a_convolution(skip_channels, size):
    layer = UpConv(4, skip_channels, 5).double()
    weight = noise(5, 4 + skip_channels, 3, 3, seed=1, dtype=torch.float64)
    bias = noise(5, seed=2, dtype=torch.float64)
    below = noise(2, 4, *size, seed=3, dtype=torch.float64).requires_grad_()
    beside = noise(2, skip_channels, 2 * size[0], 2 * size[1], dtype=torch.float64)
    beside.requires_grad_()
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)

    plain = nn.Conv2d(4 + skip_channels, 5, 3, padding=1).double()
    plain.load_state_dict(layer.state_dict())
    upsampled = F.interpolate(below, scale_factor=2, mode="nearest")
    expected = plain(torch.cat([upsampled, beside], dim=1))
    output = layer(below, beside if skip_channels else None)
    torch.testing.assert_close(output, expected)

    towards = noise(*output.shape, seed=4, dtype=torch.float64)
    inputs = [below, beside] if skip_channels else [below]
    gradients = torch.autograd.grad(output, [*inputs, *layer.parameters()], towards)
    oracles = torch.autograd.grad(expected, [*inputs, *plain.parameters()], towards)
    for gradient, oracle in zip(gradients, oracles, strict=True):
        torch.testing.assert_close(gradient, oracle)


def probed_radius(depth):
    """Return how far gradients of single output pixels reach, at most."""
    network = seeded(lambda: FCN(1, 1, depth=depth, width=1)).double().eval()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, UpConv)):
            nn.init.ones_(module.weight)  # nothing cancels, and no ReLU closes
    stride, radius = network.stride, 0
    centre = stride * (receptive_radius(depth) // stride + 2)
    rows = torch.arange(2 * centre, dtype=torch.float64)
    for position in range(centre, centre + stride):
        # Max pooling hands the gradient to its largest pixel only: ramps up and down.
        for ramp in (rows, rows.flip(0)):
            image = ramp[:, None].repeat(1, 2 * stride)[None, None] + 1
            image.requires_grad_()
            network(image)[0, 0, position, 0].backward()
            seen = image.grad[0, 0].abs().sum(dim=1).nonzero()
            radius = max(radius, int((seen - position).abs().max()))
    return radius


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_receptive_radius_is_how_far_gradients_reach(depth):
    assert receptive_radius(depth) == probed_radius(depth)


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("skip", SKIPS)
def test_margin_bounds_what_a_pixel_depends_on(skip, norm):
    options = {"depth": 2, "width": 2, "skip": skip, "norm": norm}
    network = seeded(lambda: FCN(1, 2, **options)).double().eval()
    assert network.margin == receptive_radius(2)
    side = 2 * network.margin + 12
    image = noise(1, 1, side, side, dtype=torch.float64)
    changed = image.clone()
    changed[..., 0] += 100
    with torch.inference_mode():
        difference = (network(changed) - network(image)).abs().amax(dim=(0, 1, 2))
    assert difference[: network.margin].any()
    assert not difference[network.margin + 1 :].any()


def test_group_norm_has_no_finite_margin():
    network = seeded(lambda: FCN(1, 2, depth=1, width=4, norm="group")).eval()
    image = noise(1, 1, 64, 64)
    changed = image.clone()
    changed[..., 0] += 100
    assert network.margin is None
    with torch.inference_mode():
        assert (network(changed) - network(image))[..., -1].abs().min() > 0


def test_initial_weights_follow_he_et_al_and_biases_are_zero():
    network = seeded(lambda: FCN(3, 4, skip="concat"))
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, UpConv))]
    assert len(layers) == 18
    for layer in layers:
        weight = layer.weight.detach()
        expected = (2 / weight[0].numel()) ** 0.5
        # Four standard errors of a standard deviation.
        tolerance = 4 / (2 * weight.numel()) ** 0.5
        assert weight.std().item() == pytest.approx(expected, rel=tolerance)
        assert not layer.bias.any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("skip", SKIPS)
def test_state_dict_lists_layers_as_data_passes_them(skip, norm):
    network = FCN(2, 3, width=2, skip=skip, norm=norm).eval()
    passed = []
    for name, module in network.named_modules():
        if list(module.parameters(recurse=False)):
            module.register_forward_hook(lambda *_, name=name: passed.append(name))
    network(torch.zeros(1, 2, 8, 8))
    listed = dict.fromkeys(key.rpartition(".")[0] for key in network.state_dict())
    assert list(listed) == passed


def test_dropout_acts_in_training_only():
    network = seeded(lambda: FCN(1, 2, depth=1, width=8))
    image = noise(1, 1, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network.train()(image), network(image))
        assert torch.equal(network.eval()(image), network(image))


def test_callable_network_of_low_resolution_is_upsampled():
    network = make_network(lambda c, k: nn.Conv2d(c, k, 8, stride=8), 3, 5)
    assert isinstance(network, Resized)
    assert (network.stride, network.margin, network.training) == (32, None, True)
    images = noise(2, 3, 40, 33)
    with torch.no_grad():
        padded = F.pad(images, (0, 31, 0, 24), mode="replicate")
        low = network.network(padded)
        expected = F.interpolate(low, (64, 64), mode="bilinear")[..., :40, :33]
        torch.testing.assert_close(network(images), expected)


def test_callable_network_of_full_resolution_is_left_alone():
    network = make_network(lambda c, k: nn.Conv2d(c, k, 1), 1, 2)
    images = noise(1, 1, 7, 9)
    torch.testing.assert_close(network(images), network.network(images))


class Answers(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda c, k: "fcn", TypeError, r"network\(3, 5\) returned 'fcn'"),
        (lambda c, k: nn.Conv2d, TypeError, "expected a torch.nn.Module"),
        (lambda c, k: Answers({"out": 0}), TypeError, "returned a dict"),
        (lambda c, k: nn.Conv2d(c, 4, 1), ValueError, r"\(1, 4, 32, 32\); expected"),
        (lambda c, k: Answers(torch.zeros(1, 5)), ValueError, r"to \(1, 5\); expected"),
        (lambda c, k: Answers(torch.zeros(1, 32, 32, 5)), ValueError, "one score"),
    ],
)
def test_callable_that_makes_no_such_network_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make_network(make, 3, 5)


class Attention(nn.Module):
    """A field over the whole image, at a quarter of its resolution."""

    def __init__(self, n_channels, n_classes):
        super().__init__()
        self.embed = nn.Conv2d(n_channels, 8, 4, 4)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.classify = nn.Conv2d(8, n_classes, 1)

    def forward(self, images):
        tokens = self.embed(images)
        sequence = tokens.flatten(2).mT
        sequence, _ = self.mix(sequence, sequence, sequence)
        return self.classify(sequence.mT.reshape(tokens.shape))


class SquaresOnly(Attention):
    def forward(self, images):
        assert images.shape[-1] == images.shape[-2]
        return super().forward(images)


class Recorded(nn.Module):
    """Notes the size of each image, and stops at those that are too large."""

    def __init__(self, network, limit=2**40, error=None):
        super().__init__()
        self.network, self.limit, self.error = network, limit, error
        self.pixels = []

    def forward(self, images):
        self.pixels.append(images[0, 0].numel())
        if self.pixels[-1] > self.limit:
            raise self.error
        return self.network(images)


def test_field_over_the_whole_image_is_told_without_a_large_probe():
    network = Recorded(seeded(lambda: Attention(1, 2)))
    assert measure_margin(Resized(network), 1, 32) is None
    assert sum(network.pixels) <= 128**2 * 4


def test_field_of_a_network_for_squares_is_told_by_one_probe_a_size():
    network = Recorded(seeded(lambda: SquaresOnly(1, 2)), 256**2, MemoryError())
    assert measure_margin(Resized(network), 1, 32) is None
    assert network.pixels[-3:] == [128**2, 256**2, 512**2]


@pytest.mark.parametrize("reach", [3, 40, 90])
@pytest.mark.parametrize("is_dilated", [False, True])
def test_finite_field_is_measured_whatever_its_gaps(reach, is_dilated):
    size, dilation = (3, reach) if is_dilated else (2 * reach + 1, 1)
    network = nn.Conv2d(1, 1, (size, 1), padding=(reach, 0), dilation=(dilation, 1))
    assert measure_margin(network, 1, 8) == reach + 8


class Unpadded(nn.Sequential):
    """Convolutions without padding, as in the first U-Net: Resized stretches them."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))


class Aligned(nn.Conv2d):
    def forward(self, images):
        scores = F.avg_pool2d(super().forward(images), 4)
        size = images.shape[-2:]
        return F.interpolate(scores, size, mode="bilinear", align_corners=True)


class Coordinates(nn.Conv2d):
    def forward(self, images):
        height, width = images.shape[-2:]
        columns = torch.linspace(-1, 1, width).expand(len(images), 1, height, width)
        return super().forward(torch.cat([images, columns], dim=1))


@pytest.mark.parametrize(
    "make",
    [
        Unpadded,
        partial(Aligned, 1, 2, 3, padding=1),
        partial(Coordinates, 2, 2, 3, padding=1),
    ],
)
def test_answers_that_depend_on_the_place_have_no_margin(make):
    # The gradient reaches a few pixels only, and tiles would still differ.
    assert measure_margin(Resized(seeded(make)), 1, 32) is None


def test_a_field_behind_weights_of_zero_is_measured():
    network = nn.Sequential(nn.Conv2d(1, 1, 41, padding=20), nn.Conv2d(1, 2, 1))
    nn.init.zeros_(network[1].weight)
    nn.init.zeros_(network[1].bias)
    assert measure_margin(Resized(seeded(lambda: network)), 1, 32) == 20 + 32
    assert not any(parameter.any() for parameter in network[1].parameters())


class PowersOfTwo(nn.Conv2d):
    def forward(self, images):
        if any(side & (side - 1) for side in images.shape[-2:]):
            raise RuntimeError("sizes of tensors must match")
        return super().forward(images)


def test_networks_of_some_sizes_only_have_no_margin():
    X, y = make_shapes(2, size=64, n_classes=3, random_state=0)
    network = partial(PowersOfTwo, kernel_size=3, padding=1)
    segmenter = FCNSegmenter(network=network, max_epochs=1, random_state=0).fit(X, y)
    assert segmenter.margin_ is None
    assert segmenter.predict(X).shape == y.shape


def test_numbers_of_zero_are_left_alone():
    network = nn.Conv2d(1, 2, 3, padding=1)
    network.steps = nn.Parameter(torch.zeros(1, dtype=torch.long), requires_grad=False)
    assert measure_margin(network, 1, 32) == 1 + 32
    assert network.steps.item() == 0


def test_a_field_is_measured_where_the_caller_wants_no_gradients():
    with torch.no_grad():
        assert measure_margin(nn.Conv2d(1, 2, 5, padding=2), 1, 1) == 3


def test_probe_without_memory_means_a_field_over_the_whole_image():
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
    network = Recorded(nn.Conv2d(1, 2, 1), 32**2, error)
    assert measure_margin(network, 1, 32) is None


@pytest.mark.parametrize("limit", [0, 128**2 - 1])
def test_network_of_one_size_is_refused(limit):
    network = Recorded(nn.Conv2d(3, 5, 1), limit, RuntimeError("8 tokens, not 9"))
    with pytest.raises(ValueError, match=r"^network .* \(1, 3, .*8 tokens, not 9"):
        measure_margin(make_network(lambda c, k: network, 3, 5), 3, 32)


class Auxiliary(nn.Conv2d):
    def forward(self, images):
        scores = super().forward(images)
        return (scores, scores) if self.training else scores


def test_auxiliary_scores_in_training_are_refused():
    network = make_network(lambda c, k: Auxiliary(c, k, 1), 3, 5)
    with pytest.raises(TypeError, match=r"^network .* tuple in training; expected"):
        network(noise(1, 3, 32, 32))


class Pooled(nn.Module):
    """Batch normalisation behind pooling over the whole image, as in ASPP."""

    def __init__(self, n_channels, n_classes):
        super().__init__()
        self.embed = nn.Conv2d(n_channels, 8, 3, padding=1)
        pooled = nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.pooled = nn.Sequential(*pooled)
        self.classify = nn.Conv2d(8, n_classes, 1)

    def forward(self, images):
        embedded = self.embed(input=images).relu()
        return self.classify(embedded + self.pooled(embedded))


def test_pooled_layers_are_normalised_alone_in_a_batch():
    X, y = make_shapes(3, size=32, n_classes=3, random_state=0)
    segmenter = FCNSegmenter(network=Pooled, max_epochs=2, random_state=0).fit(X, y)
    assert segmenter.predict(X).shape == y.shape
    norm = segmenter.network_.network.pooled[2]
    assert type(norm) is nn.BatchNorm2d  # other tools look at the class
    assert torch.equal(norm.running_var, torch.ones(8))  # nothing was learned of it
    assert not torch.equal(norm.bias, torch.zeros(8))


@pytest.mark.parametrize(
    "network, error, message",
    [
        (lambda c, k: nn.Identity(), ValueError, "an? Identity without weights"),
        (
            lambda c, k: nn.Conv2d(c, k, 1).requires_grad_(False),
            ValueError,
            "^No weight of the network is trainable",
        ),
        (lambda c: nn.Conv2d(c, 3, 1), TypeError, r"^network is .* \(n_channels, n_cl"),
        (nn.Identity, ValueError, "without weights"),
    ],
)
def test_networks_that_cannot_be_trained_are_refused(network, error, message):
    X, y = make_shapes(2, size=32, n_classes=3, random_state=0)
    with pytest.raises(error, match=message):
        FCNSegmenter(network=network, max_epochs=1).fit(X, y)


class Stateful(nn.Conv2d):
    def get_extra_state(self):
        return {"calls": 0}


def test_state_that_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match=r"'_extra_state'.*a dict.*register_buffer"):
        make_network(lambda c, k: Stateful(c, k, 1), 3, 5)


@pytest.mark.parametrize("network", ["fcn8s", "fcn", lambda c, k: nn.Conv2d(c, k, 1)])
def test_networks_are_float32_whatever_the_default(network):
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("cpu" if callable(network) else "meta"):
            made = make_network(network, 3, 2)
    finally:
        torch.set_default_dtype(torch.float32)
    tensors = [*made.parameters(), *made.buffers()]
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float32}


def test_named_network_takes_its_options():
    network = make_network("fcn", 2, 3, depth=1, width=4, norm="batch")
    blocks = [m for m in network.modules() if isinstance(m, ConvBlock)]
    assert network.stride == 2
    assert [block[0].out_channels for block in blocks] == [4, 4, 8, 8, 4]
    assert [a[0].out_channels == b[0].in_channels for a, b in pairwise(blocks[:4])]


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("skip", "typo", ValueError),
        ("norm", "layer", ValueError),
        ("depth", 0, ValueError),
        ("depth", 2.5, TypeError),
        ("width", 0, ValueError),
        ("width", True, TypeError),
        ("n_channels", 0, ValueError),
        ("n_classes", 0, ValueError),
        ("n_classes", "2", TypeError),
    ],
)
def test_a_network_refuses_what_it_cannot_be_made_of(name, value, error):
    options = {"n_channels": 3, "n_classes": 2, "width": 2, name: value}
    with pytest.raises(error, match=f"^{name} is "):
        FCN(**options)
