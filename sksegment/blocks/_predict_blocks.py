"""Prediction of a large image as a lazy dask array."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from sksegment.blocks._block import predict_block, predict_block_at, window_of
from sksegment.blocks._image_source import is_data_array
from sksegment.blocks._plan import BlockPlan, block_plan
from sksegment.segmenter import FCNSegmenter

# Attributes with which xarray and rioxarray decode the values of an image: they would
# make other numbers of labels.
DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "long_name")


def predict_blocks(
    segmenter: FCNSegmenter | Pipeline,
    image: Any,
    *,
    method: str = "predict",
    block_size: int | tuple[int, int] | str = "auto",
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Predict one large image block by block, lazily.

    Nothing is read or predicted until dask computes the result, wherever its scheduler
    runs: threads, processes, a cluster. A block reads its own window of the image,
    which reaches as far beyond the block as the network looks: the labels are those of
    ``predict`` on the whole image, and probabilities agree to 1e-5.

    Parameters
    ----------
    segmenter : FCNSegmenter or Pipeline
        A fitted :class:`~sksegment.FCNSegmenter`, or a fitted Pipeline of augmenters
        that ends with one. Its `margin_` must not be None.
    image : array-like of shape (height, width) or (height, width, n_channels)
        One image: a zarr array, or its path or address (``s3://...``, through fsspec);
        a dask array; a DataArray of xarray with the dimensions y, x[, band]; a numpy
        array or memory map. Only windows of it are read.
    method : {"predict", "predict_proba"}, default="predict"
        What is predicted.
    block_size : int, (int, int) or "auto", default="auto"
        Height and width of the blocks in pixels: each is one chunk of the result, and
        one task. "auto" takes about 1024, or more if the network looks far, in whole
        chunks of the image. Small blocks compute the margin around them many times.
    storage_options : dict, default=None
        Options of fsspec for an address, such as credentials.

    Returns
    -------
    dask.array.Array or xarray.DataArray
        Labels ``(height, width)``, with the dtype of `classes_`; probabilities are
        float32 ``(n_classes, height, width)``. For a DataArray, one with its
        coordinates (and so its CRS) and attributes, less those that say how its values
        are encoded.

    Raises
    ------
    NotFittedError
        If the segmenter is not fitted.
    ValueError, TypeError
        If `image` is not one image with the channels of training, or the network looks
        at the whole image.
    OSError
        If there is no zarr array at a path.
    ImportError
        If dask or zarr is not installed.

    See Also
    --------
    predict_to_zarr : Write the result, and resume where it was interrupted.
    sksegment.FCNSegmenter.predict : Images that fit into memory.

    Notes
    -----
    Threads share the segmenter. Each of them uses as many cores as torch is set to:
    with several, call ``torch.set_num_threads(1)``. On a cluster, each worker is sent
    the segmenter once; images should be in zarr or in a file that all workers reach,
    because an array in memory is sent to all of them.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.blocks import predict_blocks
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=4, size=32, n_classes=2, random_state=0)
    >>> segmenter = FCNSegmenter(depth=1, width=4, max_epochs=1, random_state=0)
    >>> segmenter = segmenter.fit(X, y)
    >>> labels = predict_blocks(segmenter, X[0], block_size=20)
    >>> labels.chunks
    ((20, 12), (20, 12))
    >>> bool((labels.compute() == segmenter.predict(X)[0]).all())
    True
    """
    plan = block_plan(
        "predict_blocks", segmenter, image, method, block_size, storage_options
    )
    lazy = _of_lazy_windows(plan) if plan.source.is_dask else _of_source(plan)
    return _georeferenced(lazy, image, plan) if is_data_array(image) else lazy


def _of_source(plan: BlockPlan) -> Any:
    """Return the result for an image that each task reads itself."""
    import dask.array
    from dask.delayed import delayed

    # As tasks of their own, segmenter and image are sent to each worker once.
    segmenter = delayed(plan.segmenter, traverse=False)
    source = delayed(plan.source, traverse=False)
    return dask.array.map_blocks(
        predict_block_at,
        segmenter,
        source,
        layout=plan.layout,
        method=plan.method,
        chunks=(*((n,) for n in plan.leading), *plan.layout.chunks),
        dtype=plan.dtype,
        meta=_empty(plan),
    )


def _of_lazy_windows(plan: BlockPlan) -> Any:
    """Return the result for a dask array, whose windows are part of the graph."""
    import dask.array
    from dask.delayed import delayed

    segmenter = delayed(plan.segmenter, traverse=False)
    predict = delayed(partial(predict_block, method=plan.method), pure=True)
    n_rows, n_columns = plan.layout.shape

    def block(row: int, column: int) -> Any:
        spans = plan.layout.spans(row, column)
        part = plan.source.part(window_of(spans))
        height, width = (span.core[1] - span.core[0] for span in spans)
        return dask.array.from_delayed(
            predict(segmenter, part, spans),
            (*plan.leading, height, width),
            meta=_empty(plan),
        )

    return dask.array.block(
        [[block(row, column) for column in range(n_columns)] for row in range(n_rows)]
    )


def _empty(plan: BlockPlan) -> Any:
    return np.empty((0,) * (len(plan.leading) + 2), plan.dtype)


def _georeferenced(lazy: Any, image: Any, plan: BlockPlan) -> Any:
    """Return the result with the coordinates and attributes of a DataArray."""
    import xarray

    dims = image.dims[:2]
    kept = {
        name: coordinate
        for name, coordinate in image.coords.items()
        if set(coordinate.dims) <= {*dims}
    }
    if plan.method == "predict_proba":
        dims = ("class", *dims)
        kept["class"] = plan.segmenter.classes_
    attrs = {name: image.attrs[name] for name in image.attrs if name not in DECODING}
    return xarray.DataArray(lazy, coords=kept, dims=dims, attrs=attrs)
