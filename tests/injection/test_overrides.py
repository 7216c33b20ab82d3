"""Which spec a module has, by patterns over names."""

import pytest

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection import LayerSpecs
from qsnn_plugins.spec import QuantSpec, ThresholdSpec

A, B, C = presets.imsnn(), presets.qsnn(), presets.bit_budget()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, A),
        ({"layer1": B}, B),  # a container's name covers everything below it
        ({"layer1.*": B}, B),
        ({"layer1.0": B}, B),
        ({"layer1.0.conv1": B}, B),
        ({"*": B}, B),
        ({"*.conv1": B}, B),
        ({"*.con?1": B}, B),
        ({"layer[12].*": B}, B),
        ({"layer1.0.conv1": None}, None),
        ({"conv1": B}, A),  # the whole name, not a part of it
        ({"layer": B}, A),
        ({"Layer1": B}, A),
        ({"layer1.0.conv1.*": B}, A),  # what is below it alone
        ({"*": C, "layer1.*": B}, B),
        ({"layer1.*": B, "*": C}, B),
        ({"layer1": B, "layer1.0.*": None}, None),
        ({"layer1.0": None, "*.conv1": B}, None),  # 8 characters against 6
        ({"layer1.0.conv1": B, "*layer1.0.conv1*": C}, B),  # as many, and no wildcard
        ({"layer1": B, "*.conv1": C}, B),  # likewise
        ({"layer1.*": B, "*0.conv1": B}, B),  # equally specific, and the same
    ],
)
def test_the_most_specific_pattern_counts(overrides, expected):
    assert LayerSpecs(A, overrides).of("layer1.0.conv1") == expected


def test_equally_specific_patterns_that_differ_are_refused():
    specs = LayerSpecs(A, {"layer1.*": B, "*0.conv1": C})  # 7 characters and a wildcard each
    assert specs.of("layer1.0.conv2") == B
    with pytest.raises(ArgumentError, match=r"\['layer1\.\*', '\*0\.conv1'\].*layer1\.0\.conv1"):
        specs.of("layer1.0.conv1")


def test_names_of_one_module_have_one_spec():
    specs = LayerSpecs(A, {"a": B, "b": B, "c": None})
    assert specs.shared(["a", "b"]) == B
    with pytest.raises(ArgumentError, match=r"\['a', 'c'\].*one module"):
        specs.shared(["a", "c"])


def test_a_pattern_that_covers_nothing_names_near_ones():
    names = ["features.0", "features.1", "classifier.0"]
    LayerSpecs(A, {"features": B, "*.1": None}).check(names)
    with pytest.raises(ArgumentError, match=r"overrides='feature\.\*'.*such as features"):
        LayerSpecs(A, {"features": B, "feature.*": B}).check(names)


def test_values_are_what_presets_resolve():
    specs = LayerSpecs("imsnn", {"a": "qsnn", "b": {"preset": "imsnn", "weight_bits": 2}})
    assert specs.of("c") == presets.imsnn()
    assert specs.of("a") == presets.qsnn()
    assert specs.of("b") == presets.imsnn(weight_bits=2)


@pytest.mark.parametrize(
    ("spec", "overrides", "match"),
    [
        ("imsn", None, "spec='imsn'"),
        (None, None, "spec=None"),
        (A, {"fc": "imsn"}, r"overrides\['fc'\]='imsn'"),
        (A, {"fc": {"membrane": {"kind": "levls"}}}, r"overrides\['fc'\].*kind='levls'"),
        (A, [("fc", None)], "a mapping from patterns"),
    ],
)
def test_what_is_no_spec_is_named(spec, overrides, match):
    with pytest.raises(ArgumentError, match=match):
        LayerSpecs(spec, overrides)


def test_a_spec_says_whether_it_needs_channels():
    assert QuantSpec(threshold=ThresholdSpec("ordinary", per="channel")).needs_channels
    assert not presets.spquant().needs_channels


def test_a_pattern_is_a_string():
    with pytest.raises(ArgumentError, match=r"overrides=0 .* strings"):
        LayerSpecs("imsnn", {0: None})
