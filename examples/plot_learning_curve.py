"""
Would more labels help?
=======================

Before somebody labels another fifty images: the score as a function of how many there
are. scikit-learn's ``LearningCurveDisplay`` draws it.
"""

# %%
# A patchwork of three photos of scikit-image, bricks, grass and gravel, put together
# here, so that the masks are known.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, exposure

textures = [data.brick(), data.grass(), data.gravel()]
textures = [exposure.equalize_hist(texture) for texture in textures]  # same greys
rng = np.random.default_rng(3)


def make_patchwork(size=80):
    centers = rng.uniform(0, size, (6, 2))
    rows, columns = np.indices((size, size))
    distance = [np.hypot(rows - row, columns - column) for row, column in centers]
    mask = np.argmin(distance, axis=0).astype(np.uint8) % 3
    row, column = rng.integers(0, 512 - size, 2)
    parts = [part[row : row + size, column : column + size] for part in textures]
    return np.choose(mask, parts), mask


images, masks = zip(*(make_patchwork() for _ in range(48)), strict=True)
X, y = np.array(images, dtype=np.float32), np.array(masks)

# %%
# Each size is trained on two folds. An epoch of few images has few steps, so that the
# small sets get as many passes, and not as many steps: they would gain a little from
# more epochs.

from sklearn.model_selection import LearningCurveDisplay

from sksegment import FCNSegmenter, iou_scorer

segmenter = FCNSegmenter(width=8, max_epochs=15, random_state=0)
figure, axes = plt.subplots(
    1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=[1, 1.6]
)
axes[0].imshow(X[0], cmap="gray")
axes[0].imshow(y[0], cmap="viridis", alpha=0.35)
axes[0].set(title="an image and its mask", xticks=[], yticks=[])
display = LearningCurveDisplay.from_estimator(
    segmenter,
    X,
    y,
    train_sizes=[3, 6, 12, 24],
    cv=2,
    scoring=iou_scorer,
    score_name="mean IoU",
    shuffle=True,
    random_state=0,
    ax=axes[1],
)
axes[1].set(xscale="log", ylim=(0, 1), xlabel="images with labels")
axes[1].set_xticks([3, 6, 12, 24], [3, 6, 12, 24])
axes[1].minorticks_off()
plt.show()

# %%
# Where both curves meet, more images of this kind will not help much; where there is
# still a gap, and the lower curve rises, they will.

for size, trained, tested in zip(
    display.train_sizes,
    display.train_scores.mean(axis=1),
    display.test_scores.mean(axis=1),
    strict=True,
):
    print(f"{size:3} images: {trained:.3f} on themselves, {tested:.3f} on others")
