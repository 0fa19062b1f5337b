"""One large image, block by block, with dask.

:func:`predict_blocks` returns a lazy dask array of labels or probabilities;
:func:`predict_to_zarr` writes them to a zarr array, and resumes where it was
interrupted. Blocks look beyond their border as far as the network does, so the result
is that of :meth:`~sksegment.FCNSegmenter.predict` on the whole image. dask decides
where blocks run: in threads, in processes, on a cluster.
"""

from __future__ import annotations

from sksegment.blocks._predict_blocks import predict_blocks
from sksegment.blocks._predict_to_zarr import predict_to_zarr

__all__ = ["predict_blocks", "predict_to_zarr"]

predict_blocks.__module__ = predict_to_zarr.__module__ = __name__
