"""Values per pixel that the layers of a network hold, found by running it once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import get_ident
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from sksegment._torch.out_of_memory import HOOKS_LOCK

# What a forward pass holds at its peak, in units of its largest layer output. FCN keeps
# 4.6 alive (a skip connection, the image below, three of one stage). The rest is what
# the allocator could not give back: up to 7.3 were measured over depths and widths.
PEAK_LAYERS = 8

Layers = tuple[tuple[Any, ...], ...]

# What the probe found for each network, with the layers that it had then. Probing in
# each call would take as long as labelling a small image.
PROBED: WeakKeyDictionary[nn.Module, tuple[Layers, LayerSizes]] = WeakKeyDictionary()


class LayerSizes(NamedTuple):
    """The largest number of values per pixel within a network.

    Parameters
    ----------
    largest : float
        Of all inputs and outputs of layers. The scores of the whole network count as
        well: they may be upsampled.
    """

    largest: float

    def pixels_below(self, n_bytes: float) -> int:
        """Return how many pixels keep each float32 layer output below `n_bytes`."""
        return int(n_bytes / (4 * self.largest))

    def pixels_in(self, n_bytes: float) -> int:
        """Return how many pixels a float32 forward pass can have in `n_bytes`."""
        bytes_per_pixel = 4 * PEAK_LAYERS * self.largest
        return int(n_bytes / bytes_per_pixel)


def layer_sizes(
    network: nn.Module, side: int, run: Callable[[int], object]
) -> LayerSizes:
    """Return what the probe finds for a network, or found before.

    Parameters
    ----------
    network : nn.Module
        The network; pixels that its attribute `padding` adds are not counted.
    side : int
        Side of the image that it is probed with, in pixels.
    run : callable
        Runs the network on an image of that side.
    """
    layers = layers_key(network)
    known, found = PROBED.get(network, ((), LayerSizes(0.0)))
    if known != layers:
        found = probe_layers(network, side, run)
        PROBED[network] = layers, found
    return found


def probe_layers(
    network: nn.Module, side: int, run: Callable[[int], object]
) -> LayerSizes:
    """Run a network and note the inputs and outputs of layers; see `layer_sizes`."""
    sizes: list[int] = []
    # Padding that a network adds itself does not grow with the image.
    padded = side + 2 * getattr(network, "padding", 0)
    thread = get_ident()

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if get_ident() != thread:  # another prediction by the same network
            return
        tensors = (item for item in (*inputs, output) if isinstance(item, Tensor))
        sizes.extend(tensor.numel() for tensor in tensors)

    with HOOKS_LOCK, ExitStack() as hooks:
        for module in network.modules():
            hooks.callback(module.register_forward_hook(record).remove)
        run(side)
    return LayerSizes(max(sizes) / padded**2)


def layers_key(network: nn.Module) -> Layers:
    """Return a key that changes when a layer is replaced."""
    return tuple((id(module), *_shapes(module)) for module in network.modules())


def _shapes(module: nn.Module) -> Iterator[tuple[int, ...]]:
    weights = module._parameters.values()  # `parameters` takes twice as long
    return (weight.shape for weight in weights if weight is not None)
