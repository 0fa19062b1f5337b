"""Write a joblib file and a model file that every later version must open.

Run once, at commit a040fed, when all modules of the package lay in one folder.
"""

from __future__ import annotations

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from write_model_file import FOLDER, halves

from sksegment import FCNSegmenter, iou_scorer, save_model
from sksegment.augmentation import RandomFlip, RandomNoise, RandomRotation


def write() -> None:
    X, y = halves()
    segmenter = FCNSegmenter(
        depth=2,
        width=2,
        ignore_label="unknown",
        learning_rate=0.02,
        max_epochs=20,
        random_state=0,
    )
    steps = RandomFlip(), RandomRotation(5, fill=0.0), RandomNoise(random_state=1)
    grid = {"fcnsegmenter__loss": ["cross_entropy", "cross_entropy+dice"]}
    pipeline = make_pipeline(*steps, segmenter)
    search = GridSearchCV(pipeline, grid, scoring=iou_scorer, cv=2).fit(X, y)
    joblib.dump(search, FOLDER / "a040fed.joblib.gz", compress=("gzip", 9))
    save_model(search.best_estimator_, FOLDER / "a040fed.safetensors")
    np.savez_compressed(
        FOLDER / "a040fed.npz",
        X=X[:2],
        labels=search.predict(X[:2]),
        probabilities=search.predict_proba(X[:2]),
    )


if __name__ == "__main__":
    write()
