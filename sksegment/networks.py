"""Fully-convolutional networks: images in, one score a class and pixel out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._checks import check_choice, check_integer, check_number
from sksegment._probing import answer_to
from sksegment._tensors import pad_to_multiple
from sksegment._vgg import FCN8s, FCN16s, FCN32s

__all__ = ["FCN", "FCN8s", "FCN16s", "FCN32s"]

# Where pickle looks them up, and where they are documented.
FCN32s.__module__ = FCN16s.__module__ = FCN8s.__module__ = __name__

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


def receptive_radius(depth: int) -> int:
    """Return how far from a pixel, in pixels, the input can still change its scores.

    An interval of output pixels is followed backwards through the network: a 3x3
    convolution widens it by one on each side, 2x2 pooling doubles it and upsampling
    halves it. The result is the largest reach over all positions on the stride grid.
    """
    return max(_reach(position, depth) for position in range(2**depth))


def _reach(position: int, depth: int) -> int:
    low = high = position
    for stage in range(depth):
        low = (low - stage_length(stage)) // 2
        high = (high + stage_length(stage)) // 2
    low, high = low - stage_length(depth), high + stage_length(depth)
    for stage in reversed(range(depth)):
        low = 2 * low - stage_length(stage)
        high = 2 * high + 1 + stage_length(stage)
    return max(position - low, high - position)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value a channel.

    One image of 1x1 pixels has no variance to divide by; torch raises there. The
    running statistics are used instead, as in evaluation.
    """

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
SKIPS = (None, "concat", "add")


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

    def forward(self, input: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return the convolved image, twice as high and wide as `input`."""
        folded = fold_upsampling(self.weight[:, : self.in_channels])
        output = F.conv_transpose2d(input, folded, self.bias, stride=2, padding=1)
        if skip is None:
            return output
        # In place: at full resolution one copy more is felt.
        return output.add_(
            F.conv2d(skip, self.weight[:, self.in_channels :], padding=1)
        )


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
        super().__init__(convolution, *_norm_and_relu(out_channels, norm))


class UpStage(nn.Module):
    """One step of the decoder: upsample, join the skip connection, convolve."""

    def __init__(
        self,
        stage: int,
        in_channels: int,
        width: int,
        skip: str | None,
        norm: str | None,
    ) -> None:
        super().__init__()
        out_channels = stage_width(stage, width)
        self.skip = skip
        skip_channels = out_channels if skip == "concat" else 0
        self.up = UpConv(in_channels, skip_channels, out_channels)
        self.activation = nn.Sequential(*_norm_and_relu(out_channels, norm))
        self.convolutions = nn.Sequential(
            *(
                ConvBlock(out_channels, out_channels, norm)
                for _ in range(stage_length(stage) - 1)
            )
        )

    def forward(self, input: Tensor, encoded: Tensor) -> Tensor:
        """Return the image of this stage from the one below and the encoder's."""
        output = self.up(input, encoded if self.skip == "concat" else None)
        output = self.activation(output)
        if self.skip == "add":
            output = output + encoded
        output = self.convolutions(output)
        return output


class FCN(nn.Module):
    """VGG-like encoder, upsampling decoder and a 1x1 convolution to the classes.

    Stage ``k`` has ``width * 2**k`` channels (at most ``8 * width``) in 3x3
    same-padding convolutions with ReLU: two in the first two stages, three after. The
    encoder pools by two after each of its `depth` stages, one more stage with dropout
    follows, and the decoder mirrors the encoder with nearest upsampling. With
    ``skip=None`` and ``norm=None`` these are the first blocks of VGG16 [1]_ and a plain
    decoder.

    Images of any size from 1x1 are taken: they are padded to a multiple of the stride
    by repeating the border, and the scores are cropped again.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    depth : int, default=3
        Number of poolings; the stride is ``2**depth`` pixels.
    width : int, default=64
        Channels of the first stage.
    skip : {None, "concat", "add"}, default=None
        How the image of an encoder stage joins the decoder stage of the same size:
        not at all, beside it as in U-Net [2]_, or added to it.
    norm : {None, "batch", "group"}, default=None
        Normalisation between each 3x3 convolution and its ReLU. Group normalisation
        looks at the whole image: such a network has no finite receptive field.
    dropout : float, default=0.5
        Probability of dropping a value after the deepest stage.

    Attributes
    ----------
    stride : int
        The grid, in pixels, on which the network sees all positions alike.
    margin : int or None
        Radius of the receptive field in pixels; None if it is the whole image.

    Raises
    ------
    TypeError, ValueError
        If a size is no integer from 1 on, or `skip` or `norm` is none of those above.

    References
    ----------
    .. [1] K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for
       Large-Scale Image Recognition", ICLR 2015.
    .. [2] O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for
       Biomedical Image Segmentation", MICCAI 2015.

    Examples
    --------
    >>> import torch
    >>> from sksegment.networks import FCN
    >>> network = FCN(n_channels=3, n_classes=4, depth=2, width=8)
    >>> network(torch.zeros(1, 3, 50, 37)).shape
    torch.Size([1, 4, 50, 37])
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        depth: int = 3,
        width: int = 64,
        skip: str | None = None,
        norm: str | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_integer("n_channels", n_channels, 1)
        check_integer("n_classes", n_classes, 1)
        check_integer("depth", depth, 1)
        check_integer("width", width, 1)
        check_choice("skip", skip, SKIPS)
        check_choice("norm", norm, NORMS)
        check_number("dropout", dropout, 0, 1)
        self.stride = 2**depth
        self.margin = None if norm == "group" else receptive_radius(depth)
        # Registered in the order in which data passes them: so reads the state dict.
        self.encoder = nn.ModuleList(_encoder(n_channels, depth, width, norm))
        bottleneck = _stage(depth, stage_width(depth - 1, width), width, norm)
        self.bottleneck = nn.Sequential(*bottleneck, nn.Dropout(dropout))
        self.decoder = nn.ModuleList(_decoder(depth, width, skip, norm))
        self.classifier = nn.Conv2d(width, n_classes, 1)
        self.apply(initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores (logits) of a batch of images.

        Parameters
        ----------
        images : Tensor of shape (n, n_channels, height, width)
            The images, standardised.

        Returns
        -------
        Tensor of shape (n, n_classes, height, width)
            One score a class and pixel, before softmax.
        """
        height, width = images.shape[-2:]
        output = pad_to_multiple(images, self.stride)
        encoded = []
        for stage in self.encoder:
            output = stage(output)
            encoded.append(output)
            output = F.max_pool2d(output, 2)
        output = self.bottleneck(output)
        for stage in self.decoder:
            output = stage(output, encoded.pop())
        scores: Tensor = self.classifier(output)
        return scores[..., :height, :width]


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


def make_network(
    network: str | Callable[[int, int], nn.Module],
    n_channels: int,
    n_classes: int,
    **options: Any,
) -> nn.Module:
    """Return a network for images of `n_channels` and masks of `n_classes`.

    Parameters
    ----------
    network : str or callable
        A key of `NETWORKS`, or a function of channels and classes.
    n_channels, n_classes : int
        Channels of the images and number of classes.
    **options : dict
        Options of a named network.

    Returns
    -------
    nn.Module
        In float32, with attributes `stride` and `margin`, taking images of any size.

    Raises
    ------
    TypeError, ValueError
        If a callable returns no network, or one with other outputs.
    """
    # float32, as the images are: torch makes layers in its global default dtype.
    if isinstance(network, str):
        return NETWORKS[network](n_channels, n_classes, **options).float()
    made = network(n_channels, n_classes)
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"network({n_channels}, {n_classes}) returned {made!r}; expected a "
            f"torch.nn.Module."
        )
    resized = Resized(made.float())
    _check_scores(made, n_channels, n_classes, resized.stride)
    _check_state(made)
    return resized


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
            f"{type(scores).__name__}; expected a tensor of scores."
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


def initialize(module: nn.Module) -> None:
    """Draw the weights of one layer after He et al. (2015), biases zero.

    torch's own default trains plain networks of this kind far more slowly.
    """
    if isinstance(module, (nn.Conv2d, UpConv)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _encoder(
    n_channels: int, depth: int, width: int, norm: str | None
) -> list[nn.Sequential]:
    widths = [n_channels, *(stage_width(stage, width) for stage in range(depth))]
    return [
        nn.Sequential(*_stage(stage, widths[stage], width, norm))
        for stage in range(depth)
    ]


def _stage(
    stage: int, in_channels: int, width: int, norm: str | None
) -> list[ConvBlock]:
    out_channels = stage_width(stage, width)
    channels = [in_channels] + [out_channels] * stage_length(stage)
    return [
        ConvBlock(before, after, norm) for before, after in itertools.pairwise(channels)
    ]


def _decoder(
    depth: int, width: int, skip: str | None, norm: str | None
) -> list[UpStage]:
    return [
        UpStage(stage, stage_width(stage + 1, width), width, skip, norm)
        for stage in reversed(range(depth))
    ]


def _norm_and_relu(n_channels: int, norm: str | None) -> list[nn.Module]:
    make_norm = NORMS[norm]
    if make_norm is None:
        return [nn.ReLU(inplace=True)]
    return [make_norm(n_channels), nn.ReLU(inplace=True)]


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "fcn": FCN,
    "fcn32s": FCN32s,
    "fcn16s": FCN16s,
    "fcn8s": FCN8s,
}
