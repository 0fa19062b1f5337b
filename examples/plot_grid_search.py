"""
Depth and learning rate: a grid search
======================================

``GridSearchCV`` of scikit-learn searches a network's settings as it searches those of a
forest. With two of them, the result is a map.
"""

# %%
# A patchwork of three photos of scikit-image: bricks, grass and gravel. The mask is
# known because the patches are put together here. A single pixel says little; depth
# decides how far around it the network looks.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, exposure

textures = [data.brick(), data.grass(), data.gravel()]
textures = [exposure.equalize_hist(texture) for texture in textures]  # same greys
rng = np.random.default_rng(0)


def make_patchwork(size=96):
    nearest = rng.uniform(0, size, (6, 2))[:, :, np.newaxis, np.newaxis]
    distance = np.hypot(
        *(np.indices((size, size))[:, np.newaxis] - nearest.swapaxes(0, 1))
    )
    mask = np.argmin(distance, axis=0).astype(np.uint8) % 3
    row, column = rng.integers(0, 512 - size, 2)
    parts = [part[row : row + size, column : column + size] for part in textures]
    return np.choose(mask, parts), mask


images, masks = zip(*(make_patchwork() for _ in range(24)), strict=True)
X, y = np.array(images, dtype=np.float32), np.array(masks)

# %%
# Nine settings, each trained on three quarters of the images and scored on the rest.

from sklearn.model_selection import GridSearchCV, ShuffleSplit

from sksegment import FCNSegmenter, iou_scorer

search = GridSearchCV(
    FCNSegmenter(width=8, max_epochs=15, random_state=0),
    {"depth": [1, 2, 3], "learning_rate": [1e-3, 1e-2, 1e-1]},
    scoring=iou_scorer,
    cv=ShuffleSplit(1, test_size=0.25, random_state=0),
).fit(X, y)
print(f"best: {search.best_params_}, mean IoU {search.best_score_:.3f}")

# %%
scores = search.cv_results_["mean_test_score"].reshape(3, 3)
seconds = search.cv_results_["mean_fit_time"].reshape(3, 3)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
axes[0].imshow(X[0], cmap="gray")
axes[0].imshow(y[0], cmap="viridis", alpha=0.35)
axes[0].set(title="an image and its mask", xticks=[], yticks=[])
for axis, values, title, form in [
    (axes[1], scores, "mean IoU", "{:.2f}"),
    (axes[2], seconds, "seconds for fit", "{:.1f}"),
]:
    picture = axis.imshow(values, cmap="cividis")
    for place, value in np.ndenumerate(values):
        bright = value > (values.min() + values.max()) / 2
        color = "black" if bright else "white"
        axis.text(
            *place[::-1], form.format(value), ha="center", va="center", color=color
        )
    axis.set_xticks(range(3), search.param_grid["learning_rate"])
    axis.set_yticks(range(3), search.param_grid["depth"])
    axis.set(xlabel="learning rate", ylabel="depth", title=title)
plt.show()

# %%
# The best setting has been trained once more on all images, and ``search`` predicts
# with it. One split says little about small differences: more folds, such as ``cv=5``,
# take that many times as long. A best value at the border of the grid asks for a
# second search beyond it.

print(search.best_estimator_)
print("sees", search.best_estimator_.margin_, "pixels around each pixel")
