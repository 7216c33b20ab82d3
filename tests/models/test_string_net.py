"""Networks from strings: counts against the papers, shapes, and what is refused."""

import copy
import warnings

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import StringNet, parse_layers
from qsnn_plugins.nn import channel_gates
from qsnn_plugins.spec import PruningSpec, QuantSpec, ThresholdSpec, WeightSpec

SPQUANT_VGG9 = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-1024C3-GAP-FC1024-FC10"
EVERY_TOKEN = "4C3-4DW-AP2-6C5-MP2-FC12-FC5"


def test_the_spquant_network_has_the_printed_size():
    with torch.device("meta"):
        network = StringNet(SPQUANT_VGG9, in_channels=2)
    synapses = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    counted = sum(p.numel() for m in synapses for p in m.parameters())
    assert counted == 10_279_754  # 41.12 MB in 32 bits, SpQuant-SNN Table 7


def test_every_token_does_what_it_says():
    network = StringNet(EVERY_TOKEN, in_channels=2, input_size=(12, 10))
    shapes = {}
    for name, block in network.blocks.named_children():
        block.register_forward_hook(lambda _, __, y, name=name: shapes.update({name: y.shape[2:]}))
    assert network(torch.rand(3, 2, 2, 12, 10)).shape == (3, 2, 5)
    assert {name: tuple(shape) for name, shape in shapes.items()} == {
        "conv1": (4, 12, 10),
        "conv2": (4, 12, 10),
        "pool1": (4, 6, 5),
        "conv3": (6, 6, 5),
        "pool2": (6, 3, 2),
        "fc1": (12,),
        "fc2": (5,),
    }
    depthwise, pointwise, _ = network.blocks.conv2.synapse
    assert (depthwise.groups, depthwise.kernel_size) == (4, (3, 3))
    assert (pointwise.groups, pointwise.kernel_size) == (1, (1, 1))


def test_steps_share_no_state_but_the_membrane():
    torch.manual_seed(0)
    network = StringNet("4C3-GAP-FC3", in_channels=2).eval()
    x = 4 * torch.rand(5, 2, 2, 6, 6)
    whole = network(x)
    network.reset_states()
    assert torch.equal(network(x), whole)
    assert not torch.equal(network(x), whole), "without a reset the membrane goes on"


def test_only_the_last_linear_layer_gives_logits():
    network = StringNet("4C3-GAP-FC6-FC3")
    assert hasattr(network.blocks.fc1, "neuron")
    assert not hasattr(network.blocks.fc2, "neuron")
    assert network.out_channels == 3


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("4C3-BP2-FC3", ["token 2", "character 5", "'BP2'", "nCk"]),
        ("4C3--FC3", ["token 2", "character 5", "''"]),
        ("", ["token 1", "''"]),
        ("4C3-AP0-FC3", ["token 2", "'AP0'"]),
        ("4c3-FC3", ["token 1", "'4c3'"]),
        ("4C3-FC3-4C3", ["'4C3'", "FCn"]),
    ],
)
def test_a_bad_string_is_named(layers, words):
    with pytest.raises(ArgumentError) as caught:
        StringNet(layers, input_size=(8, 8))
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_linear_layer_on_a_map_of_unknown_size_asks_for_it():
    with pytest.raises(ArgumentError, match=r"input_size=None.*FC3"):
        StringNet("4C3-FC3")


def test_a_pool_larger_than_the_map_is_refused():
    with pytest.raises(ArgumentError, match="AP8"):
        StringNet("4C3-AP8-FC3", input_size=(6, 6))


@pytest.mark.parametrize("shape", [(2, 1, 3, 6, 6), (1, 2, 6, 6)])
def test_an_input_of_another_shape_is_named(shape):
    with pytest.raises(ArgumentError, match="input shape="):
        StringNet("4C3-GAP-FC3", in_channels=2)(torch.rand(shape))


def test_unknown_host_is_named():
    with pytest.raises(ArgumentError, match="host='norse'"):
        StringNet("4C3-GAP-FC3", host="norse")


def test_weights_are_quantized_as_the_spec_says():
    network = StringNet("4C3-GAP-FC3", spec=QuantSpec(weight=WeightSpec("power_of_two", bits=3)))
    for weight in (network.blocks.conv1.synapse[0].weight, network.blocks.fc1[1].weight):
        assert len(weight.unique()) <= 2**3 - 1
    keys = network.state_dict()
    assert any(key.endswith("parametrizations.weight.original") for key in keys)


def test_tokens_are_read_in_order():
    kinds = [token.kind for token in parse_layers("8C3-4DW-AP2-MP3-GAP-FC10")]
    assert kinds == [
        "conv", "depthwise", "average_pool", "max_pool", "global_pool", "linear",
    ]  # fmt: skip


def test_neurons_learn_a_threshold_a_channel_and_prune_where_the_spec_says():
    spec = QuantSpec(
        threshold=ThresholdSpec(gradient="ordinary", per="channel"),
        pruning=PruningSpec(spatial_ratio=0.35, channel_threshold=0.47),
    )
    with pytest.warns(
        UserWarning, match="no channel is gated: pruning.channel_threshold"
    ) as caught:
        network = StringNet("4C3-GAP-FC6-FC3", spec=spec)
    assert [warning.filename for warning in caught] == [__file__]
    assert network.blocks.conv1.neuron.v_threshold.shape == (4,)
    assert network.blocks.fc1.neuron.v_threshold.shape == (6,)
    network(torch.rand(2, 3, 2, 8, 8)).sum().backward()
    assert network.blocks.conv1.neuron.v_threshold.grad is not None


@pytest.mark.parametrize(
    ("layers", "fidelity", "overrides"),
    [
        ("4C3-4C3-GAP-FC3", "paper", None),
        ("4C3-GAP-FC3", "released", None),
        ("4C3-GAP-FC3", "paper", {"blocks.conv1": None}),
    ],
)
def test_where_a_channel_is_gated_or_no_neuron_asks_for_it_nothing_warns(
    layers, fidelity, overrides
):
    spec = QuantSpec(pruning=PruningSpec(channel_threshold=0.5, fidelity=fidelity))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = StringNet(layers, spec=spec, overrides=overrides)
    assert len(channel_gates(network)) == (overrides is None)


def test_a_given_padding_grows_the_map():
    network = StringNet("4C1P1-MP2-6C3P2-FC5", input_size=(6, 8))
    shapes = []
    for name in ("conv1", "pool1", "conv2"):
        network.blocks.get_submodule(name).register_forward_hook(
            lambda _, __, y: shapes.append(tuple(y.shape[2:]))
        )
    assert network(torch.rand(2, 1, 2, 6, 8)).shape == (2, 1, 5)
    assert shapes == [(4, 8, 10), (4, 4, 5), (6, 6, 7)]
    with pytest.raises(ArgumentError, match=r"'4C9P1'.*within the padded map"):
        StringNet("4C9P1-FC5", input_size=(6, 8))


def test_a_grid_puts_the_numbers_of_a_cell_side_by_side():
    torch.manual_seed(0)
    network = StringNet("4C3-MP2-GRID3", input_size=(4, 6), spec=QuantSpec.full_precision())
    assert network.out_channels == 3 * 2 * 3
    seen = []
    network.blocks.pool1.register_forward_hook(lambda _, __, y: seen.append(y))
    outputs = network(4 * torch.rand(2, 1, 2, 4, 6)).unflatten(-1, (2, 3, 3))
    head = network.blocks.grid1[0]
    cell = seen[0][1, 0, :, 1, 2]
    assert torch.allclose(outputs[1, 0, 1, 2], head.weight[:, :, 0, 0] @ cell + head.bias)


@pytest.mark.parametrize(
    ("layers", "size", "told"),
    [
        ("4C3-GRID3-FC2", (4, 4), "only at the end"),
        ("4C3-FC2-GRID3", (4, 4), "after the first FCn"),
        ("4C3-GRID3", None, "map of unknown size"),
    ],
)
def test_a_grid_needs_a_known_map_and_the_end(layers, size, told):
    with pytest.raises(ArgumentError, match=told):
        StringNet(layers, input_size=size)


def test_a_still_image_is_computed_once_for_all_steps():
    torch.manual_seed(0)
    network = StringNet("4C3-AP2-6C3-GAP-FC3", in_channels=1).double()
    other = copy.deepcopy(network)
    image, seen = torch.rand(5, 1, 8, 8, dtype=torch.float64), []
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_hook(lambda layer, args, output: seen.append(len(output)))
    outputs = network(image.expand(3, *image.shape))
    repeated = other(image.repeat(3, 1, 1, 1, 1))
    assert seen == [5]
    torch.testing.assert_close(outputs, repeated)
    outputs.sum().backward()
    repeated.sum().backward()
    for own, its in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(own.grad, its.grad)
