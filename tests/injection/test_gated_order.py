"""Gates where neurons are shared, or maps come in another order than neurons made them."""

import pytest
import snntorch
import torch
from spikingjelly.activation_based import neuron
from torch import nn

from qsnn_plugins import inject
from qsnn_plugins.nn import channel_gates
from tests.hosts.test_gates import spec


class Shared(nn.Module):
    """One neuron with explicit states between layers of different widths."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 6, 3)
        self.conv3, self.last = nn.Conv2d(6, 8, 3), snntorch.Leaky(0.9)
        self.lif = snntorch.Leaky(0.9)

    def forward(self, x):
        mem1, mem2, mem3 = self.lif.init_leaky(), self.lif.init_leaky(), self.last.init_leaky()
        y, mem1 = self.lif(self.conv1(x), mem1)
        y, mem2 = self.lif(self.conv2(y), mem2)
        return self.last(self.conv3(y), mem3)[0]


def test_a_shared_neuron_has_the_channels_of_the_layer_before():
    network, x = Shared(), torch.rand(3, 2, 12, 12)
    inject(network, spec(), example_input=x)
    gates = channel_gates(network)
    assert {name: gate.weight.shape for name, gate in gates.items()}["conv3"] == (8, 6)
    assert network(x).shape == (3, 8, 6, 6)


class BatchFirst(nn.Module):
    """Convolutions see [N T, ...], and neurons [T, N, ...], as some write it."""

    def __init__(self, change=lambda x: x):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 5, 3)
        self.lif1 = neuron.LIFNode(step_mode="m", v_threshold=0.2)
        self.lif2 = neuron.LIFNode(step_mode="m")
        self.change = change

    def spike(self, lif, y, count):
        return lif(y.unflatten(0, (count, -1)).transpose(0, 1)).transpose(0, 1).flatten(0, 1)

    def forward(self, x):
        y = self.spike(self.lif1, self.conv1(x.flatten(0, 1)), len(x))
        return self.spike(self.lif2, self.conv2(self.change(y)), len(x))


class TimeFirst(BatchFirst):
    def spike(self, lif, y, count):
        return lif(y.unflatten(0, (count, -1))).flatten(0, 1)


@pytest.mark.parametrize(
    ("network", "is_gated"),
    [
        (TimeFirst(), True),
        (TimeFirst(nn.AvgPool2d(3, 2, padding=1)), True),
        (TimeFirst(lambda x: x.flip(2)), True),
        (TimeFirst(nn.GroupNorm(2, 6)), True),
        (TimeFirst(lambda x: x.flip(0)), False),
        (TimeFirst(lambda x: x[[1, 0, *range(2, 12)]]), False),
        (BatchFirst(), False),
    ],
)
def test_a_gate_needs_the_maps_in_the_order_of_its_neurons(network, is_gated):
    report = inject(network, spec(), example_input=torch.rand(4, 3, 2, 8, 8))
    assert list(channel_gates(network)) == ["conv2"] * is_gated
    notes = {row.name: row.note for row in report.gates}
    assert ("its maps are in another order" in notes["conv2"]) == (not is_gated)
