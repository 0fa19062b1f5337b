"""
Thirteen bands and pixels without data
======================================

Satellite images have more than three bands, and holes: clouds, the edge of the swath.
``nodata`` says which value marks them. They then count neither in training nor in the
scores, and are marked in what is predicted.
"""

# %%
# The scenes are made here, after the manner of Sentinel-2: 13 bands of 16-bit
# reflectances, four kinds of ground with a spectrum each, speckle, shade, and a mixture
# of two kinds where they meet. Stripes and clouds have no data: -9999 in all bands.

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

NAMES = ["water", "forest", "field", "town"]
NODATA, UNLABELLED = -9999, 255
SPECTRA = np.array(  # reflectance times 10,000, from the coastal band to short-wave
    [
        [1300, 1000, 800, 500, 400, 350, 320, 300, 280, 250, 10, 150, 100],
        [1200, 850, 750, 450, 900, 2200, 2700, 2800, 2950, 900, 15, 1500, 700],
        [1250, 1000, 1000, 1000, 1400, 2300, 2600, 2700, 2850, 1000, 15, 2300, 1400],
        [1400, 1250, 1250, 1350, 1500, 1700, 1800, 1900, 1950, 900, 20, 2200, 2000],
    ]
)
rng = np.random.default_rng(0)


def smooth(size, sigma):
    values = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma)
    return values / values.std()


def make_scene(size=96):
    heights = np.array([smooth(size, 9) for _ in NAMES])
    mask = heights.argmax(axis=0).astype(np.uint8)
    shares = ndimage.gaussian_filter(np.eye(4)[mask], (1, 1, 0))
    bands = shares @ SPECTRA * (1 + 0.12 * smooth(size, 6)[..., np.newaxis])
    bands *= 1 + rng.normal(scale=0.25, size=bands.shape)
    image = bands.clip(1, 30_000).astype(np.int16)
    hole = smooth(size, 8) > 1.1
    corner = rng.integers(20, 50)
    hole |= np.add(*np.indices((size, size))) < corner
    image[hole] = NODATA
    mask[hole] = UNLABELLED
    return image, mask


images, masks = zip(*(make_scene() for _ in range(20)), strict=True)
X, y = np.array(images), np.array(masks)
print(
    X.shape, X.dtype, f"{np.mean(X[..., 0] == NODATA):.0%} of the pixels have no data"
)

# %%
# The segmenter takes any number of bands. Where there is no data, it predicts the
# ``nodata_label``, here the ``ignore_label`` as nothing else is said.

from sksegment import FCNSegmenter, SegmentationDisplay

segmenter = FCNSegmenter(
    nodata=NODATA, ignore_label=UNLABELLED, depth=2, max_epochs=12, random_state=0
)
segmenter.fit(X[:14], y[:14])
SegmentationDisplay.from_estimator(
    segmenter, X[14:], y[14:], n_images=3, channels=(3, 2, 1), class_names=NAMES
)
plt.show()

# %%
found = segmenter.predict(X[14:])
print("marked where there is no data, and nowhere else:", end=" ")
print(np.array_equal(found == UNLABELLED, X[14:, ..., 0] == NODATA))
print("probabilities there:", segmenter.predict_proba(X[14:15])[0, :, 0, 0])
print("means of the first bands:", segmenter.channel_mean_[:3].round())
print(f"mean IoU {segmenter.score(X[14:], y[14:]):.3f}")

# %%
# Without ``nodata``, -9999 is a very dark pixel. In training its label keeps it from
# counting, but its neighbours see it, and the prediction has a class in every hole.

unaware = FCNSegmenter(ignore_label=UNLABELLED, depth=2, max_epochs=12, random_state=0)
unaware.fit(X[:14], y[:14])
near = ndimage.binary_dilation(X[14:, ..., 0] == NODATA, np.ones((1, 7, 7)))
for name, model in {"with nodata": segmenter, "without": unaware}.items():
    right = (model.predict(X[14:]) == y[14:])[near & (y[14:] != UNLABELLED)]
    print(
        f"{name}: mean IoU {model.score(X[14:], y[14:]):.3f}, "
        f"{right.mean():.1%} right within 3 pixels of a hole"
    )

# %%
# What do the bands beyond red, green and blue give? The same network on three of them:

visible = segmenter.set_params(random_state=0).fit(X[:14, ..., 1:4], y[:14])
print(f"three bands: mean IoU {visible.score(X[14:, ..., 1:4], y[14:]):.3f}")
