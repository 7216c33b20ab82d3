"""The bytes that the account says against bytes that were packed, and exactly back."""

import math

import pytest
import torch
from torch import nn

from qsnn_plugins.cost import pack_membrane, pack_weights, report
from qsnn_plugins.cost.parameters import weight_quantizers
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import bake_weights, layer_quantizer, quantize_weights
from qsnn_plugins.snntorch import QuantLeaky, TernaryLeaky
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec

WEIGHTS = [
    ("power_of_two", 2),
    ("power_of_two", 4),
    ("additive_power_of_two", 4),
    ("additive_power_of_two", 8),
    ("uniform", 1),
    ("uniform", 3),
    ("binary", 1),
    ("statistical", 4),
    ("mint", 2),
    ("sigmoid", 1),
    ("sigmoid", 2),
    ("sigmoid", 8),
]
MEMBRANES = [
    MembraneSpec(),
    MembraneSpec(levels=(-3, -2, -1, 0, 1)),
    MembraneSpec(kind="pruned"),
    *(MembraneSpec(kind="uniform", bits=bits) for bits in (1, 2, 3, 8)),
    MembraneSpec(kind="tanh", bits=4, scale="learned"),
    MembraneSpec(kind="threshold_centred", bits=5),
]


def network_of(spec, host="spikingjelly"):
    torch.manual_seed(0)
    # odd numbers, so that the last byte is not full
    return StringNet("5C3-7C3-GAP-FC11-FC3", spec=spec, host=host).eval()


def rows_of(network, role):
    cost = report(network, None, (2, 1, 2, 5, 5))
    return {p.layer: p for p in cost.parameters if p.role == role}


TWO_FORMS = ("power_of_two", "additive_power_of_two", "binary", "sigmoid")
FORMS = [(*weight, None) for weight in WEIGHTS]
FORMS += [(*weight, "released") for weight in WEIGHTS if weight[0] in TWO_FORMS]


@pytest.mark.covering(1)
@pytest.mark.parametrize(("kind", "bits", "fidelity"), FORMS)
@pytest.mark.parametrize("first_last", ["same", "float", "eight_bit"])
def test_weights_take_the_bytes_that_the_account_says(kind, bits, fidelity, first_last):
    network = network_of(
        QuantSpec(weight=WeightSpec(kind, bits, first_last=first_last, fidelity=fidelity))
    )
    packed = pack_weights(network)
    rows = {
        p.layer: p for p in report(network, None, (2, 1, 2, 5, 5)).parameters if p.role == "weights"
    }
    assert len(packed) == (2 if first_last == "float" else 4)
    layers = dict(network.named_modules())
    for name, weight in packed.items():
        assert weight.packed.dtype == torch.uint8
        assert weight.packed.numel() == rows[name].bytes
        assert torch.equal(weight.unpack(), layers[name].weight)


@pytest.mark.parametrize(("kind", "bits"), WEIGHTS)
def test_scales_fit_into_the_bits_that_the_account_says(kind, bits):
    network = network_of(QuantSpec(weight=WeightSpec(kind, bits)))
    rows = {
        p.layer: p for p in report(network, None, (2, 1, 2, 5, 5)).parameters if p.role == "scales"
    }
    for name, weight in pack_weights(network).items():
        assert weight.unit.numel() == rows[name].count
        if rows[name].bits == 8:  # an exponent
            assert kind in ("power_of_two", "additive_power_of_two")
            scale = layer_quantizer(network.get_submodule(name)).scale
            exponent = math.log2(float(scale.detach()))
            assert exponent == int(exponent)
            assert -128 <= exponent <= 127


@pytest.mark.covering(1)
@pytest.mark.parametrize("membrane", MEMBRANES)
@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_membranes_take_the_bytes_that_the_account_says(membrane, host):
    network = network_of(QuantSpec(membrane), host)
    x = (torch.rand(3, 1, 2, 5, 5) < 0.5).float() * 2
    network(x)
    cost = report(network, None, x.shape)
    modules = dict(network.named_modules())
    assert len(cost.neurons) == 3
    for neuron in cost.neurons:
        node = modules[neuron.name]
        state = node.v if host == "spikingjelly" else node.mem
        packed = pack_membrane(node.membrane, state)
        assert packed.packed.numel() == neuron.membrane_bytes
        assert packed.bits == neuron.membrane_bits
        assert torch.equal(packed.unpack(), state)
    total = sum(n.membrane_bytes for n in cost.neurons)
    assert cost.memory("chip").membranes == total


def test_a_delayed_reset_has_as_many_states_as_its_bits_can_tell():
    node = TernaryLeaky(beta=0.5, init_hidden=True)
    cost = report(node, None, (4, 1, 2000), step_mode="s")
    assert cost.neurons[0].membrane_bits == node.storage_bits == 2
    for _ in range(4):
        node(2 * torch.randn(1, 2000))
    assert 3 < len(node.mem.unique()) <= 2**node.storage_bits


def test_a_membrane_of_floats_is_not_packed():
    with pytest.raises(ArgumentError, match="Identity"):
        pack_membrane(torch.nn.Identity(), torch.zeros(3))


def test_a_delayed_reset_may_need_a_further_bit():
    four = QuantSpec(MembraneSpec(levels=(-2, -1, 0, 1)))
    for delay, bits in ((False, 2), (True, 3)):
        node = QuantLeaky(beta=0.5, init_hidden=True, reset_delay=delay, spec=four)
        assert report(node, None, (4, 1, 6), step_mode="s").neurons[0].membrane_bits == bits


@pytest.mark.parametrize(
    "spec",
    [
        WeightSpec("binary"),
        WeightSpec("uniform", bits=3, per="channel"),
        WeightSpec("sigmoid", bits=2),
        WeightSpec("power_of_two", first_last="eight_bit"),
    ],
)
def test_baked_weights_are_still_stored_in_their_bits(spec):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 2)).eval()
    quantize_weights(network, spec)
    before = pack_weights(network)
    counted = weight_quantizers(network, None)
    bits = {name: quantizer.bits for name, quantizer in counted.items()}
    bake_weights(network)
    after = pack_weights(network)
    assert after.keys() == before.keys() == bits.keys()
    for name, packed in after.items():
        assert torch.equal(packed.packed, before[name].packed)
        assert torch.equal(packed.unpack(), network.get_submodule(name).weight)
        assert weight_quantizers(network, None)[name].bits == bits[name]
    # whoever trains on has float weights again
    with torch.no_grad():
        network[0].weight.add_(1e-3)
    assert "0" not in pack_weights(network)
