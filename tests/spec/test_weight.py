"""The weights' part of a spec."""

import dataclasses

import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import WeightQuantizer, weight_quantizer
from qsnn_plugins.spec import QuantSpec, WeightSpec

WIDTHS = {
    "power_of_two": (2, 3, 4, 5, 6, 7, 8),
    "additive_power_of_two": (2, 3, 4, 5, 6, 7, 8),
    "uniform": (1, 2, 3, 4, 5, 6, 7, 8),
    "binary": (1,),
    "statistical": (2, 3, 4, 5, 6, 7, 8),
    "mint": (2, 3, 4, 5, 6, 7, 8),
    "sigmoid": (1, 2, 4, 8),
}


TWO_FORMS = ("power_of_two", "additive_power_of_two", "binary", "sigmoid")


@pytest.mark.parametrize(
    ("kind", "fidelity"),
    [(kind, None) for kind in WIDTHS] + [(kind, "released") for kind in TWO_FORMS],
)
@pytest.mark.filterwarnings("ignore:a grid of powers of two:UserWarning")
def test_every_width_of_a_kind_is_built_and_others_are_refused(kind, fidelity):
    weight = torch.randn(4, 3, 2, 2)
    for bits in range(10):
        if bits in WIDTHS[kind]:
            spec = WeightSpec(kind, bits, fidelity=fidelity)
            quantizer = weight_quantizer(weight, spec)
            assert isinstance(quantizer, WeightQuantizer)
            assert quantizer.bits == bits == spec.storage_bits
        else:
            with pytest.raises(ArgumentError, match=r"weight\.bits="):
                WeightSpec(kind, bits, fidelity=fidelity)


def test_released_options_are_those_of_the_codes():
    def options(kind, bits):
        return WeightSpec(kind, bits, fidelity="released").options

    grid = {"bits": 4, "fidelity": "released", "scale": "learned", "regulation": "layer"}
    assert options("power_of_two", 4) == options("additive_power_of_two", 4) == grid
    assert options("binary", 1)["gradient"] == "ede"
    sigmoid = {"bits": 2, "fidelity": "released", "thresholds": "k_means", "temperature_rate": 5.0}
    assert options("sigmoid", 2) == sigmoid


def test_an_option_that_is_given_overrides_the_fidelity():
    spec = WeightSpec("sigmoid", 2, thresholds="k_means", temperature_rate=20)
    quantizer = weight_quantizer(torch.randn(4, 4), spec)
    assert "thresholds=k_means" in repr(quantizer)
    assert quantizer.temperature_rate == 20
    spec = WeightSpec("power_of_two", 4, fidelity="released", regulation="none")
    assert (spec.options["scale"], spec.options["regulation"]) == ("learned", "none")


@pytest.mark.parametrize(
    "spec",
    [
        WeightSpec(),
        WeightSpec("binary", 1, "eight_bit", fidelity="released"),
        WeightSpec("additive_power_of_two", fidelity="released", regulation="none"),
        WeightSpec("sigmoid", 4, thresholds="k_means", temperature_rate=0),
        WeightSpec("uniform", 2, scale="max", per="channel"),
    ],
)
def test_round_trip_through_a_dict(spec):
    whole = QuantSpec(weight=spec)
    assert QuantSpec.from_dict(whole.to_dict()) == whole
    values = whole.to_dict().get("weight", {}).values()
    assert all(isinstance(value, str | int | float) for value in values)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("kind", {"kind": "tanh"}),
        ("bits", {"kind": "uniform", "bits": 2.0}),
        ("bits", {"kind": "uniform", "bits": True}),
        ("bits", {"kind": "uniform", "bits": "4"}),
        ("bits", {"kind": "float", "bits": 4}),
        ("first_last", {"kind": "uniform", "first_last": "first"}),
        ("first_last", {"kind": "float", "first_last": "eight_bit"}),
        ("fidelity", {"kind": "uniform", "fidelity": "code"}),
        ("scale", {"kind": "power_of_two", "scale": "max"}),
        ("scale", {"kind": "statistical", "scale": "max"}),
        ("per", {"kind": "mint", "per": "channel"}),
        ("per", {"kind": "uniform", "per": "row"}),
        ("regulation", {"kind": "uniform", "regulation": "layer"}),
        ("gradient", {"kind": "binary", "bits": 1, "gradient": "none"}),
        ("thresholds", {"kind": "sigmoid", "thresholds": "best"}),
        ("temperature_rate", {"kind": "mint", "temperature_rate": 2.0}),
        ("temperature_rate", {"kind": "sigmoid", "temperature_rate": -1.0}),
    ],
)
def test_refused_by_name(name, arguments):
    with pytest.raises(ArgumentError, match=rf"^weight\.{name}="):
        WeightSpec(**arguments)


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        WeightSpec().bits = 2
