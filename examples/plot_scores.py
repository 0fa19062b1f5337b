"""
One prediction, scores from 0.59 to 0.98
========================================

"We reach a Dice of 0.9" means little. The same masks get very different scores under
conventions that are all in use; whoever publishes one has to say which.
"""

# %%
# Coins from scikit-image, in four strips. The truth is a watershed; the prediction a
# plain threshold on the uneven ground, so that there is something to judge.

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from skimage import data, filters, morphology, segmentation

coins = data.coins()[10:300]
seeds = np.zeros(coins.shape, int)
seeds[coins < 30], seeds[coins > 150] = 1, 2
truth = segmentation.watershed(filters.sobel(coins), seeds) == 2
truth = morphology.opening(ndimage.binary_fill_holes(truth), np.ones((5, 5)))
found = ndimage.binary_fill_holes(coins > 120)
found = morphology.opening(found, np.ones((3, 3)))
strips = np.r_[0, 80, 148, 218, 290]
pairs = list(pairwise(strips))
images = [coins[top:bottom] for top, bottom in pairs]
y_true = [truth[top:bottom].astype(int) for top, bottom in pairs]
y_pred = [found[top:bottom].astype(int) for top, bottom in pairs]

# %%
# Add two strips without any coin, as there are slices without a tumor: in one of them a
# speck of dust has been found.

empty = np.full((80, coins.shape[1]), 40, np.uint8)
dust = np.zeros(empty.shape, int)
dust[30:33, 100:103] = 1
images += [empty, empty]
y_true += [np.zeros(empty.shape, int)] * 2
y_pred += [np.zeros(empty.shape, int), dust]

# %%
from sksegment.metrics import (
    boundary_f1_score,
    boundary_iou_score,
    dice_score,
    iou_score,
    pixel_accuracy_score,
    surface_dice_score,
)

coin_only = {"exclude": (0,)}
per_image = {"exclude": (0,), "over": "images"}
scores = {
    "pixel accuracy": pixel_accuracy_score(y_true, y_pred),
    "mean Dice": dice_score(y_true, y_pred),
    "mean IoU": iou_score(y_true, y_pred),
    "Dice of coins": dice_score(y_true, y_pred, **coin_only),
    "IoU of coins": iou_score(y_true, y_pred, **coin_only),
    "... per image": iou_score(y_true, y_pred, **per_image),
    "... empty and right: 1": iou_score(y_true, y_pred, absent=1.0, **per_image),
    "surface Dice, 2 pixels": surface_dice_score(
        y_true, y_pred, tolerance=2, **coin_only
    ),
    "boundary F1, 1 pixel": boundary_f1_score(y_true, y_pred, tolerance=1, **coin_only),
    "boundary IoU, 1 pixel": boundary_iou_score(y_true, y_pred, width=1, **coin_only),
}
for name, score in scores.items():
    print(f"{name:25}{score:.3f}")

# %%
figure, axes = plt.subplots(
    1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=[1, 1.2]
)
axes[0].imshow(coins, cmap="gray")
axes[0].contour(truth, [0.5], colors="C0", linewidths=1.2)
axes[0].contour(found, [0.5], colors="C1", linewidths=0.8)
axes[0].set(title="truth (blue) and prediction", xticks=[], yticks=[])
bars = axes[1].barh(list(scores), list(scores.values()), color="C0")
axes[1].bar_label(bars, fmt="%.2f", padding=3)
axes[1].set(xlim=(0, 1.1), title="the same masks")
axes[1].invert_yaxis()
plt.show()

# %%
# - The *background* is easy and large: it lifts the accuracy and every mean over
#   classes. ``exclude=(0,)`` leaves it out.
# - *Per image* or over all pixels: one speck on an empty image scores 0, as much as a
#   whole image that is missed. What an empty image that is rightly left empty counts is
#   a choice, too: left out by default, or 1 with ``absent=1.0``.
# - *Dice* is never below IoU: it is ``2 IoU / (1 + IoU)``.
# - *Boundary scores* see what large areas hide. Their tolerance is part of the score.
#
# What ``score`` and ``iou_scorer`` return is the mean IoU over all pixels of all
# images, as in the PASCAL VOC challenge.
