"""Fitted attributes, validation, early stopping, and training that continues."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import nn

from helpers.segmenter import small, weights
from sksegment.augmentation import RandomFlip
from sksegment.losses import CrossEntropyLoss


def test_fitted_attributes(fitted: Any) -> None:
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert fitted.n_features_in_ == 3
    assert fitted.n_iter_ == len(fitted.history_) == 2
    assert fitted.best_epoch_ is None
    assert fitted.stride_ == 2
    assert fitted.margin_ == 9
    assert isinstance(fitted.network_, nn.Module)
    for epoch, row in enumerate(fitted.history_, start=1):
        assert row["epoch"] == epoch
        assert np.isfinite(row["train_loss"])
        assert row["dur"] > 0
        assert "valid_iou" not in row


def test_one_seed_one_result_and_another_another(data: Any) -> None:
    first, again = small().fit(*data), small().fit(*data)
    np.testing.assert_array_equal(weights(first), weights(again))
    other = small(random_state=1).fit(*data)
    assert not np.array_equal(weights(first), weights(other))


def test_fits_in_threads_give_the_bits_of_a_serial_fit(data: Any) -> None:
    expected = weights(small().fit(*data))
    state = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        fits = list(pool.map(lambda _: small().fit(*data), range(3)))
    assert torch.equal(torch.get_rng_state(), state)
    for segmenter in fits:
        np.testing.assert_allclose(weights(segmenter), expected, atol=1e-6)


def test_fitting_twice_is_fitting_once(data: Any) -> None:
    segmenter = small().fit(*data)
    before = weights(segmenter)
    np.testing.assert_array_equal(weights(segmenter.fit(*data)), before)


def test_the_global_random_numbers_are_left_alone(data: Any) -> None:
    def draw() -> tuple[float, float]:
        return np.random.random(), torch.rand(()).item()  # noqa: NPY002

    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    expected = draw()
    np.random.set_state(numpy_state)  # noqa: NPY002
    torch.set_rng_state(torch_state)
    small(random_state=0).fit(*data).predict(data[0])
    assert draw() == expected


def test_no_seed_draws_another_network_each_time(data: Any) -> None:
    first, second = small(random_state=None), small(random_state=None)
    assert not np.array_equal(weights(first.fit(*data)), weights(second.fit(*data)))


def test_inputs_are_left_as_they_were(data: Any) -> None:
    X, y = data[0].copy(), data[1].copy()
    X.flags.writeable = y.flags.writeable = False
    small(early_stopping=True).fit(X, y).score(X, y)
    np.testing.assert_array_equal(X, data[0])


# Validation and early stopping


def test_validation_data_are_judged_after_each_epoch(data: Any) -> None:
    X, y = data
    segmenter = small(max_epochs=3).fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    last = segmenter.history_[-1]
    assert last["valid_iou"] == pytest.approx(segmenter.score(X[8:], y[8:]))
    log_loss = -np.log(
        np.take_along_axis(
            segmenter.predict_proba(X[8:]), y[8:, np.newaxis].astype(int), axis=1
        )
    ).mean()
    assert last["valid_loss"] == pytest.approx(log_loss, rel=1e-4)
    assert segmenter.n_iter_ == 3


@pytest.mark.parametrize("own", [False, True])
def test_the_validation_loss_with_class_weights_is_that_of_all_pixels(
    own: bool, data: Any
) -> None:
    X, y = data
    shares = torch.tensor([1.0, 5.0, 10.0, 0.5])[: len(np.unique(y))]
    named = dict(enumerate(shares.tolist()))
    loss = {"loss": CrossEntropyLoss(shares)} if own else {"class_weight": named}
    segmenter = small(**loss).fit(X, y, X_val=X, y_val=y)
    logs = torch.from_numpy(segmenter.predict_proba(X)).log()
    expected = F.nll_loss(logs, torch.from_numpy(y).long(), shares).item()
    found = segmenter.history_[-1]["valid_loss"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_other_validation_losses_are_averaged_by_pixels(data: Any) -> None:
    images, masks = [data[0][0], data[0][1, :8]], [data[1][0], data[1][1, :8]]

    def loss_of(part: slice) -> Any:
        segmenter = small(loss="dice", class_weight={0: 5.0})
        segmenter.fit(*data, X_val=images[part], y_val=masks[part])
        return segmenter.history_[-1]["valid_loss"]

    alone = [loss_of(slice(0, 1)), loss_of(slice(1, 2))]
    assert loss_of(slice(0, 2)) == pytest.approx(np.average(alone, weights=[2, 1]))


def test_early_stopping_keeps_the_best_epoch(data: Any) -> None:
    X, y = data
    segmenter = small(
        max_epochs=60, early_stopping=True, n_iter_no_change=3, learning_rate=3e-2
    )
    segmenter.fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    ious = [row["valid_iou"] for row in segmenter.history_]
    assert segmenter.n_iter_ < 60
    assert segmenter.n_iter_ - segmenter.best_epoch_ == 3
    assert ious[segmenter.best_epoch_ - 1] == max(ious)
    assert segmenter.score(X[8:], y[8:]) == pytest.approx(max(ious))


def test_held_out_images_leave_no_trace_in_the_scale(data: Any) -> None:
    X, y = data
    found: list[Any] = []

    class Watch(Callback):  # type: ignore[misc]
        def on_train_begin(self, net: Any, X: Any = None, y: Any = None) -> None:
            found.append(X.samples.images)

    segmenter = small(early_stopping=True, callbacks=[Watch()]).fit(X, y)
    trained = np.stack(list(found[0])).reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(segmenter.channel_mean_, trained.mean(axis=0))
    assert not np.allclose(segmenter.channel_mean_, X.reshape(-1, 3).mean(axis=0))


def test_weights_of_validation_images_count(data: Any) -> None:
    X, y = data
    weight = np.r_[np.zeros(3), np.ones(3), np.full(6, 2.0)]
    weighted = small().fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    again = small().fit(X, y, X_val=X[3:], y_val=y[3:], sample_weight_val=weight[3:])
    single = small().fit(X, y, X_val=X[3:6], y_val=y[3:6])
    double = small().fit(X, y, X_val=X[6:], y_val=y[6:])
    for name in ("valid_loss", "valid_iou"):
        value = weighted.history_[-1][name]
        assert value == pytest.approx(again.history_[-1][name], rel=1e-6)
    losses = [fit.history_[-1]["valid_loss"] for fit in (single, double)]
    expected = np.average(losses, weights=[3 * 1, 6 * 2])
    assert weighted.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


def test_early_stopping_holds_out_images_of_its_own(data: Any) -> None:
    X, y = data
    sizes: list[tuple[int, int]] = []

    class Watch(Callback):  # type: ignore[misc]
        def on_epoch_end(
            self, net: Any, dataset_train: Any, dataset_valid: Any
        ) -> None:
            held_out = [image.mean() for image in dataset_valid.samples.images]
            trained = [image.mean() for image in dataset_train.samples.images]
            assert not set(held_out) & set(trained)
            sizes.append((len(trained), len(held_out)))

    segmenter = small(
        early_stopping=True, validation_fraction=0.25, callbacks=[Watch()]
    )
    segmenter.fit(X, y)
    assert sizes == [(9, 3), (9, 3)]
    assert all(0 <= row["valid_iou"] <= 1 for row in segmenter.history_)


def test_validation_images_are_not_augmented(data: Any) -> None:
    X, y = data
    seen: list[float] = []

    class Watch(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, dataset_valid: Any = None, **_: Any) -> None:
            seen.append(float(np.mean(dataset_valid.samples.images[0])))

    plan = RandomFlip(p=1.0).fit_transform(X[:8])
    segmenter = small(callbacks=[Watch()])
    segmenter.fit(plan, y[:8], X_val=X[8:], y_val=y[8:])
    assert seen == [pytest.approx(X[8].mean())] * 2


# Going on


def test_warm_start_goes_on_from_the_fitted_network(data: Any) -> None:
    segmenter = small(warm_start=True).fit(*data)
    first = weights(segmenter)
    loss = segmenter.history_[-1]["train_loss"]
    segmenter.set_params(max_epochs=5).fit(*data)
    assert not np.array_equal(first, weights(segmenter))
    assert [row["epoch"] for row in segmenter.history_] == list(range(1, 8))
    assert segmenter.n_iter_ == 7
    assert segmenter.history_[-1]["train_loss"] < loss


class HeldOut(Callback):  # type: ignore[misc]
    """Note which images are validated on."""

    def __init__(self) -> None:
        self.images: list[bytes] = []

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **_: Any) -> None:
        images = dataset_valid.samples.images
        self.images = [images[index].tobytes() for index in range(len(images))]


@pytest.mark.parametrize("later", [None, 7, np.random.RandomState(7)])
@pytest.mark.parametrize("first", [None, 0, np.random.RandomState(0)])
def test_warm_start_holds_out_the_same_images(
    data: Any, first: Any, later: Any
) -> None:
    held_out = HeldOut()
    options = {"early_stopping": True, "validation_fraction": 0.3, "max_epochs": 1}
    segmenter = small(warm_start=True, random_state=first, callbacks=[held_out])
    images = segmenter.set_params(**options).fit(*data).callbacks[0].images
    for random_state in (first, later):
        segmenter.set_params(random_state=random_state).fit(*data)
        assert held_out.images == images


def test_without_warm_start_fit_forgets(data: Any) -> None:
    segmenter = small().fit(*data).fit(*data)
    assert segmenter.n_iter_ == 2


def test_partial_fit_trains_an_epoch_a_call(data: Any) -> None:
    X, y = data
    segmenter = small(learning_rate=1e-2)
    for _ in range(10):
        segmenter.partial_fit(X, y, classes=[0, 1, 2, 3])
    assert segmenter.n_iter_ == 10
    assert segmenter.classes_.tolist() == [0, 1, 2, 3]
    losses = [row["train_loss"] for row in segmenter.history_]
    assert losses[-1] < losses[0]


def test_partial_fit_keeps_the_momentum_of_the_optimizer(data: Any) -> None:
    X, y = data
    going_on = small(precision="float32")
    going_on.partial_fit(X, y, classes=[0, 1, 2])
    forgetful = pickle.loads(pickle.dumps(going_on))  # momentum is not in the file
    going_on.partial_fit(X, y)
    forgetful.partial_fit(X, y)
    assert not np.array_equal(weights(going_on), weights(forgetful))


def test_partial_fit_takes_another_learning_rate(data: Any) -> None:
    segmenter = small().partial_fit(*data, classes=[0, 1, 2])
    before = weights(segmenter)
    segmenter.set_params(learning_rate=1e-30, norm="batch").partial_fit(*data)
    trained = [name for name, _ in segmenter.network_.named_parameters()]
    state = segmenter.network_.state_dict()
    after = np.concatenate([state[name].numpy().ravel() for name in trained])
    assert np.isin(after, before).all()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_refuses_other_classes(data: Any, method: str) -> None:
    X, y = data
    segmenter = small(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="classes"):
        getattr(segmenter, method)(X, y + 1)


def test_a_validation_loss_that_does_not_fit_is_computed_on_the_cpu(data: Any) -> None:
    class Full(nn.Module):
        refused = 0

        def forward(self, scores: Any, codes: Any, weights: Any) -> Any:
            if not torch.is_grad_enabled() and not Full.refused:
                Full.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return nn.functional.cross_entropy(scores, codes.long())

    X, y = data
    segmenter = small(loss=Full()).fit(X, y, X_val=X, y_val=y)
    assert Full.refused == 1
    expected = small(loss=Full()).fit(X, y, X_val=X, y_val=y)
    found, wanted = segmenter.history_, expected.history_
    assert [row["valid_loss"] for row in found] == [row["valid_loss"] for row in wanted]


def test_many_labels_are_told(data: Any) -> None:
    X, y = data
    # As many as interpolation makes of a mask of 0 and 255.
    blurred = (np.arange(y.size) % 100 + 10).astype(np.uint8).reshape(y.shape)
    with pytest.warns(UserWarning, match="Each of the 100 labels .*check_masks"):
        small(max_epochs=1).fit(X, blurred)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        small(max_epochs=1, classes=range(110)).fit(X, blurred)


@pytest.mark.parametrize("unit", [1e-300, 1e-170, 1e-3, 1e30])
def test_images_in_any_unit_train(data: Any, unit: float) -> None:
    X, y = data
    segmenter = small(max_epochs=20).fit(X.astype(float) * unit, y)
    expected = small(max_epochs=20).fit(X, y)
    assert abs(segmenter.score(X * unit, y) - expected.score(X, y)) < 0.1


def test_weights_may_be_tensors(data: Any) -> None:
    X, y = data
    plain = np.linspace(0.5, 2, y.size).reshape(y.shape)
    tensor = torch.from_numpy(plain).requires_grad_()
    expected = weights(small().fit(X, y, plain))
    np.testing.assert_array_equal(weights(small().fit(X, y, tensor)), expected)
    np.testing.assert_array_equal(weights(small().fit(X, y, list(tensor))), expected)
