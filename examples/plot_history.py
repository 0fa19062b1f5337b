"""
When to stop: history and early stopping
========================================

A network that has learned all there is begins to learn the noise. The score of
held-out images shows when, and early stopping keeps the weights of the best epoch.
"""

# %%
# A task with little to learn from: eight pieces of a photo of tissue train, 16 others
# validate, 40 are for the end. The masks come from thresholds in the dyes; then a
# quarter of each training mask gets random classes, as if by careless hands.

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, filters

from sksegment.model_selection import cut_blocks

photo = data.immunohistochemistry()
dyes = filters.gaussian(color.rgb2hed(photo), 2, channel_axis=-1)
blue, brown = dyes[..., 0], dyes[..., 2]
tissue = np.zeros(photo.shape[:2], np.uint8)
tissue[blue > filters.threshold_otsu(blue)] = 2
tissue[brown > filters.threshold_otsu(brown)] = 1
tiles, masks, _ = cut_blocks(photo[np.newaxis], tissue[np.newaxis], 64)
X, y = np.array(tiles), np.array(masks)

rng = np.random.default_rng(0)
order = rng.permutation(64)
train, valid, test = order[:8], order[8:24], order[24:]
blots = np.kron(rng.random((64, 16, 16)) < 0.25, np.ones((1, 4, 4))) > 0
careless = np.where(blots, rng.integers(0, 3, y.shape), y)

# %%
# ``X_val`` and ``y_val`` are scored after each epoch. With ``early_stopping`` and
# without them, ``validation_fraction`` of the training images is held out instead.

from sksegment import FCNSegmenter
from sksegment.display import TrainingHistoryDisplay

settings = {
    "max_epochs": 80,
    "learning_rate_schedule": "constant",
    "dropout": 0.0,
    "random_state": 0,
}
to_the_end = FCNSegmenter(**settings)
to_the_end.fit(X[train], careless[train], X_val=X[valid], y_val=y[valid])

stopped = FCNSegmenter(early_stopping=True, n_iter_no_change=10, **settings)
stopped.fit(X[train], careless[train], X_val=X[valid], y_val=y[valid])

figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
TrainingHistoryDisplay.from_estimator(to_the_end, ax=axes[0])
TrainingHistoryDisplay.from_estimator(stopped, ax=axes[1])
axes[0].set_title("to the end")
axes[1].set_title("early stopping")
for axis in axes:
    axis.set(xlim=(0, 81), ylim=(0, 2.5))  # the first validation losses are higher
plt.show()

# %%
# ``history_`` is a list with one dict per epoch, ready for pandas.

print({key: round(value, 3) for key, value in stopped.history_[-1].items()})
print(f"epochs: {stopped.n_iter_}, weights of epoch {stopped.best_epoch_}")
for name, segmenter in {"to the end": to_the_end, "early stopping": stopped}.items():
    seconds = sum(epoch["dur"] for epoch in segmenter.history_)
    score = segmenter.score(X[test], y[test])
    print(f"{name}: {seconds:.0f} s, mean IoU {score:.3f} on the test images")
