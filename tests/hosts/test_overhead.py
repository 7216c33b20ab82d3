"""What a forward does besides its steps, which for small inputs takes longer than they do."""

import pytest
import torch
from snntorch import Leaky
from spikingjelly.activation_based import neuron

from qsnn_plugins import presets, snntorch, spikingjelly
from qsnn_plugins.spec import options


@pytest.mark.parametrize("preset", [presets.imsnn, presets.qsnn])
@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_a_forward_checks_no_options_again(host, preset, monkeypatch):
    if host == "spikingjelly":
        network = torch.nn.Sequential(torch.nn.Linear(5, 4), neuron.LIFNode(step_mode="m"))
        spikingjelly.inject(network, preset())
    else:
        network = torch.nn.Sequential(torch.nn.Linear(5, 4), Leaky(0.5, init_hidden=True))
        snntorch.inject(network, preset())
        network[1] = snntorch.MultiStep(network[1])
    x_seq = torch.rand(3, 2, 5)
    network(x_seq)
    built = []
    check = options.Part.__post_init__
    monkeypatch.setattr(options.Part, "__post_init__", lambda part: built.append(check(part)))
    network(x_seq).sum().backward()
    assert built == []
