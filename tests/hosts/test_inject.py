"""`qsnn_plugins.inject` on networks of either host, and of both."""

import copy
import subprocess
import sys
import warnings

import pytest
import snntorch
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

import qsnn_plugins
from qsnn_plugins import eject, inject, presets
from qsnn_plugins.cost import report
from qsnn_plugins.errors import ArgumentError, QSNNWarning
from qsnn_plugins.snntorch import QuantLeaky
from qsnn_plugins.snntorch import inject as inject_snntorch
from qsnn_plugins.spec import MembraneSpec, QuantSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import QuantLIFNode
from qsnn_plugins.spikingjelly import inject as inject_spikingjelly


def network_of_both():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Linear(4, 8), neuron.LIFNode()),
        nn.Sequential(nn.Linear(8, 8), snntorch.Leaky(0.5, init_hidden=True)),
        nn.Linear(8, 2),
    )


def test_a_network_of_both_hosts_round_trips():
    network, x = network_of_both(), 9 * torch.rand(3, 4)
    old, expected = dict(network.named_modules()), network(x)
    functional.reset_net(network)
    report = inject(network, presets.imsnn(), overrides={"1.*": presets.qsnn(4), "2": None})
    assert [(r.names, r.after, r.bits) for r in report.replaced] == [
        (("0.1",), "QuantLIFNode", 2),
        (("1.1",), "QuantLeaky", 4),
    ]
    assert {row.name: row.bits for row in report.weights} == {"0.0": 4, "1.0": 1}
    assert network[1][1].quant_spec == presets.qsnn(4)
    assert not torch.equal(network(x), expected)
    functional.reset_net(network)
    assert network[0][1].v == 0.0, "SpikingJelly's cache of what is reset was renewed"
    eject(network)
    network[1][1].reset_mem()
    assert dict(network.named_modules()) == old
    assert torch.equal(network(x), expected)


@pytest.mark.parametrize(
    ("inject_one", "replaced", "left", "kind"),
    [
        (inject_spikingjelly, "0.1", "1.1", QuantLIFNode),
        (inject_snntorch, "1.1", "0.1", QuantLeaky),
    ],
)
def test_a_hosts_own_inject_leaves_the_other_host(inject_one, replaced, left, kind):
    network = network_of_both()
    with pytest.warns(UserWarning, match="1 neuron left alone") as caught:
        report = inject_one(network, presets.imsnn())
    assert caught[0].filename == __file__
    assert [row.names for row in report.replaced] == [(replaced,)]
    assert [row.names for row in report.left] == [(left,)]
    assert "qsnn_plugins.inject takes both" in report.left[0].why
    assert isinstance(network.get_submodule(replaced), kind)
    eject(network)
    assert not any(isinstance(module, kind) for module in network.modules())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import snntorch; neuron = snntorch.Leaky(0.5)", "spikingjelly"),
        pytest.param(
            "from spikingjelly.activation_based.neuron import LIFNode; neuron = LIFNode()",
            "snntorch",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_other_host_is_not_imported(statement, absent):
    code = f"""
import sys
{statement}
from torch import nn
from qsnn_plugins import eject, inject
network = nn.Sequential(nn.Linear(2, 2), neuron)
inject(network, "imsnn")
assert type(network[1]).__name__.startswith("Quant")
assert eject(network)[1] is neuron
print({absent!r} in sys.modules)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == "False", process.stderr


def test_plain_networks_and_wrong_names_are_refused():
    with pytest.raises(ArgumentError, match="weights alone"):
        inject(nn.Sequential(nn.Linear(2, 2)), presets.imsnn())
    with pytest.raises(ArgumentError, match=r"a torch\.nn\.Module"):
        inject(None, presets.imsnn())
    with pytest.raises(ArgumentError, match=r"such as 0\.1"):
        inject(network_of_both(), presets.imsnn(), overrides={"0.2": None})
    with pytest.raises(AttributeError, match="injekt"):
        _ = qsnn_plugins.injekt


def test_what_is_no_function_and_no_module_is_named():
    network = nn.Sequential(nn.Linear(2, 2), neuron.IFNode())
    with pytest.raises(ArgumentError, match="filter_fn='0'"):
        inject(network, "imsnn", filter_fn="0")
    with pytest.raises(ArgumentError, match="network=3"):
        eject(3)
    with pytest.raises(ArgumentError, match=r"keep_surrogate=True .* 1 cannot keep it"):
        inject(network, presets.bit_budget(spike_bits=2), keep_surrogate=True)


def test_a_lazy_layer_can_be_left_alone():
    network = nn.Sequential(nn.LazyLinear(2), neuron.IFNode(), nn.Linear(2, 2))
    report = inject(network, "imsnn", overrides={"0": None})
    assert [row.name for row in report.weights] == ["2"]


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_states_with_a_graph_do_not_keep_a_network_from_copies(host):
    lif = neuron.LIFNode() if host == "spikingjelly" else snntorch.Leaky(0.5, init_hidden=True)
    network = nn.Sequential(nn.Linear(6, 5), lif, nn.Linear(5, 3))
    network(torch.rand(2, 6)).sum().backward()  # and no reset
    inject(network, "imsnn")
    assert report(network, None, (4, 1, 6), step_mode="s").macs == 45
    copy.deepcopy(network)


def learned(per="layer"):
    """A network of both hosts whose neurons have learned thresholds of 0.25."""
    torch.manual_seed(0)
    leaky = snntorch.Leaky(0.5, init_hidden=True, reset_delay=False)
    network = nn.Sequential(nn.Linear(6, 6), neuron.LIFNode(decay_input=False), leaky)
    spec = QuantSpec(MembraneSpec(kind="float"), threshold=ThresholdSpec("ordinary", per=per))
    inject(network, spec, example_input=torch.rand(1, 6))
    for part in network[1:]:
        nn.init.constant_(part.v_threshold if part is network[1] else part.threshold, 0.25)
    return network


def test_baked_neurons_keep_the_thresholds_that_were_learned():
    network, x = learned(), torch.rand(64, 6)
    expected = network(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eject(network, baked=True)
    assert (network[1].v_threshold, network[2].threshold.item()) == (0.25, 0.25)
    functional.reset_net(network[1])
    network[2].reset_mem()
    assert 0.1 < expected.mean() < 0.9
    assert torch.equal(network(x), expected)


def test_thresholds_that_are_lost_are_warned_of():
    network = learned()
    with pytest.warns(QSNNWarning, match="thresholds of 2 neurons are lost: .*baked=True"):
        eject(network)
    assert network[1].v_threshold == 1.0
    network = learned("channel")
    with pytest.raises(ArgumentError, match=r"baked=True .*1 learned 6 thresholds, a LIFNode"):
        eject(network, baked=True)
    assert type(network[1]) is QuantLIFNode


def test_a_network_on_meta_can_be_printed():
    network = nn.Sequential(nn.Linear(4, 4), neuron.ParametricLIFNode(), snntorch.Leaky(0.5))
    inject(network, "imsnn")
    assert "tau=2," in repr(network)
    assert "beta=0.5," in repr(network)
    assert repr(network.to("meta")).count("=meta,") == 2


def test_networks_on_meta_are_gated_or_refused_by_name():
    def build(make):
        layers = nn.Conv2d(2, 4, 3), make(), nn.Conv2d(4, 6, 3), make()
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, 3)).to("meta")

    x = torch.rand(2, 2, 8, 8, device="meta")
    report = inject(build(neuron.LIFNode), "spquant", example_input=x)
    assert [(gate.name, gate.source) for gate in report.gates if gate.source] == [("2", "1")]
    for make in (lambda: snntorch.Leaky(0.5), lambda: snntorch.Lapicque(0.9)):
        with pytest.raises(ArgumentError, match=r"1.device='meta' .*before it goes to meta"):
            inject(build(make), "imsnn")
