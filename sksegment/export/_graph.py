"""The network that is exported: from raw images to labels and probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sksegment._inputs.channel_scale import Scale
from sksegment._prediction.predictor import average_views


class RawImageNetwork(nn.Module):
    """A trained network with all that happens to images before and after it.

    Parameters
    ----------
    network : nn.Module
        Maps standardised images to scores, and has the attribute `stride`.
    scale : Scale
        How images are clipped and standardised.
    labels : ndarray of shape (n_classes,), int64
        What stands for each class in the result.
    averages_views : bool
        Whether probabilities are averaged over the eight positions of a square.
    nodata_label : int, default=None
        What stands in the result where there is no data, which `scale` tells.
    """

    lowest: Tensor
    highest: Tensor
    mean: Tensor
    std: Tensor
    labels: Tensor

    def __init__(
        self,
        network: nn.Module,
        scale: Scale,
        labels: NDArray[np.int64],
        averages_views: bool,
        nodata_label: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.averages_views = averages_views
        self.nodata, self.nodata_label = scale.nodata, nodata_label
        lowest, highest = scale.limits()
        constants: dict[str, NDArray[Any]] = {
            "lowest": lowest,
            "highest": highest,
            "mean": scale.mean,
            "std": scale.std,
            "labels": labels,
        }
        for name, values in constants.items():
            self.register_buffer(name, torch.tensor(values))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels and probabilities of images (n, height, width, n_channels)."""
        # In double precision, as in prediction: small differences around a large mean
        # would otherwise be lost.
        values = images.double()
        values = torch.minimum(torch.maximum(values, self.lowest), self.highest)
        values = (values - self.mean) / self.std
        if self.nodata is None or self.nodata_label is None:
            return self._answers(values)
        missing = self._missing(images)
        # The network sees the mean there.
        values = torch.where(missing[..., None], torch.zeros_like(values), values)
        labels, probabilities = self._answers(values)
        return (
            torch.where(missing, self.nodata_label, labels),
            torch.where(missing[:, None], torch.nan, probabilities),
        )

    def _missing(self, images: Tensor) -> Tensor:
        """Tell which pixels have no data in some channel."""
        assert self.nodata is not None  # who asks has one
        if math.isnan(self.nodata):
            return images.isnan().any(dim=-1)
        return (images == float(np.float32(float(self.nodata)))).any(dim=-1)

    def _answers(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels and probabilities of standardised images, channels last."""
        probabilities = self._probabilities(values.float().permute(0, 3, 1, 2))
        return self.labels[probabilities.argmax(dim=1)], probabilities

    def _probabilities(self, batch: Tensor) -> Tensor:
        if not self.averages_views:
            return self._classify(batch)
        stride = int(getattr(self.network, "stride", 1))
        return average_views(self._classify, batch, stride)

    def _classify(self, batch: Tensor) -> Tensor:
        probabilities: Tensor = self.network(batch).softmax(dim=1)
        return probabilities
