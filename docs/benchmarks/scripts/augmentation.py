"""What does augmentation cost, beside other libraries and beside a training step?

Mirrored, turned by up to 30 degrees and zoomed by 0.8 to 1.2: images with their masks.
Beside others, a batch in memory is moved once; beside a step, the same is done as
often as an epoch of `fit` does it, and divided by the time of that epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import torch
from lib.plain_torch import BATCH_SIZE, as_tensors
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import fit_in_turns, plain_segmenter, shapes
from lib.timing import alternated, format_seconds, timed
from numpy.typing import NDArray
from skimage.transform import AffineTransform, warp
from sklearn.pipeline import make_pipeline

from sksegment._inputs.channel_scale import Scale
from sksegment._torch.batch import Batch
from sksegment.augmentation import (
    AugmentedImages,
    RandomFlip,
    RandomRotation,
    RandomZoom,
)
from sksegment.augmentation._apply import augment_batch

DEGREES = 30
ZOOM = (0.8, 1.2)
AIMS = {"kornia": 1.2, "scikit-image": 5.0}


def rows(options: Options) -> Iterator[Row]:
    size = 16 if options.quick else 256
    yield from against_others(*((2, size, 1) if options.quick else (32, size, 9)))
    yield share_of_a_step(*((2, size, 8, 1) if options.quick else (16, size, 32, 4)))


def planned(X: NDArray[Any]) -> AugmentedImages:
    steps = (RandomFlip(), RandomRotation(DEGREES), RandomZoom(ZOOM))
    augmented: AugmentedImages = make_pipeline(*steps).fit_transform(X)
    return augmented


def against_others(n_images: int, size: int, n_rounds: int) -> Iterator[Row]:
    X, y = shapes(n_images, size)
    contestants = {
        "sksegment": timed(ours(X, y)),
        "scikit-image": timed(lambda: skimage_moved(X, y)),
    }
    if find_spec("kornia"):
        contestants["kornia"] = timed(kornia_moved(X, y))
    seconds = alternated(contestants, n_rounds)
    question = f"augmentation of {n_images} images {size}x{size} with masks"
    for peer, aim in AIMS.items():
        if peer in seconds:
            yield ratio_row(
                question, peer, seconds["sksegment"], seconds[peer], aim=aim
            )
        else:
            yield missing_row(question, peer, f"not installed: {peer}")


def ours(X: NDArray[np.uint8], y: NDArray[np.uint8]) -> Callable[[], Batch]:
    """Return what augments a batch as `fit` does."""
    images, codes = as_tensors(X, y)
    batch = Batch(images.contiguous(memory_format=torch.channels_last), codes, None)
    n_channels = X.shape[-1]
    scale = Scale(*(np.full(n_channels, value) for value in (0.0, 1.0, -2.0, 2.0)))
    keys = [(1, index) for index in range(len(X))]
    return lambda: augment_batch(planned(X).steps, batch, keys, 0, scale)


def kornia_moved(X: NDArray[np.uint8], y: NDArray[np.uint8]) -> Callable[[], Any]:
    from kornia.augmentation import (
        AugmentationSequential,
        RandomAffine,
        RandomHorizontalFlip,
    )

    images, codes = as_tensors(X, y)
    masks = codes[:, None].float()
    move = AugmentationSequential(
        RandomHorizontalFlip(p=0.5),
        RandomAffine(DEGREES, scale=ZOOM, padding_mode="reflection", p=1.0),
        data_keys=["input", "mask"],
    )
    return lambda: move(images, masks)


def skimage_moved(X: NDArray[np.uint8], y: NDArray[np.uint8]) -> None:
    """Move image after image by one matrix, the mask by its nearest pixels."""
    rng = np.random.default_rng(0)
    for image, mask in zip(X, y, strict=True):
        matrix = drawn_matrix(rng, mask.shape)
        warp(image, matrix, order=1, mode="reflect", preserve_range=True)
        warp(mask, matrix, order=0, mode="reflect", preserve_range=True)


def drawn_matrix(rng: np.random.Generator, shape: tuple[int, ...]) -> AffineTransform:
    centre = np.array(shape[::-1]) / 2 - 0.5
    zoom, mirror = rng.uniform(*ZOOM), rng.choice([-1, 1])
    angle = math.radians(rng.uniform(-DEGREES, DEGREES))
    moved = AffineTransform(scale=(mirror / zoom, 1 / zoom), rotation=angle)
    to, back = (AffineTransform(translation=sign * centre) for sign in (-1, 1))
    return to + moved + back


def share_of_a_step(width: int, size: int, n_images: int, n_rounds: int) -> Row:
    X, y = shapes(n_images, size)
    batches = [
        ours(X[start : start + BATCH_SIZE], y[start : start + BATCH_SIZE])
        for start in range(0, n_images, BATCH_SIZE)
    ]
    peers = {"augmentation": timed(lambda: [move() for move in batches])}
    segmenter = plain_segmenter(width, device="cpu")
    epochs, alone = fit_in_turns(segmenter, planned(X), y, peers, n_rounds)
    seconds = alone["augmentation"]
    shares = [100 * a / b for a, b in zip(seconds, epochs, strict=True)]
    return Row(
        f"augmentation in an epoch of fit, width {width}, {size}x{size}",
        "the whole epoch",
        median(shares),
        min(shares),
        max(shares),
        unit="%",
        ours=format_seconds(seconds),
        theirs=format_seconds(epochs),
        aim=5.0,
        better="lower",
    )


if __name__ == "__main__":
    run_script(__doc__, rows)
