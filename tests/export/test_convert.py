import pytest
import snntorch as snn
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qsnn_plugins import export, inject, presets
from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.nodes import Neuron, WideNeuron
from qsnn_plugins.models import ResidualNet
from qsnn_plugins.spec import (
    MembraneSpec,
    QuantSpec,
    SpikeSpec,
    ThresholdSpec,
    WeightSpec,
)
from tests.export import called_networks as nets
from tests.export.networks import check, counts, run_float, string_net, waken
from tests.export.random_networks import Drawn

HOSTS = ("spikingjelly", "snntorch")
MEMBRANES = (
    MembraneSpec(),
    MembraneSpec(levels=(-3.0, -1.0, 0.0, 0.3, 0.8)),
    MembraneSpec(kind="pruned"),
    MembraneSpec(kind="threshold_centred", bits=3),
    MembraneSpec(kind="tanh", bits=3, scale="fixed", scale_value=0.7),
    *(
        MembraneSpec(kind="uniform", bits=bits, scale="fixed", scale_value=1.3)
        for bits in (1, 2, 4)
    ),
)
WEIGHTS = (
    *(WeightSpec(kind="uniform", bits=bits) for bits in (1, 2, 4, 8)),
    WeightSpec(kind="uniform", bits=4, per="channel"),
    WeightSpec(kind="power_of_two", bits=4),
    WeightSpec(kind="mint", bits=4),
    WeightSpec(kind="binary"),
    WeightSpec(kind="sigmoid", bits=2),
    WeightSpec(kind="statistical", bits=4),
)


SMALL = QuantSpec(
    MembraneSpec(kind="uniform", bits=3, scale="fixed"), weight=WeightSpec(kind="uniform", bits=4)
)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("membrane", MEMBRANES, ids=str)
def test_every_membrane_sends_the_same_spikes(membrane, host):
    spec = QuantSpec(membrane, weight=WeightSpec(kind="uniform", bits=4))
    integer = check(string_net(spec, host), counts())
    rates = [spikes.float().mean() for spikes in integer(counts())[1].values()]
    assert all(0.005 < rate < 0.995 for rate in rates)
    assert integer.multiplications == 0


@pytest.mark.slow
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("scale", [None, 0.05, 1000.0], ids=str)
def test_every_width_at_any_scale(scale, bits):
    membrane = MembraneSpec(kind="threshold_centred", bits=bits)
    if scale is not None:
        membrane = MembraneSpec(kind="uniform", bits=bits, scale="fixed", scale_value=scale)
    check(string_net(QuantSpec(membrane, weight=WeightSpec(kind="uniform", bits=4))), counts())


def test_membranes_of_too_many_values_are_named():
    network = string_net(QuantSpec(weight=WeightSpec(kind="uniform", bits=4)))
    network.blocks.conv1.neuron.membrane = nn.Hardtanh()
    with pytest.raises(ExportError, match=r"blocks\.conv1\.neuron stores more than 1024 values"):
        export.to_integer(network, counts())


@pytest.mark.parametrize("weight", WEIGHTS, ids=str)
def test_every_weight_sends_the_same_spikes(weight):
    check(string_net(QuantSpec(weight=weight)), counts())


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_spikes_of_several_bits_and_learned_thresholds(bits, per, host):
    spec = QuantSpec(
        spike=SpikeSpec(bits=bits),
        threshold=ThresholdSpec("ordinary", per=per),
        weight=WeightSpec(kind="uniform", bits=4),
    )
    check(string_net(spec, host), counts())


@pytest.mark.parametrize("host", HOSTS)
def test_wide_membranes_are_fixed_point(host):
    membrane = MembraneSpec(kind="uniform", bits=6, scale="fixed", scale_value=1.3)
    spec = QuantSpec(membrane, weight=WeightSpec(kind="uniform", bits=4))
    integer = check(string_net(spec, host), counts())
    assert integer.multiplications > 0


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
def test_resets_of_snntorch(reset, delay):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            how = {"reset_mechanism": reset, "reset_delay": delay}
            self.fc1, self.lif1 = nn.Linear(12, 20), snn.Leaky(0.8, threshold=0.7, **how)
            self.fc2, self.lif2 = nn.Linear(20, 5), snn.Leaky(0.9, threshold=0.3, **how)

        def forward(self, x):
            m1, m2, sent = self.lif1.init_leaky(), self.lif2.init_leaky(), []
            for step in x:
                s1, m1 = self.lif1(self.fc1(step), m1)
                s2, m2 = self.lif2(self.fc2(s1), m2)
                sent.append(s2)
            return torch.stack(sent), m2

    torch.manual_seed(0)
    network = Net()
    membrane = MembraneSpec(kind="uniform", bits=3, scale="fixed", scale_value=1.0)
    inject(network, QuantSpec(membrane, weight=WeightSpec(kind="uniform", bits=8)))
    integer = check(network.eval(), counts(shape=(12,), steps=8))
    assert integer.multiplications == 0


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("kind", [neuron.LIFNode, neuron.IFNode, neuron.ParametricLIFNode])
def test_an_own_network_of_spikingjelly(kind, soft):
    torch.manual_seed(0)
    v_reset = None if soft else 0.1
    network = nn.Sequential(
        layer.Conv2d(2, 8, 3, padding=1, groups=2, bias=False),
        layer.BatchNorm2d(8),
        kind(v_reset=v_reset),
        layer.Conv2d(8, 8, 3, stride=2, dilation=2),
        kind(v_reset=v_reset, v_threshold=0.6),
        layer.Flatten(),
        layer.Linear(32, 5),
    )
    inject(network, presets.imsnn(weight_bits=4))
    functional.set_step_mode(network, "m")
    check(waken(network), counts())


def matrices(bias):
    net = nn.Sequential(layer.Linear(20, 8, bias), neuron.IFNode(), layer.Linear(8, 3, bias))
    functional.set_step_mode(net, "m")
    inject(net, SMALL)
    net[0].parametrizations.weight.original.data.mul_(2.5)
    return net.eval()


class Still(nn.Module):
    """Shows one image in each step."""

    def __init__(self, repeat, bias):
        super().__init__()
        self.repeat, self.layers = repeat, matrices(bias)

    def forward(self, x):
        return self.layers(self.repeat(x.unsqueeze(0))).mean(0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("samples", [1, 2])
def test_matrices_of_spikingjelly(samples, steps, bias):
    check(matrices(bias), counts(steps, samples, (20,)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("repeat", [lambda x: x.expand(4, -1, -1), lambda x: x.repeat(4, 1, 1)])
def test_a_still_image_before_a_matrix(repeat, bias):
    net, image = Still(repeat, bias), counts(1, 2, (20,))[0]
    integer = export.to_integer(net, image)
    _, wanted = run_float(net, image, integer.neurons)
    _, spikes = integer(image.expand(4, -1, -1))
    assert wanted
    for name, sent in wanted.items():
        assert torch.equal(spikes[name].double(), sent.double())


def test_a_depthwise_network_with_voting():
    check(string_net(string="8C3-AP2-12DW-GAP-FC20-AP2"), counts())


@pytest.mark.parametrize(
    "preset", [presets.imsnn(weight_bits=4), presets.qsnn(2)], ids=["imsnn", "qsnn"]
)
@pytest.mark.filterwarnings("ignore:the step's maximum")
@pytest.mark.slow
def test_sums_of_normalized_paths(preset):
    torch.manual_seed(0)
    network = waken(ResidualNet(19, width=0.0625, spec=preset))
    integer = check(network, counts(steps=2, samples=2, shape=(3, 16, 16), high=255) / 255)
    assert "Rescale" in str(integer)


def test_a_last_layer_without_weights_answers_with_its_bias():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 8), snn.Leaky(0.8, init_hidden=True), nn.Linear(8, 3))
    nn.init.zeros_(network[2].weight)
    inject(network, QuantSpec(SMALL.membrane, weight=WeightSpec(kind="binary")))
    answers, _ = (integer := export.to_integer(network, counts(shape=(12,))))(counts(shape=(12,)))
    wanted = network[2].bias.detach().double().expand(answers.shape)
    assert torch.allclose(answers.double() * integer.output.unit, wanted)


class Added(nn.Module):
    """Two layers of neurons in a row, and the sum of both before a third one."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = layer.Linear(12, 9), layer.Linear(9, 3)
        self.lif1, self.lif2, self.lif3 = (neuron.IFNode(v_threshold=v) for v in (0.1, 1.0, 1.0))

    def forward(self, x):
        first = self.lif1(self.fc1(x))
        return self.fc2(self.lif3(first + self.lif2(first)))


@pytest.mark.parametrize("bits", [1, 8])
def test_neurons_take_spikes_and_their_sums(bits):
    torch.manual_seed(0)
    network = Added()
    functional.set_step_mode(network, "m")
    inject(network, QuantSpec(SMALL.membrane, SpikeSpec(bits=bits), weight=SMALL.weight))
    integer = check(network.eval(), counts(shape=(12,), high=99))
    assert all(spikes.any() for spikes in integer(counts(shape=(12,)))[1].values())


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    membrane=st.sampled_from(MEMBRANES),
    weight=st.sampled_from(WEIGHTS),
    spike=st.sampled_from([1, 2, 3]),
    per=st.sampled_from(["layer", "channel"]),
    host=st.sampled_from(HOSTS),
    seed=st.integers(0, 10**6),
)
def test_any_network_in_float64(membrane, weight, spike, per, host, seed):
    spec = QuantSpec(membrane, SpikeSpec(bits=spike), ThresholdSpec("ordinary", per=per), weight)
    network = string_net(spec, host, "4C3-AP2-6C3-GAP-FC3", seed=seed).double()
    check(network, counts(seed=seed).double())


def test_states_are_those_of_the_network():
    network = string_net()
    x, state = counts(), {}
    integer = export.to_integer(network, x)
    integer(x, state)
    network.reset_states()
    with torch.no_grad():
        network(x)
    for name, node in integer.neurons.items():
        wanted = network.get_submodule(name).v
        own = node.states[0][state[name]].reshape(wanted.shape)
        assert torch.equal(own, wanted.double() + 0.0)


def test_no_steps_have_no_answers():
    integer = export.to_integer(string_net(), counts())
    answers, spikes = integer(counts()[:0])
    assert answers.shape == (0, 3, 6)
    assert all(sent.shape[:2] == (0, 3) for sent in spikes.values())


def test_a_stream_is_a_sequence():
    network, x, state = string_net(), counts(), {}
    integer = export.to_integer(network, x)
    whole, _ = integer(x)
    parts = [integer(x[step : step + 1], state)[0] for step in range(len(x))]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("use", [lambda y: y, lambda y: y.sum(0), lambda y: y.mean(0)])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("channels", [1, 2])
def test_dense_answers_keep_their_channels(channels, steps, use, tmp_path):
    net = nn.Sequential(layer.Conv2d(2, 4, 3), neuron.IFNode(), layer.Conv2d(4, channels, 3))
    functional.set_step_mode(net, "m")
    inject(net, SMALL)
    x = counts(steps, 2, (2, 9, 7))
    integer = export.to_integer(nets.Used(net.eval(), use), x)
    answers = integer(x)[0]
    assert answers.shape == (steps, 2, channels, 5, 3)
    assert torch.equal(integer.compile(1)(x)[0], answers)
    integer.save(tmp_path / "file")
    assert torch.equal(export.load(tmp_path / "file")(x)[0], answers)


class Largest(TorchDispatchMode):
    """Notes the elements of the largest tensor."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        leaves = tree_leaves(output)
        sizes = [leaf.numel() for leaf in leaves if isinstance(leaf, torch.Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return output


@pytest.mark.parametrize("states", [7, 200])
@pytest.mark.parametrize("groups", [1, 4, 1024])
def test_neurons_take_the_memory_of_their_maps(groups, states):
    draw = Drawn(states)
    at = draw.input((4, 16, 16), 0, 255)
    bounds = draw.draw(-50, 300, groups, states, 300).sort(-1).values
    charge = draw.draw(-99, 99, groups, states)
    how = {
        "spikes": draw.draw(0, 9, 301).byte(), "next_state": draw.draw(0, states - 1, 301).byte(),
        "first_state": 3, "states": torch.zeros(1, states).double(), "bits": 8,
    }  # fmt: skip
    table = draw.add(Neuron, (4, 16, 16), (at,), bounds=bounds.int(), **how)
    wide = draw.add(WideNeuron, (4, 16, 16), (at,), bounds=bounds[:, 0].int(),
                    charge=charge.int(), **how)  # fmt: skip
    draw.output(table, wide)
    frames, kept = draw.draw(0, 255, 8, 4, 16, 16), draw.draw(0, states - 1, 8, 1024)
    group = torch.arange(1024) * groups // 1024
    with Largest() as largest:
        given = list(draw.network.step(frames, {"n1": kept, "n2": kept}))
    assert largest.elements <= max(frames.numel() * 2, bounds.numel())
    x = frames.flatten(1)
    reached = (x.unsqueeze(-1) >= bounds[group, kept]).sum(-1)
    assert torch.equal(given[table][1].flatten(1), how["spikes"][reached].long())
    reached = ((x + charge[group, kept]).unsqueeze(-1) >= bounds[group, 0]).sum(-1)
    assert torch.equal(given[wide][1].flatten(1), how["spikes"][reached].long())


def test_verify_counts():
    network, x = string_net(), counts()
    integer = export.to_integer(network, x)
    labels = network(x).mean(0).argmax(1)
    found = export.verify(network, integer, [(x, labels), (x[:, :1], labels[:1])])
    assert found.exact
    assert (found.samples, found.same_answers) == (4, 4)
    assert (found.float_hits, found.integer_hits) == (4, 4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data += 0.1
    other = export.verify(network, integer, [x])
    assert not other.exact
    assert other.differ > 0
    assert "differ" in str(other)


def test_the_network_is_left_as_it_is():
    network = string_net().train()
    before = {
        name: tensor.clone()
        for name, tensor in network.state_dict().items()
        if isinstance(tensor, torch.Tensor)
    }
    export.to_integer(network, counts())
    assert network.training
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("build", "example"),
    [
        (lambda: nets.OneStep(), counts(4, 3, (12,))),
        (nets.convolutions, counts(1, 3, (1, 6, 6))[0]),
        (nets.Jelly, counts(4, 3, (1, 6, 6))),
        (lambda: nets.OneStep(nets.remembered), counts(4, 3, (12,))),
    ],
    ids=range(4),
)
def test_states_graphs_and_hooks_of_a_network_in_training_are_left_alone(build, example):
    network, seen = nets.quantized(build()).train(), []
    network(example).sum().backward()
    layer = next(m for m in network.modules() if hasattr(m, "parametrizations"))
    layer.register_forward_hook(lambda *_: seen.append(1))
    neurons = [m for m in network.modules() if hasattr(m, "quant_spec")]
    states = [m.v if hasattr(m, "v") else m.mem for m in neurons]
    export.to_integer(network, example)
    assert all(
        (m.v if hasattr(m, "v") else m.mem) is state
        for m, state in zip(neurons, states, strict=True)
    )
    assert not seen
    assert len(layer._forward_hooks) == 1
    assert network.training


def test_a_reset_inside_of_a_copy_leaves_the_network_alone():
    network = nets.quantized(nets.ResetInside())
    network.lif1(torch.ones(2, 9))
    before = network.lif1.mem
    with pytest.raises(ExportError, match="Only the neuron itself"):
        export.to_integer(network, counts(4, 3, (12,)))
    assert network.lif1.mem is before
