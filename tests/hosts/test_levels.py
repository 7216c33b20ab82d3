"""Levels of injected neurons are in units of their thresholds, in both hosts."""

import pytest
import snntorch
import torch
from spikingjelly.activation_based import neuron
from torch import nn

from qsnn_plugins import inject, presets
from qsnn_plugins.functional.membrane.stacked import slope
from qsnn_plugins.nn import membrane_quantizer
from qsnn_plugins.snntorch import MultiStep
from qsnn_plugins.spec import MembraneSpec, QuantSpec

MEMBRANES = {
    "levels": MembraneSpec(),
    "released levels": MembraneSpec(levels=(-3, -2, -1, 0, 1)),
    "pruned": MembraneSpec(kind="pruned"),
    "fixed": MembraneSpec(kind="uniform", bits=3, scale="fixed"),
    "learned": MembraneSpec(kind="uniform", bits=3, scale="learned", scale_value=0.75),
    "running": MembraneSpec(kind="uniform", bits=3),
    "step_max": MembraneSpec(kind="uniform", bits=3, scale="step_max"),
    "threshold_centred": MembraneSpec(kind="threshold_centred", bits=3),
    "clip": MembraneSpec(kind="clip"),
}


def jelly(threshold):
    return nn.Sequential(neuron.LIFNode(v_threshold=threshold, decay_input=False, step_mode="m"))


def torch_(threshold):
    return nn.Sequential(MultiStep(snntorch.Leaky(0.5, threshold=threshold, init_hidden=True)))


def state(network):
    return network[0].v if hasattr(network[0], "v") else network[0].neuron.mem


def test_a_neuron_with_a_low_threshold_fires():
    """A constant input of .35: everything below .5 would be stored as 0 among -1, 0 and 1."""
    x = torch.full((8, 1, 1), 0.35)
    rates = []
    for options in ({"absolute_levels": True}, {}):
        network = nn.Sequential(neuron.IFNode(v_threshold=0.5, step_mode="m"))
        report = inject(network, presets.imsnn(4), **options)
        rates.append(network(x).sum().item())
    assert report.replaced[0].note.endswith("levels are times its threshold, 0.5")
    assert neuron.IFNode(v_threshold=0.5, step_mode="m")(x).sum() == 4
    assert rates == [0, 4]


@pytest.mark.parametrize("build", [jelly, torch_])
@pytest.mark.parametrize("membrane", MEMBRANES.values(), ids=MEMBRANES.keys())
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:the step's maximum")
def test_a_threshold_is_a_unit_of_the_membrane(build, membrane, training):
    """Input and membrane times a power of two: the same spikes, bit by bit."""
    torch.manual_seed(0)
    x, runs = torch.randn(12, 3, 50), []
    for unit in (1.0, 0.25):
        network = build(unit)
        inject(network, QuantSpec(membrane))
        network.train(training)
        runs.append((network(unit * x), state(network) / unit))
    assert 0.01 < runs[0][0].mean() < 0.6
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize("kind", ["levels", "pruned", "threshold_centred", "fixed"])
def test_the_slope_is_that_of_threshold_1(kind):
    spec, u = MEMBRANES[kind], torch.linspace(-2, 2, 41, requires_grad=True)
    slopes = []
    for unit in (1.0, 0.25):
        quantizer = membrane_quantizer(spec.in_units_of(unit))
        slopes.append(torch.autograd.grad(quantizer(unit * u).sum() / unit, u)[0])
    torch.testing.assert_close(*slopes)
    if kind == "levels":
        how = spec.gradient, spec.surrogate, spec.smoothness
        torch.testing.assert_close(slopes[0], slope(u, spec.levels, *how))


def test_the_papers_neurons_keep_the_spec_that_was_given():
    spec = presets.spquant(4, pruned=False)
    for network in (jelly(1.0), torch_(1.0)):
        report = inject(network, spec)
        node = network[0] if hasattr(network[0], "v") else network[0].neuron
        assert node.quant_spec == spec
        assert "levels" not in report.replaced[0].note
