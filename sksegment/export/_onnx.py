"""Export to ONNX: the file is put in place once it answers as the segmenter does."""

from __future__ import annotations

import json
import math
import os
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from sksegment._atomic_write import replace_file, target_file
from sksegment._extras import check_installed
from sksegment._fitted_segmenter import fitted_segmenter
from sksegment._inputs.labels import labels_in_json
from sksegment._torch.out_of_memory import copy_network
from sksegment._version import __version__
from sksegment.export._check import check_answers
from sksegment.export._graph import RawImageNetwork
from sksegment.segmenter import FCNSegmenter

# Old enough for the runtimes in use; the networks need nothing newer.
OPSET = 18
NEEDED = ("onnx", "onnxscript", "onnxruntime")
AXES: dict[str, tuple[str | None, ...]] = {
    "images": ("n", "height", "width", None),
    "labels": ("n", "height", "width"),
    "probabilities": ("n", None, "height", "width"),
}


def export_onnx(
    segmenter: FCNSegmenter | Pipeline, path: str | os.PathLike[str]
) -> None:
    """Write a fitted segmenter to an ONNX file that takes raw images.

    All that `predict` does to images is inside the graph: standardisation, clipping,
    padding to the stride and cropping, and the average over views if
    `test_time_augmentation` is set. Batch, height and width are free. Before the file
    is put in place, onnxruntime runs it on images of five sizes, from 1x1, and its
    probabilities are compared with those of `predict_proba`.

    Parameters
    ----------
    segmenter : FCNSegmenter or Pipeline
        A fitted :class:`~sksegment.FCNSegmenter`, or a fitted
        :class:`sklearn.pipeline.Pipeline` of augmenters that ends with one.
    path : str or path-like
        The file. An existing one is replaced in one step; if anything goes wrong, it
        stays as it was.

    Raises
    ------
    NotFittedError
        If the segmenter is not fitted.
    TypeError
        If it is another kind of estimator, or a step of the Pipeline changes images; or
        if `path` is no path.
    ValueError
        If torch cannot export a network of your own, or the exported one answers
        differently; the message says where.
    OSError
        If the file cannot be written.
    ImportError
        If onnx, onnxscript or onnxruntime is not installed.

    See Also
    --------
    sksegment.save_model : A file for Python, from which training can go on.

    Notes
    -----
    The input ``images`` is float32, ``(n, height, width, n_channels)``, always with
    four axes; values are in the units of training, not scaled to 0..1. The outputs are
    ``labels``, int64 ``(n, height, width)``, and ``probabilities``, float32 ``(n,
    n_classes, height, width)``. Labels are the label values where these are whole
    numbers or booleans; of string classes they are positions in `classes_`.

    The metadata of the file holds, as JSON, ``classes``, ``labels`` ("values" or
    "codes"), ``channel_min``, ``channel_max``, ``stride``, ``margin`` and
    ``sksegment_version``; of a segmenter with `nodata` also ``nodata`` (a number, or
    "NaN") and ``nodata_label``, which as a code comes after those of the classes. The
    operator set is 18. The graph computes in float32, as `predict` does, whatever
    `precision` says. It does not check images: pixels that are not finite give
    probabilities that are not, and a large image is not cut into tiles.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> import onnxruntime
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.export import export_onnx
    >>> X, y = make_shapes(n_samples=4, size=16, n_classes=2, random_state=0)
    >>> segmenter = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "shapes.onnx")
    ...     export_onnx(segmenter.fit(X, y), path)
    ...     session = onnxruntime.InferenceSession(path)
    >>> labels, _ = session.run(None, {"images": X.astype("f4")})
    >>> bool((labels == segmenter.predict(X)).all())
    True
    """
    target = target_file(path)
    fitted = fitted_segmenter(segmenter, "export_onnx")
    check_installed("export_onnx", "onnx", *NEEDED)
    content = _exported(fitted)
    check_answers(content, fitted)
    replace_file(target, content)


def label_values(classes: NDArray[Any]) -> tuple[NDArray[np.int64], str]:
    """Return what the labels of a graph are, and whether these are values or codes.

    Examples
    --------
    >>> label_values(np.array([0, 255]))
    (array([  0, 255]), 'values')
    >>> label_values(np.array(["cell", "wall"]))
    (array([0, 1]), 'codes')
    """
    if classes.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            values = classes.astype(np.int64)
        if np.array_equal(values, classes):
            return values, "values"
    return np.arange(len(classes)), "codes"


def _exported(segmenter: FCNSegmenter) -> bytes:
    """Return the content of the file."""
    network = copy_network(segmenter.network_, torch.device("cpu"))
    labels, kind = label_values(segmenter._result_labels)
    n_classes = len(segmenter.classes_)
    whole = RawImageNetwork(
        network,
        segmenter._fitted_model().scale,
        labels[:n_classes],
        segmenter.test_time_augmentation,
        int(labels[-1]) if len(labels) > n_classes else None,
    )
    model = _traced(whole.eval(), segmenter)
    _name_axes(model)
    _describe(model, segmenter, kind)
    content: bytes = model.SerializeToString()
    return content


def _traced(whole: RawImageNetwork, segmenter: FCNSegmenter) -> Any:
    """Return the graph as an onnx.ModelProto."""
    # Traced at a multiple of the stride, padding would be left out of the graph; with
    # one image, its number would become fixed.
    stride = segmenter.stride_
    example = torch.zeros(2, 2 * stride + 1, 3 * stride + 1, segmenter.n_features_in_)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own code
            program = torch.onnx.export(
                whole,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["labels", "probabilities"],
                dynamic_shapes={"images": {0: "n", 1: "height", 2: "width"}},
            )
    except Exception as error:  # whatever the exporter meets in a network
        raise ValueError(
            f"network={segmenter._architecture['network']!r} cannot be exported to "
            f"ONNX: {_reason(error)} Expected a network that torch.export can trace, "
            f"without decisions that depend on values or sizes of its input."
        ) from error
    assert program is not None
    return program.model_proto


def _reason(error: BaseException) -> str:
    """Return the first line of the error that began a chain of them."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}."


def _name_axes(model: Any) -> None:
    """Name the axes as the documentation does: torch writes formulas of sizes."""
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        for axis, name in zip(axes, AXES[value.name], strict=True):
            if name is not None:
                axis.dim_param = name


def _describe(model: Any, segmenter: FCNSegmenter, kind: str) -> None:
    facts = {
        "classes": labels_in_json(segmenter.classes_),
        "labels": kind,
        "channel_min": segmenter.channel_min_.tolist(),
        "channel_max": segmenter.channel_max_.tolist(),
        "stride": segmenter.stride_,
        "margin": segmenter.margin_,
        "sksegment_version": __version__,
    }
    nodata = segmenter._nodata
    if nodata is not None:
        # JSON has no NaN.
        facts["nodata"] = "NaN" if math.isnan(nodata.value) else nodata.value
        (facts["nodata_label"],) = labels_in_json(segmenter._result_labels[-1:])
    model.producer_name, model.producer_version = "sksegment", __version__
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
