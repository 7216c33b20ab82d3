import copy
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS, TERNARY
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec

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
    assert (spec.pruning.fidelity, released.fidelity) == ("paper", "released")
    assert spec.pruning.masked == "accumulation"


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


ARGUMENTS = [
    (lambda: presets.imsnn("4"), "weight_bits='4'"),
    (lambda: presets.imsnn(1), "weight_bits=1"),
    (lambda: presets.imsnn(4.0), "weight_bits=4.0"),
    (lambda: presets.imsnn(True), "weight_bits=True"),
    (lambda: presets.spquant("4"), "weight_bits='4'"),
    (lambda: presets.spquant(9, fidelity="released"), "weight_bits=9"),
    (lambda: presets.spquant(pruned="no"), "pruned='no'"),
    (lambda: presets.qsnn(0), "membrane_bits=0"),
    (lambda: presets.qsnn("2", fidelity="released"), "membrane_bits='2'"),
    (lambda: presets.sigmoid_quantizer(3), "weight_bits=3"),
    (lambda: presets.bit_budget(weight_bits=None), "weight_bits=None"),
    (lambda: presets.bit_budget(spike_bits=17), "spike_bits=17"),
]


@pytest.mark.parametrize(("call", "begin"), ARGUMENTS, ids=[begin for _, begin in ARGUMENTS])
def test_a_bad_argument_is_named(call, begin):
    with pytest.raises(ArgumentError, match=f"^{begin} is not allowed: give "):
        call()


def test_names_are_those_of_the_presets():
    assert presets.NAMES == ("imsnn", "spquant", "qsnn", "sigmoid_quantizer", "bit_budget")
    for name in presets.NAMES:
        assert presets.resolve(name) == getattr(presets, name)()


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        (presets.qsnn(), presets.qsnn()),
        ({}, QuantSpec()),
        ({"membrane": {"kind": "float"}}, QuantSpec.full_precision()),
        ({"preset": "qsnn"}, presets.qsnn()),
        (
            {"preset": "qsnn", "membrane_bits": 4, "fidelity": "released"},
            presets.qsnn(4, "released"),
        ),
        (
            {"preset": "imsnn", "weight_bits": None, "membrane": {"smoothness": 4.0}},
            QuantSpec({"smoothness": 4.0}),
        ),
        (  # the same kind keeps what the preset has
            {"preset": "qsnn", "membrane": {"kind": "uniform", "bits": 8}},
            presets.qsnn(8),
        ),
        (  # another starts anew
            {"preset": "qsnn", "membrane": {"kind": "float"}, "weight": {"kind": "float"}},
            QuantSpec.full_precision(),
        ),
        (
            {"preset": "imsnn", "membrane": {"class_path": "my_package.Mine"}},
            replace(presets.imsnn(), membrane=MembraneSpec(class_path="my_package.Mine")),
        ),
        (
            {"preset": "spquant", "pruning": {"spatial_ratio": 0.5}},
            replace(presets.spquant(), pruning=PruningSpec(0.5, channel_threshold=0.47)),
        ),
        (
            {"preset": "imsnn", "spike": SpikeSpec(bits=2)},
            replace(presets.imsnn(), spike={"bits": 2}),
        ),
    ],
)
def test_values_that_stand_for_specs(value, spec):
    before = copy.deepcopy(value)
    assert presets.resolve(value) == spec
    assert value == before


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("imsn", r"^preset='imsn' is not allowed: give one of imsnn, .*; did you mean 'imsnn'\?$"),
        ({"preset": "spquan"}, r"^preset='spquan' .*; did you mean 'spquant'\?$"),
        ({"preset": ["imsnn"]}, r"^preset=\['imsnn'\] "),
        (
            {"preset": "imsnn", "weight_bit": 2},
            r"^imsnn has no option 'weight_bit': it has weight_bits, .*"
            r"did you mean 'weight_bits'\?$",
        ),
        ({"weight_bits": 2}, r"^spec has no option 'weight_bits'"),
        (4, r"^spec=4 is not allowed: give a QuantSpec, a preset's name or a mapping$"),
        (None, r"^spec=None is not allowed"),
        ({"preset": "imsnn", "membrane": {"bits": 4}}, r"^membrane\.bits=4 is not allowed"),
        ({"preset": "imsnn", "weight_bits": "4"}, r"^weight_bits='4' is not allowed"),
    ],
)
def test_values_that_stand_for_none_are_named(value, message):
    with pytest.raises(ArgumentError, match=message):
        presets.resolve(value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            {"preset": "imsnn", "weight_bits": 2, "weight": {"kind": "float"}},
            "weight_bits=2 is not allowed: give None together with weight, which says float",
        ),
        (
            {"preset": "qsnn", "membrane_bits": 4, "membrane": {"bits": 2}},
            "membrane_bits=4 is not allowed: give None together with membrane",
        ),
        (
            {"preset": "spquant", "pruned": False, "pruning": {"spatial_ratio": 0.5}},
            "pruned=False is not allowed: give None together with pruning",
        ),
        (
            {"preset": "imsnn", "fidelity": "released", "weight": {}, "membrane": {"kind": "float"}}
            | {"weight_bits": None, "spike": {"comparison": "host"}},
            "fidelity='released' is not allowed: give None together with weight and membrane",
        ),
    ],
)
def test_an_argument_that_a_part_overrules_is_refused(value, sentence):
    """One that a part agrees with, or that another part reads, is not."""
    with pytest.raises(ArgumentError, match=f"^{re.escape(sentence)}"):
        presets.resolve(value)
    assert presets.resolve(value, lambda part, argument: True)
    agreeing = {"preset": "imsnn", "weight_bits": 2, "weight": {"bits": 2}}
    assert presets.resolve(agreeing) == presets.imsnn(2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"preset": "qsnn", "membrane": {"scale": "fixed"}},
            {"kind": "tanh", "scale": "fixed"},
        ),
        ({"preset": "spquant", "threshold": {"gradient": "fixed"}}, {}),
        ({"preset": "spquant", "pruning": {"channel_threshold": None}}, {}),
    ],
    ids=lambda values: next(reversed(values), None),
)
def test_a_change_drops_what_the_preset_gave_and_nothing_reads_then(values, expected):
    part = next(reversed(values))
    spec = presets.resolve({"fidelity": "released", **values})
    assert getattr(spec, part).to_dict() == expected


@pytest.mark.parametrize(
    "values",
    [
        # recipes/spquant_vgg9.yaml under recipes/overlays/pruned.yaml
        {"preset": "spquant", "pruned": False, "pruning": {"channel_threshold": 0.47}},
        {"preset": "imsnn", "pruning": {"channel_threshold": 0.5}},
        {"preset": "qsnn", "threshold": {"gradient": "separate"}},
    ],
    ids=lambda values: values["preset"],
)
def test_a_part_that_is_added_has_the_fidelity_of_the_preset(values):
    name = next(reversed(values))
    part = values[name]
    for fidelity in ("paper", "released"):
        given = {"fidelity": fidelity, **values}
        assert getattr(presets.resolve(given, lambda *_: True), name).fidelity == fidelity
        given[name] = {**part, "fidelity": "paper"}
        assert getattr(presets.resolve(given, lambda *_: True), name).fidelity == "paper"


def test_a_given_option_that_nothing_reads_is_refused_with_a_preset_too():
    values = {"preset": "qsnn", "membrane": {"scale": "fixed", "evaluation": "published"}}
    with pytest.raises(ArgumentError, match=r"membrane\.evaluation='published'"):
        presets.resolve(values)
