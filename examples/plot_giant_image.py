"""
A giant image in tiles, without seams
=====================================

Images that do not fit into memory are predicted tile by tile. Tiles that are simply
cut out and put together again show seams. Those of ``predict`` do not: the result is
that of the whole image.
"""

# %%
# The Hubble deep field, from scikit-image, stands for a giant image; objects are what
# shines. Pieces of its upper part train a small network.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, filters

from sksegment import FCNSegmenter
from sksegment.model_selection import cut_blocks

photo = data.hubble_deep_field()
light = filters.gaussian(photo / 255, 1.5, channel_axis=-1).max(axis=-1)
sky = (light > 0.2).astype(np.uint8)
X, y, _ = cut_blocks(photo[np.newaxis, :320], sky[np.newaxis, :320], 80)
segmenter = FCNSegmenter(width=8, max_epochs=6, random_state=0).fit(X, y)
print(f"trained on pieces of 80 x 80; sees {segmenter.margin_} pixels around each one")

# %%
# Tiles of 96 pixels, cut out and predicted one by one: at its border, each sees
# nothing of its neighbours.

lower = photo[320:896]
pieces, _, positions = cut_blocks([lower], [sky[320:896]], 96)
whole = segmenter.predict_proba([lower])[0][1]
naive = np.zeros_like(whole)
for piece, (_, row, column) in zip(pieces, positions, strict=True):
    height, width = piece.shape[:2]
    proba = segmenter.predict_proba([piece])[0][1]
    naive[row : row + height, column : column + width] = proba

# %%
# ``tile_size`` does it by itself, and looks ``margin_`` pixels beyond each tile. With
# "auto", the default, tiles are cut where an image would not fit into memory.

segmenter.set_params(tile_size=96)
tiled = segmenter.predict_proba([lower])[0][1]
differences = {"naive tiles": np.abs(naive - whole), "tile_size": np.abs(tiled - whole)}
for name, difference in differences.items():
    print(f"{name}: differs from the whole image by up to {difference.max():.1e}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
axes[0].imshow(lower)
axes[0].set_title("image")
for axis, (name, difference) in zip(axes[1:], differences.items(), strict=True):
    drawn = axis.imshow(difference, cmap="magma", vmin=0, vmax=0.2)
    axis.set_title(f"{name}: error of the probability")
figure.colorbar(drawn, ax=axes[1:], shrink=0.7)
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()

# %%
# "auto" goes by a setting of scikit-learn, ``working_memory``: with 16 MiB, this image
# is cut into tiles, too. The labels are the same, whatever the memory.

import sklearn

labels = segmenter.set_params(tile_size="auto").predict([lower])[0]
with sklearn.config_context(working_memory=16):
    frugal = segmenter.predict([lower])[0]
print("same labels with 16 MiB:", np.array_equal(frugal, labels))
