"""Plain data as strict JSON, with its arrays kept separately; and back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Writer = Callable[[Any, str, Arrays], Any]
Reader = Callable[[Any, Arrays], Any]

# What JSON cannot express becomes an object with one key that begins with this.
TAG = "$"
NON_FINITE = ("nan", "inf", "-inf")
DTYPES = re.compile(r"\|[bui]1|[<>][ui][248]|[<>]f[248]|[<>]U\d{1,9}|\|S\d{1,9}")
# The largest label of numpy. Comparing with far larger ones can overflow.
LARGEST_INTEGER = 2**64 - 1
LARGEST_CODE_POINT = 0x10FFFF
# The state of a Mersenne twister: its words, and how many of them are used up.
TWISTER_WORDS = 624


def pack(value: Any, name: str, arrays: Arrays) -> Any:
    """Convert plain data to what JSON can hold.

    Parameters
    ----------
    value : object
        Numbers, text, None, arrays of numbers or text, lists, tuples and dictionaries
        of these, and numpy's RandomState. Scalars of numpy become those of Python, a
        range becomes a list.
    name : str
        What an error message calls it.
    arrays : dict
        Receives its arrays, little-endian and contiguous.

    Returns
    -------
    object
        What `unpack` turns into the value again.

    Raises
    ------
    TypeError
        If it is, or holds, something else.
    """
    if isinstance(value, np.generic):
        value = value.item()
    for kind, write in WRITERS.items():
        if isinstance(value, kind):
            return write(value, name, arrays)
    raise TypeError(
        f"{name} is a {type(value).__name__}; expected plain data: numbers, text, "
        f"arrays, lists, tuples or dictionaries of these. joblib.dump stores others."
    )


def unpack(value: Any, arrays: Arrays) -> Any:
    """Return the plain data that `pack` wrote.

    Parameters
    ----------
    value : object
        What `pack` returned, from a file that is not trusted.
    arrays : dict
        The arrays that belong to it; those that are used are removed.

    Returns
    -------
    object
        The data.

    Raises
    ------
    ValueError, TypeError
        If `pack` cannot have written this.
    """
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    if type(value) is int:
        return _pack_integer(value, "a number in it", arrays)
    if not isinstance(value, dict):
        return value
    if not any(key.startswith(TAG) for key in value):
        return {key: unpack(item, arrays) for key, item in value.items()}
    tag, *others = value
    if others or tag not in READERS:
        raise ValueError(f"it holds {[*value]}; expected one of {[*READERS]} alone.")
    return READERS[tag](value[tag], arrays)


def _pack_integer(value: Any, name: str, arrays: Arrays) -> int:
    if abs(value) > LARGEST_INTEGER:
        raise TypeError(f"{name} is {value}; expected no more than {LARGEST_INTEGER}.")
    return int(value)


def _pack_float(value: Any, name: str, arrays: Arrays) -> Any:
    number = float(value)
    return number if math.isfinite(number) else {"$float": str(number)}


def _unpack_float(content: Any, arrays: Arrays) -> float:
    if content not in NON_FINITE:
        raise ValueError(f"it holds the float {content!r}; expected a number.")
    return float(content)


def _pack_list(value: Any, name: str, arrays: Arrays) -> list[Any]:
    return [pack(item, f"{name}[{index}]", arrays) for index, item in enumerate(value)]


def _pack_tuple(value: Any, name: str, arrays: Arrays) -> Any:
    return {"$tuple": _pack_list(value, name, arrays)}


def _unpack_tuple(content: list[Any], arrays: Arrays) -> tuple[Any, ...]:
    return tuple(unpack(_as_list(content), arrays))


def _pack_dict(value: Any, name: str, arrays: Arrays) -> Any:
    if all(type(key) is str and not key.startswith(TAG) for key in value):
        return {
            key: pack(item, f"{name}[{key!r}]", arrays) for key, item in value.items()
        }
    pairs = [[key, item] for key, item in value.items()]
    return {"$dict": _pack_list(pairs, name, arrays)}


def _unpack_dict(content: Any, arrays: Arrays) -> dict[Any, Any]:
    pairs = [unpack(_as_list(pair, 2), arrays) for pair in _as_list(content)]
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("it holds a dictionary with one key twice.")
    return made


def _pack_array(value: NDArray[Any], name: str, arrays: Arrays) -> Any:
    if value.dtype == object:  # as pandas stores strings
        return pack(value.tolist(), name, arrays)
    if not DTYPES.fullmatch(value.dtype.str):
        raise TypeError(
            f"{name} is an array of {value.dtype}; expected numbers or text."
        )
    stored = value.astype(value.dtype.newbyteorder("<"), order="C")
    if value.dtype.kind in "US":
        # A tensor of characters: a file cannot declare text that it does not hold.
        stored = stored[..., None].view(_characters(value.dtype))
    key = f"{len(arrays)}.{name}"  # the number keeps equal names apart
    arrays[key] = stored
    return {"$array": [key, value.dtype.str]}


def _unpack_array(content: Any, arrays: Arrays) -> NDArray[Any]:
    key, text = _as_list(content, 2)
    if not isinstance(key, str) or key not in arrays:
        raise ValueError(f"it has no tensor {key!r}, or uses it twice.")
    if not isinstance(text, str) or not DTYPES.fullmatch(text):
        raise ValueError(f"tensor {key!r} is declared {text!r}; expected a dtype.")
    stored, dtype = arrays.pop(key), np.dtype(text)
    is_text = dtype.kind in "US"
    if stored.dtype != (_characters(dtype) if is_text else dtype.newbyteorder("=")):
        raise ValueError(
            f"tensor {key!r} is {stored.dtype}, which cannot become {text!r}."
        )
    if is_text:
        stored = _text(stored, dtype, key)
    if dtype.kind == "b" and (stored.view(np.uint8) > 1).any():
        raise ValueError(f"tensor {key!r} has bytes above 1; expected True and False.")
    return stored.astype(dtype)


def _characters(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint32 if dtype.kind == "U" else np.uint8)


def _text(stored: NDArray[Any], dtype: np.dtype[Any], key: str) -> NDArray[Any]:
    if not stored.ndim or not 0 < stored.shape[-1] * stored.itemsize == dtype.itemsize:
        raise ValueError(
            f"tensor {key!r} is of shape {stored.shape}, which cannot become "
            f"{dtype.str!r}."
        )
    if dtype.kind == "U" and (stored > LARGEST_CODE_POINT).any():
        raise ValueError(f"tensor {key!r} holds numbers that are not characters.")
    native = np.dtype(f"{dtype.kind}{stored.shape[-1]}")
    return np.ascontiguousarray(stored).view(native)[..., 0]


def _pack_random_state(value: RandomState, name: str, arrays: Arrays) -> Any:
    state = value.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise TypeError(
            f"{name} is a RandomState of {state['bit_generator']}; expected one of "
            f"MT19937, as RandomState(seed) makes it, or an integer."
        )
    words, used = state["state"]["key"], state["state"]["pos"]
    content = [words, used, state["has_gauss"], state["gauss"]]
    return {"$random_state": _pack_list(content, name, arrays)}


def _unpack_random_state(content: Any, arrays: Arrays) -> RandomState:
    words, used, has_gauss, gauss = unpack(_as_list(content, 4), arrays)
    is_array = isinstance(words, np.ndarray) and words.shape == (TWISTER_WORDS,)
    # numpy itself would accept a position outside the words, and read there.
    if not is_array or type(used) is not int or not 0 <= used <= TWISTER_WORDS:
        raise ValueError(
            f"it holds a random state whose position is {used!r}; expected "
            f"{TWISTER_WORDS} words and a position among them."
        )
    if words.dtype != np.uint32 or has_gauss not in (0, 1) or type(gauss) is not float:
        raise ValueError("it holds a random state that no Mersenne twister can have.")
    rng = RandomState()
    rng.set_state(("MT19937", words, used, int(has_gauss), gauss))
    return rng


def _as_list(content: Any, length: int | None = None) -> list[Any]:
    if not isinstance(content, list) or length not in (None, len(content)):
        raise ValueError(
            f"it holds a {type(content).__name__} where a list is expected"
            + ("." if length is None else f" of length {length}.")
        )
    return content


# bool before int: True is also an integer.
WRITERS: dict[Any, Writer] = {
    type(None): lambda value, name, arrays: value,
    bool: lambda value, name, arrays: value,
    int: _pack_integer,
    float: _pack_float,
    str: lambda value, name, arrays: str.__str__(value),
    (list, range): _pack_list,
    tuple: _pack_tuple,
    dict: _pack_dict,
    np.ndarray: _pack_array,
    RandomState: _pack_random_state,
}
READERS: dict[str, Reader] = {
    "$float": _unpack_float,
    "$tuple": _unpack_tuple,
    "$dict": _unpack_dict,
    "$array": _unpack_array,
    "$random_state": _unpack_random_state,
}
