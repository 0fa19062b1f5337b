"""Copies of the state of a network, and the check that all of it is finite."""

from __future__ import annotations

import pytest
import torch

from sksegment._training.state_copy import StateCopy
from sksegment.networks import FCN


def network():
    torch.manual_seed(0)
    made = FCN(3, 4, depth=1, width=4, skip="concat", norm="batch")
    return made.to(memory_format=torch.channels_last)


def test_a_copy_has_the_values_names_and_layout_of_the_state():
    state = network().state_dict()
    copy = StateCopy(state).state()
    assert list(copy) == list(state)
    for name, tensor in state.items():
        assert torch.equal(copy[name], tensor)
        assert copy[name].dtype == tensor.dtype
        assert copy[name].stride() == tensor.stride()


def test_later_changes_of_the_network_do_not_reach_a_copy():
    trained = network()
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    copy = StateCopy(trained.state_dict())
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.fill_(7)
    trained.load_state_dict(copy.state())
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["encoder.0.0.0.weight", "classifier.bias"])
def test_one_value_that_is_not_finite_is_found(value, name):
    state = network().state_dict()
    state[name][(0,) * state[name].ndim] = value
    assert not StateCopy(state).is_finite()


def test_infinities_that_cancel_are_found():
    values = torch.tensor([float("inf"), -float("inf"), 1])
    assert not StateCopy({"weight": values}).is_finite()


def test_large_values_whose_sum_overflows_are_finite():
    assert StateCopy({"weight": torch.full((5,), 3e38)}).is_finite()


def test_integers_other_dtypes_and_views_are_copied():
    state = {
        "count": torch.tensor(3),
        "double": torch.arange(6.0, dtype=torch.float64).view(2, 3).T,
        "expanded": torch.ones(1, 2).expand(3, 2),
        "half": torch.ones(2, 3, 4, 5, dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
    }
    copy = StateCopy(state)
    assert copy.is_finite()
    for name, tensor in state.items():
        assert torch.equal(copy.state()[name], tensor)
        assert copy.state()[name].dtype == tensor.dtype


def test_a_network_without_weights_is_finite():
    assert StateCopy({}).is_finite()
