"""
Two labelled slices of a stack
==============================

A volume has hundreds of slices, and somebody has labelled two of them. How far does
that reach? Here all slices have masks, so that the score can be drawn slice by slice.
"""

# %%
# The stack is made here, as scikit-image ships none: cells with dark membranes, as an
# electron microscope shows them, with spots inside, shading and noise. It goes into a
# TIFF of 40 pages, the form in which stacks usually come.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile
from scipy import ndimage
from scipy.spatial import KDTree

rng = np.random.default_rng(0)
shape = (40, 128, 128)
warp = [6 * ndimage.gaussian_filter(rng.normal(size=shape), 6) / 0.02 for _ in shape]
places = np.indices(shape) + 0.5 * np.array(warp)
places[0] *= 1.5  # slices are farther apart than pixels
cells = KDTree(rng.uniform(-10, 138, size=(260, 3)) * [0.6, 1, 1])
nearest, second = cells.query(places.reshape(3, -1).T, k=2)[0].T
gap = (second - nearest).reshape(shape)  # 0 on the wall between two cells
y = (gap < 3).astype(np.uint8)

stains = ndimage.gaussian_filter(rng.normal(size=shape), (1, 2, 2))
spots = (stains > 1.8 * stains.std()) & (gap > 5)
shade = ndimage.gaussian_filter(rng.normal(size=shape), (4, 25, 25))
stack = 165 - 70 * np.exp(-((gap / 3) ** 2)) - 60 * spots + 25 * shade / shade.std()
stack = np.clip(stack + rng.normal(scale=22, size=shape), 0, 255).astype(np.uint8)

temporary = tempfile.TemporaryDirectory()
path = Path(temporary.name) / "stack.tif"
tifffile.imwrite(path, stack)

# %%
# ``load_stack`` reads the pages as images: a path among `X` would stand for one image.

from sksegment.datasets import load_stack

X = load_stack(path)
temporary.cleanup()
print(X.shape, X.dtype)

# %%
# One labelled slice, a second one, and then flips as well: cells look alike from all
# sides, so each slice stands for four.

from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip
from sksegment.metrics import image_scores

segmenter = FCNSegmenter(depth=2, max_epochs=60, random_state=0)
flipping = make_pipeline(RandomFlip(vertical=True), segmenter)
trials = {
    "one slice": ([8], segmenter),
    "two slices": ([8, 30], segmenter),
    "two slices, flipped": ([8, 30], flipping),
}
predicted = {
    name: model.fit(X[slices], y[slices]).predict(X)
    for name, (slices, model) in trials.items()
}

# %%
figure, axes = plt.subplots(
    1, 4, figsize=(12, 3.2), layout="constrained", width_ratios=[1, 1, 1, 2]
)
last = 38
panels = {"slice 38": X[last], "truth": y[last]}
panels["two slices, flipped"] = predicted["two slices, flipped"][last]
for axis, (title, panel) in zip(axes, panels.items(), strict=False):
    axis.imshow(panel, cmap="gray" if title == "slice 38" else "cividis")
    axis.set(title=title, xticks=[], yticks=[])
for name, (slices, _) in trials.items():
    scores = image_scores(y, predicted[name])
    (line,) = axes[3].plot(scores, label=name)
    axes[3].plot(slices, scores[slices], "o", color=line.get_color())
    rest = np.delete(scores, slices)
    print(f"{name}: mean IoU {rest.mean():.3f} on the slices that are not labelled")
axes[3].set(xlabel="slice (dots: labelled)", ylabel="mean IoU")
axes[3].legend()
plt.show()
