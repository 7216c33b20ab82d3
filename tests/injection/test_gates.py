"""Where gates of channels go in networks that are injected, and what the report says of them."""

import numpy as np
import pytest
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import eject, export, inject, presets
from qsnn_plugins.cost import report
from qsnn_plugins.errors import ArgumentError, ExportError, QSNNError
from qsnn_plugins.injection import FloatParameter, GatedLayer
from qsnn_plugins.models import TimeDistributed
from qsnn_plugins.nn import channel_gates
from qsnn_plugins.snntorch import MultiStep, reset_net
from qsnn_plugins.spec import PruningSpec, QuantSpec
from tests.hosts.test_gates import events, noting, spec, wide_gates


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
    assert "no channel is gated: `gates` of the report says why" in report.notes


class Branches(nn.Module):
    """One gated convolution, and what a function makes of it."""

    def __init__(self, shape, **modules):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.lif1 = nn.Conv2d(2, 6, 3), neuron.LIFNode(v_threshold=0.1)
        self.conv2, self.lif2 = nn.Conv2d(6, 6, 3), neuron.LIFNode(v_threshold=0.1)
        self.lif3, self.norm = neuron.LIFNode(v_threshold=0.1), nn.BatchNorm2d(6)
        for name, module in modules.items():
            setattr(self, name, module)
        self.shape = shape

    def forward(self, x):
        return self.shape(self, self.conv2(self.lif1(self.conv1(x))))


def last_channels(x):
    return x.movedim(1, -1)


MIXES, OUTPUT = "it may mix channels", "something else takes the output too"
SHAPES = {
    "behind": (lambda n, y: n.lif2(n.norm(y)), nn.BatchNorm2d(6), ""),
    "groups": (lambda n, y: n.lif2(n.norm(y)), nn.GroupNorm(2, 6), MIXES),
    "channels last": (lambda n, y: n.lif2(n.norm(last_channels(y))), nn.LayerNorm(6), MIXES),
    "flattened": (lambda n, y: n.lif2(n.norm(y.flatten(1))), nn.BatchNorm1d(96), MIXES),
    "around it": (lambda n, y: n.lif2(n.norm(y) + y), nn.BatchNorm2d(6), OUTPUT),
    "into another neuron": (lambda n, y: n.lif2(y) + n.lif3(n.norm(y)), nn.BatchNorm2d(6), OUTPUT),
    "into the output": (lambda n, y: n.lif2(n.norm(y)) + y, nn.BatchNorm2d(6), OUTPUT),
    "into two neurons": (lambda n, y: n.lif2(y) + n.lif3(y * 2), nn.Identity(), ""),
    "shared": (
        lambda n, y: n.lif3(n.norm(n.conv3(n.lif2(n.norm(y))))),
        nn.BatchNorm2d(6),
        "it takes other outputs too",
    ),
}


@pytest.mark.parametrize(("shape", "norm", "why_early"), SHAPES.values(), ids=SHAPES)
def test_skipping_is_masking_whatever_takes_the_output(shape, norm, why_early):
    network = Branches(shape, norm=norm, conv3=nn.Conv2d(6, 6, 3))
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(part.running_mean)
            nn.init.normal_(part.bias)
    keys, x = list(network.state_dict()), events(4, 3, 2, 8, 8)
    report = inject(
        network, QuantSpec(pruning=PruningSpec(channel_threshold=0.5)), example_input=x[0]
    )
    names = [row.name for row in report.gates]
    assert names[:2] == ["conv1", "conv2"]
    early = f"masked at once, before a normalization: {why_early}" * bool(why_early)
    assert report.gates[1].note == early
    assert len(names) == len(set(names))
    wide_gates(network).eval()
    with torch.no_grad():
        together = torch.stack([network(step) for step in x])
        functional.reset_net(network)
        alone = torch.stack([network(step[:1]) for step in x])
    assert alone.any()
    torch.testing.assert_close(alone, together[:, :1])
    functional.reset_net(network)
    assert list(eject(network).state_dict()) == keys


def test_two_gates_may_watch_one_neuron_and_one_may_go():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.lif1 = nn.Conv2d(2, 6, 3), neuron.LIFNode()
            self.conv2, self.lif2 = nn.Conv2d(6, 5, 3), neuron.LIFNode()
            self.conv3, self.lif3 = nn.Conv2d(6, 5, 3), neuron.LIFNode()

        def forward(self, x):
            spikes = self.lif1(self.conv1(x))
            return self.lif2(self.conv2(spikes)) + self.lif3(self.conv3(spikes))

    network, x = Net(), events(3, 2, 8, 8)
    inject(network, spec(), example_input=x)
    channel_gates(network)["conv2"].detach()
    network(x)
    channel_gates(network)["conv3"].detach()
    assert not network.lif1.keeps_means
    assert network.lif1.stored_means is None


class Joined(nn.Module):
    """Branches whose currents, or whose spikes, are concatenated, and a sum beside them."""

    def __init__(self, shape):
        super().__init__()
        torch.manual_seed(0)
        for name in ("conv1", "conv2", "conv3", "conv4", "wide"):
            outs = 12 if name == "wide" else 6
            setattr(self, name, nn.Conv2d(2 if name == "conv1" else 6, outs, 3, padding=1))
        self.last, self.norm = nn.Conv2d(12, 4, 3), nn.BatchNorm2d(12)
        for name in ("lif1", "lif2", "lif3", "lif4"):
            setattr(self, name, neuron.LIFNode(v_threshold=0.1))
        self.shape = shape

    def forward(self, x):
        spikes = self.lif1(self.conv1(x))
        return self.shape(self, spikes, self.lif2(self.conv2(spikes)))


def cat(*parts):
    return torch.cat(parts, 1)


JOINED = {
    # one branch is as deep as lif1, the other as lif2; `wide` is added to both
    "currents": (
        lambda n, a, b: n.lif3(cat(n.conv3(a), n.conv4(b))),
        {"conv2": "lif1", "conv3": "lif1", "conv4": "lif2"},
    ),
    "normalized": (
        lambda n, a, b: n.lif3(n.norm(cat(n.conv3(a), n.conv4(b)))),
        {"conv2": "lif1", "conv3": "lif1", "conv4": "lif2"},
    ),
    "beside a sum": (
        lambda n, a, b: n.lif3(cat(n.conv3(a), n.conv4(b)) + n.wide(a)),
        # of two layers that are equally deep the first that ran is gated
        {"conv2": "lif1", "conv3": "lif1", "conv4": "lif2"},
    ),
    "below a sum": (
        lambda n, a, b: n.lif3(cat(n.conv3(a), n.conv4(a)) + n.wide(b)),
        {"conv2": "lif1", "wide": "lif2"},
    ),
    "spikes": (
        lambda n, a, b: n.lif4(n.last(cat(a, b))),
        {"conv2": "lif1", "last": "lif1, lif2"},
    ),
    "spikes of sums": (
        lambda n, a, b: n.lif4(n.last(cat(a + b, b))),
        {"conv2": "lif1", "last": "lif2"},
    ),
}


@pytest.mark.parametrize(("shape", "expected"), JOINED.values(), ids=JOINED)
def test_branches_that_are_concatenated_are_gated_each_by_what_feeds_it(shape, expected):
    network, x = Joined(shape), events(4, 3, 2, 8, 8)
    report = inject(
        network, QuantSpec(pruning=PruningSpec(channel_threshold=0.5)), example_input=x[0]
    )
    assert {row.name: row.source for row in report.gates if row.source} == expected
    gates = channel_gates(wide_gates(network).eval())
    assert {gate.weight.shape[1] for gate in gates.values()} <= {6, 12}
    masks = {name: [] for name in gates}
    for name, gate in gates.items():
        gate.register_forward_hook(noting(masks[name]))
    with torch.no_grad():
        together = torch.stack([network(step) for step in x])
        shares = [1 - torch.cat(m).mean() for m in masks.values()]
        assert all(0 < share < 1 for share in shares)
        functional.reset_net(network)
        alone = torch.stack([network(step[:1]) for step in x])
    assert alone.any()
    torch.testing.assert_close(alone, together[:, :1])
    network.train()
    functional.reset_net(network)
    network(x[0] * 5).sum().backward()
    assert all(gate.weight.grad.any() for gate in gates.values())


def test_a_gate_watches_all_neurons_whose_spikes_are_concatenated():
    network, x = Joined(JOINED["spikes"][0]), events(3, 2, 8, 8)
    inject(network, QuantSpec(pruning=PruningSpec(channel_threshold=0.5)), example_input=x)
    gate, masks = channel_gates(wide_gates(network))["last"], []
    gate.register_forward_hook(noting(masks))
    network(x)
    q = torch.cat([network.lif1.v, network.lif2.v], 1).detach().double().numpy().mean((2, 3))
    weight, bias = (p.detach().double().numpy() for p in (gate.weight, gate.bias))
    assert np.array_equal(masks[0].numpy(), 1 / (1 + np.exp(-(q @ weight.T + bias))) > 0.5)
    network.lif1(x.new_zeros(2, 6, 8, 8))  # another batch
    with pytest.raises(QSNNError, match="stored 2 and 3 maps"):
        gate.decide(network.last, (x,), {})


def test_a_layer_that_takes_its_own_output_is_followed():
    class Twice(Branches):
        def forward(self, x):
            spikes = self.lif1(self.conv1(x))
            return self.lif2(self.conv2(self.conv2(spikes)))

    network, x = Twice(None), events(3, 2, 9, 9)
    with pytest.warns(UserWarning, match="no channel is gated"):
        report = inject(network, spec(), example_input=x)
    assert report.gates[1] == GatedLayer(
        "conv2", "Conv2d", "", "it takes other inputs at other times"
    )


def test_an_example_is_needed():
    with pytest.raises(ArgumentError, match="example_input=None"):
        inject(users_network(), spec())


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


def test_a_gate_of_ones_own_stays():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), neuron.LIFNode(), Gated(), neuron.LIFNode())
    own = network[2].gate
    with pytest.warns(UserWarning, match="no channel is gated"):
        rows = inject(network, spec(), example_input=torch.rand(2, 2, 8, 8)).gates
    assert {row.name: row.note for row in rows}["2"] == "it has a `gate` of its own"
    assert eject(network)[2].gate is own
