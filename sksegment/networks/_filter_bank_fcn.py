"""A network on a bank of fixed filters, for images with few labelled pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sksegment._inputs.checks import check_integer, check_number
from sksegment.networks._layers import (
    BatchNorm,
    ConvBlock,
    by_running_statistics,
    initialize,
)

# Of the Gaussians, in pixels; each further one is twice as wide.
SMALLEST_SIGMA = 0.5
# Where Gaussians are cut off, in units of sigma: as in scipy and scikit-image.
TRUNCATE = 4.0
# Intensity, edges, and the two eigenvalues of the Hessian matrix.
N_FILTERS = 4
# What two differences in a row reach beyond the Gaussian, in pixels.
DIFFERENCES = 2
# Added to what a square root is taken of: at 0 its gradient is infinite.
TINY = 1e-12
N_CONVOLUTIONS = 2


def gaussian_sigmas(depth: int) -> list[float]:
    """Return the widths of the Gaussians of a bank, in pixels.

    Examples
    --------
    >>> from sksegment.networks._filter_bank_fcn import gaussian_sigmas
    >>> gaussian_sigmas(3)
    [0.5, 1.0, 2.0, 4.0]
    """
    return [SMALLEST_SIGMA * 2**scale for scale in range(depth + 1)]


def gaussian_kernels(sigmas: list[float]) -> Tensor:
    """Return sampled Gaussians with sum 1, one a row, as long as the widest one."""
    radii = [int(TRUNCATE * sigma + 0.5) for sigma in sigmas]
    positions = torch.arange(-max(radii), max(radii) + 1, dtype=torch.float64)
    rows = [
        torch.exp(-0.5 * (positions / sigma) ** 2) * (positions.abs() <= radius)
        for sigma, radius in zip(sigmas, radii, strict=True)
    ]
    return torch.stack([row / row.sum() for row in rows]).float()


class FilterBank(nn.Module):
    """Intensity, edges and texture of each channel at several scales.

    The filters of scikit-image's
    :func:`~skimage.feature.multiscale_basic_features`: for each width, a Gaussian, the
    Sobel gradient of the smoothed image, and the eigenvalues of its Hessian matrix,
    the larger one first. Beyond its border, the image is continued by its last pixels.

    Parameters
    ----------
    depth : int
        How often the width of the Gaussians doubles, from 0.5 pixels on.
    """

    kernels: Tensor

    def __init__(self, depth: int) -> None:
        super().__init__()
        sigmas = gaussian_sigmas(depth)
        # Follows from `depth`: no part of the state dict.
        self.register_buffer("kernels", gaussian_kernels(sigmas), persistent=False)
        self.n_filters = N_FILTERS * len(sigmas)
        self.radius = int(TRUNCATE * sigmas[-1] + 0.5) + DIFFERENCES

    def forward(self, images: Tensor) -> Tensor:
        """Return images (n, c, height, width) as (n, c * n_filters, height, width)."""
        # Differences of nearly equal numbers: bfloat16 would leave nothing of them.
        with torch.autocast(images.device.type, enabled=False):
            maps = torch.stack(_features(self._smooth(images.float())), dim=2)
            n_images, n_channels, height, width = images.shape
            # No -1: where several processes train, a share may hold no image.
            n_answers = n_channels * self.n_filters
            return maps.reshape(n_images, n_answers, height, width)

    def _smooth(self, images: Tensor) -> Tensor:
        """Return each channel at each scale, with `DIFFERENCES` pixels around it."""
        padded = F.pad(images.flatten(0, 1)[:, None], [self.radius] * 4, "replicate")
        rows = F.conv2d(padded, self.kernels[:, None, :, None])
        columns = self.kernels[:, None, None, :]
        return F.conv2d(rows, columns, groups=len(self.kernels))


def _features(smooth: Tensor) -> list[Tensor]:
    """Return intensity, edges and the larger and smaller eigenvalue of the Hessian."""
    down, right = _difference(smooth, -2), _difference(smooth, -1)
    # The factor of scikit-image's: differences not halved, a mean over two directions.
    edges = _length(_sobel(down, -1), _sobel(right, -2)) * math.sqrt(2)
    below, beside = _difference(down, -2), _difference(right, -1)
    mixed = _inside(_difference(down, -1), 1, 1)
    below, beside = _inside(below, 0, 2), _inside(beside, 2, 0)
    mean, spread = (below + beside) / 2, _length((below - beside) / 2, mixed)
    return [_inside(smooth, 2, 2), edges, mean + spread, mean - spread]


def _difference(image: Tensor, axis: int) -> Tensor:
    """Return the central difference, two pixels shorter along the axis."""
    length = image.shape[axis] - 2
    return (image.narrow(axis, 2, length) - image.narrow(axis, 0, length)) / 2


def _sobel(difference: Tensor, axis: int) -> Tensor:
    """Smooth a difference across its direction, as Sobel's filter does."""
    length = difference.shape[axis] - 2
    before, middle, after = (difference.narrow(axis, at, length) for at in range(3))
    return _inside((before + 2 * middle + after) / 4, 1, 1)


def _inside(image: Tensor, rows: int, columns: int) -> Tensor:
    """Cut rows and columns off at all sides."""
    height, width = image.shape[-2:]
    return image[..., rows : height - rows, columns : width - columns]


def _length(first: Tensor, second: Tensor) -> Tensor:
    return (first * first + second * second + TINY).sqrt()


class RunningNorm(nn.Module):
    """Normalisation by the means of all batches so far, and of the variances in them.

    In training as in evaluation. Batch normalisation would take away what the images of
    a batch have in common, and with it the brightness that tells some classes apart:
    with crops of one kind of tissue, for one. Where the layers before it do not learn,
    as fixed filters, running statistics have nothing to run after.

    Parameters
    ----------
    n_channels : int
        Channels of what is normalised.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        # No momentum: the mean over all batches.
        self.statistics = BatchNorm(n_channels, momentum=None)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `input` of shape (n, channels, height, width)."""
        if self.training:
            with torch.no_grad():
                self.statistics(input)
        return by_running_statistics(self.statistics, input)


class FilterBankFCN(nn.Module):
    """Fixed filters at several scales, and a small network of their answers.

    The filters are those of scikit-image's
    :func:`~skimage.feature.multiscale_basic_features` on each channel: intensity, edges
    and texture under Gaussians of 0.5, 1, 2, ... pixels. What follows is trained: a 1x1
    convolution, two of 3x3, and one of 1x1 to the classes. The answers are normalised
    by all that was trained on so far, nothing by its batch. So few weights learn from a
    few strokes within seconds; from many masks, :class:`FCN` learns more.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    depth : int, default=3
        How often the width of the Gaussians doubles: the widest has a sigma of
        ``0.5 * 2**depth`` pixels.
    width : int, default=24
        Channels between the convolutions.
    dropout : float, default=0.2
        Probability of dropping a value before the last convolution.

    Attributes
    ----------
    stride : int
        1: all positions are treated alike.
    margin : int
        Radius of the receptive field in pixels.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1, or `dropout` is not from 0 to 1.

    See Also
    --------
    sksegment.networks.FCN : For images with many labelled pixels.

    Examples
    --------
    >>> import torch
    >>> from sksegment.networks import FilterBankFCN
    >>> network = FilterBankFCN(n_channels=1, n_classes=2)
    >>> network(torch.zeros(1, 1, 50, 37)).shape
    torch.Size([1, 2, 50, 37])
    >>> network.margin
    20
    """

    # What belongs to the classes of a task.
    class_layers = ("classifier",)
    stride = 1

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        depth: int = 3,
        width: int = 24,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_integer("n_channels", n_channels, 1)
        check_integer("n_classes", n_classes, 1)
        check_integer("depth", depth, 1)
        check_integer("width", width, 1)
        check_number("dropout", dropout, 0, 1)
        self.filters = FilterBank(depth)
        self.margin = self.filters.radius + N_CONVOLUTIONS
        n_answers = n_channels * self.filters.n_filters
        self.body = nn.Sequential(
            RunningNorm(n_answers),
            nn.Conv2d(n_answers, width, 1),
            nn.ReLU(inplace=True),
            *(ConvBlock(width, width, norm=None) for _ in range(N_CONVOLUTIONS)),
        )
        self.dropout = nn.Dropout(dropout)
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
        output = self.body(self.filters(images))
        scores: Tensor = self.classifier(self.dropout(output))
        return scores
