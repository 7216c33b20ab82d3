"""What a kind does not read is refused by name, also where it is given at its default value."""

from typing import get_args

import pytest

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import (
    MembraneSpec,
    PruningSpec,
    QuantSpec,
    SpikeSpec,
    ThresholdSpec,
    WeightSpec,
)
from qsnn_plugins.spec.membrane import MembraneKind
from qsnn_plugins.spec.weight import WeightKind

OPTIONS = {
    MembraneSpec: {
        "levels": (-1.0, 0.0, 1.0),
        "gradient": "stacked",
        "surrogate": "sigmoid",
        "smoothness": 2.0,
        "bits": 2,
        "scale": "running",
        "scale_value": 1.0,
        "evaluation": "running",
        "momentum": 0.1,
        "lower": -1.0,
        "upper": 1.0,
        "class_path": "torch.nn.Hardtanh",
        "init_args": {},
    },
    SpikeSpec: {"surrogate": "triangle", "sharpness": 1.0, "value": "count"},
    ThresholdSpec: {"window": "sigmoid", "per": "layer"},
    PruningSpec: {"block": 1, "masked": "accumulation", "fidelity": "paper"},
    WeightSpec: {
        "bits": 1,
        "first_last": "same",
        "fidelity": "paper",
        "scale": "power_of_two",
        "per": "layer",
        "regulation": "none",
        "gradient": "ede",
        "thresholds": "middle",
        "temperature_rate": 2.0,
        "class_path": "torch.nn.Hardtanh",
        "init_args": {},
    },
}
STACKED = {"gradient", "surrogate", "smoothness"}
SCALED = {"bits", "scale", "scale_value"}
PATH = {"class_path": "torch.nn.Hardtanh"}
GRID = {"bits", "first_last", "fidelity", "scale", "regulation"}
# what is read of a part, by what else was given
READ = [
    (MembraneSpec, {"kind": "float"}, set()),
    (MembraneSpec, {"kind": "clip"}, {"lower", "upper"}),
    (MembraneSpec, {}, {"levels"} | STACKED),
    (MembraneSpec, {"kind": "levels"}, {"levels"} | STACKED),
    (MembraneSpec, {"kind": "levels", "gradient": "straight_through"}, {"levels"}),
    (MembraneSpec, {"kind": "pruned"}, {"levels"} | STACKED),
    (MembraneSpec, {"kind": "pruned", "gradient": "clipped_straight_through"}, {"levels"}),
    (MembraneSpec, {"kind": "uniform"}, SCALED | STACKED | {"momentum"}),
    (MembraneSpec, {"kind": "uniform", "gradient": "straight_through"}, SCALED | {"momentum"}),
    (MembraneSpec, {"kind": "uniform", "scale": "learned"}, SCALED | STACKED),
    (MembraneSpec, {"kind": "uniform", "scale": "fixed"}, SCALED | STACKED),
    (
        MembraneSpec,
        {"kind": "uniform", "scale": "step_max"},
        SCALED | STACKED | {"evaluation", "momentum"},
    ),
    (
        MembraneSpec,
        {"kind": "uniform", "scale": "step_max", "evaluation": "published"},
        {"bits"} | STACKED,
    ),
    (MembraneSpec, {"kind": "tanh"}, SCALED | {"momentum"}),
    (MembraneSpec, {"kind": "tanh", "scale": "learned"}, SCALED),
    (MembraneSpec, {"kind": "threshold_centred"}, {"bits", "scale_value"} | STACKED),
    (MembraneSpec, {"kind": "custom", **PATH}, {"init_args"}),
    (MembraneSpec, PATH, {"init_args"}),
    (SpikeSpec, {}, {"surrogate", "sharpness", "value"}),
    (SpikeSpec, {"bits": 1}, {"surrogate", "sharpness", "value"}),
    (SpikeSpec, {"bits": 2}, {"value"}),
    (ThresholdSpec, {}, set()),
    (ThresholdSpec, {"gradient": "fixed"}, set()),
    (ThresholdSpec, {"gradient": "ordinary"}, {"per"}),
    (ThresholdSpec, {"gradient": "separate"}, {"per", "window"}),
    (PruningSpec, {}, set()),
    (PruningSpec, {"spatial_ratio": 0.0}, set()),
    (PruningSpec, {"spatial_ratio": 0.5}, {"block", "masked"}),
    (PruningSpec, {"channel_threshold": 0.5}, {"fidelity"}),
    (WeightSpec, {}, set()),
    (WeightSpec, {"kind": "float"}, set()),
    (WeightSpec, {"kind": "power_of_two"}, GRID),
    (WeightSpec, {"kind": "additive_power_of_two"}, GRID),
    (WeightSpec, {"kind": "uniform"}, {"bits", "first_last", "scale", "per"}),
    (WeightSpec, {"kind": "binary"}, GRID | {"per", "gradient"}),
    (WeightSpec, {"kind": "statistical"}, {"bits", "first_last"}),
    (WeightSpec, {"kind": "mint"}, {"bits", "first_last", "scale"}),
    (
        WeightSpec,
        {"kind": "sigmoid"},
        {"bits", "first_last", "fidelity", "thresholds", "temperature_rate"},
    ),
    (WeightSpec, {"kind": "custom", **PATH}, {"first_last", "init_args"}),
    (WeightSpec, PATH, {"first_last", "init_args"}),
]
# values that a kind has instead of those above
OTHERWISE = {
    ("uniform", "scale"): "max",
    ("mint", "scale"): "max",
    **{(kind, "bits"): 2 for kind in ("power_of_two", "additive_power_of_two")},
    **{(kind, "bits"): 2 for kind in ("statistical", "mint")},
}


def given(part, values, option):
    value = OPTIONS[part][option]
    if part is WeightSpec:
        value = OTHERWISE.get((values.get("kind"), option), value)
    return {**values, option: value}


def cases(read):
    return [
        pytest.param(part, values, option, id=f"{part.__name__}-{values}-{option}")
        for part, values, options in READ
        for option in OPTIONS[part]
        if option not in values and (option in options) is read
    ]


@pytest.mark.parametrize(("part", "values", "option"), cases(read=True))
def test_an_option_that_is_read_is_set(part, values, option):
    values = given(part, values, option)
    spec = part(**values)
    assert getattr(spec, option) == values[option]


@pytest.mark.parametrize(("part", "values", "option"), cases(read=False))
def test_an_option_that_is_not_read_is_refused(part, values, option):
    if option == "class_path" and "kind" not in values:
        return  # it is what makes the kind "custom"
    assert getattr(part(**values), option) is None
    values = given(part, values, option)
    with pytest.raises(ArgumentError) as error:
        part(**values)
    assert error.value.argument.endswith(f".{option}")
    assert error.value.value == values[option]
    assert error.value.allowed.startswith("None ")


def test_every_kind_stands_in_the_table():
    for part, kinds in ((MembraneSpec, MembraneKind), (WeightSpec, WeightKind)):
        tested = {values.get("kind") for cls, values, _ in READ if cls is part}
        assert tested - {None} == set(get_args(kinds))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: MembraneSpec(bits=4),
            "membrane.bits=4 is not allowed: give None for kind 'levels'; "
            "'uniform', 'tanh' and 'threshold_centred' read it",
        ),
        (
            lambda: MembraneSpec(kind="float", bits=4, scale="learned"),
            "membrane.bits=4 is not allowed: give None for kind 'float'; "
            "'uniform', 'tanh' and 'threshold_centred' read it",
        ),
        (
            lambda: SpikeSpec(bits=2, surrogate="arctan"),
            "spike.surrogate='arctan' is not allowed: give None for bits 2; 1 reads it",
        ),
        (
            lambda: ThresholdSpec(per="channel"),
            "threshold.per='channel' is not allowed: give None for gradient 'fixed'; "
            "'ordinary' and 'separate' read it",
        ),
        (
            lambda: QuantSpec.from_dict({"membrane": {"levels": [-1, 0, 1], "bits": 4}}),
            "membrane.bits=4 is not allowed: give None for kind 'levels'; "
            "'uniform', 'tanh' and 'threshold_centred' read it",
        ),
        (
            lambda: MembraneSpec(gradient="straight_through", smoothness=3.0),
            "membrane.smoothness=3.0 is not allowed: give None for gradient 'straight_through'; "
            "'stacked' reads it",
        ),
        (
            lambda: MembraneSpec(
                kind="tanh", scale="step_max", evaluation="published", momentum=0.5
            ),
            "membrane.momentum=0.5 is not allowed: give None for evaluation 'published'; "
            "'running' reads it",
        ),
        (
            lambda: PruningSpec(channel_threshold=0.5, block=2),
            "pruning.block=2 is not allowed: give None without spatial_ratio",
        ),
        (
            lambda: WeightSpec(kind="float", bits=4),
            "weight.bits=4 is not allowed: give None for kind 'float'; 'power_of_two', "
            "'additive_power_of_two', 'uniform', 'binary', 'statistical', 'mint' and 'sigmoid' "
            "read it",
        ),
    ],
)
def test_the_error_names_the_option_and_who_reads_it(build, message):
    with pytest.raises(ArgumentError) as error:
        build()
    assert str(error.value) == message
