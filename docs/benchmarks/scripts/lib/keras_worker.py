"""Trains the network of the tutorials with Keras, an epoch for each line of input.

Run by the interpreter of the peer, which needs neither sksegment nor scikit-learn:

    python -m lib.keras_worker BACKEND WIDTH SIZE N_IMAGES N_CLASSES
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from lib.peak import peak_mebibytes

BATCH_SIZE = 8
STAGES = ((2, 1), (2, 2), (3, 4))


def plain_network(size: int, n_classes: int, width: int) -> Any:
    """Write the network as the Keras tutorials do, with a softmax at its end."""
    from keras import Input, Sequential, layers

    def convolutions(length: int, factor: int) -> list[Any]:
        return [
            layers.Conv2D(
                width * factor,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
            )
            for _ in range(length)
        ]

    model = [Input((size, size, 3))]
    for stage in STAGES:
        model += [*convolutions(*stage), layers.MaxPooling2D(2)]
    model += [*convolutions(3, 8), layers.Dropout(0.5)]
    for stage in reversed(STAGES):
        model += [layers.UpSampling2D(2), *convolutions(*stage)]
    return Sequential([*model, layers.Conv2D(n_classes, 1, activation="softmax")])


def epoch_seconds(model: Any, X: Any, y: Any) -> float:
    """Train for an epoch and return its seconds, without what `fit` does around it."""
    from keras.callbacks import LambdaCallback

    clock: list[float] = []
    note = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: clock.append(time.perf_counter()),
        on_epoch_end=lambda epoch, logs: clock.append(time.perf_counter()),
    )
    model.fit(X, y, batch_size=BATCH_SIZE, epochs=1, verbose=0, callbacks=[note])
    return clock[1] - clock[0]


def main(backend: str, width: int, size: int, n_images: int, n_classes: int) -> None:
    os.environ["KERAS_BACKEND"] = backend
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_images, size, size, 3)).astype(np.float32)
    y = np.eye(n_classes, dtype=np.float32)[
        rng.integers(n_classes, size=(n_images, size, size))
    ]
    model = plain_network(size, n_classes, width)
    # One-hot, as in the tutorials: with torch, Keras 3.15 cannot train on sparse masks.
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy")
    about = {"version": keras.__version__, "parameters": model.count_params()}
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        answer = {"seconds": epoch_seconds(model, X, y), "peak": peak_mebibytes()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
