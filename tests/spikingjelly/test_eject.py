"""Ejection: the network is what it was."""

import copy

import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import (
    QuantSpec,
    WeightSpec,
)
from qsnn_plugins.spikingjelly import (
    QuantLIFNode,
    QuantNode,
    eject,
    inject,
)
from tests.spikingjelly.test_inject import (
    NETWORKS,
    assert_same,
    mixed,
    snapshot,
)


@pytest.mark.parametrize("build", NETWORKS)
def test_ejected_at_once_a_network_computes_what_it_did(build):
    torch.manual_seed(0)
    network, x = build()
    network.eval()
    before = snapshot(network)
    with torch.no_grad():
        expected = network(x)
    functional.reset_net(network)
    inject(network, presets.imsnn())
    eject(network)
    assert_same(before, snapshot(network))
    with torch.no_grad():
        assert torch.equal(network(x), expected)


def test_an_optimizer_stays_valid_through_injection_and_ejection():
    torch.manual_seed(0)  # some networks do not fire, and then not all of them learns
    network = nn.Sequential(nn.Linear(4, 8), neuron.ParametricLIFNode(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)

    def train():
        functional.reset_net(network)
        values = [p.detach().clone() for p in network.parameters()]
        optimizer.zero_grad()
        (network(torch.randn(16, 4) + 0.5) + network(torch.randn(16, 4) + 0.5)).sum().backward()
        optimizer.step()
        return [not torch.equal(v, p) for v, p in zip(values, network.parameters(), strict=True)]

    assert all(train())
    inject(network, QuantSpec(weight=WeightSpec(kind="uniform", bits=4, scale="max")))
    assert all(train())
    eject(network)
    assert all(train())


def test_copies_of_an_injected_network_can_be_ejected():
    network = mixed()
    inject(network, presets.imsnn())
    twin = copy.deepcopy(network)
    eject(twin)
    assert type(twin[1]) is neuron.LIFNode
    assert type(network[1]) is QuantLIFNode
    network[0](torch.rand(2, 4))  # what was taken off the copy is still here
    assert twin[1] is not eject(network)[1]


def test_a_neuron_replaced_since_stops_the_ejection_before_it_begins():
    network = mixed()
    inject(network, presets.imsnn())
    network[3] = nn.ReLU()
    before = snapshot(network)
    with pytest.raises(ArgumentError, match=r"3=ReLU\(\) is not allowed"):
        eject(network)
    assert_same(before, snapshot(network))


def test_an_ejected_neuron_takes_the_mode_of_the_injected_one():
    network = mixed()
    inject(network, QuantSpec())
    network.eval()
    functional.set_step_mode(network, "m")
    nodes = [m for m in network.modules() if isinstance(m, QuantNode)]
    nodes[0].store_v_seq = True
    eject(network)
    assert not any(module.training for module in network.modules())
    nodes = [m for m in network.modules() if isinstance(m, neuron.BaseNode)]
    assert {node.step_mode for node in nodes} == {"m"}
    assert nodes[0].store_v_seq
