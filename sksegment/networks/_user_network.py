"""The user's own network, adapted so that it takes images of any size."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._inputs.checks import accepts_arguments
from sksegment._torch.tensors import pad_to_multiple
from sksegment.networks._receptive_field import run_network


class Resized(nn.Module):
    """The user's own network, adapted to take any size and to return scores of it.

    Images are padded to a multiple of `stride` pixels, and scores of a lower resolution
    are upsampled, as FCN does itself.

    Parameters
    ----------
    network : nn.Module
        Maps (n, n_channels, height, width) to (n, n_classes, height', width').
    stride : int, default=32
        Height and width are padded to a multiple of it: 32 suits the usual encoders.
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


def user_network(
    network: Callable[[int, int], nn.Module], n_channels: int, n_classes: int
) -> Resized:
    """Return the network that the user's function makes, adapted.

    Raises
    ------
    TypeError, ValueError
        If `network` does not return a network, or returns one with other outputs.
    """
    if not accepts_arguments(network, n_channels, n_classes):
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
    # Like the images: torch makes layers in its default dtype, on its default device.
    resized = Resized(made.float().cpu())
    _check_scores(made, n_channels, n_classes, resized.stride)
    _check_state(made)
    if not any(True for _ in made.parameters()):
        raise ValueError(
            f"network({n_channels}, {n_classes}) makes a {type(made).__name__} without "
            f"weights; expected a network that can be trained."
        )
    return resized


def _check_scores(
    network: nn.Module, n_channels: int, n_classes: int, side: int
) -> None:
    """Reject a network that does not return one score per class and pixel."""
    images = torch.zeros(1, n_channels, side, side, dtype=torch.float32)
    with torch.no_grad():
        scores = run_network(images, network.eval())
    network.train()
    if not isinstance(scores, Tensor):
        raise TypeError(
            f"network({n_channels}, {n_classes}) makes a network that returned a "
            f"{type(scores).__name__}; expected a tensor of scores. If it returns "
            f"several things, wrap it in a module that returns the scores (for "
            f"torchvision's networks, those under 'out')."
        )
    if scores.ndim != 4 or scores.shape[:2] != (1, n_classes):
        raise ValueError(
            f"network({n_channels}, {n_classes}) maps (1, {n_channels}, {side}, "
            f"{side}) to {tuple(scores.shape)}; expected (1, {n_classes}, {side}, "
            f"{side}) or smaller, one score per class and pixel."
        )


def _check_state(network: nn.Module) -> None:
    """Reject state other than tensors: saving it would mean running code."""
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"network makes a network with {name!r} in its state dict, a "
                f"{type(value).__name__}; expected tensors only. Keep the state in a "
                f"buffer (register_buffer), not in get_extra_state."
            )
