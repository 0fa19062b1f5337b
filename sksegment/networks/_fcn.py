"""FCN: a VGG-like encoder and an upsampling decoder."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._inputs.checks import check_choice, check_integer, check_number
from sksegment._torch.tensors import pad_to_multiple
from sksegment.networks._layers import (
    NORMS,
    SKIPS,
    ConvBlock,
    UpStage,
    initialize,
    stage_length,
    stage_width,
)


def receptive_radius(depth: int) -> int:
    """Return how far from a pixel, in pixels, the input can still change its scores.

    An interval of output pixels is traced backwards through the network: a 3x3
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


class FCN(nn.Module):
    """VGG-like encoder, upsampling decoder and a 1x1 convolution to the classes.

    Stage ``k`` has ``width * 2**k`` channels (at most ``8 * width``) in 3x3
    same-padding convolutions with ReLU: two in each of the first two stages, three in
    each later one. The encoder pools by two after each of its `depth` stages, one more
    stage with dropout follows, and the decoder mirrors the encoder with nearest
    upsampling. With ``skip=None`` and ``norm=None`` these are the first blocks of VGG16
    [1]_ and a plain decoder.

    Images of any size from 1x1 are accepted: they are padded to a multiple of the
    stride by repeating the border, and the scores are cropped to match.

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
        How the output of an encoder stage joins the decoder stage of the same size: not
        at all, concatenated as in U-Net [2]_, or added.
    norm : {None, "batch", "group"}, default=None
        Normalisation between each 3x3 convolution and its ReLU. Group normalisation
        uses the whole image: such a network has no finite receptive field.
    dropout : float, default=0.5
        Probability of dropping a value after the deepest stage.

    Attributes
    ----------
    stride : int
        Spacing, in pixels, of the grid on which the network treats all positions alike.
    margin : int or None
        Radius of the receptive field in pixels; None if it is the whole image.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1, or `skip` or `norm` is not one of the
        values above.

    See Also
    --------
    FilterBankFCN : A small one that begins with fixed filters.
    FCN8s : The network of the paper.
    sksegment.FCNSegmenter : Trains it.

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

    # What belongs to the classes of a task, and where the layers of VGG16 are.
    class_layers = ("classifier",)
    vgg16_parts = ("encoder", "bottleneck")

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
        # Registered in the order in which data passes them, for a readable state dict.
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
            One score per class and pixel, before softmax.
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
