"""
From zarr to zarr with dask
===========================

An image that is larger than the memory lies in zarr. It is predicted block by block,
and the result goes into zarr as well. If the process is killed, the same call goes on
where it stopped.
"""

# %%
# dask and zarr come with the extra ``dask``. Without them there is nothing to show.

import sys

try:
    import dask
    import zarr
except ImportError as error:
    print(f"skipped: {error}. Try pip install 'sksegment[dask]'")
    sys.exit()

# %%
# The image: a field of stars and galaxies from scikit-image, repeated to 2616 x 2000
# pixels to stand for a large one, in chunks of 256 x 256 pixels.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, filters

photo = data.hubble_deep_field()
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
image = zarr.open(
    folder / "image.zarr",
    mode="w",
    shape=(3 * photo.shape[0], 2 * photo.shape[1], 3),
    chunks=(256, 256, 3),
    dtype=photo.dtype,
)
for row in range(0, image.shape[0], photo.shape[0]):
    for column in range(0, image.shape[1], photo.shape[1]):
        image[row : row + photo.shape[0], column : column + photo.shape[1]] = photo
print(image.shape, image.dtype, f"{image.nbytes / 2**20:.0f} MiB")

# %%
# A small network is trained on a part of it; objects are what shines.

from sksegment import FCNSegmenter
from sksegment.model_selection import cut_blocks

part = image[:512, :1000]
light = filters.gaussian(part / 255, 1.5, channel_axis=-1).max(axis=-1)
X, y, _ = cut_blocks(part[np.newaxis], (light > 0.2)[np.newaxis].astype(np.uint8), 64)
segmenter = FCNSegmenter(width=8, depth=2, max_epochs=8, random_state=0)
segmenter.fit(X, y)

# %%
# ``predict_to_zarr`` reads windows of the image, and writes a chunk when its block is
# finished. Here the work is broken off after some blocks, as if the machine had been
# switched off, and the same call goes on.

import time

from sksegment.blocks import predict_to_zarr


class SwitchedOff(dask.callbacks.Callback):
    def __init__(self, after):
        self.left = after

    def _pretask(self, key, dsk, state):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


path = folder / "labels.zarr"
try:
    with SwitchedOff(after=10), dask.config.set(scheduler="synchronous"):
        predict_to_zarr(segmenter, folder / "image.zarr", path, block_size=512)
except KeyboardInterrupt:
    print(f"broken off, {zarr.open(path, mode='r').nchunks_initialized} chunks written")

start = time.perf_counter()
labels = predict_to_zarr(segmenter, folder / "image.zarr", path, block_size=512)
print(f"the rest of {labels.nchunks} chunks: {time.perf_counter() - start:.1f} s")

# %%
# The labels are those of ``predict``, and a lazy dask array of them is at hand for what
# comes next, such as counting. dask computes it in threads, in processes, or on a
# cluster.

from sksegment.blocks import predict_blocks

window = np.s_[700:1000, 900:1200]  # across blocks
same = segmenter.predict(image[window][np.newaxis])[0]
inner = np.s_[30:-30, 30:-30]  # where predict sees all that lies around
print("as predict:", np.array_equal(labels[window][inner], same[inner]))
lazy = predict_blocks(segmenter, folder / "image.zarr", block_size=512)
print(f"{lazy[:512].mean().compute():.1%} of the upper blocks shine")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
axes[0].imshow(image[window])
axes[0].set_title("a window of the image")
axes[1].imshow(labels[window], cmap="gray")
axes[1].set_title("labels in zarr (dashed: borders of blocks)")
axes[1].axvline(1024 - 900, color="C1", linestyle="--")
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()
temporary.cleanup()
