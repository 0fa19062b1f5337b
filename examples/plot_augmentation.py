"""
Look at what augmentation does
==============================

Augmenters are steps of a Pipeline. Before they are trusted with a training, look at
what they make of an image and its mask.
"""

# %%
# A piece of stained tissue from scikit-image; the mask comes from thresholds in its two
# dyes.

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, filters

photo = data.immunohistochemistry()
dyes = filters.gaussian(color.rgb2hed(photo), 2, channel_axis=-1)
blue, brown = dyes[..., 0], dyes[..., 2]
tissue = np.zeros(photo.shape[:2], np.uint8)
tissue[blue > filters.threshold_otsu(blue)] = 2
tissue[brown > filters.threshold_otsu(brown)] = 1
piece = np.s_[160:320, 200:360]

# %%
# The first row is the pair itself, the others are draws. Mask and image move together;
# the changes of color leave the mask alone. What comes in from outside is the mirror
# image, mask included.

from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import (
    RandomContrast,
    RandomFlip,
    RandomNoise,
    RandomRotation,
    RandomZoom,
)
from sksegment.display import AugmentationDisplay

model = make_pipeline(
    RandomFlip(vertical=True),
    RandomRotation(45),
    RandomZoom((0.7, 1.4)),
    RandomContrast((0.7, 1.4)),
    RandomNoise(0.03),
    FCNSegmenter(max_epochs=20, random_state=0),
)
AugmentationDisplay.from_estimator(model, photo[piece], tissue[piece], n_draws=2)
plt.show()

# %%
# With a number as ``fill``, the corners are painted instead, and do not count in
# training: they get the label that is ignored, here shown in grey.

painted = RandomRotation(45, fill=255)
AugmentationDisplay.from_estimator(
    painted, photo[piece], tissue[piece], n_draws=1, ignore_label=255
)
plt.show()

# %%
# Does it pay? Four pieces of the photo train, the other twelve are scored; nothing is
# augmented at prediction. The scores are those of one seed.

from sksegment.model_selection import cut_blocks

tiles, masks, _ = cut_blocks(photo[np.newaxis], tissue[np.newaxis], 128)
X, y = np.array(tiles), np.array(masks)
few, rest = [1, 6, 8, 15], [i for i in range(16) if i not in (1, 6, 8, 15)]
for name, estimator in {"without": model[-1], "with": model}.items():
    score = estimator.fit(X[few], y[few]).score(X[rest], y[rest])
    print(f"{name} augmentation: mean IoU {score:.3f}")
