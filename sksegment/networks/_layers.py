"""The layers of FCN, and how their weights are drawn before training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# VGG16: two convolutions in each of the first two stages, three in the others.
SHALLOW_STAGES = 2
# A stage doubles the width of the one above, up to 8 times the first (64 to 512).
MAX_WIDENING = 8
CHANNELS_PER_GROUP = 16


def stage_width(stage: int, width: int) -> int:
    """Return the channels of stage `stage`, counted from 0 at full resolution."""
    return int(width * min(2**stage, MAX_WIDENING))


def stage_length(stage: int) -> int:
    """Return the number of convolutions of stage `stage`."""
    return 2 if stage < SHALLOW_STAGES else 3


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value per channel.

    One image of 1x1 pixels has no variance to divide by; torch raises there. The
    running statistics are used instead, as in evaluation.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` of shape (n, channels, height, width)."""
        if self.training and input.numel() == input.shape[1]:
            return by_running_statistics(self, input)
        return super().forward(input)


def by_running_statistics(norm: _BatchNorm, input: Tensor) -> Tensor:
    """Normalise as batch normalisation does in evaluation."""
    mean, var = norm.running_mean, norm.running_var
    if norm.training and mean is not None and var is not None:
        # The next pass changes them, before the gradients of this one are asked for.
        mean, var = mean.clone(), var.clone()
    return F.batch_norm(
        input,
        mean,
        var,
        norm.weight,
        norm.bias,
        eps=norm.eps,
    )


class GroupNorm(nn.GroupNorm):
    """Group normalisation in groups of about 16 channels, for any channel count."""

    def __init__(self, n_channels: int) -> None:
        n_groups = math.gcd(n_channels, max(1, n_channels // CHANNELS_PER_GROUP))
        super().__init__(n_groups, n_channels)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` of shape (n, channels, height, width)."""
        # torch.group_norm, not F.group_norm, which rejects a single value per group.
        return torch.group_norm(
            input, self.num_groups, self.weight, self.bias, self.eps
        )


NORMS: dict[str | None, Callable[[int], nn.Module] | None] = {
    None: None,
    "batch": BatchNorm,
    "group": GroupNorm,
}
SKIPS = (None, "concat", "add")


class UpConv(nn.Module):
    """Nearest upsampling by two and a 3x3 convolution, as one transposed convolution.

    A pixel of the upsampled image repeats its parent, so the nine weights fall on four
    parents and can be summed beforehand: a 4x4 transposed convolution of stride 2 over
    the small image gives the same numbers with 16/36 of the multiplications. A skip
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

    def forward(self, input: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return the convolved image, twice as high and wide as `input`."""
        folded = fold_upsampling(self.weight[:, : self.in_channels])
        output = F.conv_transpose2d(input, folded, self.bias, stride=2, padding=1)
        if skip is None:
            return output
        # In place: at full resolution, one more copy takes noticeable time.
        return output.add_(
            F.conv2d(skip, self.weight[:, self.in_channels :], padding=1)
        )


def fold_upsampling(weight: Tensor) -> Tensor:
    """Sum a 3x3 kernel onto the 4x4 kernel of the equivalent transposed convolution.

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
        super().__init__(convolution, *_norm_and_relu(out_channels, norm))


class UpStage(nn.Module):
    """One step of the decoder: upsample, join the skip connection, convolve.

    `skip_channels` are those of the encoder's image; by default, as many as the stage
    has.
    """

    def __init__(
        self,
        stage: int,
        in_channels: int,
        width: int,
        skip: str | None,
        norm: str | None,
        skip_channels: int | None = None,
    ) -> None:
        super().__init__()
        out_channels = stage_width(stage, width)
        joined = out_channels if skip_channels is None else skip_channels
        self.skip = skip
        self.up = UpConv(in_channels, joined if skip == "concat" else 0, out_channels)
        self.projection: nn.Module = nn.Identity()
        if skip == "add" and joined != out_channels:
            self.projection = nn.Conv2d(joined, out_channels, 1)
        self.activation = nn.Sequential(*_norm_and_relu(out_channels, norm))
        self.convolutions = nn.Sequential(
            *(
                ConvBlock(out_channels, out_channels, norm)
                for _ in range(stage_length(stage) - 1)
            )
        )

    def forward(self, input: Tensor, encoded: Tensor | None) -> Tensor:
        """Return the image of this stage from the one below and the encoder's."""
        output = self.up(input, encoded if self.skip == "concat" else None)
        output = self.activation(output)
        if self.skip == "add":
            output = output + self.projection(encoded)
        output = self.convolutions(output)
        return output


def initialize(module: nn.Module) -> None:
    """Draw the weights of one layer after He et al. (2015), biases zero.

    With torch's own default, plain networks of this kind train far more slowly.
    """
    if isinstance(module, (nn.Conv2d, UpConv)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _norm_and_relu(n_channels: int, norm: str | None) -> list[nn.Module]:
    make_norm = NORMS[norm]
    if make_norm is None:
        return [nn.ReLU(inplace=True)]
    return [make_norm(n_channels), nn.ReLU(inplace=True)]
