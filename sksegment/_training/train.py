"""Training: how it is planned, how it runs, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import EarlyStopping, LRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sksegment._prediction.predictor import working_memory
from sksegment._torch.out_of_memory import OutOfMemory, attempt
from sksegment._torch.random import local_rng
from sksegment._training.batches import Batches
from sksegment._training.checkpoint import Checkpoint, load_progress
from sksegment._training.data_parallel import shared_layers
from sksegment._training.encoded_batches import EncodedBatches
from sksegment._training.epoch_scoring import scoring_images
from sksegment._training.memory_estimate import room_for_images, too_large
from sksegment._training.schedules import SCHEDULES
from sksegment._training.skorch_net import (
    DivergenceError,
    SegmentationNet,
    TrainingStop,
)
from sksegment._training.training_state import (
    EARLY_STOPPING,
    restore_progress,
    restore_stopping,
    to_python,
)
from sksegment._training.validation import Validation
from sksegment.networks._encoder_fcn import EncoderFCN
from sksegment.networks._layers import BatchNorm

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
}


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
    encoder_factor : float
        What the learning rate is multiplied by for an encoder of timm; with 0 it is
        frozen.
    schedule : str
        "constant", "cosine" or "poly".
    n_epochs : int
        Largest number of epochs.
    precision : torch.dtype
        Arithmetic of the forward pass.
    patience : int or None
        Epochs without a better validation IoU after which training ends; None for no
        limit.
    tol : float
        By how much an IoU must be better.
    callbacks : sequence
        Callbacks of the user.
    verbose : int
        Whether a table is printed.
    segmenter : FCNSegmenter or None, default=None
        One that is fitted with the network in training, for callbacks that score.
    kept_epoch : int or None, default=None
        The epoch whose weights training continues from, which stay if none of those to
        come is better; None for a new network.
    """

    criterion: nn.Module
    optimizer: str
    learning_rate: float
    encoder_factor: float
    weight_decay: float
    schedule: str
    n_epochs: int
    precision: torch.dtype
    patience: int | None
    tol: float
    callbacks: Sequence[Any]
    verbose: int
    segmenter: Any = None
    kept_epoch: int | None = None


@dataclass
class TrainingResult:
    """What came out of training.

    Parameters
    ----------
    history : list of dict
        One row per epoch.
    best_epoch : int or None
        The epoch whose weights the network has, counted from 1, if one was chosen.
    optimizer_state : dict
        What the optimizer learned of each parameter.
    predicted : ndarray of shape (n_classes,) or None
        Whether a class was predicted, at any labelled pixel, in the last epoch; None
        if it was not recorded.
    diverged_at : int or None
        The epoch in which the loss became NaN or infinite.
    """

    history: list[dict[str, Any]]
    best_epoch: int | None
    optimizer_state: dict[str, Any] = field(repr=False)
    predicted: NDArray[np.bool_] | None
    diverged_at: int | None = None


def train(
    network: nn.Module,
    batches: Batches,
    validation: Validation | None,
    plan: TrainingPlan,
    optimizer_state: dict[str, Any] | None = None,
    checkpoint: Checkpoint | None = None,
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
    checkpoint : Checkpoint or None, default=None
        Where progress is kept. If there is some already, training resumes from it.

    Returns
    -------
    TrainingResult
        What happened. If the loss diverged, the network has the weights of the last
        epoch that ended with finite ones.

    Raises
    ------
    MemoryError
        If memory runs out. Nothing is made smaller: other batches would train another
        network.
    """
    training = partial(
        _train_network, network, batches, validation, plan, optimizer_state, checkpoint
    )
    try:
        with batches.processes.failures_named():
            result = attempt(training, batches.device)
    finally:
        # A notebook keeps a traceback, and everything it refers to.
        batches.release_images()
    if isinstance(result, OutOfMemory):
        raise MemoryError(too_large(network, batches, plan.precision, result.reason))
    return result


def _train_network(
    network: nn.Module,
    batches: Batches,
    validation: Validation | None,
    plan: TrainingPlan,
    optimizer_state: dict[str, Any] | None,
    checkpoint: Checkpoint | None,
) -> TrainingResult:
    net = _net(network, batches, validation, plan, checkpoint)
    if plan.n_epochs > 1:  # what is used once need not stay
        batches.room = room_for_images(network, batches, plan.precision)
    with ExitStack() as stack:
        stack.enter_context(local_rng(batches.device))
        stack.enter_context(_restore_trainable(network))
        if batches.processes.is_alone:
            stack.enter_context(_allow_single_values(network))
        if isinstance(network, EncoderFCN) and plan.encoder_factor == 0:
            stack.enter_context(_encoder_frozen(network))
        stack.enter_context(shared_layers(network, batches, batches.processes))
        net.initialize()
        if optimizer_state is not None:
            _resume_optimizer(net.optimizer_, optimizer_state)
        diverged_at = _run(net, batches, validation, plan)
    rows = [_row(row, net.first_epoch) for row in net.history]
    if diverged_at is not None:
        rows = rows[: diverged_at - 1]
    best_epoch = None
    if plan.patience is not None and rows:
        best = _restore_best(net)
        best_epoch = net.first_epoch + best if best else plan.kept_epoch
    state = net.optimizer_.state_dict()["state"]
    predicted = None
    if net.predicted_ is not None:
        predicted = batches.processes.sum(net.predicted_.int()).cpu().numpy() > 0
    return TrainingResult(rows, best_epoch, state, predicted, diverged_at)


@contextmanager
def _restore_trainable(network: nn.Module) -> Iterator[None]:
    """Restore which weights are trainable.

    Callbacks freeze weights for one training run. What is frozen is not saved: a
    network in memory would continue differently from the same one loaded from a file.
    """
    before = [(weight, weight.requires_grad) for weight in network.parameters()]
    try:
        yield
    finally:
        for weight, required in before:
            weight.requires_grad_(required)


@contextmanager
def _encoder_frozen(network: EncoderFCN) -> Iterator[None]:
    """Leave the encoder as it is: weights and batch statistics."""
    network.frozen = True
    network.encoder.requires_grad_(False)
    try:
        yield
    finally:
        network.frozen = False


@contextmanager
def _allow_single_values(network: nn.Module) -> Iterator[None]:
    """Let batch normalization train on one value per channel, as that of `FCN` does.

    A single image has one after pooling over all of it (ASPP), or at the stride of an
    encoder, which torch rejects. By hooks, as timm has layers of its own. Layers that
    several processes share count the values of all of them themselves.
    """
    single: set[nn.Module] = set()

    def evaluate(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if layer.training and inputs[0].numel() == inputs[0].shape[1]:
            single.add(layer.eval())

    def train_again(layer: nn.Module, inputs: Any, output: Any) -> None:
        if layer in single:
            single.remove(layer.train())

    with ExitStack() as hooks:
        for layer in network.modules():
            is_norm = isinstance(layer, _BatchNorm) and layer.track_running_stats
            if is_norm and not isinstance(layer, BatchNorm):
                hooks.callback(layer.register_forward_pre_hook(evaluate).remove)
                hooks.callback(layer.register_forward_hook(train_again).remove)
        yield


def _resume_optimizer(
    optimizer: torch.optim.Optimizer, learned: dict[str, Any]
) -> None:
    """Give an optimizer what it learned of each parameter, and nothing else.

    Learning rate and decay stay those of the plan. `learned` itself is not changed: an
    interrupted run must leave the earlier state as it was.
    """
    optimizer.load_state_dict({**optimizer.state_dict(), "state": deepcopy(learned)})


def _run(
    net: SegmentationNet,
    batches: Batches,
    validation: Validation | None,
    plan: TrainingPlan,
) -> int | None:
    """Run the loop; return the epoch, counted from 1, in which it diverged, if any."""
    progress = load_progress(net.checkpoint)
    if progress:
        restore_progress(net, progress)
        batches.epoch += len(net.history)
    net.notify("on_train_begin", X=batches, y=None)
    if progress:
        restore_stopping(net, progress)
    elif plan.kept_epoch is not None and plan.patience is not None:
        _enter_competition(net, validation, plan.tol)
    n_epochs = net.max_epochs - len(net.history)
    try:
        with suppress(TrainingStop):
            net.fit_loop((_fed(net, batches), validation), epochs=n_epochs)
    except DivergenceError:
        net.module_.load_state_dict(net.finite_state_.state())
        return len(net.history)
    net.notify("on_train_end", X=batches, y=None)
    return None


def _fed(net: SegmentationNet, batches: Batches) -> Batches | EncodedBatches:
    """Return what the network is fed with: maps, where they are always the same."""
    network = net.module_
    is_frozen = isinstance(network, EncoderFCN) and network.frozen
    if is_frozen and batches.are_fixed() and batches.processes.is_alone:
        return EncodedBatches(batches, net.encode, working_memory(batches.device))
    return batches


def _enter_competition(
    net: SegmentationNet, validation: Validation | None, tol: float
) -> None:
    """Let the weights that training starts from count as the best epoch so far."""
    _, iou = (None, math.nan) if validation is None else validation.scores()
    if math.isfinite(iou):
        stopping = dict(net.callbacks_)[EARLY_STOPPING]
        stopping.dynamic_threshold_ = iou + tol
        stopping.best_model_weights_ = deepcopy(net.module_.state_dict())


def _net(
    network: nn.Module,
    batches: Batches,
    validation: Validation | None,
    plan: TrainingPlan,
    checkpoint: Checkpoint | None,
) -> SegmentationNet:
    n_done = len(load_progress(checkpoint).get("history", ()))
    held_out = None if validation is None else validation.samples
    return SegmentationNet(
        network,
        seed=batches.seed,
        first_epoch=batches.epoch,
        precision=plan.precision,
        checkpoint=checkpoint,
        segmenter=plan.segmenter,
        processes=batches.processes,
        criterion=plan.criterion,
        optimizer=OPTIMIZERS[plan.optimizer],
        optimizer__weight_decay=plan.weight_decay,
        lr=plan.learning_rate,
        **_parameter_groups(network, plan),
        max_epochs=plan.n_epochs,
        callbacks=[
            *_callbacks(plan, len(batches), n_done),
            *scoring_images(plan.callbacks, batches.samples, held_out),
        ],
        train_split=None,
        # Some callbacks divide the length of the batches by it.
        batch_size=1,
        verbose=plan.verbose,
        device=batches.device,
    )


def _parameter_groups(network: nn.Module, plan: TrainingPlan) -> dict[str, Any]:
    """Return the option of skorch that gives an encoder its own learning rate."""
    if not isinstance(network, EncoderFCN):
        return {}
    rate = plan.encoder_factor * plan.learning_rate
    return {"optimizer__param_groups": [("encoder.*", {"lr": rate})]}


def _callbacks(plan: TrainingPlan, n_batches: int, n_done: int) -> list[Any]:
    callbacks: list[Any] = []
    if plan.schedule != "constant":
        n_steps = plan.n_epochs * n_batches
        factor = partial(SCHEDULES[plan.schedule], n_steps=n_steps)
        scheduler = LRScheduler(
            torch.optim.lr_scheduler.LambdaLR,
            lr_lambda=factor,
            # The last step before; skorch would count epochs. -1 starts anew.
            last_epoch=n_done * n_batches - 1,
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
        callbacks.append((EARLY_STOPPING, stopping))
    return callbacks


def _restore_best(net: SegmentationNet) -> int:
    """Give the network the weights of the best epoch, and return which it is.

    skorch does so, too, but not after training that diverged.
    """
    stopping = dict(net.callbacks_)[EARLY_STOPPING]
    if stopping.best_model_weights_ is not None:
        net.module_.load_state_dict(stopping.best_model_weights_)
    return int(stopping.best_epoch_)


def _row(row: dict[str, Any], first_epoch: int) -> dict[str, Any]:
    """Return the history of one epoch without that of its batches."""
    kept = {
        key: to_python(value)
        for key, value in row.items()
        if key != "batches" and not key.endswith(("_batch_count", "_best"))
    }
    return {**kept, "epoch": first_epoch + row["epoch"]}
