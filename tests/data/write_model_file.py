"""Write the model file of this format version, with images and their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter, save_model
from sksegment.augmentation import RandomFlip, RandomZoom
from sksegment.persistence._file import FORMAT_VERSION

FOLDER = Path(__file__).resolve().parent
LABELS = np.array(["dark", "bright", "unknown"])


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Dark left and bright right halves with noise; the top row has no label."""
    rng = np.random.default_rng(0)
    codes = np.zeros((8, 16, 16), np.uint8)
    codes[:, :, 8:] = 1
    images = (60 + 120 * codes + rng.integers(0, 20, codes.shape)).astype(np.uint8)
    codes[:, 0] = 2
    return images, LABELS[codes]


def write() -> None:
    model = FOLDER / f"format_{FORMAT_VERSION}.safetensors"
    if model.exists():
        raise SystemExit(f"{model} is there; it must stay what it is.")
    X, y = halves()
    segmenter = FCNSegmenter(
        depth=1,
        width=2,
        ignore_label="unknown",
        class_weight={"dark": 1.0, "bright": 2.0},
        learning_rate=0.02,
        max_epochs=60,
        crop_size=(8, 12),
        random_state=np.random.RandomState(0),
    )
    pipeline = make_pipeline(RandomFlip(vertical=True), RandomZoom(), segmenter)
    pipeline.fit(X, y)
    save_model(pipeline, model)
    np.savez_compressed(
        model.with_suffix(".npz"),
        X=X[:2],
        labels=pipeline.predict(X[:2]),
        probabilities=pipeline.predict_proba(X[:2]),
    )


if __name__ == "__main__":
    write()
