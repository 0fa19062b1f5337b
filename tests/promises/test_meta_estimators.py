"""The table of the guide: which tools of scikit-learn take no masks, and what does."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import RFE
from sklearn.inspection import permutation_importance
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import (
    FixedThresholdClassifier,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    permutation_test_score,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.semi_supervised import SelfTrainingClassifier

from sksegment import FCNSegmenter, iou_scorer
from sksegment.calibration import TemperatureScaling
from sksegment.datasets import make_shapes
from sksegment.ensemble import VotingSegmenter

X, y = make_shapes(6, size=16, n_classes=2, random_state=0)
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "messages.md"


def segmenter():
    return FCNSegmenter(width=4, depth=1, max_epochs=1, random_state=0)


@pytest.fixture(scope="module")
def fitted():
    return segmenter().fit(X, y)


TOOLS = {
    "VotingClassifier": lambda _: VotingClassifier([("a", segmenter())]).fit(X, y),
    "StackingClassifier": lambda _: StackingClassifier([("a", segmenter())]).fit(X, y),
    "BaggingClassifier": lambda _: BaggingClassifier(segmenter(), 2).fit(X, y),
    "AdaBoostClassifier": lambda _: AdaBoostClassifier(segmenter()).fit(X, y),
    "CalibratedClassifierCV": lambda _: CalibratedClassifierCV(segmenter()).fit(X, y),
    "FixedThresholdClassifier": lambda _: FixedThresholdClassifier(segmenter()).fit(
        X, y
    ),
    "TunedThresholdClassifierCV": lambda _: TunedThresholdClassifierCV(segmenter()).fit(
        X, y
    ),
    "permutation_importance": lambda model: permutation_importance(model, X, y),
    "OneVsRestClassifier": lambda _: OneVsRestClassifier(segmenter()).fit(X, y),
    "MultiOutputClassifier": lambda _: MultiOutputClassifier(segmenter()).fit(X, y),
    "SelfTrainingClassifier": lambda _: SelfTrainingClassifier(segmenter()).fit(X, y),
    "RFE": lambda _: RFE(segmenter()).fit(X, y),
    "StratifiedKFold": lambda _: list(StratifiedKFold(2).split(X, y)),
    "train_test_split(stratify=y)": lambda _: train_test_split(X, y, stratify=y),
    "ConfusionMatrixDisplay": lambda model: ConfusionMatrixDisplay.from_estimator(
        model, X, y
    ),
    "classification_report": lambda model: classification_report(y, model.predict(X)),
    'cross_val_predict(method="predict_proba")': lambda _: cross_val_predict(
        segmenter(), X, y, cv=2, method="predict_proba"
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_table_names_what_scikit_learn_cannot_use_with_masks(tool, fitted):
    with pytest.raises(ValueError, match=r"dim|type|shape|supported"):
        TOOLS[tool](fitted)
    rows = [row for row in GUIDE.read_text("utf-8").splitlines() if row[:2] == "| "]
    assert any(f"`{tool}`" in row for row in rows)


def test_votes_and_calibration_of_segmenters_take_masks(fitted):
    members = [segmenter().set_params(random_state=seed).fit(X, y) for seed in (0, 1)]
    assert VotingSegmenter.from_fitted(members).predict(X).shape == y.shape
    assert TemperatureScaling(fitted).fit(X, y).predict(X).shape == y.shape


def test_thresholds_and_shuffled_channels_need_no_tool(fitted):
    assert (fitted.predict_proba(X)[:, 1] > 0.3).shape == y.shape
    shuffled = X.copy()
    shuffled[..., 0] = np.random.default_rng(0).permutation(X[..., 0])
    assert 0 <= fitted.score(shuffled, y) <= 1


def test_masks_pass_through_the_other_tools():
    assert cross_val_predict(segmenter(), X, y, cv=2).shape == y.shape
    score, _, _ = permutation_test_score(
        segmenter(), X, y, cv=2, n_permutations=1, scoring=iou_scorer
    )
    assert 0 <= score <= 1
