"""The zarr array of a result: made, recognised again, and which blocks it has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.image_files import is_path
from sksegment._inputs.labels import labels_in_json
from sksegment._version import __version__
from sksegment.blocks._image_source import ImageSource, read_part
from sksegment.blocks._layout import BlockLayout
from sksegment.blocks._plan import BlockPlan
from sksegment.networks._state import arrays_of
from sksegment.segmenter import FCNSegmenter

KEY = "sksegment"
# What is looked at to recognise an image: windows of this side, this many each way.
SAMPLE_SIDE = 32
SAMPLES = 4
COMPARED = (
    "model",
    "image shape",
    "image dtype",
    "image content",
    "block_size",
    "method",
)
PLACE = "expected a place of its own for the result"

# How addresses of files on this machine begin.
LOCAL = ("file://", "local://")

Identity = dict[str, Any]


def sample_windows(source: ImageSource) -> list[tuple[slice, slice]]:
    """Return windows spread evenly over an image, corners included."""
    rows, columns = (
        np.unique(np.linspace(0, max(length - SAMPLE_SIDE, 0), SAMPLES).astype(int))
        for length in source.size
    )
    return [
        (
            slice(int(row), min(int(row) + SAMPLE_SIDE, source.size[0])),
            slice(int(column), min(int(column) + SAMPLE_SIDE, source.size[1])),
        )
        for row in rows
        for column in columns
    ]


def read_samples(source: ImageSource, nodata: float | None) -> list[NDArray[Any]]:
    """Read the windows by which an image is recognised."""
    windows = sample_windows(source)
    parts: Any = [source.part(window) for window in windows]
    if source.is_dask:
        from dask.base import compute

        parts = compute(*parts)
    return [read_part(*pair, nodata) for pair in zip(parts, windows, strict=True)]


def identity_of(plan: BlockPlan, samples: list[NDArray[Any]]) -> Identity:
    """Return what a result is of, in JSON: another identity is another result."""
    return {
        "model": _digest_of_model(plan.segmenter),
        "image shape": list(plan.source.shape),
        "image dtype": plan.source.dtype.name,
        "image content": _digest(samples),
        "block_size": list(plan.layout.block_size),
        "method": plan.method,
        "version": __version__,
    }


def _digest_of_model(segmenter: FCNSegmenter) -> str:
    arrays = arrays_of(segmenter.network_)
    scale = (
        segmenter.channel_mean_,
        segmenter.channel_std_,
        segmenter.channel_min_,
        segmenter.channel_max_,
    )
    settings = (
        segmenter._architecture["network"],
        segmenter.stride_,
        segmenter.test_time_augmentation,
        segmenter.precision == "bfloat16",
        [*arrays],
        segmenter.classes_.tolist(),
        # Left out without, so that earlier results go on.
        *([] if segmenter._nodata is None else [repr(segmenter._nodata)]),
    )
    return _digest([*arrays.values(), *scale], _told(settings))


def _told(settings: tuple[Any, ...]) -> str:
    network, *others = settings
    # The address of a function differs from process to process.
    name = network if isinstance(network, str) else network.__qualname__
    return repr((name, *others))


def _digest(arrays: list[NDArray[Any]], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def opened_result(
    store: Any,
    plan: BlockPlan,
    identity: Identity,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
) -> Any:
    """Return the array of a result: the one that is there already, or a new one.

    Raises
    ------
    ValueError
        If the array of another result, the image, or anything else, is there.
    OSError
        If it cannot be written.
    """
    from fsspec.core import url_to_fs

    options = None if storage_options is None else dict(storage_options)
    if isinstance(store, str) and store.startswith(LOCAL):
        # fsspec would make no folders, and write chunks in place.
        store, options = url_to_fs(store)[1], None
    found = _array_at(store, options)
    if found is not None:
        _check_not_image(found, plan.source, store)
    if found is not None and not overwrite:
        _check_same(found, identity, store)
        return found
    return _new_array(store, plan, identity, found is not None, options)


def _array_at(store: Any, options: dict[str, Any] | None) -> Any:
    """Return the array that is there, writable; None where nothing is."""
    import zarr

    try:
        return zarr.open_array(store, mode="r+", storage_options=options)
    except FileNotFoundError:
        _check_no_other_files(store)
        return None
    except FileExistsError as error:
        raise ValueError(f"store={store!r} is a file; {PLACE}.") from error
    except TypeError as error:
        raise TypeError(
            f"store is {store!r}; expected a path, an address, or a store of zarr."
        ) from error
    except ValueError as error:
        if "read-only" in str(error):
            raise _not_writable(store, error) from error
        raise ValueError(
            f"store={store!r} holds something else: {error} Got no array; {PLACE}."
        ) from error


def _check_no_other_files(store: Any) -> None:
    """Reject a folder with files: overwriting would remove them."""
    # An empty name stands for the folder in which the program runs.
    folder = os.path.abspath(os.fspath(store)) if is_path(store) else ""
    if not os.path.isdir(folder):
        return
    # What a killed process has left of the first file.
    names = [name for name in os.listdir(folder) if not name.endswith(".partial")]
    if names:
        raise ValueError(
            f"store={store!r} is a folder with other files, such as {min(names)!r}; "
            f"{PLACE}."
        )


def _check_not_image(found: Any, source: ImageSource, store: Any) -> None:
    """Reject the place of the image, which overwriting would remove."""
    place = place_of(found)
    if any(place_of(array).is_relative_to(place) for array in source.zarr_arrays):
        raise ValueError(
            f"store={store!r} is where the image lies, which would be lost; {PLACE}."
        )


def place_of(array: Any) -> PurePath:
    """Say where an array of zarr lies: in a folder, its links followed, or elsewhere.

    Examples
    --------
    >>> import zarr
    >>> from sksegment.blocks._result_store import place_of
    >>> array = zarr.create_array("memory://scenes", name="a", shape=(3,), dtype="u1")
    >>> place_of(array).as_posix()
    'memory:/scenes/a'
    """
    store, system = array.store, getattr(array.store, "fs", None)
    root = getattr(store, "root", None)
    protocol = getattr(system, "protocol", "")
    if "file" in protocol:
        root = store.path
    if root is not None:
        return Path(root, array.path).resolve()
    address = str(store) if system is None else f"{protocol}:{store.path}"
    return PurePath(address, array.path)


def _check_same(found: Any, identity: Identity, store: Any) -> None:
    """Reject an array that is not this result."""
    known = found.attrs.asdict().get(KEY)
    if not isinstance(known, dict):
        raise ValueError(
            f"store={store!r} holds an array that predict_to_zarr did not make; "
            f"{PLACE}, or overwrite=True."
        )
    differing = [
        f"{name} is {identity[name]} and was {known.get(name)}"
        for name in COMPARED
        if identity[name] != known.get(name)
    ]
    if differing:
        raise ValueError(
            f"store={store!r} holds another result: {'; '.join(differing)}. Expected "
            f"the same segmenter, image, block_size and method, to resume; another "
            f"store; or overwrite=True, which removes that result."
        )


def _new_array(
    store: Any,
    plan: BlockPlan,
    identity: Identity,
    overwrite: bool,
    options: dict[str, Any] | None,
) -> Any:
    import zarr

    leading = plan.leading
    segmenter = plan.segmenter
    # Codes are positions in all labels, that of pixels without data last.
    classes = segmenter._result_labels if plan.encodes else segmenter.classes_
    kind = "codes" if plan.encodes else "values"
    try:
        return zarr.create_array(
            store,
            shape=(*leading, *plan.source.size),
            chunks=(*leading, *plan.layout.block_size),
            dtype=plan.stored_dtype,
            fill_value=0,
            # A block of the first class would otherwise look as if it were missing.
            config={"write_empty_chunks": True},
            chunk_key_encoding={"name": "default", "separator": "/"},
            dimension_names=(*(["class"] if leading else []), "y", "x"),
            attributes={
                "classes": labels_in_json(classes),
                "labels": kind,
                KEY: identity,
            },
            overwrite=overwrite,
            storage_options=options,
        )
    except ValueError as error:
        if "read-only" in str(error):
            raise _not_writable(store, error) from error
        raise


def _not_writable(store: Any, error: Exception) -> OSError:
    return OSError(
        f"store={store!r} cannot be written: {error} Expected a place where a zarr "
        f"array can be made."
    )


def finished_blocks(target: Any, layout: BlockLayout) -> NDArray[np.bool_]:
    """Tell which blocks are in the store, from one listing of it."""
    from zarr.core.sync import sync

    finished = np.zeros(layout.shape, bool)
    prefix = f"{target.path}/".lstrip("/")

    async def note_all() -> None:
        """Go through the keys of the array, as a store of zarr lists them."""
        async for key in target.store.list_prefix(prefix):
            # "c/3/7": row and column come last. A killed process may leave others.
            name, *indices = key.removeprefix(prefix).split("/")
            if name == "c" and all(map(str.isdecimal, indices)):
                finished[int(indices[-2]), int(indices[-1])] = True

    sync(note_all())
    return finished


def missing_blocks(finished: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the rows and columns of blocks that are not finished, row by row."""
    for row, done in enumerate(finished):
        for column in np.flatnonzero(~done).tolist():
            yield row, column
