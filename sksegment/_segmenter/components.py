"""The parts of training and prediction, made from the parameters of a segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sksegment._inputs.nodata import NoData, nodata_of
from sksegment._inputs.progress import in_worker
from sksegment._inputs.samples import Samples
from sksegment._inputs.training_set import TrainingSet, check_same_channels
from sksegment._prediction.predictor import (
    AS_IT_IS,
    VIEWS,
    Predictor,
    place_network,
)
from sksegment._segmenter.model import Model, new_model
from sksegment._segmenter.parameters import (
    PRETRAINED_FACTOR,
    check_parameters,
    crop_sides,
    network_description,
)
from sksegment._segmenter.pretrained import source_contents, start_from
from sksegment._torch.devices import resolve_device
from sksegment._torch.precision import prediction_dtype, training_dtype
from sksegment._torch.processes import Processes, join_processes
from sksegment._training.batches import AUTO_BATCH_SIZE, Batches
from sksegment._training.callbacks import unnamed_callbacks
from sksegment._training.checkpoint import (
    Checkpoint,
    follow_checkpoint,
    lead_checkpoint,
    open_checkpoint,
)
from sksegment._training.data_parallel import check_sharable
from sksegment._training.fingerprint import fingerprint
from sksegment._training.image_store import Codes
from sksegment._training.pseudo_labels import make_pseudo_labels
from sksegment._training.train import TrainingPlan
from sksegment._training.validation import Validation, split_indices
from sksegment.augmentation._plan import PlannedStep
from sksegment.losses._class_weight import class_weights
from sksegment.losses._factory import make_loss
from sksegment.networks._fused import fused
from sksegment.networks._state import arrays_of
from sksegment.networks._timm_weights import pretrained_name
from sksegment.networks._weight_files import IMAGENET

# Read at prediction: they take effect when set on a fitted segmenter.
PREDICTION_PARAMETERS = (
    "device",
    "precision",
    "tile_size",
    "batch_size",
    "test_time_augmentation",
)


@dataclass(frozen=True)
class Components:
    """Makes the parts of training and prediction; changes nothing that it is given.

    Parameters
    ----------
    parameters : mapping
        Those of the segmenter's constructor, checked.
    fitted : Model or None, default=None
        The trained model that training continues from; None for a new one.
    """

    parameters: Mapping[str, Any]
    fitted: Model | None = None

    def __getitem__(self, name: str) -> Any:
        """Return a parameter, with a number of numpy as one of Python.

        In later arithmetic, numpy's `uint8(30)` would wrap around at 256.
        """
        value = self.parameters[name]
        return value.item() if isinstance(value, np.generic) else value

    @property
    def nodata(self) -> NoData | None:
        """What marks pixels without data."""
        names = ("nodata", "ignore_label", "nodata_label")
        return nodata_of(*(self[name] for name in names))

    @property
    def device(self) -> torch.device:
        """The device that the parameter stands for on this machine."""
        return resolve_device(self["device"])

    @property
    def processes(self) -> Processes:
        """Those that train together, if a launcher has started several."""
        return join_processes(self.device)

    def agree_on(self, seed: int) -> int:
        """Return the seed that the first of several processes drew."""
        return self.processes.from_first(lambda: seed)

    def model_to_train(self, training: TrainingSet, seed: int) -> Model:
        """Return a new model, or a copy of the fitted one to continue from."""
        architecture = self._architecture(training)
        if self.fitted is None:
            model = new_model(architecture, training.scale, seed, self.device)
            return model if self["pretrained"] is None else self._start(model, training)
        fitted = self.fitted
        check_same_channels(training.n_channels, fitted.n_channels, "X")
        _check_same_architecture(architecture, fitted.architecture)
        # What training sees must not be clipped.
        scale = fitted.scale.widened(training.scale)
        return replace(fitted.copy(self.device), scale=scale)

    def split_validation(
        self, training: TrainingSet, held_out: Samples | None, seed: int
    ) -> tuple[TrainingSet, Samples | None]:
        """Return training samples and validation samples.

        Early stopping holds out its own unless the user passes some.
        """
        if held_out is not None or not self["early_stopping"]:
            return training, held_out
        fraction = self["validation_fraction"]
        kept, taken = split_indices(len(training), fraction, seed)
        return training.take(kept), training.take(taken)

    def open_checkpoint(
        self,
        data: tuple[Samples, Samples | None],
        steps: Sequence[PlannedStep],
        seed: int,
    ) -> AbstractContextManager[Checkpoint | None]:
        """Open the checkpoint of a training run, identified by all that defines it."""
        if self["checkpoint_dir"] is None:
            return nullcontext()
        if not self.processes.is_first:
            return follow_checkpoint(self.processes)
        start = {} if self.fitted is None else arrays_of(self.fitted.network)
        any_seed = self["random_state"] is None and self.fitted is None
        parameters = {
            **self.parameters,
            "pretrained": source_contents(self["pretrained"]),
            "callbacks": unnamed_callbacks(self["callbacks"]),
        }
        known_seed = None if any_seed else seed
        name = fingerprint(parameters, known_seed, data, steps, start)
        return lead_checkpoint(
            open_checkpoint(self["checkpoint_dir"], name), self.processes
        )

    def plan_fit(self, training: TrainingSet) -> TrainingPlan:
        """Return how `fit` trains."""
        schedule = self["learning_rate_schedule"]
        plan = self._plan(training, self["max_epochs"], schedule)
        if not self["early_stopping"]:
            return plan
        return replace(plan, patience=self["n_iter_no_change"])

    def plan_partial_fit(self, training: TrainingSet) -> TrainingPlan:
        """Return how `partial_fit` trains: one epoch."""
        return self._plan(training, 1, "constant")

    def batches(
        self,
        training: TrainingSet,
        steps: Sequence[PlannedStep],
        seed: int,
        model: Model,
        n_epochs: int | None = None,
    ) -> Batches:
        """Return the batches that a model is trained on; None if it may go on."""
        return Batches(
            training,
            model.scale,
            steps,
            self["batch_size"],
            crop_sides(self["crop_size"]),
            self["crop_sampling"],
            seed,
            self.device,
            epoch=len(model.history),
            n_epochs=n_epochs,
            processes=self.processes,
            pseudo_labels=self._pseudo_labels(training, model, seed),
        )

    def _pseudo_labels(
        self, training: TrainingSet, model: Model, seed: int
    ) -> dict[int, Codes]:
        if self["pseudo_labels"] is None:
            return {}
        return make_pseudo_labels(training, model.scale, seed, self["verbose"])

    def validation(
        self,
        held_out: Samples | None,
        training: TrainingSet,
        model: Model,
        plan: TrainingPlan,
    ) -> Validation | None:
        """Return how a model is validated in training, if samples are held out."""
        if held_out is None:
            return None
        predictor = self.predictor(model)
        return Validation(held_out, training.encoder, predictor, plan.criterion)

    def predictor(self, model: Model) -> Predictor:
        """Return how a model is run, according to the current parameters."""
        now = {name: self[name] for name in PREDICTION_PARAMETERS}
        check_parameters(now)
        network, device = place_network(model.network, self.device)
        is_auto = isinstance(now["batch_size"], str)
        return Predictor(
            network,
            model.scale,
            device,
            prediction_dtype(now["precision"]),
            AUTO_BATCH_SIZE if is_auto else now["batch_size"],
            now["tile_size"],
            VIEWS if now["test_time_augmentation"] else (AS_IT_IS,),
            fused,
            self.nodata,
            self["verbose"],
        )

    def _start(self, model: Model, training: TrainingSet) -> Model:
        """Return a new model with the weights of `pretrained`, and their scale."""
        scale, new = start_from(
            self["pretrained"],
            model.network,
            model.architecture,
            training.scale,
            training.encoder.classes,
        )
        if self["verbose"] and self.processes.is_first and not in_worker():
            if self["encoder"] is not None and self["pretrained"] == IMAGENET:
                print(f"Weights of timm: {pretrained_name(self['encoder'])}")
            print(f"Weights not taken from pretrained: {', '.join(new) or 'none'}")
        return replace(model, scale=scale)

    def _architecture(self, training: TrainingSet) -> dict[str, Any]:
        return {
            "network": self["network"],
            "n_channels": training.n_channels,
            "n_classes": len(training.encoder.classes),
            **network_description({name: self[name] for name in self.parameters}),
        }

    def _plan(
        self, training: TrainingSet, n_epochs: int, schedule: str
    ) -> TrainingPlan:
        if not self.processes.is_alone:
            check_sharable(self["loss"])
        classes = training.encoder.classes
        weights = class_weights(self["class_weight"], classes, training.pixels)
        return TrainingPlan(
            criterion=make_loss(self["loss"], weights).to(self.device),
            optimizer=self["optimizer"],
            learning_rate=self["learning_rate"],
            encoder_factor=self._encoder_factor(),
            weight_decay=self["weight_decay"],
            schedule=schedule,
            n_epochs=n_epochs,
            precision=training_dtype(self["precision"], self.device),
            patience=None,
            tol=self["tol"],
            callbacks=self["callbacks"] or (),
            verbose=self["verbose"] if self.processes.is_first else 0,
        )

    def _encoder_factor(self) -> float:
        factor: float | None = self["encoder_learning_rate"]
        if factor is not None:
            return factor
        return 1.0 if self["pretrained"] is None else PRETRAINED_FACTOR


def _check_same_architecture(wanted: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Reject a fitted network that is not what the parameters describe."""
    for name in {**wanted, **fitted}:
        value, before = wanted.get(name), fitted.get(name)
        if value != before:
            raise ValueError(
                f"{name} is {value!r}, but the fitted network has {name}={before!r}; "
                f"expected the same, or a new fit with warm_start=False."
            )
