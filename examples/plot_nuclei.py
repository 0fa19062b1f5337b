"""
16-bit nuclei: from classes to single objects
=============================================

A segmentation says what a pixel is, not which object it belongs to. A third class for
the seams between nuclei, and a watershed, turn one into the other, and nuclei that
touch are counted one by one.
"""

# %%
# The images are made here: nuclei as a fluorescence microscope shows them, in 16 bits.
# Each touches others, is brighter or darker than they are, and lies on a glow that is
# not even; photons come at random. There is one number per nucleus in ``instances``.

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from skimage import draw, measure, morphology, segmentation

rng = np.random.default_rng(0)


def make_field(size=160, n_nuclei=55):
    numbers, light = np.zeros((size, size), int), np.zeros((size, size))
    for number in range(1, n_nuclei + 1):
        center, radii = rng.uniform(6, size - 6, 2), rng.uniform(8, 13, 2)
        nucleus = draw.ellipse(*center, *radii, numbers.shape, rng.uniform(0, np.pi))
        if np.mean(numbers[nucleus] > 0) < 0.15:  # a little overlap makes them touch
            numbers[nucleus], light[nucleus] = number, rng.uniform(400, 1600)
    texture = 1 + 0.25 * ndimage.gaussian_filter(rng.normal(size=light.shape), 2) * 6
    glow = 150 + 200 * ndimage.gaussian_filter(rng.normal(size=light.shape), 30) * 60
    photons = ndimage.gaussian_filter(light * texture, 1.2) + np.clip(glow, 0, None)
    photons = np.clip(photons, 0, None)
    return (100 + 4 * rng.poisson(photons)).astype(np.uint16), numbers


fields = [make_field() for _ in range(16)]
X = np.array([image for image, _ in fields])
instances = np.array([numbers for _, numbers in fields])
print(X.dtype, "from", X.min(), "to", X.max())

# %%
# Three classes: 0 is background, 1 is nucleus, 2 is seam, the pixels near two nuclei.
# 16 bits need no scaling: the segmenter standardises by the training images.

from sksegment import FCNSegmenter
from sksegment.metrics import segmentation_report


def as_classes(numbers):
    classes = (numbers > 0).astype(np.uint8)
    near = np.where(numbers > 0, numbers, 10_000)
    lowest = ndimage.minimum_filter(near, 5)
    highest = ndimage.maximum_filter(numbers, 5)
    classes[(lowest < highest) & (highest > 0) & (lowest < 10_000)] = 2
    return classes


y = np.array([as_classes(numbers) for numbers in instances])
train, test = slice(0, 12), slice(12, 16)
segmenter = FCNSegmenter(max_epochs=30, random_state=0).fit(X[train], y[train])
y_pred = segmenter.predict(X[test])
names = ["background", "nucleus", "seam"]
print(segmentation_report(y[test], y_pred, target_names=names))

# %%
# What is nucleus and not seam falls apart into single nuclei. They are the seeds of a
# watershed that gives the seams back. The plain way, which numbers the connected parts
# of all that is not background, takes touching nuclei for one.


def split(classes):
    seeds = measure.label(morphology.opening(classes == 1, morphology.disk(2)))
    return segmentation.watershed(classes == 2, seeds, mask=classes > 0)


def count_found(true_numbers, numbers):
    found = 0
    for region in measure.regionprops(true_numbers):
        inside = numbers[tuple(region.coords.T)]
        number = np.bincount(inside).argmax()
        union = np.sum(numbers == number) + region.area - np.sum(inside == number)
        found += number > 0 and np.sum(inside == number) / union > 0.5
    return found


results = {
    "connected parts": [measure.label(classes > 0) for classes in y_pred],
    "seams and watershed": [split(classes) for classes in y_pred],
}
n_true = sum(len(np.unique(numbers)) - 1 for numbers in instances[test])
for name, numbered in results.items():
    n_objects = sum(numbers.max() for numbers in numbered)
    n_found = sum(map(count_found, instances[test], numbered))
    print(
        f"{name}: {n_objects} objects; {n_found} of {n_true} nuclei found (IoU > 0.5)"
    )

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
axes[0].imshow(X[test][0], cmap="gray")
axes[0].set_title("16 bits")
axes[1].imshow(y_pred[0], cmap="cividis")
axes[1].set_title("three classes")
colors = plt.get_cmap("tab20")
for axis, (name, numbered) in zip(axes[2:], results.items(), strict=True):
    shown = np.ma.masked_equal(numbered[0], 0)
    axis.imshow(X[test][0], cmap="gray")
    axis.imshow(shown % 20, cmap=colors, alpha=0.75, interpolation="nearest")
    axis.set_title(f"{name}: {numbered[0].max()}")
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()
