"""One answer per image, gathered as the images came."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._torch.out_of_memory import empty_predictions


def collect(
    answers: Iterator[NDArray[Any]], n_images: int, is_array: bool
) -> NDArray[Any]:
    """Gather one answer per image: in one array, or in a 1-D object array."""
    first = next(answers)
    if is_array:
        gathered = empty_predictions((n_images, *first.shape), first.dtype)
    else:
        gathered = np.empty(n_images, dtype=object)
    for index, answer in enumerate(chain([first], answers)):
        gathered[index] = answer
    return gathered
