"""Where gates of channels go in networks that are injected, and what the report says of them."""

import pytest
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import eject, export, inject, presets
from qsnn_plugins.cost import report
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.injection import FloatParameter
from qsnn_plugins.models import TimeDistributed
from qsnn_plugins.nn import channel_gates
from qsnn_plugins.snntorch import MultiStep, reset_net
from qsnn_plugins.spec import QuantSpec, ThresholdSpec
from tests.hosts.test_gates import events, spec, wide_gates
from tests.injection.test_wiring import JOINED, Joined


class Residual(nn.Module):
    """A block of a user's own: the sum comes before the neuron, in place."""

    def __init__(self, mode):
        super().__init__()
        self.conv1, self.bn1 = layer.Conv2d(4, 6, 3, 2, 1), layer.BatchNorm2d(6)
        self.conv2, self.bn2 = layer.Conv2d(6, 6, 3, 1, 1), layer.BatchNorm2d(6)
        self.down = nn.Sequential(layer.Conv2d(4, 6, 1, 2), layer.BatchNorm2d(6))
        self.sn1, self.sn2 = neuron.LIFNode(), neuron.LIFNode()
        functional.set_step_mode(self, mode)

    def forward(self, x):
        out = self.bn2(self.conv2(self.sn1(self.bn1(self.conv1(x)))))
        out += self.down(x)
        return self.sn2(out)


def users_network(mode="m"):
    torch.manual_seed(0)
    stem = layer.Conv2d(2, 4, 3, padding=1, step_mode=mode)
    head = nn.Sequential(nn.Flatten(2 if mode == "m" else 1), nn.Linear(6 * 16, 3))
    first, last = neuron.LIFNode(step_mode=mode), neuron.LIFNode(step_mode=mode)
    return nn.Sequential(stem, first, Residual(mode), head, last)


def test_the_report_names_each_gate_and_what_has_none():
    network, x = users_network(), events(4, 2, 2, 8, 8)
    keys = list(network.state_dict())
    report = inject(network, spec(), example_input=x)
    assert [(row.name, row.source, row.note) for row in report.gates] == [
        ("0", "", "no neurons feed it whose membranes could be watched"),
        ("2.conv1", "1", ""),
        ("2.conv2", "2.sn1", ""),
        ("2.down.0", "", "it joins 2.conv2, which is gated: a shortcut stays open"),
        ("3.1", "", "only convolutions are gated"),
    ]
    assert "gated     2.conv2" in str(report)
    assert "open      3.1" in str(report)
    assert list(channel_gates(network)) == ["2.conv1", "2.conv2"]
    wide_gates(network)
    network(x * 3).sum().backward()
    assert all(g.weight.grad.abs().max() > 0 for g in channel_gates(network).values())
    functional.reset_net(network)
    eject(network)
    assert list(network.state_dict()) == keys
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "_conv_forward" not in vars(module)


class Named(Residual):
    """The same block, which calls its parts with the names of their arguments."""

    def forward(self, x):
        out = self.conv2(x=self.sn1(x_seq=self.bn1(x=self.conv1(x=x))))
        out = self.bn2(x=out)
        out += self.down(x)
        return self.sn2(x_seq=out)


def test_arguments_may_be_given_by_name():
    x, found = events(4, 2, 2, 8, 8) * 2, []
    for kind in (Residual, Named):
        network = users_network()
        network[2].__class__ = kind
        gates = inject(network, spec(), example_input=x).gates
        counted = report(wide_gates(network), None, (4, 1, 2, 8, 8), activity=0.1)
        functional.reset_net(network)
        found.append((gates, network(x), counted.to_dict()))
    (gates, y, counted), (named_gates, named_y, named_counted) = found
    assert named_gates == gates
    assert torch.equal(named_y, y)
    assert named_counted == counted


def test_all_steps_at_once_and_one_after_the_other_are_alike():
    x, outputs = events(4, 2, 2, 8, 8) * 2, []
    for mode in "ms":
        network = users_network(mode)
        inject(network, spec(), example_input=x if mode == "m" else x[0])
        wide_gates(network).eval()
        with torch.no_grad():
            for gate in channel_gates(network).values():
                gate.skips = mode == "s"
            outputs.append(network(x) if mode == "m" else torch.stack([network(s) for s in x]))
    torch.testing.assert_close(*outputs)


class Steps(nn.Module):
    """snnTorch's own way: states are passed from step to step."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.lif1 = nn.Conv2d(2, 6, 3), snntorch.Leaky(0.8)
        self.conv2, self.lif2 = nn.Conv2d(6, 5, 3), snntorch.Leaky(0.8)

    def forward(self, x_seq):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for x in x_seq:
            spk1, mem1 = self.lif1(self.conv1(x) * 2, mem1)
            spk2, mem2 = self.lif2(self.conv2(spk1) * 2, mem2)
            out.append(spk2)
        return torch.stack(out)


def test_snntorch_step_by_step():
    network, x = Steps(), events(4, 2, 2, 8, 8)
    report = inject(network, spec(), example_input=x)
    assert [row.source for row in report.gates] == ["", "lif1"]
    wide_gates(network)
    network(x).square().sum().backward()
    assert network.conv2.gate.weight.grad.abs().max() > 0


def test_a_wrapped_neuron_of_snntorch_is_gathered_over_its_steps():
    def layers():
        yield TimeDistributed(nn.Conv2d(2, 4, 3))
        yield MultiStep(snntorch.Leaky(0.5, init_hidden=True))
        yield TimeDistributed(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5))
        yield MultiStep(snntorch.Leaky(0.5, init_hidden=True))

    network, x = nn.Sequential(*layers()), events(4, 2, 2, 8, 8)
    assert inject(network, spec(), example_input=x).gates[1].source == "1.neuron"
    network(x)
    network[1].neuron.register_forward_hook(lambda *_: None)  # takes it off its kernel
    reset_net(network)
    network(x)


LEFT = {
    "out of step": (
        lambda: nn.Sequential(
            TimeDistributed(nn.Conv2d(2, 4, 3)),
            layer.MultiStepContainer(neuron.LIFNode()),
            TimeDistributed(nn.Conv2d(4, 5, 3)),
            neuron.LIFNode(step_mode="m"),
        ),
        "1.0, which feeds it, runs 4 times on 2 maps before it takes 8 at once",
    ),
    "left alone": (
        lambda: nn.Sequential(
            TimeDistributed(nn.Conv2d(2, 4, 3)),
            neuron.QIFNode(step_mode="m"),
            TimeDistributed(nn.Conv2d(4, 5, 3)),
            neuron.LIFNode(step_mode="m"),
        ),
        "1, which feeds it, is left alone",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("build", "why"), LEFT.values(), ids=LEFT)
def test_where_no_gate_can_be_placed_the_report_says_why(build, why):
    network, x = build(), events(4, 2, 2, 8, 8)
    report = inject(network, spec(), example_input=x)
    assert not channel_gates(network)
    assert any(row.note == why for row in report.gates)
    (note,) = (note for note in report.notes if note.startswith("no channel is gated: "))
    assert note.endswith("; `gates` of the report says why")


def test_an_example_is_needed():
    with pytest.raises(ArgumentError, match="example_input=None"):
        inject(users_network(), spec())


@pytest.mark.parametrize(
    "needs", [spec(), QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))]
)
@pytest.mark.parametrize(
    ("example", "given"), [(torch.rand(1, 7, 8, 8), r"\(1, 7, 8, 8\)"), (b"frames", "'bytes'")]
)
def test_an_example_that_the_network_does_not_take_is_named(example, given, needs):
    network = normed_network()
    allowed = f"example_input={given} is not allowed: give an input that Sequential takes [(]"
    with pytest.raises(ArgumentError, match=allowed):
        inject(network, needs, example_input=example)
    assert type(network[2]) is neuron.LIFNode


def test_predictors_are_float_which_report_cost_and_export_say():
    network, x = Joined(JOINED["spikes"][0]), events(3, 1, 2, 8, 8)
    injected = inject(network, presets.spquant(weight_bits=4), example_input=x[0])
    rows = {row.names[0]: row for row in injected.floats}
    assert rows["last.gate.weight"] == FloatParameter(
        ("last.gate.weight",), "ChannelGate", 12 * 4, 32, "the predictor of a gate", asked=True
    )
    assert "last.gate.weight" in str(injected)
    cost = report(network, None, (3, 1, 2, 8, 8), step_mode="s")
    (predictor,) = (row for row in cost.synapses if row.name == "last.gate")
    assert (predictor.kind, predictor.weight_bits) == ("predictor", 32)
    assert predictor.total_macs == 3 * 12 * 4
    assert predictor.pooled == 3 * 2 * 6 * 8 * 8  # a mean of each map of two layers of neurons
    with pytest.raises(ExportError, match="conv2 has a channel gate"):
        export.to_integer(network, x)


class Gated(nn.Conv2d):
    """A convolution with a gate of a user's own."""

    def __init__(self):
        super().__init__(4, 4, 3)
        self.gate = nn.Conv2d(4, 4, 1)


def normed_network():
    torch.manual_seed(0)
    stem = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), neuron.LIFNode(v_threshold=0.2)
    return nn.Sequential(*stem, nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5), neuron.LIFNode())


def test_a_convolution_with_a_forward_of_its_own_is_not_said_to_be_skipped():
    class Centred(nn.Conv2d):
        def forward(self, x):
            return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)

    network = normed_network()
    network[3] = Centred(6, 5, 3)
    report = inject(network, spec(), example_input=torch.rand(1, 2, 8, 8))
    assert {row.name: row.note for row in report.gates}["3"] == "masked, and would be skipped"


def multi_step_conv(_):
    return layer.Conv2d(4, 4, 3, step_mode="m")


def leaky():
    return MultiStep(snntorch.Leaky(0.5, init_hidden=True))


@pytest.mark.parametrize(
    ("wrap", "build_neuron", "is_skipped"),
    [
        (layer.SeqToANNContainer, lambda: neuron.LIFNode(step_mode="m"), False),
        (TimeDistributed, leaky, False),
        (multi_step_conv, lambda: neuron.LIFNode(step_mode="m"), True),
    ],
)
def test_the_report_says_where_released_gates_skip_nothing(
    wrap, build_neuron, is_skipped, monkeypatch
):
    """Steps that are folded into the batch look to them like samples."""
    network = nn.Sequential(wrap(nn.Conv2d(4, 4, 3)), build_neuron())
    # one step, as `HostedNet` gives
    rows = inject(network, spec("released"), example_input=torch.rand(1, 1, 4, 8, 8)).gates
    assert [row.note for row in rows] == ["" if is_skipped else "masked, and would be skipped"]
    (gate,) = channel_gates(network).values()
    nn.init.constant_(gate.bias, -50.0)
    convolved, run = [], nn.Conv2d._conv_forward

    def counted(self, x, weight, bias):
        convolved.append(len(weight))
        return run(self, x, weight, bias)

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", counted)
    with torch.no_grad():
        network.eval()(events(3, 1, 4, 8, 8))
    assert (convolved == [4]) is not is_skipped


def test_a_gate_of_ones_own_stays():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), neuron.LIFNode(), Gated(), neuron.LIFNode())
    own = network[2].gate
    with pytest.warns(UserWarning, match="no channel is gated"):
        rows = inject(network, spec(), example_input=torch.rand(2, 2, 8, 8)).gates
    assert {row.name: row.note for row in rows}["2"] == "it has a `gate` of its own"
    assert eject(network)[2].gate is own
