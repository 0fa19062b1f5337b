"""
Tiles of one image: why folds must be spatial
=============================================

Tiles that lie side by side look alike. If neighbours of a test tile are in training,
the score says how well a model knows this place, and not how well it does elsewhere.
"""

# %%
# The scene is made here, because that allows a second one to be made, to see who was
# right: fields, seen from above, with one of three crops each. A crop has a typical
# color, from which every field deviates.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import KDTree
from skimage import filters

COLORS = np.array([[0.35, 0.5, 0.25], [0.55, 0.55, 0.3], [0.5, 0.4, 0.3]])


def make_scene(rng, size=320, n_fields=40):
    fields = KDTree(rng.uniform(0, size, (n_fields, 2)))
    place = np.indices((size, size)).reshape(2, -1).T
    number = fields.query(place)[1].reshape(size, size)
    crops = rng.integers(0, 3, n_fields)
    colors = COLORS[crops] + rng.normal(scale=0.08, size=(n_fields, 3))
    texture = filters.gaussian(rng.normal(size=(size, size, 1)), 1, channel_axis=-1)
    photo = colors[number] + 0.1 * texture
    return np.clip(photo, 0, 1).astype(np.float32), crops[number].astype(np.uint8)


photo, crops = make_scene(np.random.default_rng(0))

# %%
# The scene is cut into 100 tiles. Random folds spread them; ``SpatialBlockKFold`` keeps
# whole blocks together, and drops the training tiles that are near them.

from sklearn.model_selection import KFold, cross_val_score

from sksegment import FCNSegmenter
from sksegment.model_selection import SpatialBlockKFold, cut_blocks

tiles, masks, positions = cut_blocks(photo[np.newaxis], crops[np.newaxis], 32)
X, y = np.array(tiles), np.array(masks)
random = KFold(4, shuffle=True, random_state=0)
spatial = SpatialBlockKFold(4, block_size=160, margin=1)
folds = {
    "random": list(random.split(X)),
    "spatial": list(spatial.split(X, groups=positions)),
}
segmenter = FCNSegmenter(
    depth=2, learning_rate=0.01, max_epochs=15, classes=[0, 1, 2], random_state=0
)
scores = {name: cross_val_score(segmenter, X, y, cv=cv) for name, cv in folds.items()}

# %%
# Which of the two is right? The same segmenter, trained on the whole scene, is taken to
# five other ones.

segmenter.fit(X, y)
elsewhere = [make_scene(np.random.default_rng(seed)) for seed in range(1, 6)]
scores["other scenes"] = np.array(
    [segmenter.score([photo], [crops]) for photo, crops in elsewhere]
)
for name, score in scores.items():
    print(f"{name:12}: mean IoU {score.mean():.2f}, {np.round(score, 2)}")

# %%
# Each shade is one test fold.

figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
axes[0].imshow(photo)
axes[0].set(title="the scene", xticks=[], yticks=[])
for axis, (name, cv) in zip(axes[1:3], folds.items(), strict=True):
    numbers = np.zeros(crops.shape)
    for number, (_, test) in enumerate(cv):
        for _, row, column in positions[test]:
            numbers[row : row + 32, column : column + 32] = number
    axis.imshow(photo)
    axis.imshow(numbers, cmap="viridis", alpha=0.6)
    axis.set(title=f"{name} folds", xticks=[], yticks=[])
for place, score in enumerate(scores.values()):
    axes[3].plot(np.full(len(score), place), score, "o", alpha=0.5, color=f"C{place}")
    axes[3].plot([place - 0.2, place + 0.2], [score.mean()] * 2, color=f"C{place}")
axes[3].set_xticks(range(len(scores)), scores)
axes[3].set(xlim=(-0.5, 2.5), ylim=(0, 1), ylabel="mean IoU")
plt.show()

# %%
# Random folds promise what only places can keep that the network has seen parts of.
# Spatial folds tell about how it does elsewhere, with a spread that shows how much four
# blocks can say. ``margin`` keeps training tiles away from test blocks: take the
# distance over which your scenes resemble themselves, and ``margin_`` of the segmenter
# at least.
