from typing import get_args

import pytest

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS, TERNARY
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.weight import WeightKind

CALLS = [
    ("float", lambda: presets.imsnn(weight_bits=None)),
    ("power_of_two", lambda: presets.imsnn()),
    ("power_of_two", lambda: presets.imsnn(weight_bits=2)),
    ("additive_power_of_two", lambda: presets.imsnn(weight_bits=8)),
    ("uniform", lambda: presets.imsnn(fidelity="released")),
    ("power_of_two", lambda: presets.spquant()),
    ("additive_power_of_two", lambda: presets.spquant(weight_bits=8)),
    ("uniform", lambda: presets.spquant(fidelity="released")),
    ("binary", lambda: presets.qsnn()),
    ("binary", lambda: presets.qsnn(membrane_bits=8, fidelity="released")),
    ("sigmoid", lambda: presets.sigmoid_quantizer()),
    ("sigmoid", lambda: presets.sigmoid_quantizer(weight_bits=8)),
    ("binary", lambda: presets.bit_budget(1, 1)),
    ("uniform", lambda: presets.bit_budget(4, 2)),
]


def needs(kind):
    return pytest.mark.skipif(
        kind not in get_args(WeightKind), reason=f"weights of the kind {kind!r} are not here yet"
    )


@pytest.mark.parametrize("call", [pytest.param(call, marks=needs(kind)) for kind, call in CALLS])
def test_presets_are_specs_that_come_back_from_a_dictionary(call):
    spec = call()
    assert QuantSpec.from_dict(spec.to_dict()) == spec
    assert len(str(spec).splitlines()) == 5


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


@needs("binary")
def test_qsnn():
    spec = presets.qsnn(membrane_bits=4)
    assert (spec.membrane.kind, spec.membrane.bits) == ("uniform", 4)
    assert (spec.membrane.scale, spec.membrane.evaluation) == ("step_max", "running")
    released = presets.qsnn(membrane_bits=4, fidelity="released").membrane
    assert (released.kind, released.evaluation) == ("tanh", "published")
    assert (spec.weight.kind, spec.weight.bits) == ("binary", 1)


@needs("sigmoid")
def test_sigmoid_quantizer():
    spec = presets.sigmoid_quantizer(weight_bits=2)
    assert spec.membrane.kind == "float"
    assert spec.spike.surrogate == "piecewise_leaky_relu"
    assert (spec.weight.kind, spec.weight.bits) == ("sigmoid", 2)


@needs("uniform")
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
