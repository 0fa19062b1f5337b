"""
Find wrong labels
=================

Masks are drawn by people. Networks that have not seen a mask can say where it is
probably wrong, and an hour of looking goes to the right places.
"""

# %%
# Pictures of colored shapes, drawn by the package, so that the masks are right. Then in
# some of them an object gets the label of another class, or is forgotten.

import numpy as np
from scipy import ndimage

from sksegment.datasets import make_shapes

X, truth = make_shapes(60, size=48, random_state=0)
names = ["background", "disk", "square", "triangle"]
rng = np.random.default_rng(0)
y, spoiled = truth.copy(), {}
for image in rng.permutation(60):
    objects, n_objects = ndimage.label(truth[image])
    pixels = objects == rng.integers(1, n_objects + 1)
    label = truth[image][pixels][0]
    if (
        len(spoiled) < 6
        and pixels.sum() > 100
        and np.all(truth[image][pixels] == label)
    ):
        y[image][pixels] = 0 if len(spoiled) % 2 else label % 3 + 1
        spoiled[int(image)] = names[label]
print("spoiled:", spoiled)

# %%
# ``check_masks`` sees what is formally wrong, here no more than that some masks are all
# background. Out-of-fold probabilities see more: each image is judged by a network that
# was trained on the others.

from sksegment import FCNSegmenter
from sksegment.datasets import check_masks, find_mask_errors
from sksegment.model_selection import cross_val_predict

print(*check_masks(X, y))
segmenter = FCNSegmenter(width=8, max_epochs=30, random_state=0)
out_of_fold = cross_val_predict(segmenter, X, y, cv=3, method="predict_proba")
errors = find_mask_errors(y, out_of_fold)
for error in errors[:8]:
    image = error.images[0]
    verdict = "spoiled" if image in spoiled else "sound"
    print(
        f"image {image:2}: {names[error.label]} looks like {names[error.predicted]} "
        f"(score {error.score:.0f}): {verdict}"
    )
firsts = {error.images[0] for error in errors[:8]}
n_found = len(firsts & set(spoiled))
print(f"{n_found} of {len(spoiled)} spoiled masks are among them")

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(3, 6, figsize=(11, 5.6), layout="constrained")
for column, error in zip(axes.T, errors, strict=False):
    image = error.images[0]
    column[0].imshow(X[image].clip(0, 1))
    column[1].imshow(y[image], cmap="viridis", vmin=0, vmax=3)
    found = out_of_fold[image].argmax(axis=0)
    column[2].imshow(found, cmap="viridis", vmin=0, vmax=3)
    rows, columns = error.window
    for axis in column:
        corner = columns.start - 0.5, rows.start - 0.5
        size = columns.stop - columns.start, rows.stop - rows.start
        axis.add_patch(plt.Rectangle(corner, *size, fill=False, color="red", lw=1.5))
        axis.set(xticks=[], yticks=[])
    column[0].set_title(f"image {image}")
for axis, title in zip(axes[:, 0], ("image", "mask", "out of fold"), strict=True):
    axis.set_ylabel(title)
plt.show()

# %%
# The first findings are worth a look, the later ones less and less; where a sound mask
# is listed, it is the networks that are wrong. On road scenes with one mask in ten
# spoiled, 14 to 17 of the first 20 findings were right
# (:doc:`/benchmarks/mask_errors`).
