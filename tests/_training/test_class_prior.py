"""Shares of the classes that are estimated where nothing is labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skorch.callbacks import EpochTimer
from torch import nn

from sksegment import FCNSegmenter
from sksegment._training.class_prior import ClassPrior

IGNORED = 255
RARE = 0.1


def pixelwise(n_channels: int, n_classes: int) -> nn.Module:
    """Logistic regression on the value of each pixel."""
    return nn.Conv2d(n_channels, n_classes, 1)


def two_gaussians(size: int = 96) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return an image, its mask, and a mask with a few labels of each class.

    Class 1 takes up a tenth, and its pixels are brighter by two standard deviations.
    """
    rng = np.random.default_rng(0)
    mask = (rng.random((size, size)) < RARE).astype(np.uint8)
    image = rng.normal(2.0 * mask)
    labels = np.full(mask.shape, IGNORED, np.uint8)
    for label in (0, 1):
        rows, columns = np.nonzero(mask == label)
        drawn = rng.choice(len(rows), size**2 // 64, replace=False)
        labels[rows[drawn], columns[drawn]] = label
    return image[None], mask[None], labels[None]


def segmenter(**parameters: Any) -> FCNSegmenter:
    defaults = {"network": pixelwise, "learning_rate": 0.1, "random_state": 0}
    return FCNSegmenter(**{**defaults, "ignore_label": IGNORED, **parameters})


def test_probabilities_are_those_for_the_true_shares() -> None:
    X, mask, y = two_gaussians()
    # Bayes: the likelihoods of two Gaussians differ by exp(2 x - 2).
    odds = np.exp(2 * X[0] - 2) * RARE / (1 - RARE)
    expected = odds / (1 + odds)
    adjusted = segmenter(class_prior="unlabeled").fit(X, y)
    plain = segmenter().fit(X, y)
    error = {
        name: np.abs(model.predict_proba(X)[0, 1] - expected).mean()
        for name, model in {"adjusted": adjusted, "plain": plain}.items()
    }
    assert error["adjusted"] < 0.03
    assert error["plain"] > 0.1
    assert adjusted.score(X, mask) > plain.score(X, mask) + 0.05


def test_where_all_is_labelled_nothing_changes() -> None:
    X, mask, _ = two_gaussians(24)
    adjusted = segmenter(class_prior="unlabeled", max_epochs=3).fit(X, mask)
    plain = segmenter(max_epochs=3).fit(X, mask)
    np.testing.assert_array_equal(adjusted.predict_proba(X), plain.predict_proba(X))


def test_a_class_without_any_label_leaves_finite_scores() -> None:
    X, _, y = two_gaussians(24)
    model = segmenter(class_prior="unlabeled", classes=[0, 1, 2], max_epochs=50)
    probabilities = model.fit(X, y).predict_proba(X)
    assert np.isfinite(probabilities).all()
    assert probabilities[0, 2].mean() < 0.05


def test_shares_are_averages_over_batches() -> None:
    prior = ClassPrior(2)
    scores = torch.tensor([0.9, 0.1]).log().reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    codes = torch.full((1, 4, 4), -1)
    codes[0, 0] = torch.tensor([0, 0, 0, 1])
    for _ in range(200):
        prior.to_labelled(scores, codes)
    torch.testing.assert_close(prior.unlabelled, torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(prior.labelled, torch.tensor([0.75, 0.25]))
    shifted = prior.to_labelled(scores, codes) - scores
    ratio = torch.tensor([0.75 / 0.9, 0.25 / 0.1])
    torch.testing.assert_close(shifted[0, :, 0, 0], ratio.log())


def test_batches_without_labels_or_without_others_are_left_out() -> None:
    prior = ClassPrior(2)
    scores = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    for codes in (torch.full((1, 4, 4), -1), torch.zeros(1, 4, 4, dtype=torch.int64)):
        torch.testing.assert_close(prior.to_labelled(scores, codes), scores)


class PowerFailure(EpochTimer):  # type: ignore[misc]
    """Ends a training in an epoch; as a timer, it does not make it another training."""

    def on_batch_end(self, net: Any, training: bool = False, **_: Any) -> None:
        if training and len(net.history) == 4:
            raise RuntimeError("power failure")


def test_an_interrupted_training_ends_in_the_same_shares(tmp_path: Path) -> None:
    X, _, y = two_gaussians(32)
    options = {"class_prior": "unlabeled", "max_epochs": 6, "crop_size": 16}
    expected = segmenter(**options).fit(X, y).predict_proba(X)
    options["checkpoint_dir"] = tmp_path
    with pytest.raises(RuntimeError, match="power failure"):
        segmenter(callbacks=[PowerFailure()], **options).fit(X, y)
    resumed = segmenter(**options).fit(X, y)
    np.testing.assert_array_equal(resumed.predict_proba(X), expected)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"class_prior": "estimate"}, "class_prior is 'estimate'.*'unlabeled'"),
        (
            {"class_prior": "unlabeled", "class_weight": "balanced"},
            "class_weight='balanced' would change the shares",
        ),
    ],
)
def test_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    X, _, y = two_gaussians(16)
    with pytest.raises(ValueError, match=message):
        segmenter(**parameters).fit(X, y)
