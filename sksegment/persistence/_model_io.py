"""Model files that cannot run code.

:func:`save_model` writes a fitted segmenter, or a Pipeline of augmenters and a
segmenter, to one file of the safetensors format: the weights as tensors, everything
else as JSON. :func:`load_model` reads numbers and text from it and nothing else, so the
file may come from somebody you do not know. Files of joblib and pickle can run code
when they are opened; keep those for your own models.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sksegment import augmentation
from sksegment._atomic_write import target_file
from sksegment._segmenter.parameters import filled_in
from sksegment._torch.devices import resolve_device
from sksegment.calibration import TemperatureScaling
from sksegment.ensemble import VotingSegmenter
from sksegment.networks._state import blueprint
from sksegment.persistence._file import (
    ModelFileError,
    read_model_file,
    write_model_file,
)
from sksegment.persistence._json import Arrays, pack, unpack
from sksegment.persistence._meta_estimators import (
    pack_frozen,
    pack_scaling,
    pack_voting,
    unpack_frozen,
    unpack_scaling,
    unpack_voting,
)
from sksegment.persistence._validation import (
    check_constructor,
    check_fitted,
    check_weights,
    fitted_names,
)
from sksegment.segmenter import FCNSegmenter

# Names in a file are looked up here, and nowhere else.
AUGMENTERS: dict[str, Any] = {
    name: getattr(augmentation, name)
    for name in augmentation.__all__
    if name != "AugmentedImages"
}
# What a Pipeline accepts as a step that does nothing.
NO_STEPS = (None, "passthrough")
WEIGHTS = "network_."

Packed = dict[str, Any]


def save_model(
    estimator: FCNSegmenter | Pipeline | VotingSegmenter | TemperatureScaling,
    path: str | os.PathLike[str],
) -> None:
    """Save a fitted segmenter to a file that cannot run code.

    Parameters
    ----------
    estimator : FCNSegmenter, Pipeline, VotingSegmenter or TemperatureScaling
        A fitted :class:`~sksegment.FCNSegmenter`; a fitted
        :class:`sklearn.pipeline.Pipeline` of augmenters of
        :mod:`sksegment.augmentation` that ends with one; or a fitted
        :class:`~sksegment.ensemble.VotingSegmenter` or
        :class:`~sksegment.calibration.TemperatureScaling` of such estimators, which may
        be wrapped in :class:`sklearn.frozen.FrozenEstimator`.
    path : str or path-like
        The file. An existing one is replaced as a whole, in one step: if anything goes
        wrong, it stays as it was.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is another kind of estimator, or a parameter is code (a network or a loss
        of your own, callbacks) or is not plain data; or if `path` is no path.
    ValueError
        If a parameter or the fitted state is out of range.
    OSError
        If the file cannot be written.
    ImportError
        If safetensors is not installed.

    See Also
    --------
    load_model : Read the file.

    Notes
    -----
    The file holds all parameters and the fitted attributes; a RandomState is kept with
    its state. A `device` that is not a string becomes one, and a range becomes a list.
    Anything outside the model becomes None: `checkpoint_dir`, the `memory` of a
    Pipeline, and a `pretrained` that is a path or a segmenter, because the weights are
    in the file. What a VotingSegmenter or a TemperatureScaling holds comes back
    fitted; a `cv` that is not an integer becomes the default.
    Neither the state of the optimizer (as in a pickle) nor metadata
    routing requests are kept.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> from sksegment import FCNSegmenter, load_model, save_model
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=4, size=16, n_classes=2, random_state=0)
    >>> segmenter = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "shapes.safetensors")
    ...     save_model(segmenter.fit(X, y), path)
    ...     again = load_model(path)
    >>> bool((again.predict(X) == segmenter.predict(X)).all())
    True
    """
    target = target_file(path)
    arrays: Arrays = {}
    model = _pack_estimator(estimator, arrays)
    write_model_file(target, model, arrays)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a fitted segmenter from a file, without running code from it.

    Nothing in the file is called, imported or unpickled, and no network is made that is
    larger than the weights in the file. The file carries a checksum: a damaged or
    truncated file is rejected. The checksum does not say who made the file.

    Parameters
    ----------
    path : str or path-like
        A file that :func:`save_model` wrote, with this version of sksegment or an
        older one. Parameters that the older one did not have get their defaults.

    Returns
    -------
    FCNSegmenter, Pipeline, VotingSegmenter or TemperatureScaling
        What was saved. It predicts the same bits with the same number of threads.

    Raises
    ------
    ModelFileError
        If the file is not a model file, was changed, comes from a newer version, or
        describes an impossible model. A ModelFileError is a ValueError.
    OSError
        If the file is not there or cannot be read.
    ImportError
        If safetensors is not installed.

    See Also
    --------
    save_model : Write the file.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> from sksegment import FCNSegmenter, load_model, save_model
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=4, size=16, n_classes=2, random_state=0)
    >>> segmenter = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "shapes.safetensors")
    ...     save_model(segmenter.fit(X, y), path)
    ...     load_model(path).classes_.tolist()
    [0, 1]
    """
    path = Path(path)
    model, tensors = read_model_file(path)
    try:
        return _unpack_estimator(model, tensors)
    except (TypeError, ValueError) as error:
        raise ModelFileError(
            f"{path} holds no valid model: {error} If a newer sksegment wrote it, "
            f"update sksegment; if not, do not trust the file."
        ) from error


def _pack_estimator(estimator: Any, arrays: Arrays) -> Packed:
    if type(estimator) is Pipeline:
        return _pack_pipeline(estimator, arrays)
    if type(estimator) is VotingSegmenter:
        return pack_voting(estimator, arrays, _pack_estimator)
    if type(estimator) is TemperatureScaling:
        return pack_scaling(estimator, arrays, _pack_estimator)
    if type(estimator) is FrozenEstimator:
        return pack_frozen(estimator, arrays, _pack_estimator)
    return _pack_segmenter(estimator, arrays)


def _pack_pipeline(pipeline: Pipeline, arrays: Arrays) -> Packed:
    _check_pipeline(pipeline)
    *steps, (last_name, last) = pipeline.steps
    if type(last) in (VotingSegmenter, TemperatureScaling, FrozenEstimator):
        raise TypeError(
            f"save_model was given a Pipeline that ends with a {type(last).__name__}; "
            f"expected one that ends with an FCNSegmenter: put such Pipelines into the "
            f"{type(last).__name__}. joblib.dump saves other estimators."
        )
    # First: if the Pipeline is of another kind, its last step is the one to name.
    packed = _pack_segmenter(last, arrays)
    augmenters = [[name, _pack_step(step, name, arrays)] for name, step in steps]
    return {
        "class": "Pipeline",
        "steps": [*augmenters, [last_name, packed]],
        "transform_input": pipeline.transform_input,
        "verbose": pipeline.verbose,
    }


def _pack_step(step: Any, name: str, arrays: Arrays) -> Packed | str | None:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return step
    if AUGMENTERS.get(type(step).__name__) is not type(step):
        raise TypeError(
            f"The step {name!r} is a {type(step).__name__}; expected an augmenter of "
            f"sksegment.augmentation. joblib.dump saves other steps."
        )
    _check_augmenter(step)
    return {"class": type(step).__name__, "parameters": _pack_parameters(step, arrays)}


def _pack_segmenter(segmenter: Any, arrays: Arrays) -> Packed:
    if type(segmenter) is not FCNSegmenter:
        raise TypeError(
            f"save_model was given a {type(segmenter).__name__}; expected an "
            f"FCNSegmenter, a Pipeline that ends with one, or a meta-estimator of "
            f"these; of a search, pass its best_estimator_. joblib.dump saves other "
            f"estimators."
        )
    check_is_fitted(segmenter)
    parameters = _pack_parameters(segmenter, arrays)
    state = segmenter.__getstate__()
    _refuse_code("network", state["_architecture"]["network"])
    names = fitted_names(state)
    fitted = {name: pack(state[name], name, arrays) for name in names}
    for name, array in state["network_"].items():
        arrays[WEIGHTS + name] = np.asarray(array, order="C")
    packed = {"class": "FCNSegmenter", "parameters": parameters, "fitted": fitted}
    _segmenter_state(packed, dict(arrays))  # raises if loading would
    return packed


def _pack_parameters(estimator: Any, arrays: Arrays) -> dict[str, Any]:
    packed = {}
    for name, value in estimator.get_params(deep=False).items():
        _refuse_code(name, value)
        packed[name] = pack(_value_to_keep(name, value), name, arrays)
    return packed


def _refuse_code(name: str, value: Any) -> None:
    if callable(value) or (name == "callbacks" and value):
        cure = ", or set_params(callbacks=None) first" if name == "callbacks" else ""
        raise TypeError(
            f"{name} is {value!r}, which is code, and model files hold no code. "
            f"Save such a model with joblib.dump{cure}."
        )


def _value_to_keep(name: str, value: Any) -> Any:
    """Return what a file keeps of a parameter: nothing outside the model.

    Somebody else's file must not decide what is later read or written here.
    """
    is_known = isinstance(value, str) and value == "imagenet"
    if name == "checkpoint_dir" or (name == "pretrained" and not is_known):
        return None
    if name == "device" and not isinstance(value, str):
        return str(resolve_device(value))
    return value


def _unpack_estimator(packed: Any, tensors: Arrays) -> Any:
    name = packed.get("class") if isinstance(packed, dict) else packed
    if not isinstance(name, str) or name not in READERS:
        raise ValueError(f"its class is {name!r}; expected one of {[*READERS]}.")
    return READERS[name](packed, tensors)


def _unpack_voting(packed: Packed, tensors: Arrays) -> VotingSegmenter:
    _check_fields(packed, ("class", "names", "members", "weights", "n_jobs"))
    return unpack_voting(packed, tensors, _unpack_estimator)


def _unpack_scaling(packed: Packed, tensors: Arrays) -> TemperatureScaling:
    _check_fields(packed, ("class", "estimator", "temperature", "cv", "n_jobs"))
    return unpack_scaling(packed, tensors, _unpack_estimator)


def _unpack_frozen(packed: Packed, tensors: Arrays) -> FrozenEstimator:
    _check_fields(packed, ("class", "estimator"))
    return unpack_frozen(packed, tensors, _unpack_estimator)


def _unpack_pipeline(packed: Packed, tensors: Arrays) -> Pipeline:
    _check_fields(packed, ("class", "steps", "transform_input", "verbose"))
    if not isinstance(packed["steps"], list) or not packed["steps"]:
        raise ValueError("its steps are not a list, or an empty one.")
    *steps, (last_name, last) = map(_named, packed["steps"])
    pipeline = Pipeline(
        [(name, _unpack_step(step, name, tensors)) for name, step in steps],
        transform_input=packed["transform_input"],
        verbose=packed["verbose"],
    )
    # Last, because it makes a network: everything else is checked before.
    pipeline.steps.append((last_name, FCNSegmenter()))
    _check_pipeline(pipeline)
    pipeline.steps[-1] = (last_name, _unpack_segmenter(last, tensors))
    return pipeline


def _unpack_step(packed: Any, name: Any, tensors: Arrays) -> Any:
    if packed in NO_STEPS:
        return packed
    _check_fields(packed, ("class", "parameters"))
    if not isinstance(packed["class"], str) or packed["class"] not in AUGMENTERS:
        raise ValueError(
            f"the step {name!r} is a {packed['class']!r}; expected one of "
            f"{[*AUGMENTERS]}."
        )
    augmenter = AUGMENTERS[packed["class"]]()
    parameters = _unpack_parameters(augmenter, packed["parameters"], tensors)
    augmenter.set_params(**parameters)
    _check_augmenter(augmenter)
    return augmenter


def _unpack_segmenter(packed: Any, tensors: Arrays) -> FCNSegmenter:
    segmenter = FCNSegmenter()
    segmenter.__setstate__(_segmenter_state(packed, tensors))
    return segmenter


def _segmenter_state(packed: Any, tensors: Arrays) -> dict[str, Any]:
    """Return a segmenter's state, checked for consistency; take out its tensors."""
    _check_fields(packed, ("class", "parameters", "fitted"))
    if packed["class"] != "FCNSegmenter":
        raise ValueError(f"it ends with {packed['class']!r}; expected 'FCNSegmenter'.")
    parameters = _unpack_parameters(FCNSegmenter(), packed["parameters"], tensors)
    check_constructor(parameters)
    fitted = unpack(packed["fitted"], tensors)
    _check_fields(fitted, fitted_names(fitted))
    check_fitted(fitted)
    names = [name for name in tensors if name.startswith(WEIGHTS)]
    weights = {name.removeprefix(WEIGHTS): tensors.pop(name) for name in names}
    if tensors:
        raise ValueError(f"the tensor {min(tensors)!r} does not belong to the model.")
    network = blueprint(fitted["_architecture"])
    check_weights(network, weights, fitted.get("_timm_version"))
    margin = fitted.get("margin_", network.margin)
    grid = {"stride_": network.stride, "margin_": margin}
    return {**parameters, **fitted, **grid, "network_": weights}


def _unpack_parameters(estimator: Any, packed: Any, tensors: Arrays) -> dict[str, Any]:
    """Return all parameters; any that an older version lacked get their default."""
    defaults = estimator.get_params(deep=False)
    parameters = unpack(packed, tensors)
    if not isinstance(parameters, dict):
        raise TypeError(f"its parameters are {parameters!r}; expected a dictionary.")
    unknown = [name for name in parameters if name not in defaults]
    if unknown:
        raise ValueError(f"{type(estimator).__name__} has no parameter {unknown[0]!r}.")
    for name, value in parameters.items():
        if _value_to_keep(name, value) is not value:
            raise ValueError(f"{name} is {value!r}; expected what save_model keeps.")
    return filled_in(parameters, defaults)


def _check_augmenter(augmenter: Any) -> None:
    augmenter.fit(None)  # checks the parameters, and does nothing else
    check_random_state(augmenter.random_state)


def _named(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, list) or len(item) != 2:
        raise ValueError("one of its steps is not a pair of a name and a step.")
    return item[0], item[1]


def _check_pipeline(pipeline: Pipeline) -> None:
    taken = {"steps", "memory", "transform_input", "verbose"}
    for name, _ in pipeline.steps:
        if not isinstance(name, str) or "__" in name or name in taken:
            raise ValueError(
                f"a step is called {name!r}; expected text without a double "
                f"underscore, each name once, and not one of {sorted(taken)}."
            )
        taken.add(name)
    if type(pipeline.verbose) is not bool:
        raise TypeError(f"verbose is {pipeline.verbose!r}; expected True or False.")
    names = pipeline.transform_input
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise TypeError(f"transform_input is {names!r}; expected a list of names.")


def _check_fields(packed: Any, names: tuple[str, ...]) -> None:
    if not isinstance(packed, dict) or {*packed} != {*names}:
        got = [*packed] if isinstance(packed, dict) else packed
        raise ValueError(f"it has the fields {got!r}; expected {[*names]}.")


# What may be in a file, and how it is read.
READERS: dict[str, Callable[[Packed, Arrays], Any]] = {
    "FCNSegmenter": _unpack_segmenter,
    "Pipeline": _unpack_pipeline,
    "VotingSegmenter": _unpack_voting,
    "TemperatureScaling": _unpack_scaling,
    "FrozenEstimator": _unpack_frozen,
}
