"""Networks in C give the integers of the reference, from memory and instructions that are known."""

import math
import re
import subprocess

import pytest
import snntorch as snn
import torch
from pycparser import c_ast, c_parser
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import QuantSpec, export, inject, presets
from qsnn_plugins.export import IntegerNetwork
from qsnn_plugins.export.c.plan import bit_planes, plan
from qsnn_plugins.export.nodes import (
    Convolution,
    Neuron,
    Output,
    Span,
    SumPool,
    WideNeuron,
)
from qsnn_plugins.models import ResidualNet, StringNet
from qsnn_plugins.spec import MembraneSpec, SpikeSpec, WeightSpec
from tests.export.c_programs import (
    COMPILERS,
    answers,
    assert_equal_in_c,
    build,
    constants,
    needs_gcc,
)
from tests.export.random_networks import RANGES, Drawn, random_chain, random_frames, random_network

pytestmark = needs_gcc
SANITIZERS = "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
STDINT = """\
typedef signed char int8_t; typedef short int16_t; typedef int int32_t; typedef long int64_t;
typedef unsigned char uint8_t; typedef unsigned int uint32_t; typedef unsigned long uint64_t;
#define INT64_C(value) value##L
"""


def wake(net):
    """Give normalizations statistics that make most layers fire."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.weight.data.uniform_(1, 3)
            module.bias.data.normal_(0.2, 0.5)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.2, 1)
    return net.eval()


def parsed(folder):
    """The syntax tree of network.c."""
    headers = folder / "headers"
    headers.mkdir()
    (headers / "stdint.h").write_text(STDINT)
    command = ["gcc", "-E", "-P", "-nostdinc", f"-I{headers}", folder / "network.c"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return c_parser.CParser().parse(text)


class Finder(c_ast.NodeVisitor):
    """Operators, types and calls of a syntax tree."""

    def __init__(self, tree):
        self.operators, self.types, self.calls, self.functions = [], set(), set(), set()
        self.visit(tree)

    def visit_BinaryOp(self, node):  # noqa: N802
        self.operators.append(node.op)
        self.generic_visit(node)

    def visit_Assignment(self, node):  # noqa: N802
        self.operators.append(node.op)
        self.generic_visit(node)

    def visit_IdentifierType(self, node):  # noqa: N802
        self.types |= set(node.names)

    def visit_FuncCall(self, node):  # noqa: N802
        self.calls.add(node.name.name)
        self.generic_visit(node)

    def visit_FuncDef(self, node):  # noqa: N802
        self.functions.add(node.decl.name)
        self.generic_visit(node)

    @property
    def products(self):
        return [op for op in self.operators if op[0] in "*/%"]


def seeds(quick, slow):
    return [*range(quick), *(pytest.param(s, marks=pytest.mark.slow) for s in range(quick, slow))]


@pytest.mark.parametrize("seed", seeds(10, 45))
def test_random_networks_are_equal_after_each_step(seed, tmp_path):
    integer = random_network(seed)
    assert_equal_in_c(integer, random_frames(integer, seed), tmp_path, flags=("-O0",))


@pytest.mark.parametrize("seed", seeds(12, 50))
def test_chains_of_signed_values_are_equal_after_each_step(seed, tmp_path):
    integer = random_chain(seed)
    assert_equal_in_c(integer, random_frames(integer, seed), tmp_path, flags=("-O0",))


@pytest.mark.parametrize("is_frame", [True, False])
@pytest.mark.parametrize(("low", "high"), [(-1, 0), (-1, 1), (-5, 10), (-9, 0), (-8, 7), (0, 12)])
def test_accumulators_hold_what_sums_are_on_the_way(low, high, is_frame):
    net = Drawn(0)
    at = net.input((2, 1), low, high)
    if not is_frame:
        at = net.add(SumPool, (2, 1), (at,), takes=(2, 1), kernel=(1,), stride=(1,), padding=(0,))
    at = net.linear(at, 4)
    net.output(at)
    held, codes = plan(net.network).sums[at], net.nodes[at].codes.long()
    planes, is_signed = bit_planes(Span(low, high)), low < 0
    if is_frame:  # any value of as many bits
        low = -(2 ** (planes - 1)) if is_signed else 0
        high = low + 2**planes - 1
    x = torch.cartesian_prod(*[torch.arange(low, high + 1)] * 2)
    total = torch.zeros(len(x), 4).long()
    for plane in reversed(range(planes)):
        total = 2 * total
        for i in range(2):
            total = total + (x[:, i : i + 1] >> plane & 1) * codes[:, i]
            assert held.low <= int(total.min()) <= int(total.max()) <= held.high
        if is_signed and plane == planes - 1:
            total = -total
    assert torch.equal(total, x @ codes.T)


@pytest.mark.parametrize("seed", seeds(3, 15))
def test_spikes_of_each_layer_are_equal_after_each_step(seed, tmp_path):
    whole = random_network(seed)
    frames = random_frames(whole, seed, steps=4)
    _, spikes = whole(frames)
    for place, node in enumerate(whole.nodes):
        if isinstance(node, Neuron | WideNeuron):
            count = math.prod(node.shape)
            ones = torch.ones(1, count, dtype=torch.long)
            output = Output(
                "spikes", (place,), (count,), 0, 255, ones, torch.zeros(count).long(), 1.0
            )
            shown = IntegerNetwork((*whole.nodes[: place + 1], output))
            shown.to_c(tmp_path)
            program = build(tmp_path, flags=("-O0",))
            expected = spikes[node.name].long().flatten(2).cumsum(0)
            for step in range(1, 5):
                _, sums = answers(shown, frames[:step], program)
                assert torch.equal(sums, expected[step - 1])


@pytest.mark.parametrize("seed", range(10))
def test_sums_themselves_are_equal(seed, tmp_path):
    net = Drawn(seed)
    low, high = RANGES[seed % len(RANGES)]
    source = net.input((3, *[4] * (1 + seed % 3)), low, high)
    sums, others = net.convolution(source), net.pool(source)
    scaled = net.rescale(sums, sums)
    net.output(net.gather(source, sums, others, scaled), plain=seed % 2 == 0)
    frames = random_frames(net.network, seed)
    assert_equal_in_c(net.network, frames, tmp_path, flags=("-O0",))


def test_convolutions_without_a_neuron_in_between_are_equal(tmp_path):
    net = nn.Sequential(
        layer.Conv2d(1, 4, 1, bias=False), layer.Conv2d(4, 8, 1, bias=False), neuron.IFNode(),
        layer.Flatten(), layer.Linear(32, 3, bias=False),
    )  # fmt: skip
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    net[0].weight.data.copy_(signs.reshape(4, 1, 1, 1))
    net[1].weight.data.copy_(signs.reshape(4, 1, 1).expand(8, 4, 1, 1))
    functional.set_step_mode(net, "m")
    inject(net, QuantSpec(MembraneSpec(kind="uniform", bits=3, scale="fixed"),
                          weight=WeightSpec(kind="uniform", bits=4)))  # fmt: skip
    pixels = torch.full((2, 1, 1, 2, 2), 255.0)
    integer = export.to_integer(net.eval(), pixels)
    assert all(bool(spikes.any()) for spikes in integer(pixels)[1].values())
    assert_equal_in_c(integer, pixels, tmp_path)


LAYERS = "8C3-AP2-16C3-16C3-MP2-16C3-GAP-FC32-FC10"
SPECS = {
    "ternary": presets.spquant(weight_bits=4, pruned=False),
    "binary": presets.qsnn(2),
    "imsnn": presets.imsnn(weight_bits=4),
    "2-bit spikes": QuantSpec(
        MembraneSpec(kind="uniform", bits=3, scale="fixed", scale_value=2.0),
        spike=SpikeSpec(bits=2),
        weight=WeightSpec(kind="uniform", bits=3),
    ),
    "wide": QuantSpec(
        MembraneSpec(kind="uniform", bits=8, scale="fixed", scale_value=2.0),
        weight=WeightSpec(kind="uniform", bits=8),
    ),
}


@pytest.mark.covering(1)
@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
@pytest.mark.parametrize("kind", SPECS)
def test_trained_networks_of_both_hosts_are_equal(host, kind, tmp_path):
    torch.manual_seed(0)
    net = wake(StringNet(LAYERS, input_size=(8, 8), spec=SPECS[kind], host=host))
    frames = torch.randint(0, 4, (3, 4, 2, 8, 8)).float() if kind == "wide" else None
    frames = (torch.rand(3, 4, 2, 8, 8) < 0.3).float() if frames is None else frames
    integer = export.to_integer(net, frames[:1, :1])
    _, spikes = integer(frames)
    assert all(0 < float((s > 0).float().mean()) < 1 for s in list(spikes.values())[:3])
    assert_equal_in_c(integer, frames, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_a_residual_network_is_equal(host, tmp_path):
    torch.manual_seed(0)
    net = wake(ResidualNet(19, width=0.0625, spec=presets.imsnn(weight_bits=4), host=host))
    frames = torch.randint(0, 256, (2, 2, 3, 16, 16)).float() / 255
    assert_equal_in_c(export.to_integer(net, frames[:1, :1]), frames, tmp_path)


def free_network(low, high):
    """A network of shifts alone, whose input is of several bits."""
    net = Drawn(7)
    at = net.neuron(net.convolution(net.input((3, 5, 5), low, high)))
    at = net.neuron(net.linear(net.neuron(net.pool(at)), 12))
    net.output(net.linear(at, 4), plain=True)
    return net.network


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_nothing_is_multiplied_where_the_network_says_so(low, high, tmp_path):
    integer = free_network(low, high)
    assert integer.multiplications == 0
    integer.to_c(tmp_path)
    found = Finder(parsed(tmp_path))
    assert found.products == []
    assert found.types <= {"char", "int", "void", "int8_t", "int16_t", "int32_t", "int64_t",
                           "uint8_t", "uint32_t", "qsnn_input_t", "short", "long", "signed",
                           "unsigned"}  # fmt: skip
    assert found.calls <= found.functions
    assert_equal_in_c(integer, random_frames(integer, 0), tmp_path, flags=("-O0",))


def test_products_that_the_network_names_are_found(tmp_path):
    net = Drawn(1)
    net.output(net.linear(net.input((3,), 0, 1), 4), plain=False)
    assert net.network.multiplications == 4
    net.network.to_c(tmp_path)
    assert Finder(parsed(tmp_path)).products == ["*"]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_both_compilers_have_nothing_to_say(compiler, level, tmp_path):
    for seed in range(6):
        integer = random_network(seed)
        frames = random_frames(integer, seed, steps=2)
        assert_equal_in_c(integer, frames, tmp_path, compiler=compiler, flags=(level,))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("compiler", COMPILERS)
def test_sanitizers_have_nothing_to_say(compiler, seed, tmp_path):
    integer = random_network(seed)
    frames = random_frames(integer, seed, steps=2)
    assert_equal_in_c(integer, frames, tmp_path, compiler=compiler, flags=SANITIZERS)


@pytest.mark.parametrize("seed", range(6))
def test_bytes_are_those_of_the_account(seed, tmp_path):
    integer = random_network(seed)
    integer.to_c(tmp_path)
    said = constants(tmp_path)
    assert said["TABLE_BYTES"] == sum(each.weights + each.bounds for each in integer.accounts)
    subprocess.run(["gcc", "-O1", "-c", "network.c"], cwd=tmp_path, check=True)
    table = subprocess.run(
        ["size", "-A", "network.o"], cwd=tmp_path, capture_output=True, text=True
    )
    sizes = dict(re.findall(r"^\.(bss|data) +(\d+)", table.stdout, re.MULTILINE))
    assert sizes == {"bss": str(said["RAM_BYTES"]), "data": "0"}
    assert said["RAM_BYTES"] >= sum(each.states for each in integer.accounts)


def test_memory_is_reused(tmp_path):
    net = Drawn(0)
    at = net.input((4, 8, 8), 0, 1)
    for _ in range(6):
        at = net.add(export.nodes.MaxPool, (4, 8, 8), (at,), takes=(4, 8, 8), kernel=(1, 1),
                     stride=(1, 1), padding=(0, 0))  # fmt: skip
    net.output(net.linear(at, 2), plain=True)
    net.network.to_c(tmp_path)
    # two buffers of 256 bits in turn, two answers, two sums
    assert constants(tmp_path)["RAM_BYTES"] == 2 * 256 // 8 + 2 * 8


def test_neurons_that_never_fire_compile_without_a_warning(tmp_path):
    network = nn.Sequential(nn.Linear(4, 3), snn.Leaky(0.1, init_hidden=True), nn.Linear(3, 2))
    nn.init.zeros_(network[0].bias)
    nn.init.uniform_(network[0].weight, -1e-6, 1e-6)
    inject(network, presets.imsnn(weight_bits=4))
    integer = export.to_integer(network, torch.ones(5, 2, 4))
    (neuron,) = integer.neurons.values()
    assert len(neuron.spikes) == 1
    assert_equal_in_c(integer, torch.ones(2, 2, 4), tmp_path)


@pytest.mark.parametrize(("levels", "channels"), [((-1, 0, 1), 3), ((-3, -1, 1, 2, 3), 2)])
def test_codes_of_one_byte_compile_without_a_warning(levels, channels, tmp_path):
    net = Drawn(0)
    at = net.input((channels, 3), -9, 20)
    codes = torch.tensor(levels)[torch.arange(channels)].to(torch.int8)
    window = {"stride": (1,), "padding": (1,), "dilation": (1,), "groups": channels}
    at = net.add(Convolution, (channels, 5), (at,), takes=(channels, 3), bits=3, levels=levels,
                 codes=codes.reshape(channels, 1, 1), **window)  # fmt: skip
    net.output(net.linear(net.neuron(at), 2), plain=True)
    frames = random_frames(net.network, 0)
    assert_equal_in_c(net.network, frames, tmp_path, flags=("-O2",))
