"""Residual networks: counts against the papers, what a block computes, and what is refused."""

import math

import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import ResidualBlock, ResidualNet
from qsnn_plugins.nn import Binary, Uniform, layer_quantizer, quantized_neurons, weight_layers
from tests.models.counts import FLOAT, count

TET19 = {"depth": 19, "stem_channels": 64}
TDBN19 = {"depth": 19}
QSNN19 = {"depth": 19, "hidden_features": 0}

# conv weights, normalization, linear weights, linear biases, total, neurons, MACs in G
COUNTS = [
    (TET19, (12_486_336, 10_624, 133_632, 266, 12_630_858, 1_376_512, 2.216)),
    (TDBN19, (12_553_600, 10_496, 133_632, 266, 12_697_994, 1_442_048, 2.285)),
    (QSNN19, (12_553_600, 10_496, 5_120, 10, 12_569_226, 1_441_792, 2.285)),
]


def counts(arguments, size=(32, 32)):
    return count(lambda: ResidualNet(**arguments, spec=FLOAT), size)


def shortcuts(network):
    return sum(layer.weight.numel() for n, layer in weight_layers(network).items() if "short" in n)


@pytest.mark.parametrize(("arguments", "expected"), COUNTS)
def test_resnet19_has_the_papers_counts(arguments, expected):
    c = counts(arguments)
    assert c.conv_bias == 0
    found = (c.conv, c.norm, c.linear, c.linear_bias, c.total, c.neurons)
    assert found == expected[:-1]
    assert round(c.macs / 1e9, 3) == expected[-1]


def test_the_counts_notice_another_network():
    tet, tdbn = counts(TET19), counts(TDBN19)
    assert all(getattr(tet, n) != getattr(tdbn, n) for n in ("conv", "norm", "neurons", "macs"))
    assert counts(QSNN19).linear != tdbn.linear


def test_the_1_x_1_shortcuts_of_tets_resnet19():
    with torch.device("meta"):
        network = ResidualNet(**TET19, spec=FLOAT)
    assert shortcuts(network) == 172_032
    assert counts(TET19).conv - shortcuts(network) == 12_314_304


def test_printed_sizes_of_the_other_depths():
    large = {"stem": "large", "classes": 1000}
    r34 = counts({"depth": 34, **large}, (224, 224))
    assert math.floor(r34.total * 4 / 1e4) / 100 == 87.19  # MB, IM-SNN Table V
    assert f"{r34.conv / 1e6:.2f}" == "21.27"  # MB in 8 bits
    stem = 64 * 112 * 112
    assert math.floor((r34.neurons - stem) * 4 / 1e4) / 100 == 11.03  # MB without the first layer
    r18 = counts({"depth": 18, "stem": "large"})
    assert math.floor(r18.total * 4 / 1e4) / 100 == 44.72  # MB: the large stem, ten classes
    assert counts({"depth": 18}).total == 11_173_962
    assert round(counts({"depth": 20}).total / 1e6, 2) == 0.27  # Diet-SNN in bit budget Table 5


def test_each_stage_but_the_first_halves_the_map():
    network = ResidualNet(19, width=1 / 16, stem_channels=64)
    shapes = {}
    for name, block in network.blocks.named_children():
        block.register_forward_hook(lambda _, __, y, name=name: shapes.update({name: y.shape[2:]}))
    network(torch.rand(2, 1, 3, 16, 16))
    assert {name: tuple(shape) for name, shape in shapes.items()} == {
        "stem": (4, 16, 16),
        "stage1": (8, 16, 16),
        "stage2": (16, 8, 8),
        "stage3": (32, 4, 4),
        "pool": (32,),
        "fc1": (16,),
        "fc2": (10,),
    }
    large = ResidualNet(18, stem="large", width=1 / 16)
    large.blocks.stage1.register_forward_hook(lambda _, __, y: shapes.update(large=y.shape[2:]))
    large(torch.rand(1, 1, 3, 64, 64))
    assert tuple(shapes["large"]) == (4, 16, 16)


@pytest.mark.parametrize(("stride", "channels"), [(1, 2), (2, 2), (1, 3)])
def test_a_block_adds_its_branches_before_the_second_neuron(stride, channels):
    torch.manual_seed(0)
    build_neuron, build_norm = (lambda *_: nn.Tanh()), (lambda n, _: nn.GroupNorm(1, n))
    block = ResidualBlock(2, channels, stride, build_neuron, build_norm)
    x = torch.randn(2, 3, 2, 6, 6)
    assert isinstance(block.shortcut, nn.Identity) == (stride == 1 and channels == 2)
    (conv1, norm1), (conv2, norm2) = block.synapse1, block.synapse2
    flat = x.flatten(0, 1)
    branch = norm2(conv2(torch.tanh(norm1(conv1(flat)))))
    shortcut = flat
    if not isinstance(block.shortcut, nn.Identity):
        conv, norm = block.shortcut
        shortcut = norm(conv(flat))
    expected = torch.tanh(branch + shortcut).unflatten(0, (2, 3))
    torch.testing.assert_close(block(x), expected)


def test_normalization_to_the_threshold_gives_its_variance():
    torch.manual_seed(0)
    block = ResidualNet(19, normalization="threshold", width=1 / 16).blocks.stage2[0]
    factors = [block.synapse1[1], block.synapse2[1], block.shortcut[1]]
    roots = [1.0, math.sqrt(0.5), math.sqrt(0.5)]
    for norm, root in zip(factors, roots, strict=True):
        torch.testing.assert_close(norm.weight, torch.full_like(norm.weight, root))
    seen = []
    block.neuron2.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    block(torch.randn(2, 64, 8, 16, 16).sign())
    assert float(seen[0].var()) == pytest.approx(1.0, abs=0.1)  # V_th², not 2
    plain = ResidualNet(19, width=1 / 16)
    norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(bool((norm.weight == 1).all()) for norm in norms)


def test_shortcuts_are_quantized_as_other_layers_and_the_ends_differ():
    network = ResidualNet(**QSNN19, width=1 / 16, spec=presets.qsnn())
    kinds = {name: type(layer_quantizer(m)) for name, m in weight_layers(network).items()}
    first, *hidden, last = kinds
    assert (first, last) == ("blocks.stem.synapse.0", "blocks.fc1.0")
    assert {kinds[first], kinds[last]} == {Uniform}
    assert {kinds[name] for name in hidden} == {Binary}
    assert sum("shortcut" in name for name in hidden) == 2


def test_neurons_are_listed_as_they_fire():
    network = ResidualNet(20, width=0.25)
    fired = []
    for name, node in quantized_neurons(network).items():
        node.register_forward_hook(lambda _, __, ___, name=name: fired.append(name))
    network(torch.rand(1, 1, 3, 8, 8))
    assert fired == list(quantized_neurons(network))
    assert len(fired) == 1 + 2 * 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"depth": 50}, "depth=50.*18, 19, 20, 34"),
        ({"depth": 19, "stem": "tiny"}, "stem='tiny'.*small, large"),
        ({"depth": 19, "normalization": "tdbn"}, "normalization='tdbn'.*plain, threshold"),
        ({"depth": 19, "width": 0}, "width=0"),
        ({"depth": 19, "classes": 0}, "classes=0"),
        ({"depth": 19, "in_channels": 0}, "in_channels=0"),
        ({"depth": 19, "stem_channels": 0}, "stem_channels=0"),
        ({"depth": 19, "hidden_features": -1}, "hidden_features=-1"),
        ({"depth": 19, "host": "norse"}, "host='norse'"),
    ],
)
def test_a_wrong_argument_is_named(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        ResidualNet(**arguments)


def test_an_input_of_another_shape_is_named():
    with pytest.raises(ArgumentError, match=r"input shape=\[1, 3, 8, 8\].*\[T, N, 3, H, W\]"):
        ResidualNet(20, width=0.25)(torch.rand(1, 3, 8, 8))
