"""
How many epochs?
================

``max_epochs`` need not be searched on a grid: one training per fold shows the score on
held-out images after each epoch.
"""

# %%
# Pieces of a photo of stained tissue from scikit-image; the masks come from thresholds
# in its two dyes.

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, filters

from sksegment.model_selection import cut_blocks

photo = data.immunohistochemistry()[:, :256]
dyes = filters.gaussian(color.rgb2hed(photo), 2, channel_axis=-1)
blue, brown = dyes[..., 0], dyes[..., 2]
tissue = np.zeros(photo.shape[:2], np.uint8)
tissue[blue > filters.threshold_otsu(blue)] = 2
tissue[brown > filters.threshold_otsu(brown)] = 1
tiles, masks, positions = cut_blocks(photo[np.newaxis], tissue[np.newaxis], 64)
X, y = np.array(tiles), np.array(masks)

# %%
# At a constant learning rate and with an integer ``batch_size``, the score after epoch
# `k` is that of a training with ``max_epochs=k``. Each fold is a band of the photo.

from sksegment import FCNSegmenter
from sksegment.display import EpochCurveDisplay
from sksegment.model_selection import SpatialBlockKFold, epoch_curve

constant = FCNSegmenter(
    learning_rate_schedule="constant",
    batch_size=4,
    width=8,
    depth=2,
    max_epochs=20,
    random_state=0,
)
blocks = SpatialBlockKFold(4, block_size=128)
curve = epoch_curve(constant, X, y, cv=blocks, groups=positions)
print(f"best epoch: {curve.best_epoch}")
print(f"first epoch within one standard error of it: {curve.one_se_epoch}")

# %%
# With the default schedule, a cosine, the rate falls to 0 at ``max_epochs``. The curve
# is smooth at its end, and tells whether so many epochs are too few or too many, but
# not which smaller number would do.

cosine = FCNSegmenter(width=8, depth=2, batch_size=4, max_epochs=20, random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
EpochCurveDisplay(**curve, score_name="Mean IoU").plot(ax=axes[0])
EpochCurveDisplay.from_estimator(cosine, X, y, cv=blocks, groups=positions, ax=axes[1])
axes[0].set_title("constant learning rate")
axes[1].set_title("cosine")
plt.show()
