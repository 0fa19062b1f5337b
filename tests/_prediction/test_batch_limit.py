"""How many images a forward pass takes: few enough for the allocator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.image_list import as_images
from sksegment._prediction import predictor
from sksegment._prediction.predictor import Predictor
from sksegment.networks import FCN

SCALE = Scale(np.zeros(1), np.ones(1), np.zeros(1), np.ones(1))
SIDE, WIDTH = 16, 4
ACTIVATION = 4 * WIDTH * SIDE**2  # bytes of the largest layer output of one image


def predicting():
    torch.manual_seed(0)
    network = FCN(1, 2, depth=1, width=WIDTH).eval()
    cpu = torch.device("cpu")
    return Predictor(network, SCALE, cpu, torch.float32, 8, "auto")


@pytest.mark.parametrize(("n_images", "lengths"), [(1.5, [1] * 5), (2.5, [2, 2, 1])])
def test_batches_keep_activations_below_the_limit(n_images, lengths, monkeypatch):
    monkeypatch.setattr(predictor, "MAX_ACTIVATION", n_images * ACTIVATION)
    groups = predicting()._groups(as_images(np.zeros((5, SIDE, SIDE))))
    assert [len(group) for group in groups] == lengths


def test_a_single_image_above_the_activation_limit_is_not_cut(monkeypatch):
    monkeypatch.setattr(predictor, "MAX_ACTIVATION", ACTIVATION / 4)
    assert not predicting()._tiling.is_cut(SIDE, SIDE)


def test_fewer_images_at_once_give_the_same_bits(monkeypatch):
    X = np.random.default_rng(0).random((5, SIDE, SIDE), np.float32)
    expected = list(predicting().probabilities(as_images(X)))
    monkeypatch.setattr(predictor, "MAX_ACTIVATION", ACTIVATION)
    np.testing.assert_array_equal(
        list(predicting().probabilities(as_images(X))), expected
    )
