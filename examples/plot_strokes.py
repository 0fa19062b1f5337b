"""
A few strokes on one image
==========================

To segment one picture, nobody paints whole masks: a few strokes of each class are
enough for a network that does not have to learn its first filters.
"""

# %%
# Coins on uneven ground, and what somebody could have painted with a mouse: three
# strokes on coins and three beside them. All other pixels have the value of
# ``ignore_label``.

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

image = data.coins()
UNLABELLED, GROUND, COIN = 255, 0, 1
strokes = np.full(image.shape, UNLABELLED, np.uint8)
strokes[50:56, 35:55] = strokes[122:128, 143:163] = strokes[264:270, 349:369] = COIN
strokes[83:86, 20:360] = strokes[150:153, 60:360] = strokes[10:13, 20:360] = GROUND

# %%
# The settings for strokes are plain data: a network that begins with the filters of
# scikit-image, crops around labelled pixels, and shares of the classes that are
# estimated on the pixels that nobody labelled.

from sksegment import FCNSegmenter

root = Path(__file__).resolve().parents[1] if "__file__" in globals() else Path("..")
settings = json.loads((root / "docs/benchmarks/strokes.json").read_text("utf-8"))
print(settings)

segmenter = FCNSegmenter(ignore_label=UNLABELLED, random_state=0, **settings)
segmenter.fit(image[None], strokes[None])
found = segmenter.predict(image[None])[0]
print(f"{np.mean(found == COIN):.0%} of the picture are coins")

# %%
# The strokes and the result:

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for axis, labels in zip(axes, [strokes, found], strict=True):
    axis.imshow(image, cmap="gray")
    shown = np.ma.masked_equal(labels, UNLABELLED)
    axis.imshow(shown, alpha=0.5, vmin=GROUND, vmax=COIN, cmap="coolwarm")
    axis.set(xticks=[], yticks=[])
plt.show()
