"""A network from its name, or from the user's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from sksegment._torch.default_dtype import Float32ByDefault
from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._fcn import FCN
from sksegment.networks._fcn_vgg16 import FCN8s, FCN16s, FCN32s
from sksegment.networks._filter_bank_fcn import FilterBankFCN
from sksegment.networks._user_network import user_network


def make_network(
    network: str | Callable[[int, int], nn.Module],
    n_channels: int,
    n_classes: int,
    encoder: str | None = None,
    **options: Any,
) -> nn.Module:
    """Return a network for images of `n_channels` and masks of `n_classes`.

    Parameters
    ----------
    network : str or callable
        A key of `NETWORKS`, or a function of channels and classes.
    n_channels, n_classes : int
        Channels of the images and number of classes.
    encoder : str, default=None
        The model of timm that takes the place of the encoder of "fcn".
    **options : dict
        Options of a named network.

    Returns
    -------
    nn.Module
        In float32, with attributes `stride` and `margin`, for images of any size.

    Raises
    ------
    TypeError, ValueError
        If a callable does not return a network, or returns one with other outputs.
    """
    with Float32ByDefault():  # as the images are
        if not isinstance(network, str):
            return user_network(network, n_channels, n_classes)
        if encoder is not None:
            return EncoderFCN(n_channels, n_classes, encoder, **options)
        return NETWORKS[network](n_channels, n_classes, **options)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "fcn": FCN,
    "fcn32s": FCN32s,
    "fcn16s": FCN16s,
    "fcn8s": FCN8s,
    "filter_bank": FilterBankFCN,
}
