"""The filter bank against scikit-image, and the network on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from torch import nn

from sksegment import FCNSegmenter
from sksegment.networks import FilterBankFCN
from sksegment.networks._filter_bank_fcn import FilterBank, RunningNorm


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(*channels_and_classes: int, **options: int) -> FilterBankFCN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FilterBankFCN(*channels_and_classes, **options)


def filtered(image: torch.Tensor, depth: int = 3) -> NDArray[np.float32]:
    maps: NDArray[np.float32] = FilterBank(depth)(image[None])[0].numpy()
    return maps


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_filters_equal_those_of_scikit_image(depth: int, n_channels: int) -> None:
    image = noise(n_channels, 60, 75)
    expected = multiscale_basic_features(
        image.numpy(), sigma_min=0.5, sigma_max=0.5 * 2**depth, channel_axis=0
    )
    inside = np.s_[:, 3:-3, 3:-3]  # at the border, scikit-image mirrors differences
    expected = np.moveaxis(expected, -1, 0)[inside]
    np.testing.assert_allclose(filtered(image, depth)[inside], expected, atol=2e-6)


def test_intensity_equals_that_of_scikit_image_up_to_the_border() -> None:
    image = noise(1, 20, 33)
    expected = multiscale_basic_features(
        image[0].numpy(), sigma_min=0.5, sigma_max=4, edges=False, texture=False
    )
    intensity = filtered(image)[::4]
    np.testing.assert_allclose(intensity, np.moveaxis(expected, -1, 0), atol=2e-6)


def test_a_constant_image_has_neither_edges_nor_texture() -> None:
    maps = filtered(torch.full((1, 9, 7), 3.0)).reshape(4, 4, 9, 7)
    np.testing.assert_allclose(maps[:, 0], 3, atol=1e-6)
    np.testing.assert_allclose(maps[:, 1:], 0, atol=3e-6)


def test_filters_stay_in_float32_where_the_network_is_bfloat16() -> None:
    images = noise(1, 1, 32, 32)
    bank = FilterBank(3)
    with torch.autocast("cpu", torch.bfloat16):
        maps = bank(images)
    torch.testing.assert_close(maps, bank(images), atol=0, rtol=0)


@pytest.mark.parametrize("depth", [1, 3])
def test_margin_bounds_what_a_pixel_depends_on(depth: int) -> None:
    network = made(1, 2, depth=depth, width=4).eval()
    side = 2 * network.margin + 12
    image = noise(1, 1, side, side)
    changed = image.clone()
    changed[..., 0] += 1e6
    with torch.inference_mode():
        difference = (network(changed) - network(image)).abs().amax(dim=(0, 1, 2))
    assert difference[: network.margin].any()
    assert not difference[network.margin + 1 :].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 5)])
def test_images_of_any_size_are_scored_and_trained_on(size: tuple[int, int]) -> None:
    network = made(3, 2, width=4).train()
    scores = network(noise(1, 3, *size))
    assert scores.shape == (1, 2, *size)
    scores.square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_gradients_of_a_constant_image_are_finite() -> None:
    image = torch.zeros(1, 1, 8, 8, requires_grad=True)
    made(1, 2).eval()(image).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_kernels_follow_from_depth_and_are_not_in_the_state_dict() -> None:
    assert not any("kernels" in name for name in FilterBankFCN(1, 2).state_dict())


def test_no_images_give_no_scores() -> None:
    network = FilterBankFCN(n_channels=2, n_classes=3, depth=1).eval()
    scores = network(torch.zeros(0, 2, 9, 7))
    assert scores.shape == (0, 3, 9, 7)
    scores.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_running_norm_follows_the_mean_of_all_batches() -> None:
    batches = [noise(2, 3, 9, 8, seed=seed) * seed + seed for seed in (1, 2, 3)]
    norm = RunningNorm(3).train()
    for batch in batches:
        output = norm(batch)
    by_batch = [torch.var_mean(batch, dim=(0, 2, 3)) for batch in batches]
    var, mean = (
        torch.stack(values).mean(dim=0) for values in zip(*by_batch, strict=True)
    )
    expected = (batches[-1] - mean[:, None, None]) / var[:, None, None].sqrt()
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
    # Evaluation neither follows nor answers otherwise.
    torch.testing.assert_close(norm.eval()(batches[-1]), output, rtol=0, atol=0)
    assert not torch.allclose(norm(batches[0]), norm(batches[1]))


def test_running_norm_learns_its_scale_but_not_the_statistics() -> None:
    input = noise(2, 3, 9, 8).requires_grad_()
    norm = RunningNorm(3).train()
    norm(input).square().sum().backward()
    assert all(weight.grad is not None for weight in norm.parameters())
    deviation = norm.statistics.running_var.sqrt()[:, None, None]
    torch.testing.assert_close(
        input.grad, 2 * norm(input).detach() / deviation, rtol=1e-3, atol=1e-3
    )


def test_running_norm_answers_alike_while_processes_share_its_statistics() -> None:
    norm = RunningNorm(3).train()
    norm(noise(2, 3, 9, 8))
    expected = norm.eval()(noise(1, 3, 4, 4))
    norm.statistics.__class__ = nn.SyncBatchNorm  # as several GPUs have it
    torch.testing.assert_close(norm(noise(1, 3, 4, 4)), expected, rtol=0, atol=0)


def test_brightness_that_a_batch_has_in_common_is_learned() -> None:
    dark, bright = (np.full((24, 24), value) for value in (0.2, 0.6))
    images = [image + 0.05 * noise(24, 24).numpy() for image in (dark, bright)]
    masks = [np.zeros((24, 24), int), np.ones((24, 24), int)]
    segmenter = FCNSegmenter(
        network="filter_bank",
        batch_size=1,
        max_epochs=20,
        learning_rate=0.01,
        dropout=0.0,
        random_state=0,
    )
    assert segmenter.fit(images, masks).score(images, masks) > 0.99


def test_another_pass_before_the_gradients_does_not_change_them() -> None:
    gradients = []
    for n_passes in (1, 2):
        norm = RunningNorm(3).train()
        output = norm(noise(2, 3, 5, 5))
        for seed in range(1, n_passes):
            norm(noise(2, 3, 5, 5, seed=seed))
        output.square().sum().backward()
        gradients.append(norm.statistics.weight.grad)
    assert torch.equal(*gradients)
