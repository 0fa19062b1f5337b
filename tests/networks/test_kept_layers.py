"""What was made of a layer, against what would be made of it now."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn

from sksegment.networks import _kept_layers
from sksegment.networks._kept_layers import made_once


class Doubled:
    """Weights times two: stands for what takes long to make."""

    def __init__(self, *weights, factor=2):
        self.weights = [factor * weight.detach() for weight in weights]


def doubled(layer, factor=2):
    weights = layer.weight, layer.bias
    return made_once(
        lambda: Doubled(*weights, factor=factor), layer, weights, (factor,)
    )


@pytest.fixture
def layer():
    return nn.Linear(3, 2)


@torch.inference_mode()
def test_it_is_made_once_while_nothing_changes(layer):
    first = doubled(layer)
    assert doubled(layer) is first
    with torch.inference_mode(False), torch.no_grad():
        layer.weight.mul_(1.0)  # written to, but the same
    assert doubled(layer) is first


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("through", ["data", "in place", "another", "numpy", "nan"])
def test_every_change_of_a_weight_is_seen(layer, name, through):
    doubled(layer)
    weight = getattr(layer, name)
    if through == "data":
        weight.data[0] += 1
    elif through == "another":
        setattr(layer, name, nn.Parameter(weight.detach() + 1))
    elif through == "numpy":
        weight.detach().numpy()[0] += 1
    else:
        with torch.no_grad():
            weight[0] = torch.nan if through == "nan" else weight[0] + 1
    expected = [2 * layer.weight, 2 * layer.bias]
    torch.testing.assert_close(doubled(layer).weights, expected, equal_nan=True)


def test_other_settings_make_another(layer):
    assert torch.equal(doubled(layer, 3).weights[0], 3 * layer.weight)
    assert torch.equal(doubled(layer, 4).weights[0], 4 * layer.weight)


def test_a_layer_is_not_kept_alive():
    layer = nn.Linear(3, 2)
    gone = weakref.ref(layer), weakref.ref(doubled(layer))
    del layer
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_copies_of_a_layer_have_nothing_kept(layer):
    first = doubled(layer)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert doubled(other) is not first
        assert torch.equal(doubled(other).weights[0], first.weights[0])


def test_large_layers_are_made_anew(layer, monkeypatch):
    monkeypatch.setattr(_kept_layers, "MAX_KEPT", 7)
    assert doubled(layer) is not doubled(layer)
    monkeypatch.setattr(_kept_layers, "MAX_KEPT", 8)
    assert doubled(layer) is doubled(layer)
