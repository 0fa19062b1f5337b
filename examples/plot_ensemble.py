"""
The networks of all folds as one
================================

A cross-validation trains one network per fold, and usually throws them away. Kept, they
are an ensemble: better than its members as a rule, and it can tell where they
disagree.
"""

# %%
# A patchwork of three photos of scikit-image, bricks, grass and gravel, put together
# here, so that the masks are known.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, exposure

textures = [data.brick(), data.grass(), data.gravel()]
textures = [exposure.equalize_hist(texture) for texture in textures]  # same greys
rng = np.random.default_rng(0)


def make_patchwork(left, right, size=96):
    centers = rng.uniform(0, size, (6, 2))
    rows, columns = np.indices((size, size))
    distance = [np.hypot(rows - row, columns - column) for row, column in centers]
    mask = np.argmin(distance, axis=0).astype(np.uint8) % 3
    row, column = rng.integers(0, 512 - size), rng.integers(left, right - size)
    parts = [part[row : row + size, column : column + size] for part in textures]
    return np.choose(mask, parts), mask


def make_set(n, left, right):
    images, masks = zip(*(make_patchwork(left, right) for _ in range(n)), strict=True)
    return np.array(images, dtype=np.float32), np.array(masks)


X_train, y_train = make_set(20, 0, 300)
X_test, y_test = make_set(20, 300, 512)  # other parts of the photos

# %%
# ``return_estimator=True`` keeps the fitted networks; ``from_fitted`` makes one
# segmenter of them, without further training.

from sklearn.model_selection import cross_validate

from sksegment import FCNSegmenter
from sksegment.ensemble import VotingSegmenter, predict_uncertainty

segmenter = FCNSegmenter(width=8, max_epochs=20, random_state=0)
folds = cross_validate(segmenter, X_train, y_train, cv=4, return_estimator=True)
ensemble = VotingSegmenter.from_fitted(folds["estimator"])

members = [member.score(X_test, y_test) for member in folds["estimator"]]
whole = segmenter.fit(X_train, y_train).score(X_test, y_test)
print("members:               ", np.round(members, 3))
print(f"one network, all images: {whole:.3f}")
print(f"ensemble:                {ensemble.score(X_test, y_test):.3f}")

# %%
# The probabilities are better, too: the log loss of held-out pixels is lower.

from sksegment.metrics import neg_pixel_log_loss_scorer

for name, model in {"one network": segmenter, "ensemble": ensemble}.items():
    loss = -neg_pixel_log_loss_scorer(model, X_test, y_test)
    print(f"{name}: log loss {loss:.3f}")

# %%
# Disagreement is the part of the uncertainty that more training images could cure.

disagreement = predict_uncertainty(ensemble, X_test[:1], method="disagreement")[0]
panels = {"image": X_test[0], "truth": y_test[0]}
panels |= {
    f"member {number}": member.predict(X_test[:1])[0]
    for number, member in enumerate(folds["estimator"][:2], start=1)
}
panels |= {"ensemble": ensemble.predict(X_test[:1])[0], "disagreement": disagreement}
figure, axes = plt.subplots(1, 6, figsize=(13, 2.6), layout="constrained")
maps = {"image": "gray", "disagreement": "magma"}
for axis, (title, panel) in zip(axes, panels.items(), strict=True):
    axis.imshow(panel, cmap=maps.get(title, "viridis"))
    axis.set(title=title, xticks=[], yticks=[])
plt.show()
