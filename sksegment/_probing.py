"""The receptive field of a network that says nothing about its own: measured."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Where the field ends is not known: the probe grows until it has room, up to a side at
# which a forward and a backward pass still take about a second.
PROBE_SIDES = (128, 256, 512, 1024)
# ReLU and pooling let the gradient pass in places only: several images show most of
# the field, and one stride is added for the rest.
N_PROBES = 4


def probed_margin(network: nn.Module, n_channels: int, stride: int) -> int | None:
    """Measure how far from a pixel, in pixels, the input changes its scores.

    The gradient of the scores of one stride-sized block reaches as far as its receptive
    field. A field that fills the whole of every probe is taken for global: pooling over
    the image, attention, or normalisation by the image's own statistics.

    Parameters
    ----------
    network : nn.Module
        Maps (n, n_channels, height, width) to scores of the same height and width.
    n_channels : int
        Channels of the images.
    stride : int
        The grid on which the network sees all positions alike.

    Returns
    -------
    int or None
        The radius; None if it is the whole image.

    Examples
    --------
    >>> from torch import nn
    >>> from sksegment._probing import probed_margin
    >>> probed_margin(nn.Conv2d(1, 2, 5, padding=2), n_channels=1, stride=1)
    3
    """
    was_training = network.training
    network.eval()
    try:
        for side in PROBE_SIDES:
            reach = _reach(network, n_channels, side // stride * stride, stride)
            if reach is not None:
                return reach + stride
        return None
    finally:
        network.train(was_training)


def _reach(network: nn.Module, n_channels: int, side: int, stride: int) -> int | None:
    """Return how far the middle block reaches; None if up to the border."""
    start = side // (2 * stride) * stride
    touched = torch.zeros(side, side, dtype=torch.bool)
    for _ in range(N_PROBES):
        touched |= _touched(network, n_channels, side, slice(start, start + stride))
    lines = torch.cat([touched.any(dim=0).nonzero(), touched.any(dim=1).nonzero()])
    if not len(lines):
        return 0
    low, high = int(lines.min()), int(lines.max())
    if low <= 0 or high >= side - 1:
        return None
    return max(start - low, high - (start + stride - 1), 0)


def _touched(network: nn.Module, n_channels: int, side: int, block: slice) -> Tensor:
    """Return which pixels change the scores of a block, for one random image."""
    images = torch.randn(1, n_channels, side, side, requires_grad=True)
    scores = network(images)[0, :, block, block]
    # Random signs: scores of different classes must not cancel each other out.
    (gradient,) = torch.autograd.grad((scores * torch.randn_like(scores)).sum(), images)
    return gradient[0].abs().amax(dim=0) > 0
