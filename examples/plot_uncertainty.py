"""
Uncertainty beside errors
=========================

Where does a network not know? Its uncertainty is computed without any truth, and most
of the errors lie where it is high.
"""

# %%
# Vessels of the retina, on a photo from scikit-image at half its size. The masks come
# from a ridge filter; the upper half of the photo trains, the lower half is predicted.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data, filters, morphology, transform

from sksegment.model_selection import cut_blocks

photo = transform.downscale_local_mean(data.retina(), (2, 2, 1)).astype(np.uint8)
ridges = filters.sato(photo[..., 1], sigmas=(1.5, 2, 3), black_ridges=True)
inside = np.s_[113:593, 113:593]
photo, ridges = photo[inside], ridges[inside]
vessels = (ridges > np.quantile(ridges, 0.89)).astype(np.uint8)
vessels = morphology.area_opening(vessels, 150)
tiles, masks, positions = cut_blocks(photo[np.newaxis], vessels[np.newaxis], 120)
X, y = np.array(tiles), np.array(masks)
upper = positions[:, 1] < 240

# %%
# ``predict_uncertainty`` gives the entropy of the probabilities at each pixel, in nats:
# 0 is certain, 0.69 is a coin flip between two classes.

from sksegment import FCNSegmenter
from sksegment.ensemble import predict_uncertainty

segmenter = FCNSegmenter(max_epochs=20, random_state=0).fit(X[upper], y[upper])
lower, truth = photo[240:], vessels[240:]
found = segmenter.predict([lower])[0]
uncertainty = predict_uncertainty(segmenter, [lower])[0]
wrong = found != truth

figure, axes = plt.subplots(2, 2, figsize=(10, 5.4), layout="constrained")
axes[0, 0].imshow(lower)
axes[0, 0].set_title("image")
axes[0, 1].imshow(found, cmap="gray")
axes[0, 1].set_title("prediction")
axes[1, 0].imshow(wrong, cmap="Reds")
axes[1, 0].set_title(f"errors: {wrong.mean():.1%} of the pixels")
drawn = axes[1, 1].imshow(uncertainty, cmap="magma")
axes[1, 1].set_title("uncertainty (entropy)")
figure.colorbar(drawn, ax=axes[1, 1], shrink=0.9)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
plt.show()

# %%
# Pixels are sorted by uncertainty: if somebody corrected the most uncertain ones, how
# many errors would go? The diagonal is what looking at random would give.

order = np.argsort(-uncertainty, axis=None)
gone = np.cumsum(wrong.flat[order]) / wrong.sum()
share = np.arange(1, wrong.size + 1) / wrong.size
figure, axis = plt.subplots(figsize=(5, 3.6), layout="constrained")
axis.plot(share, gone, label="by uncertainty")
axis.plot([0, 1], [0, 1], color="grey", linestyle=":", label="at random")
axis.set(xlabel="share of the pixels looked at", ylabel="share of the errors seen")
axis.legend()
plt.show()
for looked_at in (0.05, 0.1, 0.2):
    seen = gone[int(looked_at * wrong.size)]
    print(f"{looked_at:.0%} of the pixels hold {seen:.0%} of the errors")

# %%
# ``UncertaintyDisplay.from_estimator(segmenter, X)`` draws such maps in one line, and
# ``rank_to_label`` of ``sksegment.model_selection`` chooses by them which images to
# label next.
