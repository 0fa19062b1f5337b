"""
Pixels that do not count
========================

Some pixels have no true class: what lies outside the view, what nobody can tell. Give
them a label of their own and name it in ``ignore_label``. They then count nowhere: not
in the loss, not in the scale of the channels, not in any score.
"""

# %%
# A photo of the retina, from scikit-image, at half its size. Vessels are found by a
# ridge filter: where it answers strongly is a vessel, where it answers faintly, we
# cannot tell, and outside the round view there is nothing to tell.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, filters, morphology, transform

from sksegment.model_selection import cut_blocks

TISSUE, VESSEL, IGNORED = 0, 1, 255
photo = transform.downscale_local_mean(data.retina(), (2, 2, 1))[:704, :704]
photo = photo.astype(np.uint8)
view = morphology.erosion(photo[..., 0] > 60, morphology.disk(9))
ridges = filters.sato(photo[..., 1], sigmas=(1.5, 2, 3), black_ridges=True)
limits = np.quantile(ridges[view], [0.82, 0.91])
retina = np.full(view.shape, TISSUE, np.uint8)
retina[ridges > limits[0]] = IGNORED
sure = morphology.area_opening((ridges > limits[1]).astype(np.uint8), 150)
retina[sure > 0] = VESSEL
retina[~view] = IGNORED
print(f"{np.mean(retina == IGNORED):.0%} of the pixels do not count")

pieces, masks, positions = cut_blocks(photo[np.newaxis], retina[np.newaxis], 176)
X, y = np.array(pieces), np.array(masks)
upper = positions[:, 1] < 352

# %%
# The upper half trains, the lower half is scored. `predict` never answers 255: there is
# a class for each pixel, also where no truth is known.

from sksegment import FCNSegmenter, SegmentationDisplay

segmenter = FCNSegmenter(ignore_label=IGNORED, max_epochs=15, random_state=0)
segmenter.fit(X[upper], y[upper])
y_pred = segmenter.predict(X[~upper])
names = ["tissue", "vessel"]
SegmentationDisplay.from_estimator(
    segmenter, X[~upper][1:3], y[~upper][1:3], class_names=names
)
plt.show()

# %%
# The scores take ``ignore_label``, too. The report counts only the pixels that have a
# class.

from sksegment.metrics import segmentation_report

print(
    segmentation_report(
        y[~upper],
        y_pred,
        ignore_label=IGNORED,
        target_names=names,
        confidence_level=0.9,
    )
)

# %%
# What if nobody had thought of it? Without ``ignore_label``, 255 is a third class, that
# the network learns and which enters the mean IoU. A warning says so.

import warnings

from sksegment.metrics import iou_score

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    third = FCNSegmenter(max_epochs=15, random_state=0).fit(X[upper], y[upper])
print(*(warning.message for warning in caught), sep="\n")
scores = iou_score(y[~upper], third.predict(X[~upper]), average=None)
for label, score in zip(third.classes_, scores, strict=True):
    print(f"class {label}: IoU {score:.3f}")
