"""Does GridSearchCV gain from two workers?

12 fits (4 settings, 3 folds) at width 16 on 48 images of 64x64. The workers run already
when the clock starts; joblib gives each of them its share of the threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from joblib.externals.loky import get_reusable_executor
from lib.rows import Row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import plain_segmenter, shapes
from lib.timing import alternated, timed
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV

from sksegment import iou_scorer


def rows(options: Options) -> Iterator[Row]:
    width, size, n_images, n_rounds = (
        (2, 16, 6, 1) if options.quick else (16, 64, 48, 4)
    )
    X, y = shapes(n_images, size)
    contestants = {
        "n_jobs=2": timed(lambda: search(X, y, width, n_jobs=2)),
        "n_jobs=1": timed(lambda: search(X, y, width, n_jobs=1)),
    }
    ours, theirs = alternated(contestants, n_rounds).values()
    get_reusable_executor().shutdown(wait=True)
    question = f"GridSearchCV n_jobs=2, 12 fits, width {width}, {size}x{size}"
    yield ratio_row(question, "n_jobs=1", ours, theirs, aim=1.0)


def search(X: NDArray[Any], y: NDArray[Any], width: int, n_jobs: int) -> None:
    grid = {"learning_rate": [3e-4, 1e-3], "dropout": [0.0, 0.5]}
    segmenter = plain_segmenter(width, max_epochs=2, classes=range(4))
    GridSearchCV(
        segmenter, grid, scoring=iou_scorer, cv=3, n_jobs=n_jobs, refit=False
    ).fit(X, y)


if __name__ == "__main__":
    run_script(__doc__, rows)
