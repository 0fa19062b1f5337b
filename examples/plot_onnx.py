"""
Into production with ONNX
=========================

A trained model becomes one file that takes raw images and runs where neither this
package nor torch is installed: in a service, in a C++ program, in a browser.
"""

# %%
# Writing the file takes the extra ``onnx``; running it takes onnxruntime only.

import importlib.util
import sys

needed = ("onnx", "onnxscript", "onnxruntime")
missing = [name for name in needed if importlib.util.find_spec(name) is None]
if missing:
    print(f"skipped, without {' and '.join(missing)}: pip install 'sksegment[onnx]'")
    sys.exit()

# %%
# A network that tells coins from ground, trained on the upper half of a picture of
# scikit-image. The masks come from a watershed.

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from skimage import data, filters, morphology, segmentation
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip
from sksegment.model_selection import cut_blocks

coins = data.coins()
seeds = np.zeros(coins.shape, int)
seeds[coins < 30], seeds[coins > 150] = 1, 2
truth = segmentation.watershed(filters.sobel(coins), seeds) == 2
truth = morphology.opening(ndimage.binary_fill_holes(truth), np.ones((5, 5)))
labels = np.where(truth, 255, 0).astype(np.uint8)
X, y, _ = cut_blocks([coins[:152]], [labels[:152]], 76)
model = make_pipeline(
    RandomFlip(vertical=True), FCNSegmenter(width=8, max_epochs=40, random_state=0)
)
model.fit(X, y)

# %%
# Standardisation, padding and cropping are inside the graph. Before the file is put in
# place, onnxruntime has compared its answers with those of ``predict_proba``.

import tempfile
from pathlib import Path

from sksegment.export import export_onnx

temporary = tempfile.TemporaryDirectory()
path = Path(temporary.name) / "coins.onnx"
export_onnx(model, path)
print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB")

# %%
# The other side needs five lines and numpy. Images are ``(n, height, width,
# n_channels)`` in float32, in the units of training, of any size; labels come back in
# the values of the masks, here 0 and 255.

import json

import onnxruntime

session = onnxruntime.InferenceSession(path)
lower = coins[152:].astype(np.float32)
found, proba = session.run(None, {"images": lower[np.newaxis, :, :, np.newaxis]})
print("labels", found.shape, np.unique(found), "probabilities", proba.shape)
print("as predict:", np.array_equal(found[0], model.predict([coins[152:]])[0]))
metadata = session.get_modelmeta().custom_metadata_map
for name in ("classes", "channel_min", "channel_max"):
    print(name, json.loads(metadata[name]))

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 2.7), layout="constrained")
panels = {"image": lower, "labels": found[0], "probability of a coin": proba[0, 1]}
for axis, (title, panel) in zip(axes, panels.items(), strict=True):
    axis.imshow(panel, cmap="magma" if "probability" in title else "gray")
    axis.set(title=title, xticks=[], yticks=[])
plt.show()
temporary.cleanup()
