"""Training: a private skorch net that knows batches of masks, seeds and precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from threading import RLock
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    EarlyStopping,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
from torch import Tensor, nn

from sksegment._batches import Batches, Target
from sksegment._schedules import SCHEDULES
from sksegment._streams import DROPOUT, stream
from sksegment._validation import Validation

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}
MAX_SEED = 2**63 - 1
RNG_LOCK = RLock()


class TrainingStop(Exception):  # noqa: N818 - it ends training, no error
    """A callback asked for training to end."""


class DivergenceError(Exception):
    """The loss is no longer a finite number."""


class SegmentationNet(NeuralNet):
    """skorch's training loop over batches of images, class codes and pixel weights.

    `fit_loop` takes a pair: the `Batches`, and the `Validation` or None. Nothing of
    skorch's prediction is used by sksegment; that its softmax runs over the classes
    matters to callbacks of the user.

    Parameters
    ----------
    module : nn.Module
        The network.
    seed : int, default=0
        The seed of what torch draws.
    first_epoch : int, default=0
        Epochs that the network was trained before.
    precision : torch.dtype, default=torch.float32
        Arithmetic of the forward pass.
    **parameters : dict
        Parameters of skorch's net.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        seed: int = 0,
        first_epoch: int = 0,
        precision: torch.dtype = torch.float32,
        **parameters: Any,
    ) -> None:
        self.seed = seed
        self.first_epoch = first_epoch
        self.precision = precision
        super().__init__(module, **parameters)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("print_log", PrintLog()),
        ]

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: the data were checked before."""

    def get_split_datasets(self, X: Any, y: Any = None, **parameters: Any) -> Any:
        """Return the batches and the validation as they were given."""
        return X

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches, which iterate over themselves."""
        return dataset

    def run_single_epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Any,
        **parameters: Any,
    ) -> None:
        """Train on all batches; validation is a judgement of the whole held-out set."""
        if training:
            super().run_single_epoch(iterator, training, prefix, step_fn, **parameters)
        elif iterator is not None:
            loss, iou = iterator.scores()
            self._record("valid_loss", loss, min)
            self._record("valid_iou", iou, max)

    def _record(self, name: str, value: float, best: Callable[..., float]) -> None:
        """Write a score to the history, and whether it is the best so far."""
        self.history.record(name, value)
        self.history.record(f"{name}_best", value == best(self.history[:, name]))

    def infer(self, x: Tensor, **parameters: Any) -> Tensor:
        """Return the scores of a batch in float32, computed in `precision`."""
        enabled = self.precision is not torch.float32
        with torch.autocast(x.device.type, self.precision, enabled=enabled):
            scores = self.module_(x)
        return scores.float()

    def get_loss(
        self, y_pred: Tensor, y_true: Target, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of a batch."""
        codes, weights = y_true
        loss: Tensor = self.criterion_(y_pred, codes, weights)
        return loss

    def notify(self, method_name: str, **parameters: Any) -> None:
        """Call the callbacks, one of which may ask for the end of training.

        skorch's callbacks do that by a KeyboardInterrupt, which is also what Ctrl-C
        raises; only the first may end in a fitted estimator.
        """
        getattr(self, method_name)(self, **parameters)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **parameters)
            except KeyboardInterrupt as stop:
                if method_name == "on_epoch_end":
                    raise TrainingStop from stop
                raise

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **_: Any) -> None:
        """Keep the weights that training begins with."""
        self.finite_state_ = deepcopy(self.module_.state_dict())

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **_: Any
    ) -> None:
        """Seed what torch draws (dropout) by the number of the epoch."""
        super().on_epoch_begin(net, dataset_train, dataset_valid)
        epoch = self.first_epoch + len(self.history)
        rng = stream(DROPOUT, self.seed, epoch)
        seed_torch(int(rng.integers(MAX_SEED)), torch.device(self.device))

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        """Stop at the first loss that is not a number."""
        if training and not math.isfinite(step["loss"].item()):
            raise DivergenceError

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **_: Any
    ) -> None:
        """Keep the weights of the last epoch with finite ones."""
        state = self.module_.state_dict()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise DivergenceError
        self.finite_state_ = deepcopy(state)


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is to be trained.

    Parameters
    ----------
    criterion : nn.Module
        The loss.
    optimizer : str
        A key of `OPTIMIZERS`.
    learning_rate, weight_decay : float
        Of the optimizer.
    schedule : str
        "constant", "cosine" or "poly".
    n_epochs : int
        Largest number of epochs.
    precision : torch.dtype
        Arithmetic of the forward pass.
    patience : int or None
        Epochs without a better validation IoU after which training ends; None does
        not look.
    tol : float
        By how much an IoU must be better.
    callbacks : sequence
        Callbacks of the user.
    verbose : int
        Whether a table is printed.
    """

    criterion: nn.Module
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    n_epochs: int
    precision: torch.dtype
    patience: int | None
    tol: float
    callbacks: Sequence[Any]
    verbose: int


@dataclass
class TrainingResult:
    """What came out of training.

    Parameters
    ----------
    history : list of dict
        One row an epoch.
    best_epoch : int or None
        The epoch whose weights the network has, counted from 1, if that was chosen.
    optimizer_state : dict
        What the optimizer learned of each parameter.
    diverged_at : int or None
        The epoch in which the loss became NaN or infinite.
    """

    history: list[dict[str, Any]]
    best_epoch: int | None
    optimizer_state: dict[str, Any] = field(repr=False)
    diverged_at: int | None = None


def train(
    network: nn.Module,
    batches: Batches,
    validation: Validation | None,
    plan: TrainingPlan,
    optimizer_state: dict[str, Any] | None = None,
) -> TrainingResult:
    """Train a network in place.

    Parameters
    ----------
    network : nn.Module
        On the device of the batches.
    batches : Batches
        What it is trained on.
    validation : Validation or None
        What it is judged on after each epoch.
    plan : TrainingPlan
        How it is trained.
    optimizer_state : dict or None, default=None
        What the optimizer learned in an earlier training that is continued.

    Returns
    -------
    TrainingResult
        What happened. If the loss diverged, the network has the weights of the last
        epoch that ended with finite ones.
    """
    net = _net(network, batches, plan)
    with local_rng(batches.device):
        net.initialize()
        if optimizer_state is not None:
            _go_on(net.optimizer_, optimizer_state)
        diverged_at = _run(net, batches, validation)
    rows = [_row(row, net.first_epoch) for row in net.history]
    if diverged_at is not None:
        rows = rows[: diverged_at - 1]
    best_epoch = None
    if plan.patience is not None and rows:
        best_epoch = net.first_epoch + _restore_best(net)
    state = net.optimizer_.state_dict()["state"]
    return TrainingResult(rows, best_epoch, state, diverged_at)


def _go_on(optimizer: torch.optim.Optimizer, learned: dict[str, Any]) -> None:
    """Give an optimizer what it learned of each parameter, and nothing else.

    Learning rate and decay stay those of the plan; what is given stays as it is, for
    an interrupted training must not change what came before.
    """
    optimizer.load_state_dict({**optimizer.state_dict(), "state": deepcopy(learned)})


def _run(
    net: SegmentationNet, batches: Batches, validation: Validation | None
) -> int | None:
    """Run the loop; return the epoch, counted from 1, in which it diverged, if any."""
    net.notify("on_train_begin", X=batches, y=None)
    try:
        with suppress(TrainingStop):
            net.fit_loop((batches, validation))
    except DivergenceError:
        net.module_.load_state_dict(net.finite_state_)
        return len(net.history)
    net.notify("on_train_end", X=batches, y=None)
    return None


def _net(network: nn.Module, batches: Batches, plan: TrainingPlan) -> SegmentationNet:
    return SegmentationNet(
        network,
        seed=batches.seed,
        first_epoch=batches.epoch,
        precision=plan.precision,
        criterion=plan.criterion,
        optimizer=OPTIMIZERS[plan.optimizer],
        optimizer__weight_decay=plan.weight_decay,
        lr=plan.learning_rate,
        max_epochs=plan.n_epochs,
        callbacks=_callbacks(plan, len(batches)),
        # skorch's own guess is a softmax over the width of the image.
        predict_nonlinearity=partial(torch.softmax, dim=1),
        train_split=None,
        # What callbacks divide the length of the batches by.
        batch_size=1,
        verbose=plan.verbose,
        device=batches.device,
    )


def _callbacks(plan: TrainingPlan, n_batches: int) -> list[Any]:
    callbacks: list[Any] = []
    if plan.schedule != "constant":
        n_steps = plan.n_epochs * n_batches
        factor = partial(SCHEDULES[plan.schedule], n_steps=n_steps)
        scheduler = LRScheduler(
            torch.optim.lr_scheduler.LambdaLR,
            lr_lambda=factor,
            step_every="batch",
            event_name=None,
        )
        callbacks.append(("learning_rate_schedule", scheduler))
    if plan.patience is not None:
        stopping = EarlyStopping(
            monitor="valid_iou",
            patience=plan.patience,
            threshold=plan.tol,
            threshold_mode="abs",
            lower_is_better=False,
            load_best=True,
        )
        callbacks.append(("early_stopping", stopping))
    return [*callbacks, *plan.callbacks]


def _restore_best(net: SegmentationNet) -> int:
    """Give the network the weights of the best epoch, and return which it is.

    skorch does that too, but not after a training that broke down.
    """
    stopping = dict(net.callbacks_)["early_stopping"]
    if stopping.best_model_weights_ is not None:
        net.module_.load_state_dict(stopping.best_model_weights_)
    return int(stopping.best_epoch_)


def _row(row: dict[str, Any], first_epoch: int) -> dict[str, Any]:
    """Return the history of one epoch without what is kept of each batch."""
    kept = {
        key: float(value) if isinstance(value, np.floating) else value
        for key, value in row.items()
        if key != "batches" and not key.endswith(("_batch_count", "_best"))
    }
    return {**kept, "epoch": first_epoch + row["epoch"]}


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what torch draws on the CPU and on one device, and on no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def local_rng(device: torch.device) -> Iterator[None]:
    """Leave torch's global random numbers as they were found.

    They are one for the whole process: fits in several threads wait for each other.
    """
    devices = [device] if device.type == "cuda" else []
    with RNG_LOCK, torch.random.fork_rng(devices=devices):
        yield
