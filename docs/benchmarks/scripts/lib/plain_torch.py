"""The network of the tutorials as a user writes it, and the loop that trains it.

Nothing of sksegment is in it: it is the other side of the comparison.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

BATCH_SIZE = 8
LEARNING_RATE = 1e-3
# Convolutions of the stages of VGG16, and their widths in units of the first.
STAGES = ((2, 1), (2, 2), (3, 4))
DEEPEST = (3, 8)


def plain_network(n_channels: int, n_classes: int, width: int) -> nn.Sequential:
    """VGG blocks down, nearest upsampling up, one convolution to the classes."""
    layers: list[nn.Module] = []
    channels = n_channels
    for length, factor in STAGES:
        layers += [*_convolutions(channels, width * factor, length), nn.MaxPool2d(2)]
        channels = width * factor
    length, factor = DEEPEST
    layers += [*_convolutions(channels, width * factor, length), nn.Dropout(0.5)]
    channels = width * factor
    for length, factor in reversed(STAGES):
        layers += [nn.Upsample(scale_factor=2)]
        layers += _convolutions(channels, width * factor, length)
        channels = width * factor
    return nn.Sequential(*layers, nn.Conv2d(channels, n_classes, 1))


def _convolutions(channels: int, out_channels: int, length: int) -> list[nn.Module]:
    widths = [channels] + [out_channels] * length
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return layers


def plain_copy(network: nn.Module, n_channels: int, width: int) -> nn.Sequential:
    """Return the plain network with the weights of one of sksegment.

    Both list their layers in the order in which data passes them.
    """
    weights = network.state_dict().values()
    n_classes = next(reversed(weights)).shape[0]
    copy = plain_network(n_channels, n_classes, width)
    with torch.no_grad():
        for mine, yours in zip(copy.parameters(), weights, strict=True):
            mine.copy_(yours)
    return copy


def as_tensors(X: NDArray[np.uint8], y: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return standardised images in NCHW and masks, as a training loop takes them."""
    return standardize(X, *scale_of(X)), torch.from_numpy(y.astype(np.int64))


def scale_of(X: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    mean, std = X.mean(axis=(0, 1, 2)), X.std(axis=(0, 1, 2))
    return torch.tensor(mean).float(), torch.tensor(std).float()


def standardize(X: NDArray[np.uint8], mean: Tensor, std: Tensor) -> Tensor:
    images = (torch.from_numpy(X).float() - mean) / std
    return images.permute(0, 3, 1, 2).contiguous()


def naive_epoch(
    network: nn.Module, images: Tensor, masks: Tensor
) -> Callable[[], None]:
    """Return what trains for an epoch as tutorials do: float32, NCHW, DataLoader."""
    loader = DataLoader(TensorDataset(images, masks), BATCH_SIZE, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    device = next(network.parameters()).device

    def epoch() -> None:
        network.train()
        total = 0.0
        for batch, codes in loader:
            optimizer.zero_grad()
            scores = network(batch.to(device))
            loss = F.cross_entropy(scores, codes.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def tuned_epoch(
    network: nn.Module,
    images: Tensor,
    masks: Tensor,
    precision: torch.dtype,
) -> Callable[[], None]:
    """Return what trains for an epoch with nothing but arithmetic.

    Channels last, autocast, and batches that are slices of tensors on the device.
    """
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    enabled = precision is not torch.float32

    def epoch() -> None:
        network.train()
        for batch, codes in batches(images, masks):
            optimizer.zero_grad()
            with torch.autocast(batch.device.type, precision, enabled=enabled):
                scores = network(batch)
            F.cross_entropy(scores.float(), codes).backward()
            optimizer.step()
        if images.is_cuda:
            torch.cuda.synchronize()

    return epoch


def batches(images: Tensor, masks: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(images), device=images.device)
    for chosen in order.split(BATCH_SIZE):
        batch = images[chosen].contiguous(memory_format=torch.channels_last)
        yield batch, masks[chosen]


def naive_labels(
    network: nn.Module, X: NDArray[np.uint8], mean: Tensor, std: Tensor
) -> NDArray[np.uint8]:
    """Predict as tutorials do: eager, float32, NCHW, a batch at a time."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts: Iterable[Tensor] = [
            network(standardize(part, mean, std).to(device)).argmax(1).cpu()
            for part in np.split(X, range(BATCH_SIZE, len(X), BATCH_SIZE))
        ]
    return torch.cat(list(parts)).numpy().astype(np.uint8)
