"""FCN-32s, FCN-16s and FCN-8s: VGG16 made fully convolutional."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._inputs.checks import check_integer, check_number
from sksegment.networks._layers import initialize

# Convolutions in each of the five stages of VGG16.
STAGE_LENGTHS = (2, 2, 3, 3, 3)
# What the first convolution adds on each side: the 7x7 convolution on the image that is
# 32 times smaller then has an output for images of any size.
PADDING = 100
HEAD_SIZE = 7
# The grids of the authors' networks are not centred on each other: the finer one is
# cropped by these offsets, in its own pixels. First the scores of the pooled images,
# each added to scores upsampled by 2; then the last upsampling, by its factor.
POOL_OFFSETS = {"score_pool4": 5, "score_pool3": 9}
LAST_OFFSETS = {32: 19, 16: 27, 8: 31}


def bilinear_kernel(factor: int) -> Tensor:
    """Return the kernel that upsamples by `factor` in a transposed convolution.

    Parameters
    ----------
    factor : int
        An even number.

    Returns
    -------
    Tensor of shape (1, 1, 2 * factor, 2 * factor)
        Bilinear weights; they fall off to both sides and add up to ``factor ** 2``.

    Examples
    --------
    >>> from sksegment.networks._fcn_vgg16 import bilinear_kernel
    >>> bilinear_kernel(2)[0, 0, 1]
    tensor([0.1875, 0.5625, 0.5625, 0.1875])
    """
    centre = factor - 0.5
    line = 1 - (torch.arange(2 * factor, dtype=torch.float32) - centre).abs() / factor
    return torch.outer(line, line)[None, None]


def upsample(scores: Tensor, kernel: Tensor) -> Tensor:
    """Return scores upsampled by half the side of `kernel`, each class separately."""
    n_classes = scores.shape[1]
    kernels = kernel.expand(n_classes, -1, -1, -1)
    stride = kernel.shape[-1] // 2
    return F.conv_transpose2d(scores, kernels, stride=stride, groups=n_classes)


def crop_at(scores: Tensor, offset: int, size: torch.Size) -> Tensor:
    """Return the part of size (height, width) that begins at `offset`."""
    height, width = size
    return scores[..., offset : offset + height, offset : offset + width]


def receptive_radius(factor: int) -> int:
    """Return how far from a pixel, in pixels, the input can still change its scores.

    Parameters
    ----------
    factor : int
        By how much the last upsampling enlarges: 32, 16 or 8.

    Returns
    -------
    int
        The largest reach over all positions on the grid of 32 pixels.
    """
    return max(_reach(position, factor) for position in range(2 ** len(STAGE_LENGTHS)))


def _reach(position: int, factor: int) -> int:
    """Follow one pixel backwards, along the path with the widest view."""
    low = high = position + LAST_OFFSETS[factor]
    low, high = _upsampled_from(low, high, factor)
    while factor < 2 ** len(STAGE_LENGTHS):
        low, high = _upsampled_from(low, high, 2)
        factor *= 2
    high += HEAD_SIZE - 1
    for length in reversed(STAGE_LENGTHS):
        low, high = 2 * low - length, 2 * high + 1 + length
    # The first convolution counts as one that pads by 1, and PADDING - 1 before it.
    low, high = low - (PADDING - 1), high - (PADDING - 1)
    return max(position - low, high - position)


def _upsampled_from(low: int, high: int, factor: int) -> tuple[int, int]:
    """Return the first and last score whose kernel touches one of an interval."""
    return -((2 * factor - 1 - low) // factor), high // factor


class FullyConvolutionalVGG16(nn.Module):
    """VGG16 whose classifier is a convolution, and bilinear upsampling.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    dropout : float, default=0.5
        Probability of dropping a value after each of the two wide layers.
    """

    twice: Tensor
    last: Tensor
    stride = 2 ** len(STAGE_LENGTHS)
    padding = PADDING
    # What belongs to the classes of a task, and where the layers of VGG16 are; its wide
    # layers became convolutions.
    class_layers = ("score_fr", "score_pool4", "score_pool3")
    vgg16_parts = ("encoder",)
    vgg16_wide_layers = {"fc6.0": "classifier.0", "fc7.0": "classifier.3"}  # noqa: RUF012
    stage_widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    head_width = 4096
    # Layers that score pooled images, beginning with the coarsest.
    pool_layers: tuple[str, ...] = ()

    def __init__(self, n_channels: int, n_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        check_integer("n_channels", n_channels, 1)
        check_integer("n_classes", n_classes, 1)
        check_number("dropout", dropout, 0, 1)
        factor = self.stride // 2 ** len(self.pool_layers)
        self.margin: int | None = receptive_radius(factor)
        # Registered in the order in which data passes them, as in FCN.
        self.encoder = nn.ModuleList(_encoder(n_channels, self.stage_widths))
        deepest, head = self.stage_widths[-1], self.head_width
        self.fc6 = _wide_layer(deepest, head, HEAD_SIZE, dropout)
        self.fc7 = _wide_layer(head, head, 1, dropout)
        self.score_fr = nn.Conv2d(head, n_classes, 1)
        for name, width in zip(
            self.pool_layers, reversed(self.stage_widths[:-1]), strict=False
        ):
            self.add_module(name, nn.Conv2d(width, n_classes, 1))
        # Fixed, as in the authors' code; not part of the state dict.
        self.register_buffer("twice", bilinear_kernel(2), persistent=False)
        self.register_buffer("last", bilinear_kernel(factor), persistent=False)
        self.offset = LAST_OFFSETS[factor]
        self.apply(initialize)
        self._initialize_scores()

    def _initialize_scores(self) -> None:
        """Begin with scores of zero: all classes are equally probable."""
        for name in ("score_fr", *self.pool_layers):
            nn.init.zeros_(self.get_submodule(name).get_parameter("weight"))

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
        output = images
        pooled = []
        for stage in self.encoder:
            output = F.max_pool2d(stage(output), 2, ceil_mode=True)
            pooled.append(output)
        scores = self.score_fr(self.fc7(self.fc6(pooled.pop())))
        for name in self.pool_layers:
            scores = upsample(scores, self.twice)
            finer = self.get_submodule(name)(pooled.pop())
            scores = scores + crop_at(finer, POOL_OFFSETS[name], scores.shape[-2:])
        scores = upsample(scores, self.last)
        return crop_at(scores, self.offset, images.shape[-2:])


class FCN32s(FullyConvolutionalVGG16):
    """FCN-32s of Long, Shelhamer and Darrell: VGG16, scored at stride 32.

    The network of [1]_ has the 13 convolutions and five poolings of VGG16 [2]_, its two
    wide layers as a 7x7 and a 1x1 convolution with 4096 channels, a 1x1 convolution to
    the classes, and one bilinear upsampling by 32. The first convolution pads by 100
    pixels, and the scores are cropped to the image: any size from 1x1 up is accepted.

    As in the authors' code, the upsampling is not learned, and the scores start from
    weights of zero. The other weights are drawn after He et al. [3]_; the paper starts
    them from VGG16 trained on ImageNet: ``FCNSegmenter(network="fcn32s",
    pretrained="imagenet")``.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    dropout : float, default=0.5
        Probability of dropping a value after each of the two wide layers.

    Attributes
    ----------
    stride : int
        The grid, in pixels, on which the network sees all positions alike: 32.
    margin : int
        Radius of the receptive field in pixels.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of at least 1, or `dropout` not between 0 and 1.

    See Also
    --------
    FCN16s : Adds the scores of the fourth pooling.
    FCN : A far smaller network, with a learned decoder.

    References
    ----------
    .. [1] J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for
       Semantic Segmentation", CVPR 2015.
    .. [2] K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for
       Large-Scale Image Recognition", ICLR 2015.
    .. [3] K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV
       2015.

    Examples
    --------
    >>> import torch
    >>> from sksegment.networks import FCN32s
    >>> with torch.device("meta"):  # shapes only: the weights would take 540 MB
    ...     network = FCN32s(n_channels=3, n_classes=21)
    >>> sum(parameter.numel() for parameter in network.parameters())
    134346581
    """


class FCN16s(FullyConvolutionalVGG16):
    """FCN-16s of Long, Shelhamer and Darrell: finer than FCN-32s.

    FCN-32s whose scores are upsampled by 2, added to those of the fourth pooling by a
    1x1 convolution of their own, and upsampled by 16. In the paper [1]_, it continues
    from a trained FCN-32s: ``FCNSegmenter(network="fcn16s", pretrained=fitted)``.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    dropout : float, default=0.5
        Probability of dropping a value after each of the two wide layers.

    Attributes
    ----------
    stride : int
        The grid, in pixels, on which the network sees all positions alike: 32.
    margin : int
        Radius of the receptive field in pixels.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of at least 1, or `dropout` not between 0 and 1.

    See Also
    --------
    FCN32s : The coarser network, with more about the layers.
    FCN8s : The finest network of the paper.

    References
    ----------
    .. [1] J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for
       Semantic Segmentation", CVPR 2015.

    Examples
    --------
    >>> import torch
    >>> from sksegment.networks import FCN16s
    >>> with torch.device("meta"):  # shapes only: the weights would take 540 MB
    ...     network = FCN16s(n_channels=3, n_classes=21)
    >>> sum(parameter.numel() for parameter in network.parameters())
    134357354
    """

    pool_layers = ("score_pool4",)


class FCN8s(FullyConvolutionalVGG16):
    """FCN-8s of Long, Shelhamer and Darrell: the finest network of the paper.

    FCN-16s whose sum is upsampled by 2 once more, added to the scores of the third
    pooling, and upsampled by 8. In the paper [1]_, it continues from a trained FCN-16s:
    ``FCNSegmenter(network="fcn8s", pretrained=fitted)``.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    dropout : float, default=0.5
        Probability of dropping a value after each of the two wide layers.

    Attributes
    ----------
    stride : int
        The grid, in pixels, on which the network sees all positions alike: 32.
    margin : int
        Radius of the receptive field in pixels.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of at least 1, or `dropout` not between 0 and 1.

    See Also
    --------
    FCN32s : The coarsest network, with more about the layers.

    References
    ----------
    .. [1] J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for
       Semantic Segmentation", CVPR 2015.

    Examples
    --------
    >>> import torch
    >>> from sksegment.networks import FCN8s
    >>> with torch.device("meta"):  # shapes only: the weights would take 540 MB
    ...     network = FCN8s(n_channels=3, n_classes=21)
    >>> sum(parameter.numel() for parameter in network.parameters())
    134362751
    """

    pool_layers = ("score_pool4", "score_pool3")


def _encoder(n_channels: int, widths: tuple[int, ...]) -> list[nn.Sequential]:
    inputs = (n_channels, *widths[:-1])
    paddings = (PADDING, *[1] * (len(widths) - 1))
    stages = zip(inputs, widths, STAGE_LENGTHS, paddings, strict=True)
    return [_stage(*stage) for stage in stages]


def _stage(in_channels: int, width: int, length: int, padding: int) -> nn.Sequential:
    first = _convolution(in_channels, width, padding)
    return nn.Sequential(
        first, *(_convolution(width, width, padding=1) for _ in range(length - 1))
    )


def _convolution(in_channels: int, out_channels: int, padding: int) -> nn.Sequential:
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=padding)
    return nn.Sequential(layer, nn.ReLU(inplace=True))


def _wide_layer(
    in_channels: int, out_channels: int, size: int, dropout: float
) -> nn.Sequential:
    layer = nn.Conv2d(in_channels, out_channels, size)
    return nn.Sequential(layer, nn.ReLU(inplace=True), nn.Dropout(dropout))
