"""Neurons that torch does not see, and what users leave on those that it sees."""

import warnings

import pytest
import torch
from spikingjelly.activation_based.functional import reset_net
from spikingjelly.activation_based.neuron import LIFNode
from torch import nn

from qsnn_plugins import eject, inject
from qsnn_plugins.errors import QSNNWarning


class Listed(nn.Module):
    """Runs its parts from a plain attribute."""

    def __init__(self, hold):
        super().__init__()
        self.fc, self.lif = nn.Linear(4, 4), LIFNode()
        self.held = hold(self.lif)


@pytest.mark.parametrize(
    ("hold", "name"),
    [
        (lambda lif: [nn.ReLU(), lif], "held[1]"),
        (lambda lif: {"a": (lif,)}, "held['a'][0]"),
        (lambda lif: lif.forward, "held"),
        (lambda lif: [nn.Sequential(lif)], "held[0].0"),
    ],
)
def test_a_neuron_in_a_plain_attribute_is_said_to_stay(hold, name):
    network = Listed(hold)
    with pytest.warns(QSNNWarning, match="still the LIFNode") as warned:
        report = inject(network, "imsnn")
    assert [str(each.message) for each in warned] == [*report.notes]
    assert report.notes[0].startswith(f"{name} is still the LIFNode that lif was")
    network.held = hold(network.lif)
    with pytest.warns(QSNNWarning, match="still the QuantLIFNode that lif was"):
        eject(network)


def test_a_neuron_that_is_nowhere_else_is_named():
    with pytest.warns(QSNNWarning, match="still the LIFNode"):
        report = inject(Listed(lambda lif: [LIFNode(), lif]), "imsnn")
    assert report.notes[0].startswith("held[0] (LIFNode) stays as it is")


def test_nothing_is_said_of_modules_and_lists_without_old_neurons():
    network = Listed(lambda lif: lif)
    network.parts = [network, network.fc, torch.ones(2), {"a": "b"}]
    network._hparams = {"node": LIFNode()}  # Lightning's copy of what the network was built from
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inject(network, "imsnn")
        eject(network)


def test_what_holds_no_modules_is_not_named():
    class Key:
        def __repr__(self):
            raise AssertionError("large data would take seconds")

    network = Listed(lambda lif: {Key(): number for number in range(3)})
    assert not inject(network, "imsnn").notes


def test_hooks_find_what_a_user_noted_on_a_neuron():
    network = nn.Sequential(nn.Linear(4, 4), LIFNode())
    network[1].calls = 0

    def count(neuron, inputs, output):
        neuron.calls += 1

    network[1].register_forward_hook(count)
    inject(network, "imsnn")
    network(torch.rand(2, 4))
    assert network[1].calls == 1
    eject(network)
    network(torch.rand(2, 4))
    assert network[1].calls == 2


def test_a_neuron_with_a_method_of_its_own_is_left():
    network = nn.Sequential(nn.Linear(4, 4), LIFNode(), LIFNode())
    network[1].forward = lambda x: 2 * x
    network[2].extra_repr = lambda: "the last one"
    with pytest.warns(QSNNWarning, match="1 neuron left alone"):
        report = inject(network, "imsnn")
    (left,) = report.left
    assert left.why == "its forward was replaced, what that does would be lost"
    assert [row.names for row in report.replaced] == [("2",)]


def test_a_larger_network_resets_the_new_neurons_of_its_part():
    part = nn.Sequential(nn.Linear(4, 4), LIFNode())
    whole = nn.Sequential(part)
    reset_net(whole)
    for swap in (lambda: inject(part, "imsnn"), lambda: eject(part)):
        swap()
        whole(torch.rand(2, 4))
        reset_net(whole)
        assert part[1].v == 0.0
