"""What the tests of segmenter share."""

from __future__ import annotations

from typing import Any

import numpy as np

from sksegment import FCNSegmenter


def small(**parameters: Any) -> FCNSegmenter:
    """A segmenter that trains in a fraction of a second."""
    sizes = {"depth": 1, "width": 4, "batch_size": 8}
    defaults = {"max_epochs": 2, "random_state": 0, **sizes}
    return FCNSegmenter(**{**defaults, **parameters})


def weights(segmenter: FCNSegmenter) -> np.ndarray:
    return np.concatenate(
        [tensor.numpy().ravel() for tensor in segmenter.network_.state_dict().values()]
    )
