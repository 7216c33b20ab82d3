"""Which neurons gate which channels, whatever is between them."""

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from qsnn_plugins import eject, inject
from qsnn_plugins.errors import QSNNError
from qsnn_plugins.injection import GatedLayer
from qsnn_plugins.nn import channel_gates
from qsnn_plugins.spec import PruningSpec, QuantSpec
from tests.hosts.test_gates import events, noting, spec, wide_gates


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
