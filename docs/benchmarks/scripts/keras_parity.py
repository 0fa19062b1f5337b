"""Is FCN the network of the tutorials' Keras code, and does it train like it?

    pip install -c constraints.txt ".[keras]"
    python docs/benchmarks/scripts/keras_parity.py [--width 64] [--size 32]

Keras, on its torch backend, builds the network and draws its weights; they are copied
into `sksegment.networks.FCN`. Then both answer for the same images, and both take the
same steps of Adam on the same batches. Ends in an error if they differ by more than
they may.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from typing import Any

import numpy as np
import torch
from lib.keras_worker import plain_network
from lib.shared import environment, markdown_table
from numpy.typing import NDArray

from sksegment.datasets import make_shapes
from sksegment.losses import CrossEntropyLoss
from sksegment.networks import FCN

N_CLASSES = 4
BATCH_SIZE = 4
N_STEPS = 20
# Weights drawn after He and the 1e-3 of the tutorials throw the loss up in the first
# steps; from there, the last digit of a float decides.
LEARNING_RATE = 1e-4
EPSILON = 1e-7  # of Keras; torch has 1e-8
BETA = 0.999  # of both, for the second moment
LARGEST_DIFFERENCE = {"softmax": 1e-5, "losses": 1e-4}

Floats = NDArray[np.floating[Any]]


def batches(size: int, dtype: str) -> list[tuple[Floats, NDArray[np.int64]]]:
    """Return standardised images and their labels, new ones for each step."""
    X, y = make_shapes(N_STEPS * BATCH_SIZE, size=size, random_state=0)
    standardised = (X - X.mean(axis=(0, 1, 2))) / X.std(axis=(0, 1, 2))
    images = np.split(standardised.astype(dtype), N_STEPS)
    return list(zip(images, np.split(y.astype(np.int64), N_STEPS), strict=True))


def keras_model(width: int, size: int) -> Any:
    """Return the network of the tutorials without dropout, whose draws differ."""
    import keras

    keras.utils.set_random_seed(0)
    model = plain_network(size, N_CLASSES, width)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return model


def copy_network(model: Any, width: int) -> FCN:
    """Return FCN with the weights of a Keras model, in their precision."""
    weights = [torch.from_numpy(in_torch_order(one)) for one in model.get_weights()]
    network = FCN(3, N_CLASSES, width=width, dropout=0.0).to(weights[0].dtype)
    # Both list layers in the order in which data passes them.
    for parameter, weight in zip(network.parameters(), weights, strict=True):
        parameter.data.copy_(weight)
    return network


def in_torch_order(weight: Floats) -> Floats:
    """Turn a kernel (height, width, in, out) into (out, in, height, width)."""
    return weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight


def channels_first(images: Floats) -> torch.Tensor:
    return torch.from_numpy(images).movedim(-1, 1)


def softmax_difference(model: Any, network: FCN, images: Floats) -> float:
    """Return the largest difference of two answers, over all pixels and classes."""
    theirs = model.predict(images, verbose=0)
    with torch.no_grad():
        ours = network.eval()(channels_first(images)).softmax(dim=1)
    return float(np.abs(ours.movedim(1, -1).numpy() - theirs).max())


def keras_losses(model: Any, batches: Any) -> list[float]:
    import keras

    adam = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
    model.compile(adam, "categorical_crossentropy")
    return [
        float(model.train_on_batch(images, keras.utils.to_categorical(y, N_CLASSES)))
        for images, y in batches
    ]


def sksegment_losses(network: FCN, batches: Any, like_keras: bool) -> list[float]:
    """Return the loss before each step, with Keras's epsilon or as torch has it."""
    adam = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    loss_of, losses = CrossEntropyLoss(), []
    for number, (images, y) in enumerate(batches, 1):
        loss = loss_of(network.train()(channels_first(images)), torch.from_numpy(y))
        adam.zero_grad()
        loss.backward()
        if like_keras:
            adam.param_groups[0]["eps"] = translated_epsilon(number)
        adam.step()
        losses.append(loss.item())
    return losses


def translated_epsilon(step: int) -> float:
    """Return what torch must add for what Keras adds in a step, counted from 1.

    Keras adds epsilon to the root of the second moment as it is kept; torch adds it
    after the bias of the first steps is taken out.
    """
    return EPSILON / math.sqrt(1 - BETA**step)


def compared(width: int, size: int, dtype: str) -> dict[str, float]:
    """Return how far Keras and sksegment are apart."""
    import keras

    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    images = batches(size, dtype)
    model = keras_model(width, size)
    network, as_torch_does = copy_network(model, width), copy_network(model, width)
    softmax = softmax_difference(model, network, images[0][0])
    theirs = keras_losses(model, images)
    ours = sksegment_losses(network, images, like_keras=True)
    untranslated = sksegment_losses(as_torch_does, images, like_keras=False)
    return {
        "softmax": softmax,
        "losses": largest_difference(ours, theirs),
        "losses at own epsilon": largest_difference(untranslated, theirs),
        "first": theirs[0],
        "last": theirs[-1],
    }


def largest_difference(ours: list[float], theirs: list[float]) -> float:
    return float(np.abs(np.subtract(ours, theirs)).max())


def table(found: dict[str, dict[str, float]]) -> str:
    """Lay out one line a precision."""
    header = ["", "softmax", "losses", "each with its own epsilon", "loss from, to"]
    allowed = [f"{most:.0e}" for most in LARGEST_DIFFERENCE.values()]
    lines = [
        [dtype]
        + [f"{one[name]:.1e}" for name in ("softmax", "losses")]
        + [f"{one['losses at own epsilon']:.1e}"]
        + [f"{one['first']:.3f}, {one['last']:.3f}"]
        for dtype, one in found.items()
    ]
    return markdown_table(header, [*lines, ["allowed", *allowed, "", ""]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=32, help="side of the images")
    asked = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    dtypes = ("float64", "float32")
    found = {dtype: compared(asked.width, asked.size, dtype) for dtype in dtypes}
    print(table(found))
    print(f"\nKeras {keras.__version__}, {', '.join(environment().values())}")
    if any(
        found["float64"][name] > LARGEST_DIFFERENCE[name] for name in LARGEST_DIFFERENCE
    ):
        sys.exit("Too far apart.")


if __name__ == "__main__":
    main()
