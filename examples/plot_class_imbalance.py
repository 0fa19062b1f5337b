"""
Rare classes: what class weights buy and cost
=============================================

Most of the sky is black. Weights for the rare classes find more of their pixels, and
also take in more that are none. The IoU of each class counts both kinds of error.
"""

# %%
# The Hubble deep field, from scikit-image. Masks come from a threshold: what shines is
# an object, red or blue by its color, and everything else is sky. The left half is for
# training, the right one for scoring.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, filters, morphology

from sksegment.model_selection import cut_blocks

photo = data.hubble_deep_field()[:768, :960]
light = filters.gaussian(photo / 255, 1, channel_axis=-1)
bright = (light.max(axis=-1) > 0.25).astype(np.uint8)
shines = morphology.area_opening(bright, 9) > 0  # specks are noise
sky = np.zeros(shines.shape, np.uint8)
sky[shines] = 1
sky[shines & (light[..., 0] > 1.3 * light[..., 2])] = 2

names = ["sky", "blue", "red"]
shares = np.bincount(sky.ravel()) / sky.size
for name, share in zip(names, shares, strict=True):
    print(f"{name}: {share:.1%} of the pixels")

pieces, masks, positions = cut_blocks(photo[np.newaxis], sky[np.newaxis], 96)
left = positions[:, 2] < 480
X_train, y_train = np.array(pieces)[left], np.array(masks)[left]
X_test, y_test = np.array(pieces)[~left], np.array(masks)[~left]

# %%
# One network per setting; all else is equal.

from sksegment import FCNSegmenter
from sksegment.metrics import segmentation_report

settings = {
    "no weights": None,
    "median_frequency": "median_frequency",
    "balanced": "balanced",
}
reports, found = {}, {}
for name, class_weight in settings.items():
    segmenter = FCNSegmenter(class_weight=class_weight, max_epochs=6, random_state=0)
    found[name] = segmenter.fit(X_train, y_train).predict(X_test)
    reports[name] = segmentation_report(
        y_test, found[name], target_names=names, output_dict=True
    )

# %%
figure, axes = plt.subplots(
    1, 2, figsize=(10, 4), layout="constrained", width_ratios=[1, 1.3]
)
window = np.s_[470:710, 560:800]
axes[0].imshow(photo[window])
axes[0].contour(sky[window] > 0, [0.5], colors="white", linewidths=0.6)
axes[0].set(title="objects by the threshold", xticks=[], yticks=[])
places = np.arange(len(names))
for shift, (name, report) in enumerate(reports.items()):
    heights = [report[label]["iou"] for label in names]
    bars = axes[1].bar(places + 0.27 * (shift - 1), heights, width=0.25, label=name)
    axes[1].bar_label(bars, fmt="%.2f", fontsize=8)
axes[1].set_xticks(places, names)
axes[1].set(ylabel="IoU", ylim=(0, 1.1), title="right half of the picture")
axes[1].legend(ncols=3, loc="upper center", frameon=False, fontsize=8)
plt.show()

# %%
# The table behind the bars: how much of a class is found (accuracy, or recall), and how
# much of what is found belongs to it (precision).

print(f"{'':24}{'accuracy':>9}{'precision':>10}")
for name, report in reports.items():
    for label in names[1:]:
        row = report[label]
        print(f"{name:17} {label:6}{row['accuracy']:>9.3f}{row['precision']:>10.3f}")

# %%
# With weights, nearly all pixels of the rare classes are found, along with a broad rim
# of sky around them: one wrong pixel of sky costs next to nothing in such a loss. Take
# weights where a missed object is worse than a false alarm. Where IoU is what counts,
# begin without them. In any case look at the rare classes one by one: the pixel
# accuracy is 95 % if nothing at all is found.
