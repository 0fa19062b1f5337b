"""Prediction of a large image into a zarr array, resumed where it was interrupted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import Any

from sklearn.pipeline import Pipeline

from sksegment._prediction.predictor import magnitude
from sksegment.blocks._block import window_of, write_block
from sksegment.blocks._block_progress import BlockProgress
from sksegment.blocks._plan import BlockPlan, block_plan
from sksegment.blocks._result_store import (
    finished_blocks,
    identity_of,
    missing_blocks,
    opened_result,
    read_samples,
)
from sksegment.segmenter import FCNSegmenter

# Blocks that are handed to dask at once: a graph of millions would fill the memory of
# client and scheduler. A thousand workers wait once in ten blocks.
WAVE = 10_000


def predict_to_zarr(
    segmenter: FCNSegmenter | Pipeline,
    image: Any,
    store: Any,
    *,
    method: str = "predict",
    block_size: int | tuple[int, int] | str = "auto",
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Predict one large image block by block, into a zarr array.

    Each block is written as one chunk when it is finished. If the process, or a worker,
    is interrupted or killed, the same call goes on with the blocks that are missing.

    Parameters
    ----------
    segmenter : FCNSegmenter or Pipeline
        A fitted :class:`~sksegment.FCNSegmenter`, or a fitted Pipeline of augmenters
        that ends with one. Its `margin_` must not be None.
    image : array-like of shape (height, width) or (height, width, n_channels)
        One image, as in :func:`predict_blocks`.
    store : path-like, str or zarr Store
        Where the result goes: a path, an address (``s3://...``, through fsspec), or a
        store of zarr.
    method : {"predict", "predict_proba"}, default="predict"
        What is predicted.
    block_size : int, (int, int) or "auto", default="auto"
        Height and width of the blocks in pixels, as in :func:`predict_blocks`; chunks
        of the result.
    overwrite : bool, default=False
        Whether an array that is there is removed first. Anything else that is there is
        left alone, and refused.
    storage_options : dict, default=None
        Options of fsspec for the addresses of `image` and `store`.

    Returns
    -------
    zarr.Array
        Labels ``(height, width)``; probabilities are float32 ``(n_classes, height,
        width)``. Labels have the dtype of `classes_`; those of string classes are
        stored as codes, positions in the attribute ``classes``. The attribute
        ``labels`` says which: "values" or "codes".

    Raises
    ------
    NotFittedError
        If the segmenter is not fitted.
    ValueError, TypeError
        If `image` is not one image with the channels of training, the network looks at
        the whole image, or `store` holds anything but the same result, say the image.
    OSError
        If the store cannot be written, say because the disk is full, or the cluster was
        lost; finished blocks stay.
    ImportError
        If dask or zarr is not installed.

    See Also
    --------
    predict_blocks : A lazy array, to go on computing with.

    Notes
    -----
    A result belongs to the weights of the segmenter, the method, the block size, and
    the shape, dtype and content of the image, of which 16 windows of 32x32 pixels are
    compared: an image that was changed elsewhere is not noticed.

    On a local disk zarr writes a chunk under another name and renames it, and S3,
    Google Cloud Storage and Azure put an object as a whole: a chunk is there or it is
    not. Other stores may show half a chunk after a kill.

    With dask's threads and processes, ``dask.diagnostics.ProgressBar`` shows the
    progress of each 10,000 blocks; a cluster has its dashboard.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.blocks import predict_to_zarr
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=4, size=32, n_classes=2, random_state=0)
    >>> segmenter = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> segmenter = segmenter.fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = os.path.join(folder, "labels.zarr")
    ...     labels = predict_to_zarr(segmenter, X[0], store, block_size=20)
    ...     bool((labels[:] == segmenter.predict(X)[0]).all())
    True
    """
    plan = block_plan(
        "predict_to_zarr", segmenter, image, method, block_size, storage_options
    )
    samples = read_samples(plan.source, plan.segmenter.nodata)
    _warn_of_other_units(plan, samples)
    identity = identity_of(plan, samples)
    target = opened_result(store, plan, identity, overwrite, storage_options)
    with _failures_named(store):
        _write_missing(plan, target)
    return target


def _warn_of_other_units(plan: BlockPlan, samples: list[Any]) -> None:
    predictor = plan.segmenter._predictor()
    largest = max(magnitude(sample, predictor.nodata) for sample in samples)
    predictor.warn_of_other_units(largest)


def _write_missing(plan: BlockPlan, target: Any) -> None:
    """Let dask predict and write what is missing, some thousand blocks at a time."""
    from dask.base import compute
    from dask.delayed import delayed

    # As tasks of their own, these are sent to each worker once.
    segmenter = delayed(plan.segmenter, traverse=False)
    store = delayed(target, traverse=False)
    source = delayed(plan.source, traverse=False)
    write = delayed(write_block, pure=False)

    def write_at(place: tuple[int, int]) -> Any:
        """Return the task that writes a block."""
        spans = plan.layout.spans(*place)
        is_lazy = plan.source.is_dask
        image = plan.source.part(window_of(spans)) if is_lazy else source
        return write(segmenter, image, store, spans, plan.method)

    finished = finished_blocks(target, plan.layout)
    missing = missing_blocks(finished)
    n_missing = int((~finished).sum())
    with BlockProgress(n_missing, plan.segmenter.verbose) as progress:
        while wave := [*islice(missing, WAVE)]:
            compute(*(write_at(place) for place in wave))
            progress.end_wave(len(wave))


@contextmanager
def _failures_named(store: Any) -> Iterator[None]:
    """Say what stays when a disk fills up, or a cluster is lost."""
    stays = (
        f"The finished blocks stay in store={store!r}: call predict_to_zarr again to "
        f"go on with the others."
    )
    try:
        yield
    except OSError as error:
        error.add_note(stays)
        raise
    except _lost_workers() as error:
        raise OSError(
            f"dask lost the workers ({type(error).__name__}: {error}). {stays}"
        ) from error


def _lost_workers() -> tuple[type[Exception], ...]:
    """Return what dask's schedulers raise when there is nobody left to work."""
    if "distributed" not in sys.modules:
        return CancelledError, BrokenExecutor
    from distributed.scheduler import KilledWorker

    return CancelledError, BrokenExecutor, KilledWorker
