"""What the tests of properties share."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

# Derandomised: the same examples in every run, so that a failure repeats.
examples = settings(max_examples=200, derandomize=True, deadline=None, database=None)

INTEGERS = ("|u1", "|i1", "<u2", ">i2", "<u4", ">i4", "<i8", ">i8", "<u8", ">u8")
generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
sides = st.integers(1, 9)
sizes = st.tuples(sides, sides)


@st.composite
def label_values(draw, min_size=1):
    """Draw up to six distinct label values of any kind, sorted, in some dtype."""
    kinds = ["<f2", ">f8", "<U3", "|S3", *INTEGERS, *["|b1"] * (min_size < 3)]
    dtype = np.dtype(draw(st.sampled_from(kinds)))
    values = {
        "b": st.booleans(),
        "f": st.integers(-2048, 2048),
        "U": st.text("ab ÿ", min_size=1, max_size=3),
        "S": st.text("ab 0", min_size=1, max_size=3),
    }
    if dtype.kind in "iu":
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        edges = [edge for edge in (-1, 0, 1, 255, 256) if low <= edge <= high]
        values[dtype.kind] = st.integers(low, high) | st.sampled_from(edges)
    several = st.lists(values[dtype.kind], min_size=min_size, max_size=6, unique=True)
    return np.sort(np.array(draw(several), dtype))


def mask_of(rng, values, size):
    """Return a mask with some of the values."""
    return rng.choice(values, size)


# Losses


@st.composite
def batches(draw):
    """Draw scores, class codes some of which are ignored, and weights."""
    rng, (height, width) = draw(generators), draw(sizes)
    n_images, n_classes = draw(st.integers(1, 2)), draw(st.integers(2, 4))
    scores = torch.from_numpy(rng.normal(0, 2, (n_images, n_classes, height, width)))
    codes = torch.from_numpy(rng.integers(-1, n_classes, (n_images, height, width)))
    weights = torch.from_numpy(rng.integers(0, 4, codes.shape) / 2)
    share = rng.uniform(0.1, 3, n_classes)
    return rng, scores, codes, weights, share
