"""Gradients, which training needs whatever mode of torch the caller is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def enable_gradients() -> Iterator[None]:
    """Let tensors have gradients, even within `no_grad` or `inference_mode`.

    Weights that are made in inference mode could never be trained, so networks are
    made in here, too.
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield
