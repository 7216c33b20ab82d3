import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.spec import (
    MembraneSpec,
    PruningSpec,
    QuantSpec,
    SpikeSpec,
    ThresholdSpec,
    WeightSpec,
)

NAN = float("nan")


def test_defaults_stay_what_recipes_were_trained_with():
    spec = QuantSpec()
    membrane = {"kind": "levels", "levels": (-1.0, 0.0, 1.0), "gradient": "stacked"}
    membrane |= {"surrogate": "sigmoid", "smoothness": 2.0}
    assert membrane.items() <= dataclasses.asdict(spec.membrane).items()
    assert spec.spike == SpikeSpec("triangle", 1.0, 1, "count")
    assert spec.threshold.gradient == "fixed"
    learned = ThresholdSpec(gradient="separate")
    assert (learned.window, learned.per) == ("sigmoid", "layer")
    scaled = {"bits": 2, "scale": "running", "scale_value": 1.0, "momentum": 0.1}
    uniform = MembraneSpec(kind="uniform", gradient="straight_through")
    assert scaled.items() <= dataclasses.asdict(uniform).items()
    assert not spec.pruning.prunes


@pytest.mark.parametrize(
    ("spec", "bits", "levels"),
    [
        (MembraneSpec(), 2, 3),
        (MembraneSpec(levels=RELEASED_LEVELS), 3, 5),
        (MembraneSpec(levels=(0, 1)), 1, 2),
        (MembraneSpec(kind="pruned"), 1, 2),
        (MembraneSpec(kind="uniform", bits=1), 1, 2),
        (MembraneSpec(kind="uniform", bits=2), 2, 3),
        (MembraneSpec(kind="uniform", bits=8), 8, 255),
        (MembraneSpec(kind="tanh", bits=4), 4, 15),
        (MembraneSpec(kind="threshold_centred", bits=3), 3, 8),
        (MembraneSpec(kind="clip"), 32, 0),
        (MembraneSpec(kind="float"), 32, 0),
    ],
    ids=str,
)
def test_bits_that_are_stored(spec, bits, levels):
    assert spec.storage_bits == bits
    assert len(spec.level_table) == levels


UNIFORM = {"kind": "uniform"}
SPATIAL = {"spatial_ratio": 0.5}
BAD = [
    (MembraneSpec, {"kind": "ternary"}, "membrane.kind='ternary'"),
    (MembraneSpec, {"kind": ["float"]}, "membrane.kind=['float']"),
    (MembraneSpec, {"levels": ()}, "membrane.levels=()"),
    (MembraneSpec, {"levels": (1, 0)}, "membrane.levels=(1, 0)"),
    (MembraneSpec, {"levels": 3}, "membrane.levels=3"),
    (MembraneSpec, {"levels": torch.tensor(3.0)}, "membrane.levels=tensor(3.)"),
    (MembraneSpec, {"levels": {-1.0: 0.0, 1.0: 0.0}}, "membrane.levels={-1.0: 0.0, 1.0: 0.0}"),
    (MembraneSpec, {"levels": "01"}, "membrane.levels='01'"),
    (MembraneSpec, {"levels": (0.0, NAN)}, "membrane.levels=(0.0, nan)"),
    (MembraneSpec, {"levels": (False, True)}, "membrane.levels=(False, True)"),
    (MembraneSpec, {"levels": (1.0, 2.0), "kind": "pruned"}, "membrane.levels=(1.0, 2.0)"),
    (MembraneSpec, {"levels": (-1.0, 0.0), "kind": "pruned"}, "membrane.levels=(-1.0, 0.0)"),
    (MembraneSpec, {"gradient": "none"}, "membrane.gradient='none'"),
    (MembraneSpec, {"surrogate": "none"}, "membrane.surrogate='none'"),
    (MembraneSpec, {"smoothness": -1.0}, "membrane.smoothness=-1.0"),
    (MembraneSpec, {"smoothness": NAN}, "membrane.smoothness=nan"),
    (MembraneSpec, {"smoothness": "x"}, "membrane.smoothness='x'"),
    (MembraneSpec, {"smoothness": 10**309}, "membrane.smoothness=<int>"),
    (MembraneSpec, {"smoothness": True}, "membrane.smoothness=True"),
    (MembraneSpec, {**UNIFORM, "bits": 0}, "membrane.bits=0"),
    (MembraneSpec, {**UNIFORM, "bits": 9}, "membrane.bits=9"),
    (MembraneSpec, {**UNIFORM, "bits": 2.0}, "membrane.bits=2.0"),
    (MembraneSpec, {**UNIFORM, "bits": True}, "membrane.bits=True"),
    (MembraneSpec, {**UNIFORM, "bits": "4"}, "membrane.bits='4'"),
    (MembraneSpec, {**UNIFORM, "scale": "max"}, "membrane.scale='max'"),
    (MembraneSpec, {**UNIFORM, "scale_value": 0.0}, "membrane.scale_value=0.0"),
    (MembraneSpec, {**UNIFORM, "scale_value": math.inf}, "membrane.scale_value=inf"),
    (
        MembraneSpec,
        {**UNIFORM, "scale": "step_max", "evaluation": "yes"},
        "membrane.evaluation='yes'",
    ),
    (MembraneSpec, {**UNIFORM, "momentum": 0.0}, "membrane.momentum=0.0"),
    (MembraneSpec, {"kind": "clip", "lower": 1.0}, "membrane.lower=1.0"),
    (MembraneSpec, {"kind": "clip", "upper": "1"}, "membrane.upper='1'"),
    (SpikeSpec, {"surrogate": "none"}, "spike.surrogate='none'"),
    (SpikeSpec, {"sharpness": 0.0}, "spike.sharpness=0.0"),
    (SpikeSpec, {"bits": 0}, "spike.bits=0"),
    (SpikeSpec, {"bits": "2"}, "spike.bits='2'"),
    (SpikeSpec, {"value": "volts"}, "spike.value='volts'"),
    (ThresholdSpec, {"gradient": "both"}, "threshold.gradient='both'"),
    (
        ThresholdSpec,
        {"gradient": "separate", "window": "rectangle"},
        "threshold.window='rectangle'",
    ),
    (ThresholdSpec, {"gradient": "ordinary", "per": "neuron"}, "threshold.per='neuron'"),
    (PruningSpec, {"spatial_ratio": 1.0}, "pruning.spatial_ratio=1.0"),
    (PruningSpec, {**SPATIAL, "block": 0}, "pruning.block=0"),
    (PruningSpec, {"channel_threshold": 1.0}, "pruning.channel_threshold=1.0"),
    (PruningSpec, {"channel_threshold": False}, "pruning.channel_threshold=False"),
    (PruningSpec, {"channel_threshold": 0.5, "fidelity": "code"}, "pruning.fidelity='code'"),
    (PruningSpec, {**SPATIAL, "masked": "state"}, "pruning.masked='state'"),
    (QuantSpec, {"membrane": None}, "spec.membrane=None"),
    (QuantSpec, {"membrane": "imsnn"}, "spec.membrane='imsnn'"),
]


@pytest.mark.parametrize(("part", "values", "begin"), BAD, ids=[begin for *_, begin in BAD])
def test_a_bad_value_is_named_with_its_part(part, values, begin):
    with pytest.raises(ArgumentError) as error:
        part(**values)
    assert str(error.value).startswith(begin + " is not allowed: give ")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "spec=None is not allowed: give a mapping of parts"),
        ({"neuron": {}}, "spec has no option 'neuron': it has membrane, spike"),
        ({"membrane": {"bit": 2}}, r"spec\.membrane has no option 'bit': it has kind"),
        ({"membrane": {"bit": 2}}, r"did you mean 'bits'\?$"),
        ({"membran": {}}, r"did you mean 'membrane'\?$"),
        ({"membrane": {"kind": "uniform", "bits": 0}}, r"membrane\.bits=0"),
    ],
)
def test_a_bad_dictionary_is_named(values, message):
    with pytest.raises(ArgumentError, match=message):
        QuantSpec.from_dict(values)


def test_integers_of_numpy_are_integers():
    four = np.int64(4)
    spec = QuantSpec(MembraneSpec(kind="uniform", bits=four), weight=WeightSpec("mint", bits=four))
    assert type(spec.membrane.bits) is type(spec.weight.bits) is int
    assert presets.imsnn(weight_bits=four) == presets.imsnn(weight_bits=4)


KINDS = ["float", "clip", "levels", "pruned", "threshold_centred", "uniform", "tanh"]
OPTIONS = {
    "kind": st.sampled_from(KINDS),
    "levels": st.sampled_from([(-1.0, 0.0, 1.0), RELEASED_LEVELS]),
    "gradient": st.sampled_from(["stacked", "straight_through", "clipped_straight_through"]),
    "bits": st.integers(1, 8),
    "scale": st.sampled_from(["running", "step_max", "learned", "fixed"]),
    "evaluation": st.sampled_from(["running", "published"]),
    "scale_value": st.floats(0.1, 9.0),
    "momentum": st.floats(0.1, 1.0),
}


def allowed(part, values):
    """Build a part of those values that it reads, dropping the others one by one."""
    while True:
        try:
            return part(**values)
        except ArgumentError as error:
            unread = error.argument.partition(".")[2]
            values = {name: value for name, value in values.items() if name != unread}


specs = st.builds(
    QuantSpec,
    membrane=st.fixed_dictionaries({}, optional=OPTIONS).map(lambda v: allowed(MembraneSpec, v)),
    spike=st.builds(SpikeSpec, bits=st.integers(1, 8), value=st.sampled_from(["count"])),
    threshold=st.builds(
        ThresholdSpec,
        gradient=st.sampled_from(["ordinary", "separate"]),
        per=st.sampled_from(["layer", "channel"]),
    ),
    pruning=st.builds(
        PruningSpec,
        spatial_ratio=st.floats(0, 0.99),
        channel_threshold=st.none() | st.floats(0.01, 0.99),
    ),
)


def only_plain(values):
    if isinstance(values, dict):
        return all(isinstance(k, str) and only_plain(v) for k, v in values.items())
    if isinstance(values, list):
        return all(only_plain(v) for v in values)
    return type(values) in (bool, int, float, str)


@given(specs)
@settings(deadline=None)
def test_specs_come_back_from_plain_dictionaries_and_print_one_line_a_part(spec):
    values = spec.to_dict()
    assert only_plain(values)
    assert QuantSpec.from_dict(values) == spec
    lines = str(spec).splitlines()
    parts = ["membrane", "spike", "threshold", "weight", "pruning"]
    assert [line.split()[0] for line in lines] == parts
    assert [part for part in parts if part in values] == list(values)
    assert all(len(line) < 120 for line in lines)
    assert hash(spec) == hash(QuantSpec.from_dict(values))


def test_a_dictionary_holds_what_differs_from_the_defaults():
    assert QuantSpec().to_dict() == {}
    assert QuantSpec.full_precision().to_dict() == {"membrane": {"kind": "float"}}
    spec = QuantSpec(
        MembraneSpec(kind="uniform", bits=2, scale="step_max", gradient="stacked"),
        weight=WeightSpec(kind="binary", fidelity="released", gradient="ede", per="layer"),
    )
    assert spec.to_dict() == {
        "membrane": {"kind": "uniform", "scale": "step_max"},
        "weight": {"kind": "binary", "fidelity": "released", "per": "layer"},
    }


def test_parts_may_be_mappings_but_not_other_parts():
    with pytest.raises(ArgumentError, match=r"^spec\.spike=MembraneSpec.*give a SpikeSpec or a m"):
        QuantSpec(spike=MembraneSpec())
    spec = QuantSpec({"kind": "float"}, spike={"bits": 2})
    assert spec == QuantSpec(MembraneSpec(kind="float"), SpikeSpec(bits=2))


def test_plain_neurons_and_those_that_need_channels():
    plain = QuantSpec.full_precision()
    assert plain.is_plain
    assert dataclasses.replace(plain, weight=WeightSpec(kind="binary")).is_plain
    for changed in (
        {"membrane": {"kind": "clip"}},
        {"spike": {"bits": 2}},
        {"spike": {"value": "threshold"}},
        {"threshold": {"gradient": "ordinary"}},
        {"pruning": {"spatial_ratio": 0.1}},
    ):
        assert not dataclasses.replace(plain, **changed).is_plain
    assert not QuantSpec(threshold={"gradient": "separate"}).needs_channels
    assert QuantSpec(threshold={"gradient": "separate", "per": "channel"}).needs_channels
    assert not QuantSpec(pruning={"spatial_ratio": 0.5}).needs_channels
    gated = dataclasses.replace(plain, pruning={"channel_threshold": 0.5})
    assert gated.is_plain, "a gate is not the neuron's"
    assert not gated.needs_channels


def test_what_a_spec_prints():
    spec = QuantSpec(
        MembraneSpec(kind="uniform", bits=4, scale="step_max", gradient="straight_through"),
        SpikeSpec(bits=2, value="threshold"),
        ThresholdSpec("ordinary", per="channel"),
        pruning=PruningSpec(0.35, 2, 0.5, "membrane", "released"),
    )
    assert str(spec) == (
        "membrane   uniform, 4 bits, step_max scale (running at evaluation), "
        "straight_through gradient\n"
        "spike      2 bits times the threshold, straight-through\n"
        "threshold  learned per channel, ordinary gradient\n"
        "weight     float, 32 bits\n"
        "pruning    35 % of the neurons in blocks of 2 x 2 (their past too), "
        "channels that score up to 0.5 by the input"
    )


def test_specs_hold_no_tensors():
    assert not any(isinstance(v, torch.Tensor) for v in dataclasses.asdict(QuantSpec()).values())


def test_a_spec_may_be_built_of_a_number_that_is_a_symbol_to_torch_compile():
    """A schedule sharpens a surrogate: the compiled neuron builds the spec of its spikes anew."""
    torch._dynamo.reset()

    @torch.compile(fullgraph=True, backend="eager")
    def scaled(x, sharpness):
        return x * SpikeSpec(sharpness=sharpness).sharpness

    for sharpness in (2.0, 3.0, 4.5):
        assert scaled(torch.ones(()), sharpness) == sharpness
