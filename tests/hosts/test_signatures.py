"""Named neurons show their arguments to completion, mypy and jsonargparse, alike in both hosts."""

import inspect
from pathlib import Path

import pytest
import snntorch as host_snntorch
import torch
from jsonargparse import ArgumentParser
from spikingjelly.activation_based import neuron
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.snntorch import (
    KBitLeaky,
    MultiBitLeaky,
    QuantLapicque,
    QuantLeaky,
    TernaryLeaky,
)
from qsnn_plugins.spec import MembraneSpec, QuantSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import (
    KBitIFNode,
    KBitLIFNode,
    MultiBitIFNode,
    MultiBitLIFNode,
    QuantIFNode,
    QuantLIFNode,
    QuantParametricLIFNode,
    TernaryIFNode,
    TernaryLIFNode,
)

HOSTS = {
    QuantLIFNode: neuron.LIFNode,
    TernaryLIFNode: neuron.LIFNode,
    KBitLIFNode: neuron.LIFNode,
    MultiBitLIFNode: neuron.LIFNode,
    QuantIFNode: neuron.IFNode,
    TernaryIFNode: neuron.IFNode,
    KBitIFNode: neuron.IFNode,
    MultiBitIFNode: neuron.IFNode,
    QuantParametricLIFNode: neuron.ParametricLIFNode,
    QuantLeaky: host_snntorch.Leaky,
    TernaryLeaky: host_snntorch.Leaky,
    KBitLeaky: host_snntorch.Leaky,
    MultiBitLeaky: host_snntorch.Leaky,
}
KINDS = [
    (TernaryLIFNode, TernaryIFNode, TernaryLeaky),
    (KBitLIFNode, KBitIFNode, KBitLeaky),
    (MultiBitLIFNode, MultiBitIFNode, MultiBitLeaky),
]


def parameters(kind):
    return inspect.signature(kind).parameters


@pytest.mark.parametrize("kind", [*HOSTS, QuantLapicque], ids=lambda kind: kind.__name__)
def test_no_argument_hides_and_each_has_a_type(kind):
    for parameter in parameters(kind).values():
        assert parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        assert parameter.annotation is not parameter.empty


@pytest.mark.parametrize(("kind", "host"), HOSTS.items(), ids=lambda kind: kind.__name__)
def test_the_arguments_by_position_are_the_host_s_in_its_order(kind, host):
    places = [p.name for p in parameters(kind).values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    theirs = [p for p in parameters(host).values() if p.name not in ("backend", "kwargs")]
    assert places == [p.name for p in theirs][: len(places)]
    for parameter in theirs[: len(places)]:
        ours = parameters(kind)[parameter.name].default
        if parameter.name == "decay_input":
            assert (ours, parameter.default) == (False, True)  # the first line of each says so
            assert kind.__doc__.splitlines()[0].endswith(f"True in `{host.__name__}`.")
        elif parameter.name not in ("surrogate_function", "detach_reset"):
            assert ours == parameter.default, parameter.name


@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: kinds[0].__name__)
def test_a_kind_has_the_same_options_in_both_hosts(kinds):
    lif, *others = (
        {p.name: p.annotation for p in parameters(kind).values() if p.kind is p.KEYWORD_ONLY}
        for kind in kinds
    )
    assert "threshold_spec" in lif
    assert all(other == lif for other in others)


def test_the_scale_of_k_bits_is_the_threshold_in_both_hosts():
    for scale in ("fixed", "learned", "running"):
        nodes = [
            KBitLIFNode(v_threshold=0.5, scale=scale),
            KBitIFNode(v_threshold=0.5, scale=scale),
            KBitLeaky(0.9, threshold=0.5, scale=scale),
        ]
        assert {node.quant_spec.membrane.scale_value for node in nodes} == {0.5}
    assert KBitLIFNode(scale_value=2.0).quant_spec.membrane.scale_value == 2.0


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("spikingjelly.TernaryLIFNode", {"tau": 4.0, "smoothness": 3.0, "step_mode": "m"}),
        ("spikingjelly.KBitIFNode", {"v_reset": None, "bits": 3, "scale": "learned"}),
        ("spikingjelly.MultiBitLIFNode", {"membrane": {"kind": "clip"}, "value": "threshold"}),
        ("snntorch.TernaryLeaky", {"beta": 0.5, "threshold_spec": {"gradient": "ordinary"}}),
        ("snntorch.KBitLeaky", {"beta": 0.5, "bits": 3, "scale_value": 2.0}),
        ("snntorch.MultiBitLeaky", {"beta": 0.5, "bits": 3, "reset_delay": False}),
        ("snntorch.QuantLapicque", {"leak": 0.5, "gain": 0.25, "reset_mechanism": "zero"}),
    ],
)
def test_jsonargparse_builds_them_from_class_path_and_init_args(path, options):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--node", type=nn.Module)
    config = {"node": {"class_path": f"qsnn_plugins.{path}", "init_args": options}}
    node = parser.instantiate_classes(parser.parse_object(config)).node
    assert type(node).__name__ == path.rpartition(".")[2]
    spec = node.quant_spec
    assert spec.membrane.smoothness == 3.0 or options.get("smoothness") is None
    assert spec.threshold.learned is ("threshold_spec" in options)
    config["node"]["init_args"] = options | {"smothness": 1.0}
    with pytest.raises(Exception, match="smothness"):
        parser.parse_object(config)


USER_FILE = """
from qsnn_plugins.snntorch import KBitLeaky, TernaryLeaky
from qsnn_plugins.spec import ThresholdSpec
from qsnn_plugins.spikingjelly import TernaryLIFNode

TernaryLIFNode(2.0, False, smoothness=3.0, threshold_spec=ThresholdSpec("separate"), channels=3)
TernaryLeaky(0.5, 1.0, reset_mechanism="zero", threshold_spec=ThresholdSpec("separate"))
KBitLeaky(beta=0.5, bits=3, scale="fixed")
TernaryLIFNode(smothness=3.0)
TernaryLeaky()
KBitLeaky(beta=0.5, bits="three")
"""


@pytest.mark.slow
def test_mypy_sees_the_arguments(tmp_path, monkeypatch):
    """With the options and the cache of `make lint`: the package itself is checked already."""
    api = pytest.importorskip("mypy.api")
    script = tmp_path / "user.py"
    script.write_text(USER_FILE)
    monkeypatch.chdir(Path(__file__).parents[2])
    out, _, _ = api.run([str(script)])
    errors = [line for line in out.splitlines() if "error:" in line]
    assert [int(line.split(":")[1]) for line in errors] == [9, 10, 11]
    assert "smothness" in errors[0]
    assert '"beta"' in errors[1]
    assert '"bits"' in errors[2]


SPECS = [QuantSpec(), QuantSpec.full_precision(), QuantSpec(threshold=ThresholdSpec("ordinary"))]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("build", [QuantLIFNode, lambda **how: QuantLeaky(0.5, **how)])
def test_channels_that_are_given_are_compared_with_the_input_in_both_hosts(build, spec):
    node = build(spec=spec, channels=3)
    node(torch.rand(2, 3, 5))
    with pytest.raises(ArgumentError, match=r"shape=.*3"):
        build(spec=spec, channels=3)(torch.rand(2, 5, 3))
    with pytest.raises(ArgumentError, match="channels=None"):
        build(spec=QuantSpec(threshold=ThresholdSpec("ordinary", per="channel")))


def test_an_inhibition_that_nothing_would_read_is_refused():
    with pytest.raises(TypeError, match="inhibition"):
        QuantLapicque(0.5, 0.5, inhibition=True)
    with pytest.raises(ArgumentError, match="inhibition=True"):
        QuantLeaky(0.5, inhibition=True, spec=QuantSpec(MembraneSpec()))


NO_NUMBER_NO_FUNCTION = [
    (TernaryLIFNode, {"tau": "2"}),
    (TernaryLIFNode, {"decay_input": "no"}),
    (TernaryLIFNode, {"v_threshold": None}),
    (TernaryLIFNode, {"v_reset": "a"}),
    (TernaryLIFNode, {"detach_reset": 1}),
    (TernaryLIFNode, {"surrogate_function": nn.ReLU}),
    (TernaryLIFNode, {"channels": 0}),
    (QuantLIFNode, {"spec": MembraneSpec()}),
    (QuantParametricLIFNode, {"init_tau": None}),
    (TernaryLeaky, {"beta": "a"}),
    (TernaryLeaky, {"beta": 0.5, "threshold": "1"}),
    (TernaryLeaky, {"beta": 0.5, "spike_grad": "atan"}),
    (TernaryLeaky, {"beta": 0.5, "channels": "3"}),
    (QuantLeaky, {"beta": 0.5, "spec": MembraneSpec()}),
]


@pytest.mark.parametrize(("kind", "options"), NO_NUMBER_NO_FUNCTION)
def test_a_value_of_another_type_is_named(kind, options):
    with pytest.raises(ArgumentError, match=rf"^{list(options)[-1]}="):
        kind(**options)


def test_a_spec_may_be_a_preset_s_name():
    spec = presets.qsnn()
    assert QuantLIFNode(spec="qsnn").quant_spec == QuantLeaky(0.5, spec="qsnn").quant_spec == spec
    assert QuantLIFNode(v_threshold=float("inf")).v_threshold == float("inf")  # reads out


@pytest.mark.parametrize(
    ("kind", "of_the_host"),
    [
        (QuantLIFNode, neuron.LIFNode),
        (TernaryLIFNode, neuron.LIFNode),
        (KBitLIFNode, neuron.LIFNode),
        (MultiBitLIFNode, neuron.LIFNode),
        (QuantParametricLIFNode, neuron.ParametricLIFNode),
        (QuantIFNode, neuron.IFNode),
        (TernaryIFNode, neuron.IFNode),
    ],
)
def test_a_default_that_differs_from_the_host_stands_in_the_first_line(kind, of_the_host):
    """A swap of names alone would change the input's scale; inject keeps what the host has."""
    ours, theirs = (inspect.signature(each).parameters for each in (kind, of_the_host))
    differ = [
        name
        for name, parameter in theirs.items()
        if name in ours
        and name != "surrogate_function"  # None is the spec's
        and parameter.default != ours[name].default
    ]
    assert differ == ["decay_input"] * ("LIF" in of_the_host.__name__)
    for name in differ:
        first = inspect.getdoc(kind).splitlines()[0]
        assert f"NOTE: `{name}` is {ours[name].default} here, {theirs[name].default} in" in first
