"""Tiles predict what the whole image does, as closely as float32 can tell.

How near two ways of adding up the same numbers come depends on the processor, on the
number of threads and on the size of the scores. So they are compared with the same
network in float64, which stands for the exact answer.
"""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from sksegment import FCNSegmenter
from sksegment._torch.tensors import images_to_tensor

# Depth, and height and width of an image that is larger than what one tile looks at.
CASES = {"deep": (4, (461, 33), 100), "usual": (3, (230, 60), 32)}
# What two float32 numbers near 1 cannot tell apart, a few times.
ROUNDING = 1e-6


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def photos(shape, seed=0):
    return np.random.default_rng(seed).normal(0.5, 0.5, (1, *shape, 3)).astype("f4")


def sharp_segmenter(depth):
    """Return a segmenter with scores as large as those of a long training."""
    X = photos((32, 32)).repeat(2, axis=0)
    y = (X[..., 0] > 0.5) + (X[..., 1] > 0.7).astype(int)
    model = FCNSegmenter(
        depth=depth, width=4, max_epochs=2, random_state=0, device="cpu"
    ).fit(X, y)
    last = [layer for layer in model.network_.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        last[-1].weight.mul_(30)
    return model


def exact_probabilities(model, X):
    """Return the probabilities of the whole image in float64."""
    scale = model._fitted_model().scale
    batch = images_to_tensor(list(X), scale, torch.device("cpu")).double()
    with torch.no_grad():
        scores = deepcopy(model.network_).double().eval()(batch)
    assert scores.abs().max() > 30
    return scores.softmax(dim=1).numpy()


@pytest.fixture(params=CASES)
def answers(request, n_threads):
    """Return what the whole image, its tiles, and float64 give."""
    depth, shape, tile_size = CASES[request.param]
    model, X = sharp_segmenter(depth), photos(shape, seed=1)
    whole = model.set_params(tile_size=1000).predict_proba(X)
    tiled = model.set_params(tile_size=tile_size).predict_proba(X)
    return whole, tiled, exact_probabilities(model, X)


def test_tiles_are_as_near_to_the_exact_probabilities_as_the_whole_image(answers):
    whole, tiled, exact = answers
    error = np.abs(whole - exact).max()
    assert error < 1e-3
    assert np.abs(tiled - exact).max() <= 2 * error + ROUNDING


def test_labels_of_tiles_differ_at_ties_only(answers):
    whole, tiled, exact = answers
    differ = whole.argmax(axis=1) != tiled.argmax(axis=1)
    second, first = np.sort(exact, axis=1)[:, -2:].swapaxes(0, 1)
    within = 4 * np.abs(whole - exact).max() + ROUNDING
    assert (first - second)[differ].max(initial=0.0) <= within


def test_tiles_on_one_thread_are_equal_in_every_bit(answers, n_threads):
    if n_threads == 1:
        whole, tiled, _ = answers
        np.testing.assert_array_equal(tiled, whole)
