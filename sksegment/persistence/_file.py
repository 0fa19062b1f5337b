"""The model file: tensors and one JSON document, complete or absent."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from sksegment._atomic_write import replace_file
from sksegment._extras import check_installed
from sksegment._version import __version__

FORMAT_VERSION = 1
# Our only key in the metadata of the safetensors format. Only one, because the order of
# several is not fixed there, and the same model must make the same file.
KEY = "sksegment"
FIELDS = ("format_version", "package_version", "sha256", "model")
# The longest header that safetensors itself accepts.
MAX_HEADER_BYTES = 100_000_000
# Models nest about 8 levels deep. Code that reads the document later may be recursive.
MAX_NESTING = 32
CURE = "Get the file again from where it came."


class ModelFileError(ValueError):
    """A file is not a model file, is damaged, or claims something impossible.

    It is a ValueError, and its message names the file and what to do about it.

    See Also
    --------
    load_model : Raises it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sksegment import load_model
    >>> from sksegment.persistence import ModelFileError
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.safetensors")
    ...     _ = path.write_bytes(b"no model")
    ...     try:
    ...         load_model(path)
    ...     except ModelFileError as error:
    ...         print("model.safetensors" in str(error))
    True
    """


def write_model_file(
    path: Path, model: dict[str, Any], tensors: dict[str, NDArray[Any]]
) -> None:
    """Write a model file, under a temporary name first: it is complete or absent.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    model : dict
        What JSON can hold.
    tensors : dict of ndarray
        Little-endian and contiguous.

    Raises
    ------
    ValueError
        If the model is nested too deeply to be read again.
    OSError
        If it cannot be written; an existing file is left as it was.
    ImportError
        If safetensors is not installed.
    """
    check_installed("save_model", "safetensors", "safetensors")
    from safetensors.numpy import save

    document = {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "model": model,
    }
    _check_nesting(document)
    document["sha256"] = digest(document, tensors)
    content = save(tensors, {KEY: _dumps(document)})
    replace_file(Path(os.path.realpath(path)), content)  # a link stays a link


def read_model_file(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a model file, trusting nothing in it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    model : dict
        What JSON can hold.
    tensors : dict of ndarray
        The tensors, as they were when the file was written.

    Raises
    ------
    ModelFileError
        If it is not a model file of a known version, or was changed.
    OSError
        If it cannot be read.
    ImportError
        If safetensors is not installed.
    """
    check_installed("load_model", "safetensors", "safetensors")
    with path.open("rb") as file:
        try:
            document = _document(_header(file))
            file.seek(0)
            tensors = _tensors(file.read())
            _check_digest(document, tensors)
        except ValueError as error:
            raise ModelFileError(f"{path} {error}") from error
    return document["model"], tensors


def digest(document: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of a document, its own digest left out, and of tensors."""
    text = _dumps({key: document[key] for key in FIELDS if key != "sha256"})
    summed = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        summed.update(_dumps([name, array.dtype.name, array.shape]).encode())
        summed.update(np.ascontiguousarray(array).view(np.uint8).data)
    return summed.hexdigest()


def _header(file: BinaryIO) -> dict[str, Any]:
    """Read the header, after comparing its length with that of the file."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else math.inf
    if length > min(size - 8, MAX_HEADER_BYTES):
        raise ValueError(
            "is not a model file; expected one that save_model wrote. Open a file of "
            "joblib or pickle with joblib.load, if you trust who made it."
        )
    header = _loads(file.read(int(length)), "header")
    if not isinstance(header, dict):
        raise ValueError(f"is not a model file: its header is not an object. {CURE}")
    return header


def _document(header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str) or not isinstance(metadata, dict) or len(metadata) > 1:
        raise ValueError(
            "is not a model file of sksegment, though it may be one of safetensors; "
            "expected one that save_model wrote."
        )
    document = _loads(text, "document")
    if not isinstance(document, dict):
        raise ValueError(f"is damaged: its document is not an object. {CURE}")
    _check_version(document.get("format_version"))
    if {*document} != {*FIELDS} or not isinstance(document["model"], dict):
        raise ValueError(
            f"is damaged: its document has the fields {[*document]}; expected "
            f"{[*FIELDS]}. {CURE}"
        )
    return document


def _check_version(version: Any) -> None:
    if type(version) is not int or version < 1:
        raise ValueError(
            f"is damaged: its format version is {version!r}; expected an integer of at "
            f"least 1. {CURE}"
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f"has the format version {version}; expected at most {FORMAT_VERSION}, "
            f"the latest that sksegment {__version__} reads. Update sksegment."
        )


def _tensors(content: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"is damaged: its tensors ({error}). {CURE}") from error


def _check_digest(document: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    found = digest(document, tensors)
    if document["sha256"] != found:
        raise ValueError(
            f"was changed after it was written: its content has the SHA-256 {found}; "
            f"expected {document['sha256']!r}. {CURE}"
        )


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _loads(text: str | bytes, what: str) -> Any:
    """Parse JSON strictly: no NaN, duplicate keys, huge numbers or deep nesting."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_each_key_once,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        _check_nesting(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is damaged: its {what}, {error}. {CURE}") from error
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object has one key twice")
    return made


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [child for item in level for child in _children(item)]
    if level:
        raise ValueError(f"it holds lists nested deeper than {MAX_NESTING}")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else []
