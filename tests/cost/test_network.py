"""Memory by each paper's convention against its printed figures, and sums of operations."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from spikingjelly.activation_based import layer
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.cost import (
    Activity,
    EnergyTable,
    NetworkCost,
    NeuronCost,
    OperationEnergy,
    ParameterCost,
    SynapseCost,
    cost_table,
    memory_convention,
    report,
)
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import HostedNet, ResidualNet, StringNet, string_net
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, WeightSpec
from qsnn_plugins.spikingjelly import TernaryLIFNode

FLOAT = QuantSpec.full_precision()


def test_qsnn_table_two_for_each_batch_and_width():
    network = ResidualNet(19, hidden_features=0, spec=presets.qsnn(membrane_bits=8))
    printed = {  # MB of ResNet-19 by batch: 32-32, 1-8, 1-4, 1-2
        1: (50.80, 1.75, 1.68, 1.65),
        64: (83.83, 10.0, 5.81, 3.72),
        256: (184.49, 35.17, 18.40, 10.01),
    }
    shape = (1, 1, 3, 32, 32)
    specs = [FLOAT, *(presets.qsnn(membrane_bits=bits) for bits in (8, 4, 2))]
    costs = [report(network, spec, shape) for spec in specs]
    for samples, row in printed.items():
        computed = [cost.memory("qsnn", samples).total / 1e6 for cost in costs]
        assert computed == pytest.approx(row, abs=0.0151)  # printed digits are cut or rounded


def test_spquant_table_seven():
    network = string_net("vgg9_printed_size", spec=FLOAT)
    cost = report(network, None, (1, 1, 2, 48, 48))
    weights = replace(memory_convention("imsnn"), roles=("weights", "biases")).roles
    memory = cost.memory(replace(memory_convention("spquant"), roles=weights))
    assert sum(memory.parameters.values()) / 1e6 == pytest.approx(41.12, abs=0.005)
    conv_membranes = sum(n.membrane_bytes for n in cost.neurons if "conv" in n.name)
    assert conv_membranes / 1e6 == pytest.approx(3.68, abs=0.01)
    ternary = report(network, presets.spquant(weight_bits=2, pruned=False), (1, 1, 2, 48, 48))
    assert ternary.memory("chip").parameters["weights"] / 1e6 == pytest.approx(2.57, abs=0.005)
    assert ternary.memory("chip").membranes / 1e6 == pytest.approx(0.23, abs=0.005)


def test_imsnn_table_five():
    network = ResidualNet(19, stem_channels=64, spec=FLOAT)
    of_convolutions = {"weights_of": ("conv",)}
    cost = report(network, None, (1, 1, 3, 32, 32))
    memory = cost.memory(replace(memory_convention("imsnn_float_table"), **of_convolutions))
    assert memory.parameters["weights"] / 1e6 == pytest.approx(49.94, abs=0.01)
    assert memory.membranes == memory.outputs
    assert memory.membranes / 1e6 == pytest.approx(5.5, abs=0.01)
    assert memory.total / 1e6 == pytest.approx(60.94, abs=0.02)
    ternary = report(network, presets.imsnn(weight_bits=4), (1, 1, 3, 32, 32))
    memory = ternary.memory(replace(memory_convention("imsnn"), **of_convolutions))
    assert memory.parameters["weights"] / 1e6 == pytest.approx(6.24, abs=0.005)
    assert memory.membranes / 1e6 == pytest.approx(0.25, abs=0.01)  # 1.5 bits each


@pytest.mark.parametrize(("bits", "printed"), [(None, 6.46), (1, 0.21)])
def test_third_paper_table_three(bits, printed):
    spec = presets.sigmoid_quantizer(bits) if bits else FLOAT
    network = string_net("plif", spec=spec)
    memory = report(network, None, (1, 1, 2, 128, 128)).memory("sigmoid_quantizer")
    assert memory.total / 2**20 == pytest.approx(printed, abs=0.005)  # MiB there
    assert memory.membranes == 0


@pytest.mark.parametrize(
    ("name", "bits", "printed"),
    [  # bit budget, Table 5: S-ACE in G of Spikformers on CIFAR at 16 / 1 / 4
        ("spikformer_4_256", None, 26.28),
        pytest.param("spikformer_2_384", None, 44.50, marks=pytest.mark.slow),
        ("spikformer_4_384", None, 59.10),
        ("spikformer_4_384", 1, 3.69),  # 1 / 1 / 4
    ],
)
def test_bit_budget_table_five(name, bits, printed):
    network = HostedNet(name)
    spec = presets.bit_budget(weight_bits=bits) if bits else FLOAT
    cost = report(network, spec, (4, 1, 3, 32, 32), activity=0.25)
    assert cost.s_ace / 1e9 == pytest.approx(printed, rel=0.02)
    first, *rest = (s for s in cost.synapses if s.kind != "product")
    expected = first.s_ace + 0.25 * sum(s.s_ace for s in rest)
    assert cost.ns_ace == pytest.approx(expected)


@pytest.fixture(scope="module")
def plain():
    """A narrow Spikformer, and the products of its account in full precision."""
    network = HostedNet("spikformer_2_384", width=0.25)
    return network, report(network, FLOAT, (4, 1, 3, 32, 32)).product_macs


@pytest.mark.parametrize(("bits", "is_limited"), [(1, False), (3, False), (3, True)])
def test_attention_has_a_line_of_its_own(bits, is_limited, plain):
    """Two products of 64 tokens in each of two blocks, in an order that the limit decides."""
    spike = SpikeSpec(bits=bits, limit_sums=is_limited)
    network = HostedNet("spikformer_2_384", width=0.25, spec=replace(FLOAT, spike=spike))
    cost = report(network, None, (4, 1, 3, 32, 32))
    channels, tokens, heads = 96, 64, 12
    # V K^T is channels of a head square, Q K^T tokens square
    each = channels * tokens * (tokens if is_limited else channels // heads)
    assert cost.product_macs == 2 * 2 * each
    assert cost.product_s_ace == cost.product_macs * 4 * bits * bits
    assert cost.s_ace == sum(s.s_ace for s in cost.synapses if s.kind != "product")
    assert cost.to_dict()["operations"]["product_s_ace"] == cost.product_s_ace
    float_network, float_macs = plain
    assert report(float_network, network.spec, (4, 1, 3, 32, 32)).product_macs == cost.product_macs
    assert report(network, FLOAT, (4, 1, 3, 32, 32)).product_macs == float_macs
    (line,) = (row for row in str(cost).splitlines() if row.startswith("attention"))
    assert "MACs a step between spikes" in line


def test_wider_spikes_cost_more_operations_and_bits():
    spec = QuantSpec(MembraneSpec(kind="float"), SpikeSpec(bits=3), weight=WeightSpec())
    cost = report(StringNet("4C3-GAP-FC3"), spec, (2, 1, 2, 6, 6), activity=0.5)
    first, last = cost.synapses
    assert (first.spike_bits, last.spike_bits) == (1, 3)  # the input is no spike
    assert last.sops == 3 * last.total_macs
    assert last.accumulations == 0.5 * 3 * last.total_macs
    assert cost.neurons[0].spike_bytes == 4 * 36 * 3 // 8


def test_pruning_and_energy_by_hand():
    """Gates save multiplications and additions of their convolutions, spatial masks of neurons."""
    pruning = PruningSpec(spatial_ratio=0.3, channel_threshold=0.47)
    spec = QuantSpec(weight=WeightSpec("uniform", bits=4), pruning=pruning)
    network = StringNet("4C3-5C3-GAP-FC3", spec=spec)
    cost = report(network, None, (5, 1, 2, 6, 6), activity=Activity.uniform(0.2, 0.3, 0.5))
    first, second, linear = 5 * 4 * 2 * 9 * 36, 5 * 5 * 4 * 9 * 36, 5 * 5 * 3
    predictor, pooled = 5 * 4 * 5, 5 * 4 * 36
    assert cost.remaining_macs == pytest.approx(first + second * 0.5 + predictor + linear)
    assert cost.share_left == pytest.approx(cost.remaining_macs / (first + second + linear))
    updates = 5 * (4 + 5) * 36 * 0.7
    multiplications = first + predictor
    sums = first + 0.2 * (second * 0.5 + linear) + updates
    assert cost.multiplications == pytest.approx(multiplications)
    assert cost.accumulations == pytest.approx(sums + predictor + pooled)
    table = EnergyTable("own", int8=OperationEnergy(2, 30), float32=OperationEnergy(500, 7000))
    floats = 500 * (predictor + pooled) + 7000 * predictor
    assert cost.energy(table) == pytest.approx(2 * sums + 30 * first + floats)
    plain = report(StringNet("4C3-GAP-FC3"), FLOAT, (5, 1, 2, 6, 6), activity=0.2).energy(table)
    linear = 5 * 4 * 3
    assert plain == pytest.approx(500 * (first + 0.2 * linear + 5 * 4 * 36) + 7000 * first)


@pytest.mark.parametrize(("bits", "each"), [(8, 1), (9, 100), (16, 100), (32, 100)])
def test_energy_is_that_of_integers_up_to_8_bits(bits, each):
    table = EnergyTable("own", int8=OperationEnergy(1, 10), float32=OperationEnergy(100, 1000))
    synapse = SynapseCost("fc", "linear", 20, 2, bits, takes_numbers=True)
    neuron = NeuronCost("sn", "Neuron", 7, bits)
    cost = NetworkCost((synapse,), (replace(neuron, masked=0.0),), (), time_steps=2)
    assert cost.energy(table) == each * (20 + 10 * 20 + 2 * 7)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "0.1", True, None])
def test_an_energy_is_a_finite_number(value):
    with pytest.raises(ArgumentError, match="multiply="):
        OperationEnergy(add=0.1, multiply=value)


def test_nothing_is_assumed_of_activity():
    spec = QuantSpec(pruning=PruningSpec(spatial_ratio=0.3))
    cost = report(StringNet("4C3-GAP-FC3", spec=spec), None, (2, 1, 2, 6, 6))
    unknown = (cost.synaptic_operations, cost.ns_ace, cost.accumulations, cost.energy())
    assert unknown == (None,) * 4
    assert cost.remaining_macs is not None  # a spatial mask saves none
    gated = QuantSpec(pruning=PruningSpec(channel_threshold=0.3))
    unknown = report(StringNet("4C3-4C3-GAP-FC3", spec=gated), None, (2, 1, 2, 6, 6))
    assert (unknown.remaining_macs, unknown.share_left) == (None, None)
    rated = report(StringNet("4C3-GAP-FC3", spec=spec), None, (2, 1, 2, 6, 6), activity=0.1)
    assert rated.synaptic_operations is not None
    assert rated.energy() is None  # what is masked was not said
    assert "additions and energy: not known of every layer" in str(rated)
    assert "no activity was given" not in str(rated)


def test_the_largest_layer_alone_is_counted_with_its_bits():
    neurons = (NeuronCost("a", "n", 100, 32), NeuronCost("b", "n", 300, 2, levels=3))
    cost = NetworkCost((), neurons, (), time_steps=1)
    assert cost.memory("qsnn").membranes == 400
    assert cost.memory("chip").membranes == 400 + 75
    assert cost.memory("chip", samples=3).membranes == 3 * 475
    assert cost.memory("spquant").membranes == 400 + 60  # 300 * log2(3) / 8 = 59.4


def test_mint_keeps_outputs_of_eight_bits():
    cost = NetworkCost((), (NeuronCost("a", "n", 100, 2, levels=3),), (), time_steps=1)
    assert cost.memory("mint").outputs == 100


def test_weights_of_chosen_layers_only():
    rows = (
        ParameterCost("c", "weights", 10, 8, "conv"),
        ParameterCost("f", "weights", 20, 8, "linear"),
        ParameterCost("f", "biases", 2, 32, "linear"),
    )
    cost = NetworkCost((), (), rows, time_steps=1)
    assert cost.memory("chip").total == 38
    assert cost.memory(replace(memory_convention("imsnn"), weights_of=("conv",))).total == 10


def test_what_is_not_allowed():
    cost = NetworkCost((), (), (), time_steps=1)
    with pytest.raises(ArgumentError, match="convention='guess'"):
        cost.memory("guess")
    with pytest.raises(ArgumentError, match="energy='guess'"):
        cost.energy("guess")
    with pytest.raises(ArgumentError, match="samples=0"):
        cost.memory(samples=0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("membranes", "some"),
        ("ternary_bits", 0),
        ("output_bits", -3),
        ("output_bits", float("nan")),
        ("roles", ("weights", "guess")),
        ("roles", "weights"),
        ("weights_of", ("convolution",)),
        ("weights_of", "conv"),
    ],
)
def test_a_convention_names_what_it_refuses(option, value):
    wrong = value[-1] if isinstance(value, tuple) else value
    with pytest.raises(ArgumentError, match=f"^{option}={wrong!r} is not allowed: give "):
        replace(memory_convention("chip"), **{option: value})


def test_an_account_prints_as_the_command_shows_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    cost = report(StringNet("4C3-GAP-FC3"), None, (2, 1, 2, 6, 6), activity=0.1)
    console = Console(file=StringIO())
    console.print(cost_table(cost))
    assert str(cost) == console.file.getvalue().removesuffix("\n")
    assert "total " in str(cost)
    assert "\x1b" not in str(cost)


class Repeating(nn.Module):
    """Shows an image T times by itself."""

    def __init__(self):
        super().__init__()
        self.conv = layer.Conv2d(1, 4, 3, padding=1, step_mode="m")
        self.neuron = TernaryLIFNode(step_mode="m")

    def forward(self, x):
        return self.neuron(self.conv(x.unsqueeze(0).repeat(4, 1, 1, 1, 1))).mean(0)


@pytest.mark.parametrize("time_steps", [None, 4])
def test_a_network_that_repeats_its_input_has_each_membrane_once(time_steps):
    cost = report(Repeating(), None, (1, 1, 6, 6), time_steps=time_steps)
    assert cost.time_steps == 4
    assert cost.memory().membranes == 4 * 36 // 4  # 2 bits each
    assert cost.macs == 36 * 36
