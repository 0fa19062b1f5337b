"""
Probabilities that mean what they say
=====================================

Of the pixels that a network gives 0.9, nine in ten should be right. Usually they are
fewer. One number, the temperature, repairs most of that and changes no label.
"""

# %%
# A patchwork of three photos of scikit-image, bricks, grass and gravel, put together
# here, so that the masks are known. Ten images train, ten are held out for the
# temperature, and twenty from other parts of the photos are for the test.

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


X_train, y_train = make_set(10, 0, 170)
X_valid, y_valid = make_set(10, 170, 340)
X_test, y_test = make_set(20, 340, 512)

# %%
# The network is trained once. ``FrozenEstimator`` of scikit-learn keeps it so, while
# the temperature is fitted on images that it has not seen. (Without it, and with
# ``cv=5``, ``TemperatureScaling`` trains networks on folds, and no image need be held
# out.)

from sklearn.frozen import FrozenEstimator

from sksegment import FCNSegmenter
from sksegment.calibration import TemperatureScaling

segmenter = FCNSegmenter(max_epochs=60, random_state=0).fit(X_train, y_train)
calibrated = TemperatureScaling(FrozenEstimator(segmenter)).fit(X_valid, y_valid)
print(f"temperature {calibrated.temperature_:.2f}: above 1, the network was too sure")

# %%
from sksegment.display import CalibrationDisplay

models = {"as trained": segmenter, "with temperature": calibrated}
figure, axes = plt.subplots(
    1, 2, figsize=(10, 4), layout="constrained", width_ratios=[1.4, 1]
)
for name, model in models.items():
    CalibrationDisplay.from_estimator(model, X_test, y_test, name=name, ax=axes[0])
sure = [
    model.predict_proba(X_test[:1])[0].max(axis=0).ravel() for model in models.values()
]
wrong = (segmenter.predict(X_test[:1])[0] != y_test[0]).ravel()
axes[1].hist([values[wrong] for values in sure], bins=15, label=list(models))
axes[1].set(xlabel="probability of the predicted class", ylabel="pixels")
axes[1].set_title("how sure of its errors (one image)")
axes[1].legend()
plt.show()

# %%
# The log loss punishes sure errors; the labels, and with them the IoU, stay the same.

from sksegment.metrics import expected_calibration_error, pixel_log_loss

for name, model in models.items():
    proba = model.predict_proba(X_test)
    print(
        f"{name}: log loss {pixel_log_loss(y_test, proba):.3f}, calibration error "
        f"{expected_calibration_error(y_test, proba):.3f}, mean IoU "
        f"{model.score(X_test, y_test):.3f}"
    )

# %%
# The temperature is right for images like the held-out ones, and not for others.
