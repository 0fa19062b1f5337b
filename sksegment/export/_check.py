"""Whether an exported network answers as the segmenter does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sksegment._inputs.image_list import as_images
from sksegment.segmenter import FCNSegmenter

# By how much probabilities may differ.
TOLERANCE = 1e-5
LARGE = 256


def check_answers(content: bytes, segmenter: FCNSegmenter) -> None:
    """Reject a graph whose answers differ from those of the segmenter.

    Parameters
    ----------
    content : bytes
        An ONNX file.
    segmenter : FCNSegmenter
        What it was made from.

    Raises
    ------
    ValueError
        If onnxruntime cannot run it, or if probabilities differ by more than
        `TOLERANCE`.
    """
    session = _session(content)
    for images in _trials(segmenter):
        expected = _expected(segmenter, images)
        size = "x".join(map(str, images.shape[1:3]))
        try:
            labels, found = session.run(None, {"images": images})
        except Exception as error:  # onnxruntime has many kinds
            what = f"fails for images of {size} pixels: {error}"
            raise _refusal(segmenter, what) from error
        if found.shape != expected.shape or labels.shape != images.shape[:3]:
            raise _refusal(segmenter, f"turns {size} pixels into {found.shape[2:]}")
        if not np.array_equal(np.isnan(found), np.isnan(expected)):
            raise _refusal(segmenter, f"marks other pixels of {size} as without data")
        # Not of the pixels without data, which may be all.
        off = np.abs(found - expected)[~np.isnan(expected)]
        difference = float(off.max(initial=0.0))
        if not difference <= TOLERANCE:
            raise _refusal(
                segmenter,
                f"gives probabilities that are off by {difference:.2g} for images of "
                f"{size} pixels",
            )


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )


def _trials(segmenter: FCNSegmenter) -> Iterator[NDArray[np.float32]]:
    """Yield images of one pixel, below the stride, odd, not square, and large."""
    stride = segmenter.stride_
    sizes = [
        (1, 1, 1),
        (2, max(stride - 1, 1), max(stride // 2, 1)),
        (1, 3 * stride + 5, 2 * stride + 3),
        (2, 2 * stride, 5 * stride),
        (1, LARGE, LARGE),
    ]
    low, high = segmenter.channel_min_, segmenter.channel_max_
    rng = np.random.default_rng(0)
    for n_images, height, width in sizes:
        shape = (n_images, height, width, segmenter.n_features_in_)
        images = rng.uniform(low, high, shape)
        # A pixel that is clipped.
        images[0, 0, 0] = high + 3 * (high - low)
        if segmenter.nodata is not None:
            images[-1, -1, height // 2 :, 0] = segmenter.nodata
        yield images.astype(np.float32)


def _expected(
    segmenter: FCNSegmenter, images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what the segmenter predicts in float32 on the CPU, without tiles."""
    predictor = replace(
        segmenter._predictor(),
        dtype=torch.float32,
        tile_size="auto",
    )
    return np.stack(
        list(predictor.probabilities(as_images(images, nodata=segmenter.nodata)))
    )


def _refusal(segmenter: FCNSegmenter, what: str) -> ValueError:
    return ValueError(
        f"network={segmenter._architecture['network']!r}, exported to ONNX, {what}; "
        f"expected what predict_proba gives, within {TOLERANCE}. No file was written."
    )
