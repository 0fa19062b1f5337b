"""The layers of `FCN`: convolutions, upsampling, and what normalises them.

In evaluation batch normalisation multiplies and shifts each channel by fixed numbers.
The convolution before it does both for nothing: its weight and bias are changed on the
way, and one pass over the largest images of the network is saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS_PER_GROUP = 16


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value a channel.

    One image of 1x1 pixels has no variance to divide by; torch raises there. The
    running statistics are used instead, as in evaluation.
    """

    running_mean: Tensor  # torch allows None, for a kind that is not used here
    running_var: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` of shape (n, channels, height, width)."""
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias
            )
        return super().forward(input)


class GroupNorm(nn.GroupNorm):
    """Group normalisation in groups of about 16 channels, for any channel count."""

    def __init__(self, n_channels: int) -> None:
        n_groups = math.gcd(n_channels, max(1, n_channels // CHANNELS_PER_GROUP))
        super().__init__(n_groups, n_channels)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` of shape (n, channels, height, width)."""
        # torch.group_norm, not F.group_norm, which refuses a single value a group.
        return torch.group_norm(
            input, self.num_groups, self.weight, self.bias, self.eps
        )


NORMS: dict[str | None, Callable[[int], nn.Module] | None] = {
    None: None,
    "batch": BatchNorm,
    "group": GroupNorm,
}


def frozen_norm(layers: nn.Sequential) -> BatchNorm | None:
    """Return the batch normalisation among layers unless it still looks at batches."""
    for layer in layers:
        if isinstance(layer, BatchNorm) and not layer.training:
            return layer
    return None


def fold_norm(weight: Tensor, bias: Tensor, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Multiply a frozen batch normalisation into the convolution before it.

    Parameters
    ----------
    weight : Tensor of shape (out_channels, in_channels, height, width)
        Kernel of the convolution.
    bias : Tensor of shape (out_channels,)
        Its bias.
    norm : BatchNorm
        What its output is normalised by.

    Returns
    -------
    weight, bias : Tensor
        Those of the convolution that gives the normalised output.
    """
    factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shifted = (bias - norm.running_mean) * factor + norm.bias
    return weight * factor[:, None, None, None], shifted


class UpConv(nn.Module):
    """Nearest upsampling by two and a 3x3 convolution, as one transposed convolution.

    A pixel of the upsampled image repeats its parent, so the nine weights fall on four
    parents and can be summed beforehand: a 4x4 transposed convolution of stride 2 over
    the small image gives the same numbers for 16/36 of the multiplications. A skip
    connection that is concatenated to the upsampled image meets its own slice of the
    same 3x3 weight in an ordinary convolution.

    Parameters
    ----------
    in_channels : int
        Channels of the image that is upsampled.
    skip_channels : int
        Channels of the image that is concatenated to it, 0 for none.
    out_channels : int
        Channels of the result.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels + skip_channels, 3, 3)
        )
        self.bias = nn.Parameter(torch.empty(out_channels))

    def forward(
        self, input: Tensor, skip: Tensor | None = None, norm: BatchNorm | None = None
    ) -> Tensor:
        """Return the convolved image, twice as high and wide as `input`.

        With `norm`, a frozen one, it is normalised as well.
        """
        weight, bias = self._normalised_by(norm)
        folded = fold_upsampling(weight[:, : self.in_channels])
        output = F.conv_transpose2d(input, folded, bias, stride=2, padding=1)
        if skip is None:
            return output
        # In place: at full resolution one copy more is felt.
        return output.add_(F.conv2d(skip, weight[:, self.in_channels :], padding=1))

    def _normalised_by(self, norm: BatchNorm | None) -> tuple[Tensor, Tensor]:
        if norm is None:
            return self.weight, self.bias
        return fold_norm(self.weight, self.bias, norm)


def fold_upsampling(weight: Tensor) -> Tensor:
    """Sum a 3x3 kernel onto the 4x4 kernel of the equal transposed convolution.

    Parameters
    ----------
    weight : Tensor of shape (out_channels, in_channels, 3, 3)
        Kernel of the convolution that follows nearest upsampling by two.

    Returns
    -------
    Tensor of shape (in_channels, out_channels, 4, 4)
        Kernel for a transposed convolution with stride 2 and padding 1.
    """
    # Transposed convolution scatters: the kernel is mirrored, and each of the two
    # children of a parent pixel adds its own shifted copy.
    mirrored = weight.flip(2, 3).transpose(0, 1)
    rows = F.pad(mirrored, (0, 0, 0, 1)) + F.pad(mirrored, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


class ConvBlock(nn.Sequential):
    """A 3x3 same-padding convolution, the norm if there is one, and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm: str | None) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        super().__init__(convolution, *norm_and_relu(out_channels, norm))

    def forward(self, input: Tensor) -> Tensor:
        """Return what becomes of `input` of shape (n, in_channels, height, width)."""
        norm = frozen_norm(self)
        if norm is None:
            for layer in self:
                input = layer(input)
            return input
        kernel, shift = self[0].parameters()
        weight, bias = fold_norm(kernel, shift, norm)
        output: Tensor = self[-1](F.conv2d(input, weight, bias, padding=1))
        return output


def norm_and_relu(n_channels: int, norm: str | None) -> list[nn.Module]:
    """Return the layers that follow a convolution with `n_channels` outputs."""
    make_norm = NORMS[norm]
    if make_norm is None:
        return [nn.ReLU(inplace=True)]
    return [make_norm(n_channels), nn.ReLU(inplace=True)]
