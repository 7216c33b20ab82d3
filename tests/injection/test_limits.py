"""Sums of spikes that injection limits: outputs of SEW blocks, whoever wrote them."""

import copy

import numpy as np
import pytest
import snntorch
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from qsnn_plugins import QuantSpec, eject, inject
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.export import to_integer
from qsnn_plugins.spec import SpikeSpec, WeightSpec

FLOAT = {"membrane": {"kind": "float"}}


def limiting(bits=2, value="count", **parts):
    return QuantSpec(spike=SpikeSpec(bits=bits, value=value, limit_sums=True), **{**FLOAT, **parts})


class Block(nn.Module):
    """A SEW block of one's own, which says its connection as the authors of SEW-ResNet do."""

    def __init__(self, connect_f="ADD", threshold=1.0):
        super().__init__()
        self.connect_f = connect_f
        self.sn = neuron.IFNode(v_threshold=threshold)

    def forward(self, x):
        y = self.sn(x)
        if self.connect_f == "ADD":
            return x + y
        return x * y if self.connect_f == "AND" else x * (1 - y)


def network_of(*blocks):
    return nn.Sequential(neuron.IFNode(), *blocks, nn.Linear(6, 3))


@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("connect_f", ["ADD", "AND", "IAND"])
def test_outputs_of_sew_blocks_have_the_bits_of_a_spike(connect_f, bits):
    rng, greatest = np.random.default_rng(bits), 2**bits - 1
    current = rng.uniform(0, 2**bits + 1, (50, 6))
    upstream = rng.normal(size=current.shape)
    first = np.clip(np.floor(current), 0, greatest)
    joined = {"ADD": 2 * first, "AND": first**2, "IAND": first * (1 - first)}[connect_f]
    slope = {"ADD": 2, "AND": 2 * first, "IAND": 1 - 2 * first}[connect_f]
    inside = (joined >= 0) & (joined <= greatest)

    network = network_of(Block(connect_f)).double()
    report = inject(network, limiting(bits))
    assert [(row.names, row.bits, row.what) for row in report.limited] == [(("1",), bits, "output")]
    assert str(report).splitlines()[-1].split() == ["limited", "1", "Block", str(bits), "output"]
    x = torch.tensor(first, requires_grad=True)
    y = network[1](x)
    y.backward(torch.tensor(upstream))
    assert np.array_equal(y.detach().numpy(), np.clip(joined, 0, greatest))
    if bits > 1:  # the spike's own slope within its window is 1
        np.testing.assert_allclose(x.grad.numpy(), upstream * inside * slope)
    if connect_f == "ADD":
        assert (joined > greatest).any()


def test_sums_in_units_of_the_threshold_are_limited_in_them():
    network = network_of(Block(threshold=0.5))
    inject(network, limiting(2, "threshold"))
    assert network[1](torch.tensor([0.5, 1.0, 1.5])).tolist() == [1.0, 1.5, 1.5]
    assert "unit=0.5" in str(network[1].sum_limit)


@pytest.mark.parametrize("connect_f", ["AND", "IAND"])
def test_products_of_thresholds_have_another_unit(connect_f):
    network = network_of(Block(connect_f, threshold=0.5))
    with pytest.warns(UserWarning, match=r"output of 1 .* multiplies spikes times a threshold"):
        inject(network, limiting(2, "threshold"))
    network = network_of(Block(connect_f, threshold=1.0))
    assert inject(network, limiting(2, "threshold")).limited


def test_a_copy_has_a_limit_of_its_own_and_eject_takes_it_away():
    network = network_of(Block())
    inject(network, limiting())
    assert not any("limit" in name for name in network.state_dict())
    copied = copy.deepcopy(network)
    copied[1].sum_limit.bits = 1
    x = torch.full((6,), 3.0)
    assert copied[1](x).tolist() == [1.0] * 6
    functional.reset_net(network)
    assert network[1](x).tolist() == [3.0] * 6
    for net, of_a_spike in ((network, 1), (copied, 1)):
        functional.reset_net(eject(net))
        assert net[1](x).tolist() == [3.0 + of_a_spike] * 6
        assert not hasattr(net[1], "sum_limit")
        assert not net[1]._forward_hooks


def test_hooks_see_what_is_sent_on():
    network, seen = network_of(Block()), []
    network[1].register_forward_hook(lambda *a: seen.append(a[-1].max().item()))
    inject(network, limiting())
    network[1](torch.full((6,), 3.0))
    assert seen == [3.0]


def test_each_block_has_the_bits_of_its_neurons_and_what_cannot_be_limited_is_told():
    network = network_of(Block(), Block(), Block(), Block())
    network[4].sn2 = neuron.IFNode()
    other = limiting(3)
    overrides = {"2": other, "3": None, "4.sn2": other}
    with pytest.warns(UserWarning, match=r"output of 4 \(Block\) is not limited: its neurons"):
        report = inject(network, limiting(2), overrides=overrides)
    assert [(row.names[0], row.bits) for row in report.limited] == [("1", 2), ("2", 3)]
    (note,) = report.notes
    assert note in str(report)


def test_a_block_that_runs_its_children_is_left_as_it_is():
    network = network_of(nn.Sequential(neuron.IFNode()))
    network[1].cnf = "ADD"
    with pytest.warns(UserWarning, match=r"output of 1 \(Sequential\) is not limited"):
        inject(network, limiting())
    assert len(network[1]) == 1


def test_a_block_that_returns_more_than_its_sum_is_named():
    class Pair(Block):
        def forward(self, x):
            return super().forward(x), x

    network = nn.Sequential(neuron.IFNode(), Pair())
    inject(network, limiting())
    with pytest.raises(ArgumentError, match=r"output of Pair='tuple' .* one tensor"):
        network(torch.rand(2, 6))


def test_what_was_ejected_can_be_injected_again():
    network = network_of(Block())
    for bits in (1, 2):
        inject(network, limiting(bits))
        assert network[1](torch.full((6,), 9.0)).tolist() == [2.0**bits - 1] * 6
        functional.reset_net(network)
        assert len(network[1]._forward_hooks) == 1
        eject(network)


def test_a_network_without_such_sums_is_told():
    network = nn.Sequential(nn.Linear(2, 2), snntorch.Leaky(beta=0.5))
    with pytest.warns(UserWarning, match=r"spike\.limit_sums limits nothing"):
        report = inject(network, limiting())
    assert report.limited == ()
    network = nn.Sequential(nn.Linear(2, 2), snntorch.Leaky(beta=0.5))
    assert inject(network, QuantSpec(**FLOAT)).notes == ()


@pytest.mark.parametrize("of", ["host", "spec"])
def test_a_learned_threshold_is_no_obstacle_where_nothing_is_limited(of):
    neuron = snntorch.Leaky(beta=0.5, learn_threshold=of == "host")
    spec = limiting(2, "threshold", threshold={"gradient": "ordinary"} if of == "spec" else {})
    with pytest.warns(UserWarning, match=r"spike\.limit_sums limits nothing"):
        inject(nn.Sequential(nn.Linear(2, 2), neuron), spec)


def test_units_that_differ_or_learn_are_refused_by_name():
    learned = {"threshold": {"gradient": "ordinary"}}
    with pytest.raises(ArgumentError, match=r"^1\.sn\.spike\.limit_sums=True .*thresholds learn"):
        inject(network_of(Block()), limiting(2, "threshold", **learned))
    assert inject(network_of(Block()), limiting(2, "count", **learned)).limited
    with pytest.raises(ArgumentError, match=r"spike\.limit_sums=1"):
        SpikeSpec(limit_sums=1)
    networks = network_of(Block()), network_of(Block())
    for network in networks:
        network[1].sn2 = neuron.IFNode(v_threshold=0.5)
    with pytest.warns(UserWarning, match="differ in .* threshold"):
        inject(networks[0], limiting(2, "threshold"))
    assert inject(networks[1], limiting(2)).limited


def test_spikes_of_an_infinite_threshold_have_no_unit_to_be_limited_in():
    network = network_of(Block(threshold=float("inf")))
    with pytest.warns(UserWarning, match=r"1\.sn has no one finite threshold above 0"):
        assert inject(network, limiting(2, "threshold")).limited == ()


def test_integer_networks_refuse_the_limit_by_name():
    network = nn.Sequential(nn.Linear(6, 6), neuron.IFNode(), Block(), nn.Linear(6, 3))
    weight = WeightSpec("uniform", bits=4)
    inject(network, QuantSpec(spike=SpikeSpec(bits=2, limit_sums=True), weight=weight))
    with pytest.raises(ExportError, match=r"sum_limit limits sums .*without `spike\.limit_sums`"):
        to_integer(network, torch.ones(1, 6))


def test_the_limit_travels_in_the_spec():
    spec = limiting()
    assert QuantSpec.from_dict(spec.to_dict()) == spec
    assert spec.neuron_options()["spike.limit_sums"] is True
    assert "sums limited" in str(spec)


def test_a_network_that_notes_the_connection_of_its_blocks_is_no_block():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.connect_f, self.layers = "ADD", network_of(Block(), Block())

        def forward(self, x):
            return self.layers(x)

    network = Net()
    report = inject(network, limiting())
    assert [row.names for row in report.limited] == [("layers.1",), ("layers.2",)]
    assert (network(torch.rand(5, 6) * 3) < 0).any()


def test_a_limit_of_ones_own_stays():
    block = Block()
    block.sum_limit = nn.Hardtanh(0, 1)
    network = network_of(block)
    with pytest.warns(UserWarning, match="not limited: it has a `sum_limit` of its own"):
        inject(network, limiting())
    assert isinstance(eject(network)[1].sum_limit, nn.Hardtanh)
