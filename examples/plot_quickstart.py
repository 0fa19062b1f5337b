"""
Quickstart: train, score and look
=================================

A small segmentation from beginning to end, on pictures that the package draws itself:
colored shapes on a textured background, one class per shape.
"""

# %%
# Images are an array ``(n, height, width, n_channels)``, masks are ``(n, height,
# width)`` with one label per pixel.

import time

from sklearn.model_selection import train_test_split

from sksegment.datasets import make_shapes

X, y = make_shapes(n_samples=200, size=64, n_classes=4, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=50, random_state=0)
print(f"images {X.shape} {X.dtype}, masks {y.shape} {y.dtype}")

# %%
# Augmenters and the segmenter form a stock scikit-learn Pipeline. The augmenters move
# image and mask together, anew in each epoch; at prediction they do nothing.

from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip, RandomRotation, RandomZoom

pipeline = make_pipeline(
    RandomFlip(vertical=True),
    RandomRotation(15),
    RandomZoom((0.8, 1.25)),
    FCNSegmenter(max_epochs=20, random_state=0, verbose=1),
)
start = time.perf_counter()
pipeline.fit(X_train, y_train)
print(f"trained in {time.perf_counter() - start:.0f} s")

# %%
# All scores come from one confusion matrix over all pixels of the held-out images.

from sksegment.metrics import segmentation_report

names = ["background", "disk", "square", "triangle"]
y_pred = pipeline.predict(X_test)
print(segmentation_report(y_test, y_pred, target_names=names))
print(
    f"mean IoU on {len(X_test)} held-out images: {pipeline.score(X_test, y_test):.4f}"
)

# %%
# Where is it wrong? Mostly along the outlines.

from sksegment import SegmentationDisplay

display = SegmentationDisplay.from_predictions(
    X_test[:4], y_test[:4], y_pred[:4], class_names=names
)
display.figure_.savefig("quickstart.png", dpi=100)
print("saved quickstart.png")
