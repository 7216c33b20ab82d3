"""What a forward does besides its steps, which for small inputs takes longer than they do."""

import inspect
from functools import partial

import pytest
import torch
from snntorch import Leaky
from spikingjelly.activation_based import neuron

from qsnn_plugins import presets, snntorch, spikingjelly
from qsnn_plugins.spec import options

# without masks and gates, which need an input to be placed
SPQUANT = partial(presets.spquant, pruned=False)


@pytest.mark.parametrize("preset", [presets.imsnn, presets.qsnn, SPQUANT])
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


@pytest.mark.parametrize("preset", [presets.imsnn, presets.qsnn, presets.sigmoid_quantizer])
def test_a_step_asks_for_no_signature_again(preset, monkeypatch):
    jelly = torch.nn.Sequential(torch.nn.Linear(5, 4), neuron.LIFNode())
    torched = torch.nn.Sequential(torch.nn.Linear(5, 4), Leaky(0.5, init_hidden=True))
    spikingjelly.inject(jelly, preset())
    snntorch.inject(torched, preset())
    asked, ask = [], inspect._signature_from_function

    def note(kind, function, *options, **named):
        asked.append(function)
        return ask(kind, function, *options, **named)

    monkeypatch.setattr(inspect, "_signature_from_function", note)
    for network in (jelly, torched):
        network(torch.rand(2, 5)).sum().backward()
    assert [each for each in asked if each.__module__.startswith("qsnn_plugins")] == []
