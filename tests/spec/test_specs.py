import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec

NAN = float("nan")


def test_defaults_stay_what_recipes_were_trained_with():
    spec = QuantSpec()
    membrane = {"kind": "levels", "levels": (-1.0, 0.0, 1.0), "gradient": "stacked"}
    membrane |= {"surrogate": "sigmoid", "smoothness": 2.0}
    assert membrane.items() <= dataclasses.asdict(spec.membrane).items()
    assert spec.spike == SpikeSpec("triangle", 1.0, 1, "count")
    assert spec.threshold == ThresholdSpec("fixed", "sigmoid", "layer")
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


BAD = [
    (MembraneSpec, {"kind": "ternary"}, "membrane.kind='ternary'"),
    (MembraneSpec, {"levels": ()}, "membrane.levels=()"),
    (MembraneSpec, {"levels": (1, 0)}, "membrane.levels=(1, 0)"),
    (MembraneSpec, {"levels": (1.0, 2.0), "kind": "pruned"}, "membrane.levels=(1.0, 2.0)"),
    (MembraneSpec, {"levels": (-1.0, 0.0), "kind": "pruned"}, "membrane.levels=(-1.0, 0.0)"),
    (MembraneSpec, {"gradient": "none"}, "membrane.gradient='none'"),
    (MembraneSpec, {"surrogate": "none"}, "membrane.surrogate='none'"),
    (MembraneSpec, {"smoothness": -1.0}, "membrane.smoothness=-1.0"),
    (MembraneSpec, {"smoothness": NAN}, "membrane.smoothness=nan"),
    (MembraneSpec, {"bits": 0}, "membrane.bits=0"),
    (MembraneSpec, {"bits": 9}, "membrane.bits=9"),
    (MembraneSpec, {"bits": 2.5}, "membrane.bits=2.5"),
    (MembraneSpec, {"scale": "max"}, "membrane.scale='max'"),
    (MembraneSpec, {"scale_value": 0.0}, "membrane.scale_value=0.0"),
    (MembraneSpec, {"evaluation": "yes"}, "membrane.evaluation='yes'"),
    (MembraneSpec, {"momentum": 0.0}, "membrane.momentum=0.0"),
    (MembraneSpec, {"lower": 1.0}, "membrane.lower=1.0"),
    (SpikeSpec, {"surrogate": "none"}, "spike.surrogate='none'"),
    (SpikeSpec, {"sharpness": 0.0}, "spike.sharpness=0.0"),
    (SpikeSpec, {"bits": 0}, "spike.bits=0"),
    (SpikeSpec, {"value": "volts"}, "spike.value='volts'"),
    (ThresholdSpec, {"gradient": "both"}, "threshold.gradient='both'"),
    (ThresholdSpec, {"window": "rectangle"}, "threshold.window='rectangle'"),
    (ThresholdSpec, {"per": "neuron"}, "threshold.per='neuron'"),
    (PruningSpec, {"spatial_ratio": 1.0}, "pruning.spatial_ratio=1.0"),
    (PruningSpec, {"block": 0}, "pruning.block=0"),
    (PruningSpec, {"channel_threshold": 1.0}, "pruning.channel_threshold=1.0"),
]


@pytest.mark.parametrize(("part", "values", "begin"), BAD, ids=[begin for *_, begin in BAD])
def test_a_bad_value_is_named_with_its_part(part, values, begin):
    with pytest.raises(ArgumentError) as error:
        part(**values)
    assert str(error.value).startswith(begin + " is not allowed: give ")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"neuron": {}}, "spec='neuron' is not allowed: give keys among membrane, spike"),
        ({"membrane": {"bit": 2}}, r"spec\.membrane='bit' is not allowed: give keys among kind"),
        ({"membrane": {"bits": 0}}, r"membrane\.bits=0"),
    ],
)
def test_a_bad_dictionary_is_named(values, message):
    with pytest.raises(ArgumentError, match=message):
        QuantSpec.from_dict(values)


membranes = st.builds(
    MembraneSpec,
    kind=st.sampled_from(["float", "clip", "levels", "pruned", "threshold_centred", "uniform"]),
    levels=st.sampled_from([(-1.0, 0.0, 1.0), RELEASED_LEVELS]),
    gradient=st.sampled_from(["stacked", "straight_through", "clipped_straight_through"]),
    bits=st.integers(1, 8),
    scale=st.sampled_from(["running", "step_max", "learned", "fixed"]),
    scale_value=st.floats(0.1, 9.0),
)
specs = st.builds(
    QuantSpec,
    membrane=membranes,
    spike=st.builds(SpikeSpec, bits=st.integers(1, 8), value=st.sampled_from(["count"])),
    threshold=st.builds(ThresholdSpec, per=st.sampled_from(["layer", "channel"])),
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
    return values is None or type(values) in (bool, int, float, str)


@given(specs)
@settings(deadline=None)
def test_specs_come_back_from_plain_dictionaries_and_print_one_line_a_part(spec):
    values = spec.to_dict()
    assert only_plain(values)
    assert QuantSpec.from_dict(values) == spec
    lines = str(spec).splitlines()
    assert [line.split()[0] for line in lines] == list(values)
    assert all(len(line) < 120 for line in lines)
    assert hash(spec) == hash(QuantSpec.from_dict(values))


def test_what_a_spec_prints():
    spec = QuantSpec(
        MembraneSpec(kind="uniform", bits=4, scale="step_max", gradient="straight_through"),
        SpikeSpec(bits=2, value="threshold"),
        ThresholdSpec("ordinary", per="channel"),
        pruning=PruningSpec(0.35, 2, 0.5, channel_softmax=True),
    )
    assert str(spec) == (
        "membrane   uniform, 4 bits, step_max scale (running at evaluation), "
        "straight_through gradient\n"
        "spike      2 bits times the threshold, straight-through\n"
        "threshold  learned, one a channel, ordinary gradient\n"
        "weight     float, 32 bits\n"
        "pruning    35 % of the neurons in blocks of 2 x 2, channels that score up to 0.5 "
        "after a softmax"
    )


def test_specs_hold_no_tensors():
    assert not any(isinstance(v, torch.Tensor) for v in dataclasses.asdict(QuantSpec()).values())
