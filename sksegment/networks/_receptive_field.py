"""Measuring the receptive field of a network that does not state its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sksegment._torch.out_of_memory import OutOfMemory, attempt, is_out_of_memory

# Where the field ends is not known: the probe grows until it has room, up to a side at
# which a forward and a backward pass still take about a second.
PROBE_SIDES = (128, 256, 512, 1024)
# The short side of strips as long as the largest square. They find a global field at a
# fraction of its cost (attention: a thousandth), and the fields of dilated layers,
# which may skip all of a smaller square.
STRIP_SIDE = 32
# ReLU and pooling let the gradient pass only in places: several images show most of
# the field, and one stride is added for the rest.
N_PROBES = 4
# The lengths of the strips in which an encoder is measured: most reach 300 to 700.
STRIP_LENGTHS = (1024, 2048, 4096)
# Weights below this start from almost nothing, and grow.
FAINT = 1e-3
# Scores that differ by less, in units of the largest, differ only by rounding.
SAME = 1e-4


def run_network(images: Tensor, network: nn.Module) -> Any:
    """Return the output of the user's network for images.

    Raises
    ------
    ValueError
        If it does not take images of their size.
    """
    try:
        return network(images)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"network makes a network that fails on images of shape "
            f"{tuple(images.shape)}; expected one that takes images of any height and "
            f"width that are multiples of 32. It says: {error}"
        ) from error


def measure_margin(network: nn.Module, n_channels: int, stride: int) -> int | None:
    """Measure how far from a pixel, in pixels, the input changes its scores.

    The gradient of the scores of one stride-sized block reaches as far as its receptive
    field. A field that fills the whole of every probe, or takes more memory than there
    is, is taken to be global: pooling over the image, attention, or normalisation by
    the image's own statistics.

    Parameters
    ----------
    network : nn.Module
        Maps (n, n_channels, height, width) to scores of the same height and width.
    n_channels : int
        Channels of the images.
    stride : int
        The grid on which the network sees all positions alike.

    Returns
    -------
    int or None
        The radius; None if it is the whole image, or if the answer depends on where in
        the image a pixel lies.

    Raises
    ------
    ValueError
        If the network does not take images of the sizes of the probes.

    Examples
    --------
    >>> from torch import nn
    >>> from sksegment.networks._receptive_field import measure_margin
    >>> measure_margin(nn.Conv2d(1, 2, 5, padding=2), n_channels=1, stride=1)
    3
    """
    try:
        return _measured(network, lambda: _margin(network, n_channels, stride))
    except MemoryError:
        return None


def measure_strip_margin(
    network: nn.Module, n_channels: int, stride: int
) -> int | None:
    """Measure the same in strips along both axes, at a hundredth of the cost.

    For networks whose kernels have a middle row and column, such as encoders: within a
    strip, they reach as far along it as within a square.

    Parameters
    ----------
    network, n_channels, stride : object
        As for `measure_margin`.

    Returns
    -------
    int or None
        As `measure_margin`.

    Raises
    ------
    MemoryError
        If there is not enough memory for the strips.

    Examples
    --------
    >>> from torch import nn
    >>> from sksegment.networks._receptive_field import measure_strip_margin
    >>> measure_strip_margin(nn.Conv2d(1, 2, 5, padding=2), n_channels=1, stride=1)
    3
    """
    return _measured(network, lambda: _strip_margin(network, n_channels, stride))


def _measured(network: nn.Module, measure: Callable[[], int | None]) -> int | None:
    """Measure a network as it is in evaluation.

    Raises
    ------
    MemoryError
        If memory runs out.
    """
    was_training = network.training
    network.eval()
    try:
        with _faint_drawn(network):
            margin = attempt(measure, torch.device("cpu"))
    finally:
        network.train(was_training)
    if isinstance(margin, OutOfMemory):
        raise MemoryError(margin.reason)
    return margin


@contextmanager
def _faint_drawn(network: nn.Module) -> Iterator[None]:
    """Give parameters that are nearly zero throughout random values for a while.

    Score layers, the last normalization of residual blocks and the scales of their
    branches often start from zero, or from a millionth. What lies before them is seen
    only once they are trained.
    """
    weights = (parameter.data for parameter in network.parameters())
    faint = [
        (one, one.clone())
        for one in weights
        if one.is_floating_point() and not (one.abs() > FAINT).any()
    ]
    for values, _ in faint:
        values.normal_(std=0.1)
    try:
        yield
    finally:
        for values, before in faint:
            values.copy_(before)


def _margin(network: nn.Module, n_channels: int, stride: int) -> int | None:
    """Return the margin that makes tiles exact, if one does."""
    reach = _reach(network, n_channels, stride)
    if reach is None:
        return None
    margin = reach + stride
    return margin if _is_exact(network, n_channels, margin, stride) else None


def _strip_margin(network: nn.Module, n_channels: int, stride: int) -> int | None:
    for length in STRIP_LENGTHS:
        reach = _largest_reach(network, n_channels, length // stride * stride, stride)
        if reach is not None:
            margin = reach + stride
            is_exact = _is_exact_in_strips(network, n_channels, margin, stride)
            return margin if is_exact else None
    return None


def _largest_reach(
    network: nn.Module, n_channels: int, length: int, stride: int
) -> int | None:
    """Return how far several probes reach; None if one reaches to an end."""
    largest = 0
    for _ in range(N_PROBES):
        reach = _reach_in_strips(network, n_channels, length, stride)
        if reach is None:
            return None
        largest = max(largest, reach)
    return largest


def _is_exact_in_strips(
    network: nn.Module, n_channels: int, margin: int, stride: int
) -> bool:
    """Tell the same of parts of strips, along both axes."""
    cut = -(-margin // stride) * stride
    strip = torch.randn(1, n_channels, 2 * stride, 2 * cut + 3 * stride)
    inner, core = slice(stride, -stride), slice(cut, -cut)
    for images in (strip, strip.mT):
        along = (..., inner) if images is strip else (..., inner, slice(None))
        middle = (..., core) if images is strip else (..., core, slice(None))
        with torch.no_grad():
            whole = run_network(images, network)[along][middle]
            part = run_network(images[along], network)[middle]
        if (whole - part).abs().max() > SAME * whole.abs().max():
            return False
    return True


def _is_exact(network: nn.Module, n_channels: int, margin: int, stride: int) -> bool:
    """Tell whether a part of an image gets the same scores as within the whole.

    It does not if they depend on the place in the image or on its size: coordinates as
    channels, convolutions without padding, corners that are aligned.
    """
    cut = -(-margin // stride) * stride
    side = 2 * cut + 3 * stride
    images = torch.randn(1, n_channels, side, side, dtype=torch.float32)
    inner, core = slice(stride, -stride), slice(cut, -cut)
    try:
        with torch.no_grad():
            whole = run_network(images, network)[..., inner, inner][..., core, core]
            part = run_network(images[..., inner, inner], network)[..., core, core]
    except ValueError:  # it does not take all sizes that tiles have
        return False
    return bool((whole - part).abs().max() <= SAME * whole.abs().max())


def _reach(network: nn.Module, n_channels: int, stride: int) -> int | None:
    """Return how far a block reaches; None if up to the border of a large probe."""
    sides = [side // stride * stride for side in PROBE_SIDES]
    along = _reach_in_strips(network, n_channels, sides[-1], stride)
    if along is None:
        return None
    for side in sides:
        reach = _reach_within(network, n_channels, side, stride)
        if reach is not None:
            return max(reach, along)
    return None


def _reach_in_strips(
    network: nn.Module, n_channels: int, length: int, stride: int
) -> int | None:
    """Return how far the middle block of long strips reaches; None if to an end."""
    width = max(STRIP_SIDE // stride, 1) * stride
    reaches = []
    for axis, size in enumerate([(length, width), (width, length)]):
        try:
            touched = _touched(network, (1, n_channels, *size), stride)
        except ValueError:  # it takes squares only
            return 0
        reach = _distance(touched.any(dim=1 - axis), stride)
        if reach is None:
            return None
        reaches.append(reach)
    return max(reaches)


def _reach_within(
    network: nn.Module, n_channels: int, side: int, stride: int
) -> int | None:
    """Return how far the middle block of squares reaches; None if to the border."""
    lines = torch.zeros(side, dtype=torch.bool)
    for _ in range(N_PROBES):
        touched = _touched(network, (1, n_channels, side, side), stride)
        lines |= touched.any(dim=0) | touched.any(dim=1)
        reach = _distance(lines, stride)
        if reach is None:  # the touched area only grows
            break
    return reach


def _distance(lines: Tensor, stride: int) -> int | None:
    """Return how far the middle block reaches; None if to one of the ends."""
    if lines[0] or lines[-1]:
        return None
    places = lines.nonzero()
    if not len(places):
        return 0
    block = _middle(len(lines), stride)
    return max(block.start - int(places.min()), int(places.max()) + 1 - block.stop, 0)


def _touched(
    network: nn.Module, shape: tuple[int, int, int, int], stride: int
) -> Tensor:
    """Return which pixels of a random image change the scores of its middle block."""
    images = torch.randn(shape, dtype=torch.float32, requires_grad=True)
    rows, columns = (_middle(side, stride) for side in shape[2:])
    with torch.enable_grad():  # which the caller may have turned off
        scores = run_network(images, network)[0, :, rows, columns]
        # Random signs: scores of different classes must not cancel each other out.
        total = (scores * torch.randn_like(scores)).sum()
    (gradient,) = torch.autograd.grad(total, images)
    return gradient[0].abs().amax(dim=0) > 0


def _middle(side: int, stride: int) -> slice:
    start = side // (2 * stride) * stride
    return slice(start, start + stride)
