"""Encoders of timm within FCN: sizes, maps, receptive fields, bad names."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from torch import nn

from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._receptive_field import measure_strip_margin
from sksegment.networks._timm_encoder import check_encoder, encoder_maps

pytestmark = pytest.mark.usefixtures("timm")
# A small model of each kind: convolutions from stride 2 and from stride 4, maps with
# channels last, a plain transformer.
KINDS = (
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "swin_s3_tiny_224",
    "test_vit",
)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("n_channels", [1, 5])
def test_any_size_and_any_channels(encoder: str, n_channels: int) -> None:
    network = EncoderFCN(n_channels, 4, encoder, width=2).eval()
    for size in [(1, 1), (33, 70), (64, 32)]:
        with torch.no_grad():
            scores = network(torch.randn(2, n_channels, *size))
        assert scores.shape == (2, 4, *size)


@pytest.mark.parametrize("encoder", KINDS)
def test_training_reaches_every_weight(encoder: str) -> None:
    network = EncoderFCN(3, 2, encoder, width=2, dropout=0.0).train()
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    missing = [name for name, one in network.named_parameters() if one.grad is None]
    assert missing == []


@pytest.mark.parametrize("skip", [None, "concat", "add"])
@pytest.mark.parametrize("depth", [2, 3, None])
def test_depth_is_how_often_the_resolution_is_halved(
    skip: str | None, depth: int | None
) -> None:
    network = EncoderFCN(3, 2, "test_convnext", depth=depth, width=2, skip=skip)
    assert network.stride == 2 ** (depth or 5)
    assert network(torch.randn(1, 3, 40, 50)).shape == (1, 2, 40, 50)


def test_an_encoder_from_stride_4_ends_at_full_resolution() -> None:
    maps = encoder_maps("test_convnext", 1)
    assert [one.reduction for one in maps] == [4, 8, 16, 32]
    network = EncoderFCN(1, 2, "test_convnext", width=4)
    decoded = network.decoder(network.encode(torch.zeros(1, 1, 64, 32)).maps)
    assert decoded.shape == (1, 4, 64, 32)


def test_the_margin_makes_tiles_exact() -> None:
    network = EncoderFCN(1, 2, "test_resnet", depth=3, width=2).eval()
    margin = measure_strip_margin(network, 1, network.stride)
    assert margin is not None
    cut = -(-margin // 8) * 8
    whole = torch.randn(1, 1, 2 * cut + 32, 2 * cut + 48)
    with torch.no_grad():
        expected = network(whole)[..., 8:-8, 8:-8][..., cut:-cut, cut:-cut]
        found = network(whole[..., 8:-8, 8:-8])[..., cut:-cut, cut:-cut]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_scales_of_branches_that_start_near_zero_are_in_the_margin() -> None:
    # A branch that adds a millionth of a wide convolution, until it is trained.
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Conv2d(1, 1, 9, padding=4)
            self.after = nn.Conv2d(1, 1, 9, padding=4)
            self.scale = nn.Parameter(torch.full((1,), 1e-38))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + self.scale * self.after(self.scale * self.wide(images))

    network = Branch()
    assert measure_strip_margin(network, 1, 1) == 8 + 1
    assert network.scale.item() == pytest.approx(1e-38)


def test_attention_over_the_image_has_no_margin() -> None:
    assert measure_strip_margin(EncoderFCN(3, 2, "test_vit", width=2), 3, 16) is None


def test_a_frozen_encoder_keeps_its_statistics_and_needs_no_gradient() -> None:
    network = EncoderFCN(3, 2, "test_resnet", width=2)
    before = {name: one.clone() for name, one in network.encoder.state_dict().items()}
    network.frozen = True
    network.train()
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    after = network.encoder.state_dict()
    assert all(torch.equal(after[name], one) for name, one in before.items())
    assert all(one.grad is None for one in network.encoder.parameters())


@pytest.mark.parametrize("encoder", ["test_vit", "test_convnext", "test_resnet"])
def test_no_images_give_no_scores_and_gradients_of_zero(encoder: str) -> None:
    network = EncoderFCN(3, 2, encoder, width=2).train()
    scores = network(torch.zeros(0, 3, 20, 30))
    assert scores.shape == (0, 2, 20, 30)
    scores.sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert not weight.grad.any(), name


@pytest.mark.parametrize(
    "encoder, closest",
    [
        ("resnet_34", "resnet34"),
        ("ResNet18", "resnet18"),
        ("hf-hub:timm/resnet18.a1_in1k", "expected one of timm.list_models"),
        ("local-dir:/tmp/model", "expected one of timm.list_models"),
        ("", "expected one of timm.list_models"),
    ],
)
def test_unlisted_names_are_refused_with_the_closest(
    encoder: str, closest: str
) -> None:
    with pytest.raises(ValueError, match=f"no model of timm.*{closest}"):
        check_encoder("encoder", encoder)


def test_names_with_a_tag_are_listed() -> None:
    check_encoder("encoder", "resnet18.a1_in1k")
    with pytest.raises(ValueError, match=r"resnet18\.a1_in1k"):
        check_encoder("encoder", "resnet18.a1_in2k")


def test_only_text_is_a_name() -> None:
    with pytest.raises(TypeError, match="encoder is 18; expected the name"):
        check_encoder("encoder", 18)


@pytest.mark.parametrize(
    "encoder, depth, message",
    [
        (
            "test_resnet",
            6,
            "depth=6 does not fit .*stride of 32 pixels.* 1, 2, 3, 4, 5",
        ),
        ("test_convnext", 1, "depth=1 does not fit .* one of 2, 3, 4, 5"),
        ("test_vit", 3, "depth=3 does not fit .* expected None"),
        ("mixer_s16_224", None, "does not take images of shape"),
    ],
)
def test_encoders_that_do_not_fit(encoder: str, depth: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderFCN(3, 2, encoder, depth=depth)


def test_without_timm_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported = builtins.__import__

    def without_timm(name: str, *args: Any, **options: Any) -> Any:
        if name == "timm":
            raise ModuleNotFoundError("No module named 'timm'")
        return imported(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(ImportError, match=r"pip install 'sksegment\[timm\]'"):
        check_encoder("encoder", "resnet18")
    check_encoder("encoder", None)
