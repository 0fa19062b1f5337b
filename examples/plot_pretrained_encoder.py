"""
A pretrained encoder for few photos
===================================

With a handful of photos, a network that has seen ImageNet before learns what one from
scratch does not. Its weights are a file; where there is none, this page shows figures
that were measured elsewhere, and says so.
"""

# %%
# What was measured, once, on photos of PASCAL VOC with four classes (background,
# animal, person, other): 60, 20 or 5 photos for training and 30 others for scoring, at
# about the same processor time, means of three seeds. These numbers are copied
# from :doc:`/benchmarks/few_labels`; nothing below computes them.

import matplotlib.pyplot as plt

stored = {
    "photos": [5, 20, 60],
    "from scratch": [17.0, 23.3, 23.8],
    "pretrained, fine-tuned": [26.8, 34.3, 39.3],
}
figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
for shift, name in enumerate(("from scratch", "pretrained, fine-tuned")):
    places = [place + 0.4 * shift for place in range(3)]
    bars = axis.bar(places, stored[name], width=0.36, label=name)
    axis.bar_label(bars, fmt="%.1f")
axis.set_xticks([place + 0.2 for place in range(3)], stored["photos"])
axis.set(xlabel="photos with masks", ylabel="mean IoU (%)", ylim=(0, 50))
axis.set_title("stored figures, not computed here")
axis.legend(loc="upper left")
plt.show()

# %%
# To see it on your machine, set ``SKSEGMENT_LITE0`` to a file with the weights of
# timm's ``tf_efficientnet_lite0``: a ``.safetensors`` file, or a state dict of torch.
# Nothing is downloaded here. With a network connection, ``pretrained="imagenet"`` lets
# timm fetch them, once.

import os
from pathlib import Path

missing = []
try:
    import timm
except ImportError as error:
    missing.append(f"timm cannot be imported ({error}): pip install 'sksegment[timm]'")
else:
    print("timm", timm.__version__)
weights = os.environ.get("SKSEGMENT_LITE0", "")
if not Path(weights).is_file():
    missing.append("SKSEGMENT_LITE0 does not name a file with weights")

# %%
# Four pieces of a photo of tissue train, twelve are scored; the masks come from
# thresholds in its two dyes. With ``encoder_learning_rate=0`` the encoder stays as it
# is, which is the quickest, and lends what it knows of photos in general.

import numpy as np
from skimage import color, data, filters

from sksegment import FCNSegmenter
from sksegment.model_selection import cut_blocks

photo = data.immunohistochemistry()
dyes = filters.gaussian(color.rgb2hed(photo), 2, channel_axis=-1)
blue, brown = dyes[..., 0], dyes[..., 2]
tissue = np.zeros(photo.shape[:2], np.uint8)
tissue[blue > filters.threshold_otsu(blue)] = 2
tissue[brown > filters.threshold_otsu(brown)] = 1
tiles, masks, _ = cut_blocks(photo[np.newaxis], tissue[np.newaxis], 128)
X, y = np.array(tiles), np.array(masks)
few, rest = [1, 6, 8, 15], [i for i in range(16) if i not in (1, 6, 8, 15)]

networks = {"from scratch": FCNSegmenter(max_epochs=20, random_state=0)}
if missing:
    print("without the pretrained encoder:", "; ".join(missing))
else:
    networks["pretrained, frozen"] = FCNSegmenter(
        encoder="tf_efficientnet_lite0",
        pretrained=weights,
        encoder_learning_rate=0,
        max_epochs=20,
        random_state=0,
    )
for name, segmenter in networks.items():
    score = segmenter.fit(X[few], y[few]).score(X[rest], y[rest])
    print(f"{name}: mean IoU {score:.3f}")
