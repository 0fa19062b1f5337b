"""A U-Net as a user writes it: what predicts with our defaults, layer by layer.

Nothing of sksegment is in it: it is the other side of the comparison.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.plain_torch import DEEPEST, STAGES


def convolutions(channels: int, out_channels: int, length: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(length):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        ]
        channels = out_channels
    return nn.Sequential(*layers)


class PlainUNet(nn.Module):
    """VGG blocks down, nearest upsampling up, skips concatenated, batch norm."""

    def __init__(self, n_channels: int, n_classes: int, width: int) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        channels = n_channels
        for length, factor in STAGES:
            self.down.append(convolutions(channels, width * factor, length))
            channels = width * factor
        length, factor = DEEPEST
        self.bottom = convolutions(channels, width * factor, length)
        channels = width * factor
        self.up = nn.ModuleList()
        for length, factor in reversed(STAGES):
            joined = channels + width * factor
            self.up.append(convolutions(joined, width * factor, length))
            channels = width * factor
        self.classifier = nn.Conv2d(channels, n_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        output, encoded = images, []
        for stage in self.down:
            output = stage(output)
            encoded.append(output)
            output = F.max_pool2d(output, 2)
        output = self.bottom(output)
        for stage in self.up:
            output = F.interpolate(output, scale_factor=2)
            output = stage(torch.cat([output, encoded.pop()], dim=1))
        scores: Tensor = self.classifier(output)
        return scores


def unet_copy(network: nn.Module, n_channels: int, width: int) -> PlainUNet:
    """Return the U-Net with the weights and statistics of one of sksegment."""
    tensors = list(network.state_dict().values())
    copy = PlainUNet(n_channels, tensors[-1].shape[0], width)
    names = copy.state_dict().keys()
    copy.load_state_dict(dict(zip(names, tensors, strict=True)))
    return copy
