"""Images and masks of noise, of any size and number of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Pixels of a class come in patches: single ones would be unlike any mask.
PATCH = 8


def random_images(
    n_images: int, size: int, n_classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (n, size, size, 3) and masks that hold all classes."""
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(n_images, size, size, 3), dtype=np.uint8)
    side = -(-size // PATCH)
    patches = np.arange(n_images * side**2) % n_classes
    patches = rng.permutation(patches).reshape(n_images, side, side)
    y = patches.repeat(PATCH, axis=1).repeat(PATCH, axis=2)[:, :size, :size]
    return X, y.astype(np.uint8)
