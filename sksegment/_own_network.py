"""A network of the user's own, made to fit: it takes images of any size."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._checks import takes
from sksegment._layers import BatchNorm
from sksegment._probing import answer_to
from sksegment._tensors import pad_to_multiple


class Resized(nn.Module):
    """A network of the user's own, made to take any size and to answer at that size.

    Images are padded to a multiple of `stride` pixels, and scores of a lower resolution
    are upsampled, as FCN does itself.

    Parameters
    ----------
    network : nn.Module
        Maps (n, n_channels, height, width) to (n, n_classes, height', width').
    stride : int, default=32
        What height and width are padded to: 32 suits the usual encoders.
    """

    def __init__(self, network: nn.Module, stride: int = 32) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.margin: int | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores of a batch of images, at their size."""
        height, width = images.shape[-2:]
        padded = pad_to_multiple(images, self.stride)
        scores = self.network(padded)
        if not isinstance(scores, Tensor):
            raise TypeError(
                f"network makes a network that returned a {type(scores).__name__} in "
                f"{'training' if self.training else 'evaluation'}; expected a tensor "
                f"of scores, in training as in evaluation."
            )
        if scores.shape[-2:] != padded.shape[-2:]:
            scores = F.interpolate(scores, padded.shape[-2:], mode="bilinear")
        cropped: Tensor = scores[..., :height, :width]
        return cropped


def own_network(
    network: Callable[[int, int], nn.Module], n_channels: int, n_classes: int
) -> Resized:
    """Return the network that a function of the user makes, made to fit.

    Raises
    ------
    TypeError, ValueError
        If `network` returns no network, or one with other outputs.
    """
    if not takes(network, n_channels, n_classes):
        raise TypeError(
            f"network is {network!r}; expected a function that is called as "
            f"(n_channels, n_classes) and makes a torch.nn.Module."
        )
    made = network(n_channels, n_classes)
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"network({n_channels}, {n_classes}) returned {made!r}; expected a "
            f"torch.nn.Module."
        )
    for module in made.modules():
        _take_single_values(module)
    # As the images are: torch makes layers in its default dtype, on its default device.
    resized = Resized(made.float().cpu())
    _check_scores(made, n_channels, n_classes, resized.stride)
    _check_state(made)
    if not any(True for _ in made.parameters()):
        raise ValueError(
            f"network({n_channels}, {n_classes}) makes a {type(made).__name__} without "
            f"weights; expected a network that can be trained."
        )
    return resized


def _take_single_values(module: nn.Module) -> None:
    """Let batch normalisation take one value a channel, as that of `FCN` does.

    Alone in its batch, an image has one behind pooling over all of it. torch refuses it
    in training.
    """
    if type(module) is nn.BatchNorm2d and module.track_running_stats:
        module.__class__ = BatchNorm


def _check_scores(
    network: nn.Module, n_channels: int, n_classes: int, side: int
) -> None:
    """Refuse a network that does not answer with one score a class and pixel."""
    images = torch.zeros(1, n_channels, side, side, dtype=torch.float32)
    with torch.no_grad():
        scores = answer_to(images, network.eval())
    network.train()
    if not isinstance(scores, Tensor):
        raise TypeError(
            f"The network of network({n_channels}, {n_classes}) returned a "
            f"{type(scores).__name__}; expected a tensor of scores. Of a network that "
            f"returns several things, let a module around it return the scores (of "
            f"torchvision's, those under 'out')."
        )
    if scores.ndim != 4 or scores.shape[:2] != (1, n_classes):
        raise ValueError(
            f"network({n_channels}, {n_classes}) maps (1, {n_channels}, {side}, "
            f"{side}) to {tuple(scores.shape)}; expected (1, {n_classes}, {side}, "
            f"{side}) or smaller, one score a class and pixel."
        )


def _check_state(network: nn.Module) -> None:
    """Refuse state that is no tensor: it could not be saved without running code."""
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"network makes a network with {name!r} in its state dict, a "
                f"{type(value).__name__}; expected tensors only. Keep the state in a "
                f"buffer (register_buffer), not in get_extra_state."
            )
