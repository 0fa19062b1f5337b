"""How much memory large data take: a process of its own measures each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
Measured = Callable[..., list[float]]

START = """
import sys
from pathlib import Path
import numpy as np, sklearn, torch
from PIL import Image
from sksegment import FCNSegmenter

folder = Path(sys.argv[1])
torch.set_num_threads(1)
sklearn.set_config(working_memory=32)
# Batches of one size: "auto" makes smaller ones of few images.
segmenter = FCNSegmenter(
    depth=1, width=2, max_epochs=1, batch_size=8, random_state=0
)
"""
FILES = """
pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
X = [folder / f"{index}.png" for index in range(1000)]
y = [folder / f"{index}_mask.png" for index in range(1000)]
Image.fromarray(pixels).save(folder / "image.png")
Image.fromarray(pixels[..., 0] // 128).save(folder / "mask.png")
for image, mask in zip(X, y):
    image.hardlink_to(folder / "image.png")
    mask.hardlink_to(folder / "mask.png")
segmenter.fit(X[:60], y[:60])
before = peak()
segmenter.fit(X, y)
print(peak() - before)
"""
ONE_LARGE_IMAGE = """
small = np.random.default_rng(0).integers(0, 256, (1, 600, 600), np.uint8)
X = np.lib.format.open_memmap(folder / "large.npy", "w+", "u1", (1, 6000, 6000))
for row in range(0, 6000, 600):
    X[:, row : row + 600] = np.tile(small, 10)
del X
segmenter.fit(small, small // 128).predict(small)
before = peak()
X = np.load(folder / "large.npy", mmap_mode="r")
y = segmenter.predict(X)
assert y.dtype == np.uint8
print((peak() - before - y.nbytes) / y.size)
"""


def test_training_takes_as_much_memory_for_many_files_as_for_few(
    tmp_path: Path, measured: Measured
) -> None:
    # Decoded, the further files would be 235 MiB; those that are kept are 8 MiB.
    (further,) = measured(START + FILES, tmp_path)
    assert further < 16 * 2**20


def test_a_large_image_is_predicted_with_few_bytes_a_pixel(
    tmp_path: Path, measured: Measured
) -> None:
    # Its own pages and a second copy of the labels, and what a tile takes.
    (bytes_a_pixel,) = measured(START + ONE_LARGE_IMAGE, tmp_path)
    assert bytes_a_pixel < 2
