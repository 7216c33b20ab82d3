"""What a forward does besides its steps, which for small inputs takes longer than they do."""

import inspect
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from snntorch import Leaky
from spikingjelly.activation_based import neuron
from torch.nn.utils import parametrize

from qsnn_plugins import QuantSpec, WeightSpec, cost, export, presets, snntorch, spikingjelly
from qsnn_plugins.nn import Uniform
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


@pytest.fixture
def step_by_step():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 4), Leaky(0.5, init_hidden=True))
    snntorch.inject(network, QuantSpec(weight=WeightSpec("uniform", bits=4)))
    return network


@pytest.fixture
def quantized(monkeypatch):
    """One entry for each time that a weight is quantized."""
    found, forward = [], Uniform.forward
    note = lambda self, weight: found.append(self) or forward(self, weight)  # noqa: E731
    monkeypatch.setattr(Uniform, "forward", note)
    return found


def test_whoever_runs_steps_without_gradients_quantizes_once_a_batch(step_by_step, quantized):
    x_seq = torch.randint(2, (3, 2, 5)).float()
    cost.report(step_by_step, None, (3, 1, 5), step_mode="s")
    assert len(quantized) == 1
    # to count another spec, the shape of each weight is asked for, once
    cost.report(
        step_by_step, QuantSpec(weight=WeightSpec("mint", bits=2)), (3, 1, 5), step_mode="s"
    )
    assert len(quantized) == 3
    quantized.clear()
    cost.measure_activity(step_by_step, [x_seq, x_seq], "noise", step_mode="s")
    assert len(quantized) == 2
    integer = export.to_integer(step_by_step, x_seq)
    quantized.clear()
    assert export.verify(step_by_step, integer, [x_seq] * 2).exact
    of_two = len(quantized)
    export.verify(step_by_step, integer, [x_seq] * 3)
    assert len(quantized) == of_two + (of_two + 1)


def test_a_loop_over_steps_may_quantize_once(step_by_step, quantized):
    """As the guides say: the same spikes, and the gradients up to the order of their sums."""
    x_seq, results = 3 * torch.rand(3, 2, 5), []
    for context in (nullcontext, parametrize.cached):
        snntorch.reset_net(step_by_step)
        step_by_step.zero_grad()
        with context():
            spikes = torch.stack([step_by_step(x) for x in x_seq])
        spikes.sum().backward()
        results.append([spikes.detach(), *(p.grad for p in step_by_step.parameters())])
    assert len(quantized) == 3 + 1
    for own, other in zip(*results, strict=True):
        torch.testing.assert_close(own, other)
    assert results[0][1].abs().sum() > 0
