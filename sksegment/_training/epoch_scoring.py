"""Scoring callbacks: which can work on images, and how skorch's is made to."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring
from skorch.callbacks import (
    BatchScoring,
    EpochScoring,
    InputShapeSetter,
    PassthroughScoring,
)

from sksegment._inputs.samples import Samples
from sksegment._training.callbacks import is_own, kind_of, unnamed_callbacks

SCORER_HINT = (
    "expected a scorer of sksegment.metrics, such as iou_scorer, or one that "
    "make_segmentation_scorer makes"
)


class ImageScoring(EpochScoring):
    """skorch's EpochScoring, on whole images at the end of an epoch.

    The original collects the labels of batches, which hold parts of augmented images,
    or takes apart a dataset of arrays. Here the images are predicted as they are.

    Parameters
    ----------
    given : EpochScoring
        The user's callback, whose settings are taken over.
    samples : Samples or None
        What is scored; None if there are no validation images.
    """

    def __init__(self, given: EpochScoring, samples: Samples | None) -> None:
        settings = inspect.signature(EpochScoring).parameters
        super().__init__(**{name: getattr(given, name) for name in settings})
        self.samples = samples

    def on_epoch_begin(self, net: Any, *_: Any, **__: Any) -> None:
        """Collect nothing."""

    def on_batch_end(self, net: Any, *_: Any, **__: Any) -> None:
        """Collect nothing."""

    def on_epoch_end(self, net: Any, *_: Any, **__: Any) -> None:
        """Score the network as it stands, and record the score."""
        if self.samples is not None:
            self._record_score(net.history, self._score(net, self.samples))

    def _score(self, net: Any, samples: Samples) -> float:
        scorer = check_scoring(net, self.scoring_)
        takes_weights = getattr(scorer, "_accept_sample_weight", bool)()
        weights = {} if samples.weights is None else {"sample_weight": samples.weights}
        try:
            score = scorer(
                net,
                samples.images.items,
                samples.masks.items,
                **(weights if takes_weights else {}),
            )
        except Exception as error:
            error.add_note(f"This was raised by EpochScoring {self.name_!r}.")
            raise
        if np.ndim(score):
            raise TypeError(
                f"EpochScoring {self.name_!r} got an array of shape {np.shape(score)} "
                f"from its scoring function; expected one number."
            )
        return float(score)


def scoring_images(
    callbacks: Sequence[Any], training: Samples, held_out: Samples | None
) -> list[Any]:
    """Return callbacks with those of skorch that score made to score whole images."""
    return [
        (item[0], _scoring(item[1], training, held_out))
        if isinstance(item, tuple)
        else _scoring(item, training, held_out)
        for item in callbacks
    ]


def _scoring(callback: Any, training: Samples, held_out: Samples | None) -> Any:
    own = ("get_test_data", "on_epoch_end", "_scoring", "_record_score")
    if not isinstance(callback, EpochScoring) or any(
        getattr(type(callback), name) is not getattr(EpochScoring, name) for name in own
    ):
        return callback
    return ImageScoring(callback, training if callback.on_train else held_out)


def check_scorings(callbacks: Sequence[Any] | None, validates: bool) -> None:
    """Reject callbacks that could not score, before any training.

    Parameters
    ----------
    callbacks : sequence or None
        Callbacks that `check_parameters` has accepted.
    validates : bool
        Whether there are validation images.

    Raises
    ------
    ValueError, TypeError
        Naming the first such callback and what to take instead.
    """
    unnamed = unnamed_callbacks(callbacks)
    for callback in unnamed:
        told = f"callbacks holds {kind_of(callback).__name__}"
        if isinstance(callback, EpochScoring):
            _check_scorer(callback.scoring, told)
            _check_has_images(callback.on_train or validates, told)
        elif issubclass(kind_of(callback), (BatchScoring, InputShapeSetter)):
            raise ValueError(
                f"{told}, which needs batches of arrays; those of images are drawn, "
                f"cut and augmented on the way. Expected EpochScoring, which scores "
                f"whole images, or a network made by a function of n_channels."
            )
        elif isinstance(callback, PassthroughScoring):
            _check_recorded(callback, unnamed, told)


def _check_has_images(has_images: bool, told: str) -> None:
    if not has_images:
        raise ValueError(
            f"{told}, which scores validation images, but there are none. Pass X_val "
            f"and y_val, early_stopping=True, or on_train=True to the callback."
        )


def _check_scorer(scoring: Any, told: str) -> None:
    """Reject scores that take no masks, and functions that are no scorers."""
    function = getattr(scoring, "_score_func", scoring)  # of make_scorer
    home = getattr(function, "__module__", "") or ""
    is_ours = home.startswith("sksegment.metrics") and inspect.isfunction(scoring)
    if isinstance(scoring, str) or home.startswith("sklearn.metrics"):
        raise ValueError(
            f"{told} with scoring={scoring!r}, which takes no masks; {SCORER_HINT}."
        )
    if is_ours:
        raise TypeError(
            f"{told} with scoring={scoring.__name__}, a function of masks; "
            f"{SCORER_HINT}: make_segmentation_scorer({scoring.__name__})."
        )


def _check_recorded(
    callback: PassthroughScoring, unnamed: Sequence[Any], told: str
) -> None:
    """Reject a score that no batch will have."""
    may_be_written = callback.name == "train_loss" or any(map(is_own, unnamed))
    if not (callback.on_train and may_be_written):
        raise ValueError(
            f"{told} of {callback.name!r}, which nothing records in batches: "
            f"validation has none. Expected EpochScoring, or on_train=True and a "
            f"callback of your own that records it."
        )
