"""Callbacks, messages, interruptions, the state of a pickle, devices."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    LRScheduler,
    ProgressBar,
    Unfreezer,
)
from torch import nn

from helpers.segmenter import small, weights
from sksegment import FCNSegmenter
from sksegment._training.batches import Batches


def test_callbacks_of_skorch_run(data: Any) -> None:
    class Count(Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.epochs = 0

        def on_epoch_end(self, net: Any, **_: Any) -> None:
            self.epochs += 1

    count = Count()
    small(max_epochs=3, callbacks=[count]).fit(*data)
    assert count.epochs == 3


def test_pickles_hold_no_memory_of_callbacks(data: Any) -> None:
    callbacks = [
        ("schedule", LRScheduler("StepLR", step_size=1)),
        EarlyStopping(monitor="train_loss"),
        EpochTimer,
    ]
    segmenter = small(callbacks=callbacks, learning_rate_schedule="constant")
    segmenter.fit(*data)
    assert callbacks[0][1].lr_scheduler_ is not None  # the user may look at it
    pickled = pickle.dumps(segmenter)
    assert b"torch" not in pickled.replace(b"skorch", b"")
    again = pickle.loads(pickled)
    assert again.callbacks[0][1].step_size == 1
    np.testing.assert_array_equal(weights(again.fit(*data)), weights(segmenter))


class Listing(Callback):  # type: ignore[misc]
    """Names what its constructor makes as what it learns, against the convention."""

    def __init__(self, lambda_: float = 0.5) -> None:
        self.lambda_ = lambda_
        self.losses_: list[float] = []

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        self.losses_.append(self.lambda_ * net.history[-1, "train_loss"])


def test_callbacks_work_after_a_pickle(data: Any) -> None:
    segmenter = small(callbacks=(Listing(0.25),))
    unfitted = pickle.loads(pickle.dumps(segmenter)).fit(*data)
    again = pickle.loads(pickle.dumps(unfitted))
    assert again.callbacks[0].lambda_ == 0.25
    assert again.callbacks[0].losses_ == []
    learned = list(unfitted.callbacks[0].losses_)
    assert len(learned) == unfitted.n_iter_
    assert again.fit(*data).callbacks[0].losses_ == learned
    scores = cross_val_score(segmenter, *data, cv=2, n_jobs=2, error_score="raise")
    assert len(scores) == 2


def test_what_callbacks_record_becomes_plain(data: Any) -> None:
    class Record(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            net.history.record("tensor", torch.tensor(0.5))
            net.history.record("pair", torch.tensor([1, 2]))
            net.history.record("numpy", np.float32(0.25))

    row = small(callbacks=[Record()]).fit(*data).history_[0]
    assert (row["tensor"], row["pair"], row["numpy"]) == (0.5, [1, 2], 0.25)
    assert all(isinstance(row[key], float) for key in ("tensor", "numpy"))


def test_a_loss_of_the_user_is_left_alone(data: Any) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, scores: Any, codes: Any, weights: Any) -> Any:
            return self.scale * nn.functional.cross_entropy(scores, codes)

    own = Scaled()
    small(loss=own).fit(*data)
    assert own.scale.item() == 1
    assert own.scale.grad is None


def test_a_loss_that_counts_goes_on_counting(data: Any) -> None:
    class Counting:
        calls, lock = 0, threading.Lock()  # a lock cannot be copied

        def __call__(self, scores: Any, codes: Any, weights: Any) -> Any:
            self.calls += 1
            return nn.functional.cross_entropy(scores, codes)

    loss = Counting()
    small(loss=loss).fit(*data)
    assert loss.calls > 0


def test_an_autocast_of_the_caller_changes_nothing(data: Any) -> None:
    # Its cache of weights in bfloat16 outlived a step: the next ones trained in vain.
    segmenter = small(precision="bfloat16", max_epochs=3).fit(*data)
    with torch.autocast("cpu", enabled=False):
        within = small(precision="bfloat16", max_epochs=3).fit(*data)
    np.testing.assert_array_equal(weights(within), weights(segmenter))


def test_a_default_device_of_torch_changes_nothing(data: Any) -> None:
    expected = small().fit(*data)
    torch.set_default_device("meta")
    try:
        segmenter = small().fit(*data)
        again = pickle.loads(pickle.dumps(segmenter))
        labels = again.predict(data[0])
    finally:
        torch.set_default_device(None)
    np.testing.assert_array_equal(weights(segmenter), weights(expected))
    np.testing.assert_array_equal(labels, expected.predict(data[0]))


def test_interrupted_fits_let_the_images_go(data: Any) -> None:
    class Interrupt(Callback):  # type: ignore[misc]
        def on_batch_end(self, net: Any, **_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        small(callbacks=[Interrupt()]).fit(*data)
    seen, kept = [], caught.value.__traceback__
    while kept is not None:
        seen.append(kept.tb_frame.f_locals.get("batches"))
        kept = kept.tb_next
    batches = [one for one in seen if isinstance(one, Batches)]
    assert batches
    assert not any("_store" in vars(one) for one in batches)


def test_a_callback_may_end_training(data: Any) -> None:
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=1e9)
    segmenter = small(max_epochs=50, callbacks=[("own", stopping)]).fit(*data)
    assert segmenter.n_iter_ < 50
    assert segmenter.predict(data[0]).shape == (12, 16, 16)


def test_a_scoring_callback_of_skorch_sees_the_validation(data: Any) -> None:
    X, y = data
    scoring = EpochScoring(lambda net, *_: 7.0, name="seven", use_caching=False)
    segmenter = small(callbacks=[scoring]).fit(X, y, X_val=X, y_val=y)
    assert segmenter.history_[-1]["seven"] == 7.0


def test_verbose_prints_a_line_an_epoch(data: Any, capsys: Any) -> None:
    X, y = data
    small(max_epochs=3, verbose=1).fit(X, y, X_val=X, y_val=y)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == [
        "epoch",
        "train_loss",
        "valid_iou",
        "valid_loss",
        "dur",
    ]
    assert len(printed) == 2 + 3
    small(max_epochs=1).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_callbacks_freeze_is_free_again_after_training(
    data: Any, method: str
) -> None:
    segmenter = small(callbacks=[Freezer("encoder*")], classes=[0, 1, 2])
    getattr(segmenter, method)(*data)
    assert all(required_gradients(segmenter).values())


def required_gradients(segmenter: FCNSegmenter) -> dict[str, bool]:
    parameters = segmenter.network_.named_parameters()
    return {name: parameter.requires_grad for name, parameter in parameters}


def test_a_training_after_a_frozen_one_does_not_depend_on_a_pickle(data: Any) -> None:
    kept = small(warm_start=True, callbacks=[Freezer("encoder*")]).fit(*data)
    kept.set_params(callbacks=None)
    stored = pickle.loads(pickle.dumps(kept))
    np.testing.assert_array_equal(weights(kept.fit(*data)), weights(stored.fit(*data)))


def test_layers_that_the_users_network_freezes_stay_frozen(data: Any) -> None:
    def network(n_channels: int, n_classes: int) -> nn.Module:
        frozen = nn.Conv2d(n_channels, 4, 1).requires_grad_(False)
        return nn.Sequential(frozen, nn.Conv2d(4, n_classes, 1))

    segmenter = FCNSegmenter(network=network, max_epochs=2, random_state=0)
    for callback in (Freezer("*1.bias"), Unfreezer("*")):
        segmenter.set_params(callbacks=[callback]).fit(*data)
        assert [*required_gradients(segmenter).values()] == [False] * 2 + [True] * 2


def test_a_training_that_breaks_down_while_frozen_leaves_nothing_frozen(
    data: Any,
) -> None:
    class Break(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            if len(net.history) == 2:
                next(net.module_.parameters()).data.fill_(float("nan"))

    segmenter = small(callbacks=[Freezer("encoder*"), Break()], max_epochs=5)
    with pytest.raises(ValueError, match="NaN or infinite"):
        segmenter.fit(*data)
    assert segmenter.n_iter_ == 2
    assert all(required_gradients(segmenter).values())


class Interrupt(Callback):  # type: ignore[misc]
    """Press Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_batch_end(self, net: Any, **_: Any) -> None:
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_ctrl_c_reaches_the_caller_and_leaves_the_old_fit(data: Any) -> None:
    segmenter = small().fit(*data)
    before = weights(segmenter)
    segmenter.set_params(callbacks=[Interrupt(epoch=2)])
    with pytest.raises(KeyboardInterrupt):
        segmenter.fit(*data)
    np.testing.assert_array_equal(weights(segmenter), before)


def test_a_loss_that_is_no_number_raises_and_leaves_no_fit(data: Any) -> None:
    segmenter = small(learning_rate=1e30, norm=None, max_epochs=5).fit
    with pytest.raises(ValueError, match=r"epoch 1 at learning_rate=1e\+30"):
        segmenter(*data)
    with pytest.raises(NotFittedError):
        segmenter.__self__.predict(data[0])


def test_a_loss_that_becomes_no_number_leaves_the_last_finite_epoch(data: Any) -> None:
    def loss(scores: Any, codes: Any, weights: Any) -> Any:
        return nn.functional.cross_entropy(scores, codes) * factor[0]

    class Break(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            factor[0] = float("nan")

    factor = [1.0]
    segmenter = small(loss=loss, callbacks=[Break()], max_epochs=5)
    with pytest.raises(ValueError, match="epoch 2"):
        segmenter.fit(*data)
    assert segmenter.n_iter_ == 1
    assert np.isfinite(weights(segmenter)).all()
    assert segmenter.predict(data[0]).shape == (12, 16, 16)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_to_no_number_leaves_the_earlier_fit(data: Any, method: str) -> None:
    segmenter = small(norm=None, warm_start=True).fit(*data)
    before = weights(segmenter)
    segmenter.set_params(learning_rate=1e30)
    with pytest.raises(ValueError, match=r"(?s)in epoch 3.*weights of epoch 2"):
        getattr(segmenter, method)(*data)
    np.testing.assert_array_equal(weights(segmenter), before)
    assert segmenter.n_iter_ == 2


def test_the_best_epoch_is_kept_where_a_later_one_breaks_down(data: Any) -> None:
    X, y = data

    class Break(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            if len(net.history) == 6:
                for parameter in net.module_.parameters():
                    parameter.data.fill_(float("nan"))

    segmenter = small(
        max_epochs=20,
        early_stopping=True,
        n_iter_no_change=20,
        learning_rate=3e-2,
        callbacks=[Break()],
    )
    with pytest.raises(ValueError, match="NaN or infinite"):
        segmenter.fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    ious = [row["valid_iou"] for row in segmenter.history_]
    assert segmenter.best_epoch_ == 1 + int(np.argmax(ious))
    assert segmenter.score(X[8:], y[8:]) == pytest.approx(max(ious))


def test_another_optimizer_starts_anew(data: Any) -> None:
    segmenter = small(optimizer="sgd").partial_fit(*data, classes=[0, 1, 2])
    assert segmenter.set_params(optimizer="adam").partial_fit(*data).n_iter_ == 2


def test_an_interrupted_partial_fit_changes_nothing(data: Any) -> None:
    def fitted_twice() -> FCNSegmenter:
        segmenter = small(batch_size=4)
        return segmenter.partial_fit(*data, classes=[0, 1, 2]).partial_fit(*data)

    expected = weights(fitted_twice().partial_fit(*data))
    segmenter = fitted_twice().set_params(callbacks=[Interrupt(epoch=1)])
    with pytest.raises(KeyboardInterrupt):
        segmenter.partial_fit(*data)
    segmenter.set_params(callbacks=None).partial_fit(*data)
    np.testing.assert_array_equal(weights(segmenter), expected)


@pytest.mark.parametrize("name", ["depth", "width", "skip", "norm"])
def test_going_on_with_another_network_is_refused(data: Any, name: str) -> None:
    values = {"depth": 2, "width": 5, "skip": None, "norm": None}
    segmenter = small(warm_start=True).fit(*data).set_params(**{name: values[name]})
    with pytest.raises(ValueError, match=f"{name} is"):
        segmenter.fit(*data)


@pytest.mark.parametrize(
    "callback",
    [ProgressBar(), Checkpoint(f_params=None, f_optimizer=None, f_history=None)],
    ids=["ProgressBar", "Checkpoint"],
)
@pytest.mark.parametrize("validates", [True, False])
def test_usual_callbacks_of_skorch_run(
    data: Any, tmp_path: Any, callback: Any, validates: bool
) -> None:
    X, y = data
    monitor = "valid_iou_best" if validates else "train_loss_best"
    if isinstance(callback, Checkpoint):
        callback = Checkpoint(monitor=monitor, dirname=str(tmp_path))
    validation = {"X_val": X, "y_val": y} if validates else {}
    assert small(callbacks=[callback]).fit(X, y, **validation).n_iter_ == 2


# State


def test_pickle_deepcopy_and_clone(fitted: Any, data: Any) -> None:
    X, _ = data
    expected = fitted.predict_proba(X)
    for twin in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(twin.predict_proba(X), expected)
        assert twin.history_ == fitted.history_
    assert not hasattr(clone(fitted), "network_")


def test_changed_parameters_do_not_change_a_fitted_network(data: Any) -> None:
    X, y = data
    segmenter = small().fit(X, y)
    expected = segmenter.predict_proba(X)
    segmenter.set_params(depth=4, width=7, skip=None, norm="group")
    np.testing.assert_array_equal(segmenter.predict_proba(X), expected)
    restored = pickle.loads(pickle.dumps(segmenter))
    np.testing.assert_array_equal(restored.predict_proba(X), expected)


def test_the_state_is_numpy_and_plain_python(fitted: Any) -> None:
    def leaves(value: Any) -> Any:
        if isinstance(value, dict):
            for part in value.values():
                yield from leaves(part)
        elif isinstance(value, (list, tuple)):
            for part in value:
                yield from leaves(part)
        else:
            yield value

    plain = (np.ndarray, int, float, str, bool, type(None))
    state = fitted.__getstate__()
    assert all(isinstance(leaf, plain) for leaf in leaves(state))
    assert state["_sksegment_version"]


def test_validation_survives_a_saved_and_loaded_warm_start(data: Any) -> None:
    segmenter = pickle.loads(pickle.dumps(small(warm_start=True).fit(*data)))
    assert segmenter.fit(*data).n_iter_ == 4


# Devices


@pytest.mark.cuda
def test_training_and_prediction_on_cuda(data: Any) -> None:
    X, y = data
    segmenter = small(max_epochs=20, device="cuda", learning_rate=1e-2).fit(X, y)
    on_gpu = segmenter.predict_proba(X)
    restored = pickle.loads(pickle.dumps(segmenter)).set_params(device="cpu")
    np.testing.assert_allclose(restored.predict_proba(X), on_gpu, atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="device is 'cuda'"):
        small(device="cuda").fit(*data)
