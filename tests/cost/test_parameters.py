"""What is stored for good, against the network's own parameters and against injection."""

import pytest
import torch
from spikingjelly.activation_based import neuron
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.cost import MEMORY_CONVENTIONS, pack_membrane, report
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import NETWORK_STRINGS, HostedNet, ResidualNet, StringNet, string_net
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import MembraneSpec, QuantSpec, ThresholdSpec, WeightSpec
from qsnn_plugins.spikingjelly import QuantLIFNode, build_network, inject

FLOAT = QuantSpec.full_precision()
STRINGS = NETWORK_STRINGS.items()
BUILDERS = [
    *((lambda name=name: string_net(name, spec=FLOAT), k.input_size) for name, k in STRINGS),
    *((lambda depth=depth: ResidualNet(depth, spec=FLOAT), (32, 32)) for depth in (18, 19, 20, 34)),
    (lambda: HostedNet("sew_resnet34", spec=FLOAT), (32, 32)),
    (lambda: HostedNet("spikformer_2_384", spec=FLOAT), (32, 32)),
]


@pytest.mark.parametrize(("build", "size"), BUILDERS)
def test_every_parameter_is_counted_once(build, size):
    network = build()
    cost = report(network, None, (1, 1, network.in_channels, *size))
    assert cost.count() == sum(p.numel() for p in network.parameters())


class Decoder(nn.Module):
    """Conv - ConvTranspose - Conv, and what stays float."""

    def __init__(self):
        super().__init__()
        self.first, self.up = nn.Conv2d(2, 8, 1, bias=False), nn.ConvTranspose2d(8, 32, 2)
        self.last, self.fire = nn.Conv2d(32, 2, 1, bias=False), neuron.IFNode()
        self.attention = nn.MultiheadAttention(2, 1)

    def forward(self, x):
        x = self.last(self.fire(self.up(self.first(x)))).flatten(2).transpose(1, 2)
        return self.attention(x, x, x)[0]


@pytest.mark.parametrize("convention", MEMORY_CONVENTIONS)
def test_no_weight_is_lost_in_any_way_of_counting(convention):
    """1,024 weights of the transposed convolution, and 12 float ones inside the attention."""
    network, shape = Decoder(), (1, 1, 2, 4, 4)
    counted = [report(network, None, shape, step_mode="s").memory(convention)]
    for spec in (None, presets.qsnn(2)):
        if spec is None:
            with pytest.warns(UserWarning, match="1 matrix parameter with 12 weights left float"):
                inject(network, presets.qsnn(2))
        counted.append(report(network, spec, shape, step_mode="s").memory(convention))
    floats, quantized, planned = (memory.parameters["weights"] for memory in counted)
    assert floats == 4 * (2 * 8 + 1024 + 32 * 2 + 12 + 4)
    # the ends of the network, 8 bits, are its first convolution and the attention's projection
    assert quantized == planned == 16 + 1024 // 8 + 64 // 8 + 4 * 12 + 4


def test_quantizing_adds_scales_and_thresholds_and_nothing_else():
    build = lambda spec: StringNet("4C3-8C3-GAP-FC6-FC3", spec=spec)  # noqa: E731
    spec = QuantSpec(
        MembraneSpec(kind="uniform", bits=4),
        threshold=ThresholdSpec(gradient="separate", per="channel"),
        weight=WeightSpec("binary", bits=1, first_last="eight_bit"),
    )
    shape = (2, 1, 2, 6, 6)
    before, after = report(build(FLOAT), None, shape), report(build(spec), None, shape)
    for role in ("weights", "biases", "normalization", "other"):
        assert before.count(role) == after.count(role)
    assert before.count("scales") == before.count("thresholds") == 0
    # one per channel of two binary layers, one per 8-bit end, one per layer of membranes
    assert after.count("scales") == (8 + 6) + 2 + 3
    assert after.count("thresholds") == 4 + 8 + 6
    bits = {p.layer: p.bits for p in after.parameters if p.role == "weights"}
    assert list(bits.values()) == [8, 1, 1, 8]


@pytest.mark.parametrize(
    "spec",
    [
        presets.imsnn(),
        presets.qsnn(),
        pytest.param(presets.qsnn(fidelity="released"), marks=pytest.mark.slow),
        presets.sigmoid_quantizer(1),
        presets.bit_budget(4, 2),
        pytest.param(presets.spquant(pruned=False), marks=pytest.mark.slow),
        QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"), weight=WeightSpec("mint")),
        QuantSpec(weight=WeightSpec("uniform", first_last="float", per="channel")),
        QuantSpec(threshold=ThresholdSpec("ordinary", first_layer="fixed")),
    ],
)
def test_a_spec_counts_what_injection_makes(spec):
    shape = (2, 1, 3, 32, 32)
    network = build_network("spikformer_2_384", classes=10)
    asked = report(network, spec, shape)
    inject(network, spec, example_input=torch.zeros(shape))
    there = report(network, None, shape)
    stored = [
        sorted((p.layer, p.role, p.count, p.bits) for p in cost.parameters)
        for cost in (asked, there)
    ]
    assert stored[0] == stored[1]
    assert asked.synapses == there.synapses
    for ours, theirs in zip(asked.neurons, there.neurons, strict=True):
        assert (ours.count, ours.membrane_bits, ours.levels) == (
            theirs.count,
            theirs.membrane_bits,
            theirs.levels,
        )


def test_a_first_threshold_that_is_fixed_is_not_stored():
    spec = presets.spquant(pruned=False, fidelity="released")
    layers = [nn.Linear(4, 4), neuron.IFNode(), nn.Linear(4, 4), neuron.IFNode()]
    cost = report(nn.Sequential(*layers), spec, (2, 1, 4), step_mode="s")
    thresholds = [(p.layer, p.count) for p in cost.parameters if p.role == "thresholds"]
    assert thresholds == [("3", 1)]


def test_a_shared_weight_is_stored_once():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    network = nn.Sequential(first, second)
    assert report(network, None, (2, 1, 4)).count("weights") == 16
    quantize_weights(network, WeightSpec("mint", bits=2))
    cost = report(network, None, (2, 1, 4))
    assert (cost.count("weights"), cost.count("scales")) == (16, 1)
    assert cost.macs == 32


def test_other_parameters_are_not_forgotten():
    class Positional(nn.Module):
        def __init__(self):
            super().__init__()
            self.position, self.norm = nn.Parameter(torch.zeros(4)), nn.LayerNorm(4)

        def forward(self, x):
            return self.norm(x + self.position)

    cost = report(Positional(), None, (2, 1, 4))
    assert (cost.count("other"), cost.count("normalization")) == (4, 8)
    assert cost.memory().total == 12 * 4


def test_a_scale_that_weights_and_membranes_share_is_stored_once():
    spec = QuantSpec(
        MembraneSpec(kind="tanh", bits=2, scale="learned"), weight=WeightSpec("mint", bits=2)
    )
    network = StringNet("4C3-GAP-FC3", spec=spec)
    shape = (2, 1, 2, 6, 6)
    assert report(network, None, shape).count("scales") == 3
    convolution, neuron = network.blocks.conv1.synapse[0], network.blocks.conv1.neuron
    neuron.membrane.share_scale(convolution.parametrizations.weight[0].beta)
    assert report(network, None, shape).count("scales") == 2


class Own(nn.Module):
    """Weights in every form that is neither a convolution nor a linear layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.bilinear = nn.Embedding(5, 4), nn.Bilinear(4, 4, 4)
        self.lstm, self.attention = nn.LSTM(4, 4), nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.matrix, self.gain = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))

    def forward(self, x):
        x = self.bilinear(x, x + self.embedding.weight[0]) @ self.matrix * self.gain
        return self.attention(*[self.lstm(x)[0]] * 3, need_weights=False)[0]


def test_every_matrix_is_a_weight_of_32_bits():
    cost = report(Own(), None, (2, 1, 4))
    weights = {p.layer: (p.count, p.bits) for p in cost.parameters if p.role == "weights"}
    counts = {"": 16, "embedding": 20, "bilinear": 64, "lstm": 2 * 64, "attention": 48}
    assert weights == {name: (n, 32) for name, n in (counts | {"attention.out_proj": 16}).items()}
    assert cost.count("biases") == 4 + 2 * 16 + 12 + 2 * 4 + 4
    assert cost.count("other") == 4
    assert cost.count() == sum(p.numel() for p in Own().parameters())


def test_float_weights_between_quantized_ones_are_in_every_convention():
    layers = nn.Conv2d(2, 8, 1), nn.ConvTranspose2d(8, 8, 4, bias=False), nn.Conv2d(8, 2, 1)
    network = nn.Sequential(*layers)
    quantize_weights(nn.ModuleList([layers[0], layers[2]]), WeightSpec("uniform", bits=2))
    cost = report(network, None, (1, 1, 2, 4, 4), step_mode="s")
    assert [s.kind for s in cost.synapses] == ["conv"] * 3
    assert [s.weight_bits for s in cost.synapses] == [2, 32, 2]
    for convention in MEMORY_CONVENTIONS:
        assert cost.memory(convention).parameters["weights"] == 4 + 4 * 1024 + 4


def test_weights_under_other_parametrizations_are_counted():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    cost = report(nn.Sequential(layer), None, (2, 1, 4))
    assert cost.count("weights") == 12 + 3  # directions and magnitudes
    assert cost.count("biases") == 3


def test_norms_that_store_nothing_are_not_counted():
    network = nn.Sequential(nn.InstanceNorm1d(2), nn.BatchNorm1d(2), nn.RMSNorm(4))
    assert report(network, None, (3, 1, 2, 4), step_mode="s").count("normalization") == 4 + 4


class SignMembrane(nn.Module):
    """A membrane quantizer as a user writes it, without anything of this package."""

    bits = 1

    def forward(self, u):
        return torch.where(u < 0, -0.5, 0.5)

    def codes(self, q):
        return (q / 0.5).to(torch.int32), 0.5


def test_a_quantizer_of_a_users_own_says_its_bits_and_codes():
    network = nn.Sequential(QuantLIFNode(spec=QuantSpec(MembraneSpec(kind="float"))))
    network[0].membrane = SignMembrane()
    (neuron,) = report(network, None, (3, 1, 9), step_mode="s").neurons
    assert (neuron.membrane_bits, neuron.levels, neuron.membrane_bytes) == (1, 2, 2)
    q = network[0].membrane(torch.linspace(-1, 1, 9))
    packed = pack_membrane(network[0].membrane, q)
    assert packed.packed.numel() == neuron.membrane_bytes
    assert torch.equal(packed.unpack(), q)
    with pytest.raises(ArgumentError, match="membranes that this quantizer stored"):
        pack_membrane(network[0].membrane, q + 0.1)
