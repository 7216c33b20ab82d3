"""Which layers are quantized, which are the ends, and transposed convolutions."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from qsnn_plugins.cost import pack_weights
from qsnn_plugins.nn import (
    PowerOfTwo,
    Uniform,
    allow_spec_changes,
    bake_weights,
    end_layers,
    layer_quantizer,
    quantize_weights,
    set_weight_epoch,
    weight_layers,
)
from qsnn_plugins.spec import WeightSpec
from tests.nn.test_weight import SPECS, make_network

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def per_output(weight, groups):
    """A transposed convolution's weight, one row per output channel, by indices."""
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    return torch.stack(
        [
            weight[group * inputs : (group + 1) * inputs, output]
            for group in range(groups)
            for output in range(outputs)
        ]
    )


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_is_quantized_per_output_channel(spec, groups):
    """It has the weights of a plain convolution whose output channels are its own."""
    torch.manual_seed(0)
    for kind in TRANSPOSED:
        layer = kind(4, 6, 3, groups=groups)
        rows = per_output(layer.weight.detach(), groups)
        plain = nn.Linear(rows[0].numel(), 6)
        plain.weight = nn.Parameter(rows.flatten(1).clone())
        for each in (layer, plain):
            quantize_weights(each, spec)
            set_weight_epoch(each, 3, epochs=10)
            each.eval()
        found = per_output(layer.weight.detach(), groups).flatten(1)
        torch.testing.assert_close(found, plain.weight.detach())  # sums in another order
        ours, theirs = layer_quantizer(layer), layer_quantizer(plain)
        for name in ("bits", "levels", "scale_count", "scale_bits"):
            assert getattr(ours, name) == getattr(theirs, name), name
        codes, unit = ours.codes(layer.parametrizations.weight.original)
        assert torch.equal(codes * unit, layer.weight)
        grads = []
        for each in (layer.train(), plain.train()):
            each.weight.square().sum().backward()
            grads.append(each.parametrizations.weight.original.grad)
        torch.testing.assert_close(per_output(grads[0], groups).flatten(1), grads[1])


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_weights_are_packed_copied_baked_and_compute(groups):
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups)
    before, x = copy.deepcopy(layer), torch.rand(1, 4, 5, 5)
    quantize_weights(layer, WeightSpec("uniform", 3, scale="max", per="channel"))
    weight, expected = layer.weight.detach().clone(), layer(x)
    assert not torch.equal(weight, before.weight)
    packed = pack_weights(layer)[""]
    assert torch.equal(packed.unpack(), weight)
    assert packed.packed.numel() == 4 * 6 // groups * 9 * 3 // 8 + (4 * 6 // groups * 27 % 8 > 0)
    assert torch.equal(copy.deepcopy(layer)(x), expected)
    assert bake_weights(layer) == [""]
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer(x), expected)


def test_the_ends_are_those_of_all_layers_with_weights():
    network = nn.Sequential(
        nn.ConvTranspose2d(1, 1, 1), nn.Linear(2, 2), nn.Embedding(3, 2), nn.GRUCell(2, 2)
    )
    assert list(weight_layers(network)) == ["0", "1", "2"]
    assert end_layers(network) == {"0"}, "the last one is recurrent"
    assert end_layers(network[:2]) == {"0", "1"}
    assert end_layers(nn.Sequential(nn.MultiheadAttention(2, 1))) == {"0.out_proj"}
    assert end_layers(nn.ReLU()) == set()
    quantize_weights(network, WeightSpec("uniform", 4))
    assert end_layers(network) == {"0"}, "as before it was quantized"


@pytest.mark.parametrize("first_last", ["eight_bit", "float"])
@pytest.mark.parametrize("tied", [("1", "3"), ("3", "1"), ("0", "1")])
def test_a_weight_shared_with_an_end_is_an_end(first_last, tied):
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    network.get_submodule(tied[0]).weight = network.get_submodule(tied[1]).weight
    ends = {"0", "3", *tied}
    assert end_layers(network) == ends
    quantized = quantize_weights(network, WeightSpec("uniform", 4, first_last=first_last))
    assert quantized == [n for n in "0123" if first_last == "eight_bit" or n not in ends]
    for name in quantized:
        assert layer_quantizer(network.get_submodule(name)).bits == (8 if name in ends else 4)
    a, b = (network.get_submodule(name).weight for name in tied)
    assert torch.equal(a, b)


def test_embeddings_that_write_to_their_table_are_none():
    plain, bag = nn.Embedding(5, 4), nn.EmbeddingBag(5, 4)
    network = nn.Sequential(
        plain, bag, nn.Embedding(5, 4, max_norm=1.0), nn.Embedding(5, 4, sparse=True)
    )
    assert quantize_weights(network, WeightSpec("uniform", 2)) == ["0", "1"]
    words = torch.tensor([[0, 4]])
    assert torch.equal(plain(words), plain.weight[words])
    assert len(plain.weight.unique()) <= 4
    plain(words).sum().backward()
    assert plain.parametrizations.weight.original.grad[1].abs().max() == 0
    assert bag(words).shape == (1, 4)


def test_a_bilinear_layer_computes_with_its_quantized_weight():
    layer = nn.Bilinear(3, 4, 2)
    quantize_weights(layer, WeightSpec("uniform", 2))
    x, y = torch.rand(5, 3), torch.rand(5, 4)
    expected = torch.einsum("ni,oij,nj->no", x, layer.weight, y) + layer.bias
    torch.testing.assert_close(layer(x, y), expected)
    assert len(layer.weight.unique()) <= 4


@pytest.mark.parametrize("kind", ["uniform", "binary"])
def test_states_of_transposed_layers_load(kind):
    """Those of a float layer, of one that is quantized alike, and, where it is meant, otherwise."""
    torch.manual_seed(0)
    spec = WeightSpec(kind, per="channel")
    plain, layer = nn.ConvTranspose2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2)
    expected = copy.deepcopy(plain)
    for each in (layer, expected):
        quantize_weights(each, spec)
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer.weight, expected.weight)
    twin = nn.ConvTranspose2d(4, 6, 3, groups=2)
    quantize_weights(twin, spec)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.weight, expected.weight)
    other = nn.ConvTranspose2d(4, 6, 3, groups=2)
    quantize_weights(other, WeightSpec("uniform", 8))
    with pytest.raises(RuntimeError, match=r"bits is \d in the state, 8 here"):
        other.load_state_dict(layer.state_dict())
    with allow_spec_changes():
        other.load_state_dict(layer.state_dict())
    eight = copy.deepcopy(plain)
    quantize_weights(eight, WeightSpec("uniform", 8))
    assert torch.equal(other.weight, eight.weight)


def test_ends_in_the_order_of_definition():
    for ends, quantized, kinds in (
        ("same", ["0", "1", "3"], [PowerOfTwo] * 3),
        ("float", ["1"], [PowerOfTwo]),
        ("eight_bit", ["0", "1", "3"], [Uniform, PowerOfTwo, Uniform]),
    ):
        network = make_network()
        assert quantize_weights(network, WeightSpec("power_of_two", 4, ends)) == quantized
        found = [layer_quantizer(network.get_submodule(name)) for name in quantized]
        assert [type(quantizer) for quantizer in found] == kinds


def test_eight_bit_ends_have_the_largest_magnitude_as_scale():
    network = make_network()
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] = -3.0
    w = network[0].weight.clone()
    quantize_weights(network, WeightSpec("binary", 1, "eight_bit"))
    step = 3.0 / 127
    torch.testing.assert_close(network[0].weight, (w / step).round() * step)
    assert layer_quantizer(network[0]).bits == 8


def test_ends_of_one_and_two_layers():
    spec = WeightSpec("mint", 4, "float")
    assert quantize_weights(nn.Linear(2, 2), spec) == []
    assert quantize_weights(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), spec) == []
    eight = dataclasses.replace(spec, first_last="eight_bit")
    assert quantize_weights(nn.Linear(2, 2), eight) == [""]
    assert quantize_weights(nn.ReLU(), spec) == []
