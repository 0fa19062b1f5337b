"""What was made of a layer, against what would be made of it now."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from sksegment.networks import _kept_layers
from sksegment.networks._kept_layers import KeptLayers, RecentNetworks


class Doubled:
    """Weights times two: stands for what takes long to make."""

    def __init__(self, weights, factor=2):
        self.weights = [factor * weight.detach() for weight in weights]


def doubled(kept, layer, factor=2, make=Doubled):
    weights = layer.weight, layer.bias
    return kept.made_once(
        layer, weights, (factor,), lambda copies: make(copies, factor)
    )


@pytest.fixture
def layer():
    return nn.Linear(3, 2)


@pytest.fixture
def kept():
    return KeptLayers()


def test_it_is_made_once_while_nothing_changes(kept, layer):
    first = doubled(kept, layer)
    assert doubled(kept, layer) is first
    with torch.no_grad():
        layer.weight.mul_(1.0)  # written to, but the same
    assert doubled(kept, layer) is first


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("through", ["data", "in place", "another", "numpy", "nan"])
def test_every_change_of_a_weight_is_seen(kept, layer, name, through):
    doubled(kept, layer)
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
    found = doubled(kept, layer).weights
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_a_change_while_it_is_made_is_seen_next_time(kept, layer):
    def make(copies, factor):
        layer.weight.data.add_(1)  # as another thread would
        return Doubled(copies, factor)

    doubled(kept, layer, make=make)
    assert torch.equal(doubled(kept, layer).weights[0], 2 * layer.weight)


def test_other_settings_and_fewer_weights_make_another(kept, layer):
    assert torch.equal(doubled(kept, layer, 3).weights[0], 3 * layer.weight)
    assert torch.equal(doubled(kept, layer, 4).weights[0], 4 * layer.weight)
    alone = kept.made_once(layer, [layer.weight], (4,), Doubled)
    assert len(alone.weights) == 1


def test_networks_and_layers_are_not_kept_alive():
    recent, network, layer = RecentNetworks(), nn.Sequential(), nn.Linear(3, 2)
    layers = recent.take(network)
    gone = [weakref.ref(it) for it in (network, layer, doubled(layers, layer))]
    recent.keep(network, layers)
    del layers, network, layer
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3


def test_the_networks_used_last_are_kept_while_there_is_room(monkeypatch):
    monkeypatch.setattr(_kept_layers, "MAX_WEIGHTS", 2 * 8)  # two layers of eight
    recent = RecentNetworks()
    networks = [nn.Linear(3, 2) for _ in range(3)]

    def use(network):
        layers = recent.take(network)
        made = doubled(layers, network)
        recent.keep(network, layers)
        return made

    first, second = use(networks[0]), use(networks[1])
    assert use(networks[0]) is first  # now used later than the second
    use(networks[2])
    assert use(networks[0]) is first
    assert use(networks[1]) is not second


def test_a_network_that_is_too_large_is_not_kept_and_drives_none_out(monkeypatch):
    monkeypatch.setattr(_kept_layers, "MAX_WEIGHTS", 8)
    recent, small, large = RecentNetworks(), nn.Linear(3, 2), nn.Linear(3, 3)
    made = {}
    for network in (small, large):
        layers = recent.take(network)
        made[network] = doubled(layers, network)
        recent.keep(network, layers)
    assert doubled(recent.take(small), small) is made[small]
    assert doubled(recent.take(large), large) is not made[large]
