"""A gate of its own: what it masks behind, and what it notices."""

import copy

import pytest
import torch
from spikingjelly.activation_based import functional
from torch import nn

from qsnn_plugins import QuantSpec, inject, presets
from qsnn_plugins.errors import QSNNError
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import channel_gates, follow_norms
from qsnn_plugins.spec import PruningSpec
from tests.injection.test_gates import normed_network


def noted(module):
    """Inputs of a module, from now on."""
    seen = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    return seen


@pytest.mark.parametrize("count", [1, 3])
def test_a_gate_follows_a_synchronized_norm(count):
    network, x = normed_network(), torch.rand(count, 2, 8, 8)
    inject(network, QuantSpec(pruning=PruningSpec(channel_threshold=0.5)), example_input=x)
    (gate,) = channel_gates(network).values()
    nn.init.constant_(gate.bias, -50.0)  # all channels are masked
    network = nn.SyncBatchNorm.convert_sync_batchnorm(network).eval()
    with torch.no_grad():
        network(x)
        functional.reset_net(network)
        with pytest.raises(QSNNError, match=r"not applied: the normalization .* was replaced"):
            network(x)
    functional.reset_net(network)
    follow_norms(network)
    copied = copy.deepcopy(network)
    for each in (network, copied):
        seen = noted(each[5])
        with torch.no_grad():
            each(x)
            functional.reset_net(each)
            each(x)
        assert seen[-1].abs().max() == 0
    network[4] = nn.Identity()
    with pytest.raises(QSNNError, match="was replaced"):
        follow_norms(network)


@pytest.mark.parametrize("fidelity", ["paper", "released"])
@pytest.mark.parametrize("place", [3, 4], ids=["convolution", "normalization"])
def test_a_forward_after_an_error_is_taken(place, fidelity):
    network, x = normed_network(), torch.rand(3, 2, 8, 8)
    pruning = PruningSpec(channel_threshold=0.5, fidelity=fidelity)
    inject(network, QuantSpec(pruning=pruning), example_input=x)
    gate = channel_gates(network)["3"]

    def fail(*_):
        raise MemoryError("out of memory")

    handle = network[place].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError, match="out of memory"):
        network(x)
    handle.remove()
    assert gate.mask is None
    functional.reset_net(network)
    assert network(x).isfinite().all()


@pytest.mark.parametrize("fidelity", ["paper", "released"])
def test_an_empty_batch_passes(fidelity):
    network = StringNet("4C3-4C3-GAP-FC3", spec=presets.spquant(fidelity=fidelity)).eval()
    assert network(torch.rand(2, 0, 2, 6, 6)).shape == (2, 0, 3)
