"""A lone image against the same image in a batch, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sksegment._prediction.lone_image import LONE_VALUES, ConvolvedAsInBatch
from sksegment.networks import FCN

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = {
    "1x1": nn.Conv2d(6, 5, 1),
    "3x3": nn.Conv2d(6, 5, 3, padding=1),
    "3x3, same": nn.Conv2d(6, 5, 3, padding="same"),
    "5x5": nn.Conv2d(6, 5, 5),
    "stride 2": nn.Conv2d(6, 5, 3, stride=2),
    "dilated": nn.Conv2d(6, 5, 3, dilation=2),
    "depthwise": nn.Conv2d(6, 6, 3, groups=6),
    "transposed 2x2": nn.ConvTranspose2d(6, 5, 2, stride=2),
    "transposed 4x4": nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1),
}
NETWORKS = {
    "group norm": lambda: FCN(6, 3, 3, 16, "concat", "group"),
    "plain": lambda: FCN(6, 3, 2, 4),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("size", [(5, 9), (31, 20), (60, 57), (80, 90)])
@torch.inference_mode()
def test_a_layer_gives_a_lone_image_the_bits_of_a_batch(layer, size):
    # The first of two: at other places, and in larger batches, the kernels of some
    # processors round otherwise.
    images = torch.randn((2, *size, 6)).permute(0, 3, 1, 2)
    expected = layer(images)[:1]
    with ConvolvedAsInBatch():
        assert torch.equal(layer(images[:1]), expected)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@torch.inference_mode()
def test_a_network_gives_a_lone_image_the_bits_of_a_batch(make):
    network = make().eval()
    for size in np.random.default_rng(0).integers(1, 80, (5, 2)):
        images = torch.randn((2, *size, 6)).permute(0, 3, 1, 2)
        expected = network(images)[:1]
        with ConvolvedAsInBatch():
            assert torch.equal(network(images[:1]), expected)


def test_only_small_inputs_are_convolved_twice():
    kernel = torch.ones(1, 1, 1, 1)
    lengths = []

    class Recorder(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is torch.conv2d:
                lengths.append(len(args[0]))
            return func(*args, **(kwargs or {}))

    with Recorder(), ConvolvedAsInBatch():
        F.conv2d(torch.ones(1, 1, 1, LONE_VALUES), kernel)
        F.conv2d(torch.ones(1, 1, 1, LONE_VALUES + 1), kernel)
        F.conv2d(torch.ones(2, 1, 1, 1), kernel)
    assert lengths == [2, 1, 2]


def test_arguments_may_be_named():
    image, kernel = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)
    with ConvolvedAsInBatch():
        found = F.conv2d(input=image, weight=kernel, padding=1)
    torch.testing.assert_close(found, F.conv2d(image, kernel, padding=1))
