import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS, TERNARY
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import QuantSpec

CALLS = [
    ("float", lambda: presets.imsnn(weight_bits=None)),
    ("power_of_two", lambda: presets.imsnn()),
    ("power_of_two", lambda: presets.imsnn(weight_bits=2)),
    ("additive_power_of_two", lambda: presets.imsnn(weight_bits=8)),
    ("statistical", lambda: presets.imsnn(fidelity="released")),
    ("power_of_two", lambda: presets.spquant()),
    ("additive_power_of_two", lambda: presets.spquant(weight_bits=8)),
    ("statistical", lambda: presets.spquant(fidelity="released")),
    ("binary", lambda: presets.qsnn()),
    ("binary", lambda: presets.qsnn(membrane_bits=8, fidelity="released")),
    ("sigmoid", lambda: presets.sigmoid_quantizer()),
    ("sigmoid", lambda: presets.sigmoid_quantizer(weight_bits=8)),
    ("binary", lambda: presets.bit_budget(1, 1)),
    ("uniform", lambda: presets.bit_budget(4, 2)),
]


@pytest.mark.parametrize(("kind", "call"), CALLS)
def test_presets_are_specs_that_come_back_from_a_dictionary(kind, call):
    spec = call()
    assert spec.weight.kind == kind
    assert QuantSpec.from_dict(spec.to_dict()) == spec
    assert len(str(spec).splitlines()) == 5


@pytest.mark.parametrize(("kind", "call"), CALLS)
def test_presets_quantize_a_network(kind, call):
    spec = call()
    network = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 2))
    floats = [layer.weight.detach().clone() for layer in network]
    quantized = quantize_weights(network, spec.weight)
    assert len(quantized) == (0 if kind == "float" else 3)
    middle = network.eval()[1].weight  # sums of sigmoids are steps at evaluation
    if kind != "float":
        assert all(len(channel.unique()) <= 2**spec.weight.bits for channel in middle)
        assert not torch.equal(middle, floats[1])


def test_imsnn():
    spec = presets.imsnn(weight_bits=4)
    assert spec.membrane.levels == TERNARY
    assert (spec.membrane.gradient, spec.membrane.smoothness) == ("stacked", 2.0)
    assert (spec.weight.kind, spec.weight.bits) == ("power_of_two", 4)
    assert (spec.spike.surrogate, spec.spike.sharpness) == ("triangle", 1.0)
    released = presets.imsnn(weight_bits=None, fidelity="released")
    assert released.membrane.levels == RELEASED_LEVELS
    assert released.membrane.storage_bits == 3


def test_spquant():
    spec = presets.spquant()
    assert (spec.threshold.gradient, spec.threshold.window) == ("separate", "sigmoid")
    assert (spec.pruning.spatial_ratio, spec.pruning.channel_threshold) == (0.35, 0.47)
    assert not presets.spquant(pruned=False).pruning.prunes
    released = presets.spquant(weight_bits=None, fidelity="released").pruning
    assert (released.spatial_ratio, released.channel_threshold) == (0.0, 0.5)
    assert released.channel_softmax


def test_qsnn():
    spec = presets.qsnn(membrane_bits=4)
    assert (spec.membrane.kind, spec.membrane.bits) == ("uniform", 4)
    assert (spec.membrane.scale, spec.membrane.evaluation) == ("step_max", "running")
    released = presets.qsnn(membrane_bits=4, fidelity="released").membrane
    assert (released.kind, released.evaluation) == ("tanh", "published")
    weight = spec.weight
    assert (weight.kind, weight.bits, weight.first_last) == ("binary", 1, "eight_bit")
    assert weight.options["regulation"] == "layer"
    released = presets.qsnn(fidelity="released").weight.options
    assert (released["regulation"], released["scale"]) == ("channel", "power_of_two")
    assert released["gradient"] == "ede"


def test_sigmoid_quantizer():
    spec = presets.sigmoid_quantizer(weight_bits=2)
    assert spec.membrane.kind == "float"
    assert spec.spike.surrogate == "piecewise_leaky_relu"
    assert (spec.weight.kind, spec.weight.bits) == ("sigmoid", 2)


def test_bit_budget():
    spec = presets.bit_budget(weight_bits=4, spike_bits=2)
    assert (spec.spike.bits, spec.spike.value, spec.spike.greatest) == (2, "threshold", 3)
    assert (spec.weight.kind, spec.weight.bits) == ("uniform", 4)
    assert presets.bit_budget(weight_bits=1).weight.kind == "binary"


@pytest.mark.parametrize("preset", [presets.imsnn, presets.spquant, presets.qsnn])
def test_an_unknown_fidelity_is_named(preset):
    with pytest.raises(ArgumentError, match="fidelity='code' is not allowed: give one of paper"):
        preset(fidelity="code")


@pytest.mark.parametrize("preset", [presets.sigmoid_quantizer, presets.bit_budget])
def test_what_was_never_released_is_refused(preset):
    with pytest.raises(ArgumentError, match="its authors released no code"):
        preset(fidelity="released")
