"""The parts of training and prediction, assembled from a segmenter's parameters.

The functions read the parameters and the fitted state of an `FCNSegmenter`, and change
neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.samples import Samples
from sksegment._inputs.survey import Survey, check_same_channels
from sksegment._prediction.predictor import Predictor, placed
from sksegment._segmenter.model import Model, new_model
from sksegment._segmenter.parameters import (
    DEFAULT_ENCODER_FACTOR,
    check_parameters,
    crop_sides,
    network_description,
    value_of,
)
from sksegment._segmenter.pretrained import source_contents, start_from
from sksegment._torch.devices import resolve_device
from sksegment._torch.precision import prediction_dtype, training_dtype
from sksegment._training.batches import AUTO_BATCH_SIZE, Batches
from sksegment._training.callbacks import bare_callbacks
from sksegment._training.checkpoint import Checkpoint, opened_checkpoint
from sksegment._training.fingerprint import fingerprint
from sksegment._training.train import TrainingPlan
from sksegment._training.validation import Validation, split_indices
from sksegment.augmentation._plan import PlannedStep
from sksegment.losses._class_weight import class_weights
from sksegment.losses._factory import make_loss
from sksegment.networks._state import arrays_of

# Read at prediction: they take effect when set on a fitted segmenter.
PREDICTION_PARAMETERS = (
    "device",
    "precision",
    "tile_size",
    "batch_size",
    "test_time_augmentation",
)


def model_to_train(segmenter: Any, found: Survey, seed: int, continues: bool) -> Model:
    """Return a new model, or a copy of the fitted one to continue from."""
    device = resolve_device(segmenter.device)
    architecture = _wanted_architecture(segmenter, found)
    if continues:
        check_same_channels(found.n_channels, segmenter.n_features_in_, "X")
        _check_same_architecture(architecture, segmenter._architecture)
        model = fitted_model(segmenter).copy(device)
        # What training sees must not be clipped.
        return replace(model, scale=model.scale.widened(found.scale))
    model = new_model(architecture, found.scale, seed, device)
    return model if segmenter.pretrained is None else _started(segmenter, model, found)


def fitted_model(segmenter: Any) -> Model:
    """Return the model of a fitted segmenter: the network itself, no copy."""
    scale = Scale(
        segmenter.channel_mean_,
        segmenter.channel_std_,
        segmenter.channel_min_,
        segmenter.channel_max_,
    )
    return Model(segmenter.network_, segmenter._architecture, scale, segmenter.history_)


def divided(
    segmenter: Any, samples: Samples, found: Survey, held_out: Samples | None, seed: int
) -> tuple[Samples, Survey, Samples | None]:
    """Return training samples, what is known of them, and validation samples.

    Early stopping holds out its own unless the user passes some.
    """
    if held_out is not None or not segmenter.early_stopping:
        return samples, found, held_out
    fraction = segmenter.validation_fraction
    training, validation = split_indices(len(samples), fraction, seed)
    return samples.take(training), found.take(training), samples.take(validation)


def opened_checkpoint_of(
    segmenter: Any,
    data: tuple[Samples, Samples | None],
    steps: Sequence[PlannedStep],
    seed: int,
    continues: bool,
) -> AbstractContextManager[Checkpoint | None]:
    """Return the checkpoint of a training run, identified by all that defines it."""
    if segmenter.checkpoint_dir is None:
        return nullcontext()
    start = arrays_of(segmenter.network_) if continues else {}
    any_seed = segmenter.random_state is None and not continues
    known_seed = None if any_seed else seed
    pretrained = source_contents(segmenter.pretrained)
    callbacks = bare_callbacks(segmenter.callbacks)
    given = segmenter.get_params()
    parameters = {**given, "pretrained": pretrained, "callbacks": callbacks}
    name = fingerprint(parameters, known_seed, data, steps, start)
    return opened_checkpoint(segmenter.checkpoint_dir, name)


def plan_of_fit(segmenter: Any, found: Survey) -> TrainingPlan:
    """Return how `fit` trains."""
    schedule = segmenter.learning_rate_schedule
    plan = _plan(segmenter, found, value_of(segmenter, "max_epochs"), schedule)
    if not segmenter.early_stopping:
        return plan
    return replace(plan, patience=value_of(segmenter, "n_iter_no_change"))


def plan_of_partial_fit(segmenter: Any, found: Survey) -> TrainingPlan:
    """Return how `partial_fit` trains: one epoch."""
    return _plan(segmenter, found, 1, "constant")


def batches_of(
    segmenter: Any,
    samples: Samples,
    found: Survey,
    steps: Sequence[PlannedStep],
    seed: int,
    model: Model,
) -> Batches:
    """Return the batches that a model is trained on."""
    return Batches(
        samples,
        found,
        model.scale,
        steps,
        value_of(segmenter, "batch_size"),
        crop_sides(segmenter.crop_size),
        segmenter.crop_sampling,
        seed,
        resolve_device(segmenter.device),
        epoch=len(model.history),
    )


def validation_of(
    segmenter: Any,
    held_out: Samples | None,
    found: Survey,
    model: Model,
    plan: TrainingPlan,
) -> Validation | None:
    """Return how a model is validated during training, if samples are held out."""
    if held_out is None:
        return None
    predictor = predictor_of(segmenter, model)
    return Validation(held_out, found.encoder, predictor, plan.criterion)


def predictor_of(segmenter: Any, model: Model) -> Predictor:
    """Return how a model is run, according to the current parameters."""
    now = {name: value_of(segmenter, name) for name in PREDICTION_PARAMETERS}
    check_parameters(now)
    network, device = placed(model.network, resolve_device(segmenter.device))
    is_auto = isinstance(now["batch_size"], str)
    return Predictor(
        network,
        model.scale,
        device,
        prediction_dtype(segmenter.precision),
        AUTO_BATCH_SIZE if is_auto else now["batch_size"],
        now["tile_size"],
        segmenter.test_time_augmentation,
    )


def _started(segmenter: Any, model: Model, found: Survey) -> Model:
    """Return a new model with the weights of `pretrained`, and their scale."""
    scale, new = start_from(
        segmenter.pretrained,
        model.network,
        model.architecture,
        found.scale,
        found.encoder.classes,
    )
    if segmenter.verbose:
        print(f"Weights not taken from pretrained: {', '.join(new) or 'none'}")
    return replace(model, scale=scale)


def _wanted_architecture(segmenter: Any, found: Survey) -> dict[str, Any]:
    parameters = {name: value_of(segmenter, name) for name in segmenter.get_params()}
    return {
        "network": segmenter.network,
        "n_channels": found.n_channels,
        "n_classes": len(found.encoder.classes),
        **network_description(parameters),
    }


def _check_same_architecture(wanted: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Reject a fitted network that is not what the parameters describe."""
    for name in {**wanted, **fitted}:
        value, before = wanted.get(name), fitted.get(name)
        if value != before:
            raise ValueError(
                f"{name} is {value!r}, but the fitted network has {name}={before!r}; "
                f"expected the same, or a new fit with warm_start=False."
            )


def _encoder_factor(segmenter: Any) -> float:
    factor = value_of(segmenter, "encoder_learning_rate")
    return DEFAULT_ENCODER_FACTOR if factor is None else factor


def _plan(segmenter: Any, found: Survey, n_epochs: int, schedule: str) -> TrainingPlan:
    device = resolve_device(segmenter.device)
    classes = found.encoder.classes
    weights = class_weights(segmenter.class_weight, classes, found.pixels)
    return TrainingPlan(
        criterion=make_loss(segmenter.loss, weights).to(device),
        optimizer=segmenter.optimizer,
        learning_rate=value_of(segmenter, "learning_rate"),
        encoder_factor=_encoder_factor(segmenter),
        weight_decay=value_of(segmenter, "weight_decay"),
        schedule=schedule,
        n_epochs=n_epochs,
        precision=training_dtype(segmenter.precision, device),
        patience=None,
        tol=value_of(segmenter, "tol"),
        callbacks=segmenter.callbacks or (),
        verbose=segmenter.verbose,
    )
