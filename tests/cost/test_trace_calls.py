"""How a network is called while it is traced: its steps, neurons in several places, arguments."""

import pytest
import snntorch
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn

from qsnn_plugins.cost import report
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spikingjelly import QuantLIFNode, inject
from tests.cost.test_trace import SPEC


def test_a_network_of_one_step_and_one_of_all_steps_are_alike():
    one = nn.Sequential(
        nn.Conv2d(2, 4, 3), neuron.LIFNode(), nn.Flatten(), nn.Linear(64, 3), neuron.IFNode()
    )
    many = nn.Sequential(
        layer.Conv2d(2, 4, 3, step_mode="m"),
        neuron.LIFNode(step_mode="m"),
        layer.Flatten(step_mode="m"),
        layer.Linear(64, 3, step_mode="m"),
        neuron.IFNode(step_mode="m"),
    )
    single = report(one, None, (3, 1, 2, 6, 6), step_mode="s", activity=0.1)
    multi = report(many, None, (3, 1, 2, 6, 6), activity=0.1)
    assert single == multi
    assert single.macs == 4 * 18 * 16 + 64 * 3
    assert [n.count for n in single.neurons] == [64, 3]


class OwnSteps(nn.Module):
    """A network of snnTorch as its users write it: states in the loop, T its own."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 5), snntorch.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(5, 2), snntorch.Synaptic(alpha=0.9, beta=0.8)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        syn2, mem2 = self.lif2.init_synaptic()
        outputs = []
        for _ in range(7):
            spikes, mem1 = self.lif1(self.fc1(x), mem1)
            spikes, syn2, mem2 = self.lif2(self.fc2(spikes), syn2, mem2)
            outputs.append(spikes)
        return torch.stack(outputs)


def test_a_network_that_counts_its_steps_itself():
    cost = report(OwnSteps(), None, (1, 6), time_steps=7, activity=0.5)
    assert cost.macs == 6 * 5 + 5 * 2
    assert [n.count for n in cost.neurons] == [5, 2]
    assert [n.states for n in cost.neurons] == [1, 2]  # Synaptic keeps a current too
    assert [s.multiplies for s in cost.synapses] == [True, False]
    assert cost.synaptic_operations == 7 * (6 * 5 + 0.5 * 5 * 2)


class SharedTwice(nn.Module):
    """One layer of neurons in two places, of 100 and of 5 neurons."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 100), nn.Linear(100, 5)
        self.lif = snntorch.Leaky(0.5)

    def forward(self, x):
        for fc in (self.first, self.second):
            x, _ = self.lif(fc(x), torch.zeros((), device=x.device))
        return x


@pytest.mark.parametrize("steps", [2, 3])
def test_neurons_in_two_places_are_counted_in_both(steps):
    for network, mode in (
        (nn.Sequential(*[nn.Linear(4, 4), neuron.IFNode()] * 2), "s"),
        (nn.Sequential(*[nn.Linear(4, 4), neuron.IFNode(step_mode="m")] * 2), "m"),
    ):
        cost = report(network, None, (steps, 1, 4), step_mode=mode, activity=0.1)
        assert cost.time_steps == steps
        assert cost.macs == 4 * 4 + 4 * 4
        assert [(n.count, n.membrane_bytes) for n in cost.neurons] == [(4 + 4, 8 * 4)]


def test_neurons_in_places_of_several_shapes_are_added_up():
    cost = report(SharedTwice(), None, (2, 1, 4), step_mode="s", activity=0.1)
    assert (cost.time_steps, cost.macs) == (2, 4 * 100 + 100 * 5)
    assert [(n.count, n.states) for n in cost.neurons] == [(100 + 5, 1)]
    # T W S: 2 steps, 16 bits for float weights, 1 bit
    assert [s.bit_budget for s in cost.synapses] == [2 * 16, 2 * 16]
    assert cost.synapses[1].synaptic_operations == pytest.approx(2 * 500 * 0.1)


def test_one_step_of_neurons_in_two_places_is_one():
    network = nn.Sequential(*[nn.Linear(4, 4), neuron.IFNode(step_mode="m")] * 2)
    assert report(network, None, (1, 1, 4)).time_steps == 1


def test_neurons_that_run_once_at_the_end_are_counted():
    class Readout(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.sn = layer.Linear(4, 6, step_mode="m"), neuron.IFNode()

        def forward(self, x):
            return self.sn(self.fc(x).sum(0))

    assert [n.count for n in report(Readout(), None, (5, 1, 4)).neurons] == [6]


def test_the_network_is_left_as_it_is():
    network = nn.Sequential(layer.Linear(4, 2, step_mode="m"), neuron.LIFNode(step_mode="m"))
    inject(network, SPEC)
    seen = []
    network[0].register_forward_hook(lambda *_: seen.append(1))
    network(torch.rand(3, 1, 4))  # with a gradient: such a state cannot be copied
    state, values = network[1].v, {k: v.clone() for k, v in network.state_dict().items()}
    report(network, None, (3, 1, 4))
    assert len(seen) == 1
    assert network.training
    assert network[1].v is state
    assert all(torch.equal(v, values[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize("shape", [(3, 1, 5), (3, 2, 4), (3,), (0, 1, 4), (3, 1, 4.0), 3, "3,1,4"])
def test_a_shape_that_does_not_fit(shape):
    with pytest.raises(ArgumentError, match="input_shape"):
        report(nn.Sequential(nn.Linear(4, 2)), None, shape)


def test_states_of_another_input_do_not_matter():
    network = nn.Sequential(nn.Linear(4, 2), QuantLIFNode())
    network(torch.rand(5, 3, 4))
    assert report(network, None, (6, 1, 4), step_mode="s").neurons[0].count == 2
    assert network[1].v.shape == (5, 3, 2)


@pytest.mark.parametrize(
    ("build", "states"),
    [
        (lambda: snntorch.Leaky(0.9, init_hidden=True), 1),
        (lambda: snntorch.RLeaky(0.9, linear_features=5, init_hidden=True), 2),  # its spikes too
        (lambda: snntorch.Alpha(0.9, 0.8, init_hidden=True), 3),
        (lambda: neuron.LIFNode(store_v_seq=True), 1),
        (lambda: neuron.ParametricLIFNode(), 1),
    ],
)
def test_stored_states_of_the_hosts_neurons(build, states):
    (only,) = report(build(), None, (3, 1, 5), step_mode="s").neurons
    assert (only.count, only.states, only.membrane_bits) == (5, states, 32)
    assert only.membrane_bytes == 5 * states * 4


def test_a_network_that_takes_one_step_at_a_time_is_pointed_to_its_mode():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), neuron.LIFNode())
    with pytest.raises(ArgumentError, match="one step at a time, with step_mode='s'"):
        report(network, None, (3, 1, 2, 6, 6))
    assert report(network, None, (3, 1, 2, 6, 6), step_mode="s").neurons[0].count == 4 * 16
    dense = nn.Sequential(nn.Linear(4, 5), neuron.LIFNode())  # which takes any shape
    with pytest.raises(ArgumentError, match=r"step_mode='m' .* give 's'.* once for all 3 steps"):
        report(dense, None, (3, 1, 4))
    assert report(dense, None, (3, 1, 4), step_mode="s").neurons[0].count == 5


@pytest.mark.parametrize(
    "argument",
    [
        {"network": "resnet"},
        {"network": nn.LazyLinear(3)},
        {"network": nn.LazyBatchNorm1d(affine=False)},
        {"spec": "imsnn"},
        {"activity": "often"},
        {"activity": True},
        {"time_steps": 2.5},
        {"time_steps": True},
    ],
)
def test_what_is_not_allowed_is_named(argument):
    given = {"network": nn.Linear(4, 3), "spec": None, "input_shape": (3, 1, 4)} | argument
    with pytest.raises(ArgumentError, match=f"^{next(iter(argument))}="):
        report(**given)
