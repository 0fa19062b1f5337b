"""
Tiles of one image: why folds must be spatial
=============================================

Tiles that lie side by side look alike. If neighbours of a test tile are in training,
the score says how well a model knows this place, not how well it does elsewhere.
"""

# %%
# A scene from scikit-image with measured truth: two cameras give the distance of most
# pixels. Classes are near, middle and far; pixels without a distance are ignored.
# Nothing but the place tells how far away a patch of floor or wall is, so this is a
# task where it is easy to learn places by heart.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

IGNORED = 255
photo, _, disparity = data.stereo_motorcycle()
photo, disparity = photo[:480, :720], disparity[:480, :720]
measured = np.isfinite(disparity)
limits = np.quantile(disparity[measured], [1 / 3, 2 / 3])
distance = 2 - np.digitize(np.where(measured, disparity, 0), limits).astype(np.uint8)
distance[~measured] = IGNORED

# %%
# The scene is cut into 150 tiles. Random folds spread them; ``SpatialBlockKFold`` keeps
# whole blocks together, and drops the training tiles that touch them.

from sklearn.model_selection import KFold, cross_val_score

from sksegment import FCNSegmenter
from sksegment.model_selection import SpatialBlockKFold, cut_blocks

tiles, masks, positions = cut_blocks(
    photo[np.newaxis], distance[np.newaxis], block_size=48
)
X, y = np.array(tiles), np.array(masks)
folds = {
    "random": KFold(5, shuffle=True, random_state=0),
    "blocks": SpatialBlockKFold(5, block_size=144, margin=1),
}
segmenter = FCNSegmenter(
    classes=[0, 1, 2], ignore_label=IGNORED, max_epochs=10, random_state=0
)
scores = {
    name: cross_val_score(segmenter, X, y, cv=cv, groups=positions)
    for name, cv in folds.items()
}
for name, score in scores.items():
    print(f"{name}: mean IoU {score.mean():.2f}, folds {np.round(score, 2)}")

# %%
# The folds on the scene: each color is one test fold.

figure, axes = plt.subplots(
    1, 3, figsize=(12, 3), layout="constrained", width_ratios=[1.5, 1.5, 1]
)
for axis, (name, cv) in zip(axes, folds.items(), strict=False):
    numbers = np.zeros(distance.shape)
    for number, (_, test) in enumerate(cv.split(X, y, groups=positions)):
        for _, row, column in positions[test]:
            numbers[row : row + 48, column : column + 48] = number
    axis.imshow(photo)
    axis.imshow(numbers, cmap="tab10", vmin=0, vmax=9, alpha=0.5)
    axis.set(title=f"{name} folds", xticks=[], yticks=[])
for place, (name, score) in enumerate(scores.items()):
    axes[2].plot(np.full(len(score), place), score, "o", alpha=0.5, color=f"C{place}")
    axes[2].plot([place - 0.2, place + 0.2], [score.mean()] * 2, color=f"C{place}")
axes[2].set_xticks(range(len(scores)), scores)
axes[2].set(xlim=(-0.5, 1.5), ylim=(0, 1), ylabel="mean IoU")
plt.show()
