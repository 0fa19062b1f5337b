"""FCN with an encoder of timm in place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sksegment._inputs.checks import check_choice, check_integer, check_number
from sksegment._torch.tensors import pad_to_multiple
from sksegment.networks._layers import (
    MAX_WIDENING,
    NORMS,
    SKIPS,
    ConvBlock,
    UpStage,
    initialize,
    stage_width,
)
from sksegment.networks._timm_encoder import (
    EncoderMap,
    channels_first,
    encoder_maps,
    make_encoder,
)


@dataclass(frozen=True)
class EncodedImages:
    """The maps of a batch of images, in place of the images.

    Parameters
    ----------
    maps : list of Tensor of shape (n, n_channels, height, width)
        From fine to coarse.
    size : tuple of int
        Height and width of the images in pixels.
    """

    maps: list[Tensor]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.maps[0])


class EncoderFCN(nn.Module):
    """An encoder of timm, the decoder of FCN, and a 1x1 convolution to the classes.

    The decoder has a stage for each halving of the resolution, down to the stride of
    the encoder, with as many channels as the stage of an `FCN` of the same `width`;
    where the encoder has a map of its resolution, it joins the stage. An encoder whose
    maps all have one resolution, such as a plain transformer, gets a head instead: a
    3x3 convolution of ``8 * width`` channels and bilinear upsampling.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    encoder : str
        The name of a model of timm.
    depth : int, default=None
        How often the encoder halves the resolution: its stride is ``2**depth`` pixels.
        By default, as often as it can.
    width : int, default=16
        Channels of the last stage of the decoder; each deeper one has twice as many, up
        to ``8 * width``.
    skip : {None, "concat", "add"}, default="concat"
        How the maps of the encoder join the decoder: not at all but for the coarsest,
        concatenated, or added, after a 1x1 convolution to the channels of the stage.
    norm : {None, "batch", "group"}, default="batch"
        Normalization between each convolution of the decoder and its ReLU.
    dropout : float, default=0.5
        Probability of dropping a value of the coarsest map.

    Attributes
    ----------
    stride : int
        Spacing, in pixels, of the grid on which the network treats all positions alike.
    margin : int or None
        Radius of the receptive field in pixels, once it has been measured; None if it
        is the whole image.
    frozen : bool
        Whether the encoder is left as it is in training: it keeps its batch statistics
        and needs no gradient.

    Raises
    ------
    TypeError, ValueError
        If the encoder has no maps, or not down to `depth`, or another argument is out
        of its range.
    ImportError
        If timm is not installed.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        encoder: str,
        depth: int | None = None,
        width: int = 16,
        skip: str | None = "concat",
        norm: str | None = "batch",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_integer("n_channels", n_channels, 1)
        check_integer("n_classes", n_classes, 1)
        check_integer("width", width, 1)
        check_choice("skip", skip, SKIPS)
        check_choice("norm", norm, NORMS)
        check_number("dropout", dropout, 0, 1)
        maps = maps_down_to(encoder, n_channels, depth)
        self.reductions = [one.reduction for one in maps]
        self.stride = self.reductions[-1]
        self.margin: int | None = None
        self.frozen = False
        # Registered in the order in which data passes them, for a readable state dict.
        self.encoder = make_encoder(encoder, n_channels, [one.output for one in maps])
        self.dropout = nn.Dropout(dropout)
        self.decoder: Decoder | Head
        if len(maps) == 1:
            self.decoder = Head(maps[0], width, norm)
        else:
            self.decoder = Decoder(maps, width, skip, norm)
        self.classifier = nn.Conv2d(self.decoder.out_channels, n_classes, 1)
        self.decoder.apply(initialize)
        initialize(self.classifier)

    def forward(self, images: Tensor | EncodedImages) -> Tensor:
        """Return the class scores (logits) of a batch of images.

        Parameters
        ----------
        images : Tensor of shape (n, n_channels, height, width), or EncodedImages
            The images, standardized; or what `encode` has made of them.

        Returns
        -------
        Tensor of shape (n, n_classes, height, width)
            One score per class and pixel, before softmax.
        """
        encoded = self.encode(images) if isinstance(images, Tensor) else images
        *finer, coarsest = encoded.maps
        output = self.decoder([*finer, self.dropout(coarsest)])
        scores: Tensor = self.classifier(output)
        padded = [side * self.stride for side in coarsest.shape[-2:]]
        if list(scores.shape[-2:]) != padded:
            scores = F.interpolate(scores, padded, mode="bilinear")
        height, width = encoded.size
        return scores[..., :height, :width]

    def encode(self, images: Tensor) -> EncodedImages:
        """Return the maps of a batch of images, padded to the stride."""
        height, width = images.shape[-2:]
        padded = pad_to_multiple(images, self.stride)
        with torch.no_grad() if self.frozen else nullcontext():
            maps = channels_first(self.encoder, _maps_of(self.encoder, padded))
        sizes = [
            [side // each for side in padded.shape[-2:]] for each in self.reductions
        ]
        fitting = [_resized(one, size) for one, size in zip(maps, sizes, strict=True)]
        return EncodedImages(fitting, (height, width))

    def train(self, mode: bool = True) -> EncoderFCN:
        """Set training or evaluation mode; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self


class Decoder(nn.Module):
    """The decoder of FCN on the maps of an encoder.

    Parameters
    ----------
    maps : sequence of EncoderMap
        From fine to coarse.
    width : int
        Channels of the stage at full resolution.
    skip, norm : str or None
        As for `EncoderFCN`.
    """

    def __init__(
        self,
        maps: Sequence[EncoderMap],
        width: int,
        skip: str | None,
        norm: str | None,
    ) -> None:
        super().__init__()
        channels = {_stage_of(one): one.n_channels for one in maps}
        self.map_stages = list(channels)
        depth = self.map_stages[-1]
        below = [channels[depth], *(stage_width(k, width) for k in range(depth)[::-1])]
        self.stages = nn.ModuleList(
            UpStage(
                stage,
                in_channels,
                width,
                skip if stage in channels else None,
                norm,
                channels.get(stage),
            )
            for stage, in_channels in zip(range(depth)[::-1], below, strict=False)
        )
        self.out_channels = width

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the image at full resolution from the maps, fine to coarse."""
        by_stage = dict(zip(self.map_stages, maps, strict=True))
        output = maps[-1]
        stages = range(len(self.stages))[::-1]
        for stage, layers in zip(stages, self.stages, strict=True):
            output = layers(output, by_stage.get(stage))
        return output


class Head(nn.Sequential):
    """What a single map needs before the classes: one 3x3 convolution."""

    def __init__(self, only: EncoderMap, width: int, norm: str | None) -> None:
        super().__init__(ConvBlock(only.n_channels, MAX_WIDENING * width, norm))
        self.out_channels = MAX_WIDENING * width

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the map, convolved."""
        output: Tensor = self[0](maps[-1])
        return output


def maps_down_to(encoder: str, n_channels: int, depth: int | None) -> list[EncoderMap]:
    """Return the maps of an encoder down to a depth, from fine to coarse.

    Raises
    ------
    ValueError
        If the encoder has no map of that depth.
    """
    maps = encoder_maps(encoder, n_channels)
    if depth is None:
        return list(maps)
    check_integer("depth", depth, 1)
    used = [one for one in maps if one.reduction <= 2**depth]
    if not used or used[-1].reduction != 2**depth:
        depths = [str(_stage_of(one)) for one in maps if one.reduction > 1]
        raise ValueError(
            f"depth={depth} does not fit encoder={encoder!r}, which has maps down to a "
            f"stride of {maps[-1].reduction} pixels; expected None"
            + f" or one of {', '.join(depths)}."
            * (len(maps) > 1)
        )
    return used


def _maps_of(encoder: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the maps of images, or of none: the share of a process may be empty.

    Transformers cannot reshape a batch of no images, and so get a blank one, whose maps
    are dropped. Batch normalisation can, and would count a blank image.
    """
    counts = any(isinstance(layer, _BatchNorm) for layer in encoder.modules())
    if len(images) or counts:
        return list(encoder(images))
    blank = images.new_zeros((1, *images.shape[1:]))
    return [one[:0] for one in encoder(blank)]


def _resized(one: Tensor, size: list[int]) -> Tensor:
    """Return a map at the size that its reduction says: some encoders cut borders."""
    if list(one.shape[-2:]) == size:
        return one
    return F.interpolate(one, size, mode="bilinear")


def _stage_of(one: EncoderMap) -> int:
    """Return the stage of FCN that has the resolution of a map."""
    return one.reduction.bit_length() - 1
