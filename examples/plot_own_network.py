"""
A network of your own
=====================

`network` may be any function that takes the numbers of channels and classes and returns
a ``torch.nn.Module``. Images are standardised and padded before they reach the network,
and its scores are resized to the image: it need not handle either.
"""

# %%
# Here is a small one: it halves the resolution once and then looks further and further
# around with dilated convolutions. Its scores have half the size of the image.

import time

from sklearn.model_selection import train_test_split
from torch import nn

from sksegment.datasets import make_shapes


def dilated_network(n_channels: int, n_classes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(n_channels, 32, 3, stride=2, padding=1)]
    for dilation in (1, 2, 4, 8):
        layers += [nn.BatchNorm2d(32), nn.ReLU()]
        layers += [nn.Conv2d(32, 32, 3, padding=dilation, dilation=dilation)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(32, n_classes, 1))


X, y = make_shapes(n_samples=150, size=64, n_classes=4, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=30, random_state=0)

# %%
# A network from another package is used in the same way. If
# segmentation_models_pytorch is installed, its U-Net takes part too.

networks = {"dilated": dilated_network}
try:
    import segmentation_models_pytorch as smp
except ImportError:
    print("without segmentation_models_pytorch")
else:

    def unet(n_channels: int, n_classes: int) -> nn.Module:
        return smp.Unet(
            "resnet18", encoder_weights=None, in_channels=n_channels, classes=n_classes
        )

    networks["U-Net"] = unet

# %%
# How far a network sees is measured when it is made: ``margin_`` is the radius in
# pixels. If there is one, large images are predicted in tiles, with the same result as
# for the whole image; if it is None, tiles are blended.

from sksegment import FCNSegmenter

fitted = {}
for name, network in networks.items():
    segmenter = FCNSegmenter(
        network=network, max_epochs=12, learning_rate=1e-2, random_state=0
    )
    start = time.perf_counter()
    fitted[name] = segmenter.fit(X_train, y_train)
    n_weights = sum(weights.numel() for weights in segmenter.network_.parameters())
    print(
        f"{name}: {n_weights} weights, margin {segmenter.margin_}, mean IoU "
        f"{segmenter.score(X_test, y_test):.3f}, {time.perf_counter() - start:.0f} s"
    )

# %%
# Everything else works as with the built-in network.

import matplotlib.pyplot as plt

from sksegment import SegmentationDisplay

SegmentationDisplay.from_predictions(
    X_test[:2],
    y_test[:2],
    fitted["dilated"].predict(X_test[:2]),
    class_names=["background", "disk", "square", "triangle"],
)
plt.show()
