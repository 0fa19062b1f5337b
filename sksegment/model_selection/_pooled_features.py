"""What a network sees in an image, in a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sksegment._inputs.channel_scale import Scale
from sksegment._torch.tensors import images_to_tensor

# Of larger images, every second, third, ... pixel is looked at.
MAX_PIXELS = 2**19


def pooled_features(segmenter: Any, image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the means of a network's channels, at its lowest resolution.

    Parameters
    ----------
    segmenter : FCNSegmenter
        A fitted one.
    image : ndarray of shape (height, width, n_channels)
        The image.

    Returns
    -------
    ndarray of shape (n_features,)
        The mean of each channel.
    """
    network = segmenter.network_
    scale = Scale(
        segmenter.channel_mean_,
        segmenter.channel_std_,
        segmenter.channel_min_,
        segmenter.channel_max_,
        getattr(segmenter, "nodata", None),
    )
    step = 1
    while image[::step, ::step, 0].size > MAX_PIXELS:
        step += 1
    device = next(network.parameters()).device
    batch = images_to_tensor([image[::step, ::step]], scale, device)
    return _lowest_resolution(network, batch).mean(dim=(2, 3))[0].cpu().numpy()


def _lowest_resolution(network: nn.Module, batch: Tensor) -> Tensor:
    """Return the last output, of any layer, that has the fewest pixels, but not one."""
    found: list[Tensor] = []

    def keep(layer: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        n_pixels = output.shape[2] * output.shape[3]
        if not found or 1 < n_pixels <= found[0].shape[2] * found[0].shape[3]:
            found[:] = [output]

    hooks = [layer.register_forward_hook(keep) for layer in network.modules()]
    try:
        with torch.inference_mode():
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0].float()
