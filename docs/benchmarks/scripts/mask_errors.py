"""Does find_mask_errors find masks of CamVid that were spoiled in a known way?

    python docs/benchmarks/scripts/mask_errors.py [--probabilities FILE]
    python docs/benchmarks/scripts/mask_errors.py --table

In one mask in ten of the training frames, at half the resolution, an object is erased,
two classes are swapped in a region, or the outline of an object is shifted. Three
networks predict the frames of one fold each, trained on the others with the spoiled
masks. A finding is right if at least half of its pixels were changed, an image if it
was spoiled. `--probabilities` keeps what the networks say in a numpy file, or takes it
from there. cleanlab is in the extra "bench".
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lib.shared import (
    CAMVID_VOID,
    RECORDS,
    Record,
    all_reduced,
    data_folder,
    markdown_table,
    read_pairs,
    where_and_when,
)
from lib.spoil import spoil
from sklearn.model_selection import KFold

from sksegment import FCNSegmenter
from sksegment.datasets import MaskError, find_mask_errors

SEED = 0
# Masks spoiled by another draw; the networks stay those trained with the first.
OTHER_DRAWS = (1, 2, 3)
MAX_EPOCHS = 12
FIRST = (10, 20, 40)
CLASSES = list(range(CAMVID_VOID))


def out_of_fold(X: Any, y: Any, path: Path | None) -> Any:
    """Return the probabilities of each frame by a network that has not seen it."""
    if path is not None and path.exists():
        return np.load(path, mmap_mode="r")
    labels = {"classes": CLASSES, "ignore_label": CAMVID_VOID}
    probabilities = np.empty((len(X), len(CLASSES), *X[0].shape[:2]), np.float16)
    folds = KFold(3, shuffle=True, random_state=SEED).split(X)
    # As cross_val_predict does, with another seed for each fold.
    for fold, (train, test) in enumerate(folds):
        model = FCNSegmenter(max_epochs=MAX_EPOCHS, random_state=fold, **labels)
        model.fit([X[i] for i in train], [y[i] for i in train])
        for index, found in zip(
            test, model.predict_proba([X[i] for i in test]), strict=True
        ):
            probabilities[index] = found
    if path is not None:
        np.save(path, probabilities)
    return probabilities


def is_right(error: MaskError, mask: Any, proba: Any, spoiled: dict[int, Any]) -> bool:
    """Tell whether most pixels of a finding were changed."""
    (index,) = error.images
    if index not in spoiled:
        return False
    seen = proba[(slice(None), *error.window)].argmax(axis=0)
    pixels = (seen == error.predicted) & (mask[error.window] != error.predicted)
    return bool(spoiled[index][1][error.window][pixels].mean() >= 0.5)


def shares(hits: list[bool]) -> dict[str, float]:
    """Return the share of hits among the first so many."""
    return {str(n): float(np.mean(hits[:n])) for n in FIRST}


def ours(y: Any, probabilities: Any, spoiled: dict[int, Any]) -> dict[str, Any]:
    found = find_mask_errors(y, probabilities, labels=CLASSES, ignore_label=CAMVID_VOID)
    hits = [
        is_right(one, y[one.images[0]], probabilities[one.images[0]], spoiled)
        for one in found[: max(FIRST)]
    ]
    right = {one.images[0] for one, hit in zip(found, hits, strict=False) if hit}
    images = [*dict.fromkeys(one.images[0] for one in found)]
    return {
        "findings": shares(hits),
        "images": shares([index in spoiled for index in images]),
        "kinds": dict(Counter(spoiled[index][0] for index in right)),
    }


def cleanlab(y: Any, probabilities: Any, spoiled: dict[int, Any]) -> dict[str, Any]:
    """Rank the images as cleanlab's segmentation module does, by its default."""
    from cleanlab.segmentation.rank import get_label_quality_scores

    scores: list[float] = []
    for mask, proba in zip(y, probabilities, strict=True):
        values = np.asarray(proba, np.float32)
        values /= values.sum(axis=0)
        # It knows no ignored label: the network is made to be right there.
        labels = np.where(mask == CAMVID_VOID, values.argmax(axis=0), mask)
        one, _ = get_label_quality_scores(labels[None], values[None], verbose=False)
        scores.append(float(one[0]))
    order = np.argsort(scores)
    return {"images": shares([int(index) in spoiled for index in order])}


METHODS: dict[str, Callable[..., dict[str, Any]]] = {
    "find_mask_errors": ours,
    "cleanlab": cleanlab,
}


def run(record: Record, path: Path | None) -> None:
    X, y = read_pairs(data_folder() / "camvid" / "train")
    X, y = all_reduced(X, y, 2)
    probabilities = out_of_fold(X, spoil(y, SEED)[0], path)
    for seed in (SEED, *OTHER_DRAWS):
        masks, spoiled = spoil(y, seed)
        for name, method in METHODS.items():
            task = {"method": name, "seed": seed, "max_epochs": MAX_EPOCHS}
            if record.find(task) is None:
                result = {
                    "n_images": len(y),
                    "spoiled": dict(Counter(kind for kind, _ in spoiled.values())),
                    **method(masks, probabilities, spoiled),
                }
                record.add(task, result)
                print(task, result, flush=True)


def percent(found: dict[str, float] | None) -> list[str]:
    return (
        ["-"] * len(FIRST) if found is None else [f"{found[str(n)]:.2f}" for n in FIRST]
    )


def page(rows: list[dict[str, Any]], record: str) -> str:
    """Return the page of the results."""
    spoiled = rows[0]["result"]["spoiled"]
    header = ["", *(f"findings, first {n}" for n in FIRST)]
    header += [f"images, first {n}" for n in FIRST]
    lines = [
        [
            f"{row['task']['method']}, draw {row['task']['seed']}",
            *percent(row["result"].get("findings")),
            *percent(row["result"]["images"]),
        ]
        for row in rows
    ]
    kinds = rows[0]["result"].get("kinds", {})
    found = ", ".join(f"{kinds.get(k, 0)} of {n} {k}" for k, n in spoiled.items())
    return "\n".join(
        [
            "# Spoiled masks, found again",
            "",
            "`python docs/benchmarks/scripts/mask_errors.py`; runs in",
            f"[{record}]({record}). {where_and_when(rows)}",
            "",
            f"CamVid at half the resolution, {rows[0]['result']['n_images']} training "
            f"frames, {sum(spoiled.values())} masks spoiled: "
            + ", ".join(f"{n} {kind}" for kind, n in spoiled.items())
            + f". Three folds, `FCNSegmenter(max_epochs={MAX_EPOCHS})`, one seed.",
            "",
            "Precision: the share of the first findings whose pixels were changed, and "
            "of the first images that were spoiled. cleanlab ranks images only. How "
            "findings are ranked was chosen on draw 0. The other draws spoil other "
            "masks in the same way; the networks are those trained with draw 0.",
            "",
            markdown_table(header, lines),
            "",
            f"Spoiled masks with a right finding in the first {max(FIRST)}: {found}.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="only write the page")
    parser.add_argument("--probabilities", type=Path, help="keep or take them here")
    parser.add_argument("--results", type=Path, default=RECORDS / "mask_errors.jsonl")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "In its last epoch the network predicted")
    record = Record(arguments.results)
    if not arguments.table:
        run(record, arguments.probabilities)
    record.write_page(page)


if __name__ == "__main__":
    main()
