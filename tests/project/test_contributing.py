"""The recipes of CONTRIBUTING.md, followed on a copy of the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

USE_OF_BOTH = """
import numpy as np
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import sksegment
from sksegment import FCNSegmenter, load_model, save_model
from sksegment.augmentation import RandomFade
from sksegment.datasets import make_shapes
from sksegment.losses._factory import make_loss

scores, codes = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
truth = torch.eye(3)[codes].movedim(-1, 1)
expected = (scores.softmax(1) - truth).square().sum(1).mean()
torch.testing.assert_close(make_loss("squared_error", None)(scores, codes), expected)

X, y = make_shapes(4, size=16, random_state=0)
faded, mask = RandomFade(1.0, random_state=0).augment(X, y)
assert (mask == y).all() and faded.mean() < X.mean()

segmenter = FCNSegmenter(depth=1, width=2, max_epochs=2, loss="squared_error")
model = clone(make_pipeline(RandomFade(0.2), segmenter)).fit(X, y)
save_model(model, "model.safetensors")
assert (load_model("model.safetensors").predict(X) == model.predict(X)).all()
print(sksegment.__file__)
"""


def recipes() -> list[str]:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def add_line(file: Path, after: str, line: str) -> None:
    source = file.read_text(encoding="utf-8")
    assert after in source, f"{file.name} has no {after!r}"
    file.write_text(source.replace(after, f"{after}\n{line}", 1), encoding="utf-8")


def test_recipes_for_a_loss_and_an_augmenter_work(tmp_path: Path) -> None:
    package = tmp_path / "sksegment"
    shutil.copytree(ROOT / "sksegment", package)
    loss, augmenter = recipes()
    (package / "losses" / "_squared_error.py").write_text(loss)
    (package / "augmentation" / "_fade.py").write_text(augmenter)
    factory = package / "losses" / "_factory.py"
    imported = "from sksegment.losses._squared_error import SquaredErrorLoss"
    add_line(factory, "from torch import Tensor, nn", imported)
    add_line(factory, '    "dice": DiceLoss,', '    "squared_error": SquaredErrorLoss,')
    exported = package / "augmentation" / "__init__.py"
    imported = "from sksegment.augmentation._fade import RandomFade"
    add_line(exported, '"""\n', imported)
    add_line(exported, "__all__ = [", '    "RandomFade",')
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USE_OF_BOTH],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip().startswith(str(package))
