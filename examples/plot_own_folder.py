"""
Your own folder of images and masks
===================================

Photos in one folder, masks in another: pair them, look for faults before training,
train on the files, and write the predicted masks as files again.
"""

# %%
# The example has to make the folders first. It cuts a photo of stained tissue, which
# scikit-image brings, into 16 pieces. Nobody has drawn masks for it; they come from
# thresholds in its two dyes: 0 is bare tissue, 1 is brown, 2 are blue nuclei. Two of
# the mask files are spoiled, the way it happens in real folders.

import tempfile
from pathlib import Path

import numpy as np
from skimage import color, data, filters, io

photo = data.immunohistochemistry()
dyes = filters.gaussian(color.rgb2hed(photo), 2, channel_axis=-1)
blue, brown = dyes[..., 0], dyes[..., 2]
tissue = np.zeros(photo.shape[:2], np.uint8)
tissue[blue > filters.threshold_otsu(blue)] = 2
tissue[brown > filters.threshold_otsu(brown)] = 1

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
for name in ("images", "masks", "predicted"):
    (folder / name).mkdir()
for row in range(4):
    for column in range(4):
        piece = np.s_[128 * row : 128 * (row + 1), 128 * column : 128 * (column + 1)]
        name = f"tissue_{row}{column}.png"
        io.imsave(folder / "images" / name, photo[piece])
        io.imsave(folder / "masks" / name, tissue[piece], check_contrast=False)

turned = folder / "masks" / "tissue_11.png"  # rotated in some viewer
io.imsave(turned, np.rot90(io.imread(turned)), check_contrast=False)
unsure = folder / "masks" / "tissue_22.png"  # somebody marked doubtful pixels by 255
painted = io.imread(unsure)
painted[40:60, 30:80] = 255
io.imsave(unsure, painted, check_contrast=False)

# %%
# Your own script starts here. ``load_image_pairs`` pairs files of the same name and
# returns a `Bunch`, as the loaders of scikit-learn do: ``data`` holds the paths of the
# images, ``target`` those of the masks. Nothing is read yet. (With
# ``return_X_y=True`` it returns the two lists.)

from sksegment.datasets import check_masks, load_image_pairs

pairs = load_image_pairs(folder / "images", folder / "masks")
print(pairs.keys())
print([path.name for path in pairs.data[:3]], "...", len(pairs.data), "images")

# %%
# Look at masks before you train on them. Each finding says what to do.

for finding in check_masks(pairs.data, pairs.target):
    print(f"- {finding}\n")

# %%
# So we turn one mask back, and tell the segmenter that 255 is no class. Then nothing is
# left to report.

io.imsave(turned, np.rot90(io.imread(turned), -1), check_contrast=False)
print(check_masks(pairs.data, pairs.target, ignore_label=255))

# %%
# The paths go into `fit` as they are; files are read when they are needed, so a folder
# may be larger than the memory.

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter, SegmentationDisplay
from sksegment.augmentation import RandomFlip
from sksegment.metrics import segmentation_report

X_train, X_test, y_train, y_test = train_test_split(
    pairs.data, pairs.target, test_size=4, random_state=0
)
model = make_pipeline(
    RandomFlip(vertical=True),
    FCNSegmenter(ignore_label=255, max_epochs=20, random_state=0),
)
model.fit(X_train, y_train)
y_pred = model.predict(X_test)

names = ["bare", "brown", "nucleus"]
SegmentationDisplay.from_predictions(
    X_test, y_test, y_pred, n_images=2, ignore_label=255, class_names=names
)
plt.show()

# %%
print(segmentation_report(y_test, y_pred, ignore_label=255, target_names=names))

# %%
# Pieces of one photo resemble one another: on photos of other patients the score would
# be lower. :ref:`sphx_glr_auto_examples_plot_spatial_folds.py` is about that.
#
# ``save_masks`` writes PNG files that hold the labels and show colors. They are read
# back bit for bit, so they may be the masks of the next training.

from PIL import Image

from sksegment.datasets import save_masks

paths = [folder / "predicted" / path.name for path in X_test]
save_masks(y_pred, paths)
print([path.name for path in paths])
print("as predicted:", np.array_equal(Image.open(paths[0]), y_pred[0]))
temporary.cleanup()
