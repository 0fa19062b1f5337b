"""The skorch net that is trained: it knows batches of masks, seeds and precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dis import opmap
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, PassthroughScoring
from torch import Tensor, nn

from sksegment._inputs.progress import with_progress
from sksegment._inputs.random import DROPOUT, random_generator
from sksegment._torch.devices import searched_kernels
from sksegment._torch.processes import ALONE, Processes
from sksegment._torch.random import MAX_TORCH_SEED, seed_torch
from sksegment._training.batches import Batches, Target
from sksegment._training.checkpoint import Checkpoint
from sksegment._training.data_parallel import parallel
from sksegment._training.epoch_log import EpochLog
from sksegment._training.state_copy import StateCopy
from sksegment._training.training_state import progress_of
from sksegment.losses._base import counted_pixels, safe_divide
from sksegment.networks._encoder_fcn import EncodedImages


class TrainingStop(Exception):  # noqa: N818 - it ends training, not an error
    """A callback asked for training to end."""


class DivergenceError(Exception):
    """The loss is no longer a finite number."""


def check_finite(losses: Sequence[Tensor]) -> list[float]:
    """Return losses as numbers; raise `DivergenceError` if one is not finite."""
    values: list[float] = torch.stack(list(losses)).tolist()
    if not all(map(math.isfinite, values)):
        raise DivergenceError
    return values


def is_stop_request(stop: KeyboardInterrupt) -> bool:
    """Tell whether a statement raised an interrupt, as callbacks do, not Ctrl-C."""
    # skorch's callbacks end training with the very exception of Ctrl-C, and carry no
    # mark of their own. The user's callbacks do likewise, so a list of known classes is
    # not enough. But Ctrl-C strikes in the middle of whatever runs, never at a `raise`:
    # the last instruction of the traceback tells the two apart.
    place = stop.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return False
    instruction = place.tb_frame.f_code.co_code[place.tb_lasti]
    return instruction == opmap["RAISE_VARARGS"]


def predicted_classes(scores: Tensor, codes: Tensor) -> Tensor:
    """Tell which classes have the highest score at some labelled pixel.

    Parameters
    ----------
    scores : Tensor of shape (n, n_classes, height, width)
        The output of the network.
    codes : Tensor of shape (n, height, width)
        Class codes, negative where ignored.

    Returns
    -------
    Tensor of shape (n_classes,), bool
    """
    n_classes = scores.shape[1]
    labels = scores.max(dim=1).indices.masked_fill(codes < 0, n_classes)
    found = torch.zeros(n_classes + 1, dtype=torch.bool, device=scores.device)
    return found.scatter_(0, labels.flatten(), True)[:n_classes]


class SegmentationNet(NeuralNet):
    """skorch's training loop over batches of images, class codes and pixel weights.

    `fit_loop` takes a pair: the `Batches`, and the `Validation` or None. Callbacks that
    predict or score get what the segmenter would give with the network as it stands.

    Parameters
    ----------
    module : nn.Module
        The network.
    seed : int, default=0
        The seed of what torch draws.
    first_epoch : int, default=0
        Epochs for which the network was trained before.
    precision : torch.dtype, default=torch.float32
        Arithmetic of the forward pass.
    checkpoint : Checkpoint or None, default=None
        Where progress is kept after each epoch.
    segmenter : FCNSegmenter or None, default=None
        One that is fitted with the network in training.
    processes : Processes, default=ALONE
        Those that train together.
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
        checkpoint: Checkpoint | None = None,
        segmenter: Any = None,
        processes: Processes = ALONE,
        **parameters: Any,
    ) -> None:
        self.seed = seed
        self.first_epoch = first_epoch
        self.precision = precision
        self.checkpoint = checkpoint
        self.segmenter = segmenter
        self.processes = processes
        super().__init__(module, **parameters)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("print_log", EpochLog()),
        ]

    @property
    def classes_(self) -> NDArray[Any]:
        """Label values of the classes."""
        return np.asarray(self.segmenter.classes_)

    @property
    def ignore_label(self) -> Any:
        """Label value that is no class."""
        return self.segmenter.ignore_label

    @property
    def nodata(self) -> float | None:
        """Value that marks pixels without data."""
        value: float | None = self.segmenter.nodata
        return value

    @property
    def nodata_label(self) -> Any:
        """Label value that is predicted there."""
        return self.segmenter.nodata_label

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the masks of images."""
        return np.asarray(self.segmenter.predict(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probabilities of images."""
        return np.asarray(self.segmenter.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean IoU of images."""
        return float(self.segmenter.score(X, y, sample_weight))

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
        """Train on all batches, or validate on the whole held-out set at once."""
        if training:
            self._train_epoch(iterator, step_fn, **parameters)
        elif iterator is not None:
            loss, iou = self.processes.from_first(iterator.scores)
            self._record("valid_loss", loss, min)
            self._record("valid_iou", iou, max)

    def _train_epoch(self, batches: Batches, step_fn: Any, **parameters: Any) -> None:
        """Train on all batches, as skorch does, and read the losses at the end.

        Reading a loss makes the program wait for the GPU. On a CPU it is there at once,
        and training stops at the first loss that is not finite.
        """
        with searched_kernels(batches.device, batches.have_one_size()):
            losses = self._train_batches(batches, step_fn, **parameters)
        rows = self.history[-1]["batches"]
        for row, loss in zip(rows, check_finite(losses), strict=True):
            row["train_loss"] = loss
        self.history.record("train_batch_count", len(losses))

    def _train_batches(
        self, batches: Batches, step_fn: Any, **parameters: Any
    ) -> list[Tensor]:
        """Train on each batch; return the losses, on the device."""
        losses: list[Tensor] = []
        title = f"epoch {self.first_epoch + len(self.history)}"
        shown = with_progress(batches, len(batches), title, "batches", self.verbose)
        for batch in shown:
            self.notify("on_batch_begin", batch=batch, training=True)
            step = step_fn(batch, **parameters)
            losses.append(self._loss_of_all(step["loss"]))
            on_cpu = losses[-1].device.type == "cpu"
            loss = check_finite(losses[-1:])[0] if on_cpu else losses[-1]
            self.history.record_batch("train_loss", loss)
            is_alone = self.processes.is_alone
            n_images = len(batch[0]) if is_alone else batches.n_images
            self.history.record_batch("train_batch_size", n_images)
            self.notify("on_batch_end", batch=batch, training=True, **step)
        return losses

    def _record(self, name: str, value: float, best: Callable[..., float]) -> None:
        """Write a score to the history, and whether it is the best so far."""
        self.history.record(name, value)
        self.history.record(f"{name}_best", value == best(self.history[:, name]))

    def infer(self, x: Tensor | EncodedImages, **parameters: Any) -> Tensor:
        """Return the scores of a batch in float32, computed in `precision`."""
        with self._autocast():
            scores = self.run_network_(x)
        return scores.float()

    def encode(self, images: Tensor) -> EncodedImages:
        """Return the maps of a frozen encoder, computed in `precision`."""
        self.module_.train()
        with self._autocast():
            encoded: EncodedImages = self.module_.encode(images)
        return encoded

    def _autocast(self) -> torch.autocast:
        enabled = self.precision is not torch.float32
        # No cache of weights: within an autocast of the caller it would outlive this
        # step, and the next one would see outdated weights.
        return torch.autocast(
            torch.device(self.device).type,
            # Disabled, it needs no dtype; that of MPS warned of float32 in torch 2.8.
            self.precision if enabled else None,
            enabled=enabled,
            cache_enabled=False,
        )

    def get_loss(
        self, y_pred: Tensor, y_true: Target, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of a batch."""
        if training and not y_pred.requires_grad:
            raise ValueError(
                "No weight of the network is trainable; expected some with "
                "requires_grad=True. Check the parameters network and callbacks."
            )
        codes, weights = y_true
        loss: Tensor = self.criterion_(y_pred, codes, weights)
        if self.processes.is_alone:
            return loss
        # The gradients of all processes are averaged: then they are those of the mean
        # over the whole batch.
        class_weight = self.criterion_.class_weight
        counted = counted_pixels(codes, weights, class_weight).sum()
        total = self.processes.sum(counted)
        return safe_divide(loss * counted * self.processes.count, total)

    def _loss_of_all(self, loss: Tensor) -> Tensor:
        """Return the loss of the whole batch from that of the share."""
        return self.processes.sum(loss) / self.processes.count

    def notify(self, method_name: str, **parameters: Any) -> None:
        """Call the callbacks, any of which may ask to end training.

        skorch's callbacks do so with a KeyboardInterrupt at the end of an epoch, which
        Ctrl-C raises, too; only the former may end in a fitted estimator.
        """
        getattr(self, method_name)(self, **parameters)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **parameters)
            except KeyboardInterrupt as stop:
                if method_name == "on_epoch_end" and is_stop_request(stop):
                    raise TrainingStop from stop
                raise
        # After all callbacks, so that their counts are kept, too.
        if method_name == "on_epoch_end" and self.checkpoint is not None:
            self.checkpoint.save(progress_of(self))

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **_: Any) -> None:
        """Keep the weights that training begins with."""
        # A method: as a module, skorch would take it for one more component.
        self.run_network_ = parallel(self.module_, self.processes).__call__
        self.finite_state_ = StateCopy(self.module_.state_dict())
        self.predicted_: Tensor | None = None

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **_: Any
    ) -> None:
        """Seed what torch draws (dropout) from the number of the epoch."""
        super().on_epoch_begin(net, dataset_train, dataset_valid)
        self.predicted_ = None
        epoch = self.first_epoch + len(self.history)
        rng = random_generator(DROPOUT, self.seed, epoch)
        seed_torch(int(rng.integers(MAX_TORCH_SEED)), torch.device(self.device))

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        """Note which classes are predicted: any epoch may turn out to be the last."""
        if training:
            _images, (codes, _weights) = batch
            found = predicted_classes(step["y_pred"], codes)
            before = self.predicted_
            self.predicted_ = found if before is None else found | before

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **_: Any
    ) -> None:
        """Keep the weights, if they are finite; otherwise training has diverged."""
        state = StateCopy(self.module_.state_dict())
        if not state.is_finite():
            raise DivergenceError
        self.finite_state_ = state
