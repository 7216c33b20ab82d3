"""What all weight quantizers share: each kind in a network, and out of it again."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from qsnn_plugins.nn import (
    WeightQuantizer,
    bake_weights,
    layer_quantizer,
    quantize_weights,
    set_weight_epoch,
    weight_layers,
    weight_quantizer,
)
from qsnn_plugins.spec import WeightSpec

SPECS = {
    "power_of_two": WeightSpec("power_of_two", 4),
    "power_of_two released": WeightSpec("power_of_two", 3, fidelity="released"),
    "power_of_two by channel": WeightSpec("power_of_two", 4, regulation="channel"),
    "additive": WeightSpec("additive_power_of_two", 4),
    "additive 8 released": WeightSpec("additive_power_of_two", 8, fidelity="released"),
    "uniform 1": WeightSpec("uniform", 1),
    "uniform 4": WeightSpec("uniform", 4, per="channel"),
    "uniform 8 max": WeightSpec("uniform", 8, scale="max"),
    "uniform 1 max": WeightSpec("uniform", 1, scale="max", per="channel"),
    "binary": WeightSpec("binary", 1),
    "binary released": WeightSpec("binary", 1, fidelity="released"),
    "binary bare": WeightSpec("binary", 1, regulation="none", per="layer"),
    "statistical 2": WeightSpec("statistical", 2),
    "statistical 4": WeightSpec("statistical", 4),
    "mint": WeightSpec("mint", 2),
    "mint unshared": WeightSpec("mint", 4, scale="max"),
    "sigmoid 1": WeightSpec("sigmoid", 1),
    "sigmoid 2": WeightSpec("sigmoid", 2),
    "sigmoid 4 released": WeightSpec("sigmoid", 4, fidelity="released"),
}
every_kind = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 1, bias=False), nn.Flatten(), nn.Linear(16, 3)
    )


def names_of(network):
    return list(weight_layers(network))


@every_kind
def test_quantized_layers_compute_with_few_levels_and_codes_are_exact(spec):
    network = make_network()
    assert quantize_weights(network, spec) == ["0", "1", "3"]
    network.eval()
    for layer in weight_layers(network).values():
        quantizer = layer_quantizer(layer)
        assert isinstance(quantizer, WeightQuantizer)
        original = layer.parametrizations.weight.original
        codes, unit = quantizer.codes(original)
        assert quantizer.bits == spec.bits
        assert codes.dtype == torch.int32
        assert not codes.requires_grad
        assert not unit.requires_grad
        assert torch.equal(codes * unit, layer.weight)
        assert set(codes.unique().tolist()) <= set(quantizer.levels)
        assert len(quantizer.levels) <= 2**spec.bits
        assert list(quantizer.levels) == sorted(set(quantizer.levels))
        assert unit.numel() == quantizer.scale_count
        assert quantizer.scale_bits in (8, 32)
        if quantizer.scale_bits == 8:
            largest = unit * quantizer.levels[-1]
            assert torch.equal(largest.log2(), largest.log2().round())


@every_kind
def test_every_parameter_gets_a_finite_gradient(spec):
    network = make_network()
    quantize_weights(network, spec)
    network(torch.randn(5, 2, 4, 4)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@every_kind
def test_baked_weights_are_bit_equal(spec):
    network = make_network()
    before = {name: layer.weight for name, layer in weight_layers(network).items()}
    state = {name: value.clone() for name, value in network.state_dict().items()}
    quantize_weights(network, spec)
    for name in names_of(network):
        original = network.get_submodule(name).parametrizations.weight.original
        assert torch.equal(original, state[f"{name}.weight"])
    x = torch.randn(2, 2, 4, 4)
    expected = network.eval()(x)
    weights = {name: layer.weight.clone() for name, layer in weight_layers(network).items()}
    network.train()
    assert bake_weights(network) == ["0", "1", "3"]
    assert list(network.state_dict()) == list(state)
    assert torch.equal(network(x), expected)
    for name, layer in weight_layers(network).items():
        assert type(layer) in (nn.Conv2d, nn.Linear)
        assert layer.weight is before[name]
        assert torch.equal(layer.weight, weights[name])
    assert bake_weights(network) == []


@every_kind
def test_torch_removes_the_parametrization_with_equal_weights(spec):
    network = make_network().eval()
    quantize_weights(network, spec)
    weight = network[0].weight.clone()
    parametrize.remove_parametrizations(network[0], "weight")
    assert torch.equal(network[0].weight, weight)


@every_kind
def test_state_dict_round_trip(spec):
    network, other = make_network(), make_network()
    quantize_weights(network, spec)
    set_weight_epoch(network, 3, epochs=10)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in [*network.parameters(), *other.parameters()]:
            parameter.add_(0.1 * torch.rand_like(parameter))
    quantize_weights(other, spec)
    x = torch.randn(2, 2, 4, 4)
    assert not torch.equal(network(x), other(x))
    assert "0.parametrizations.weight.original" in network.state_dict()
    other.load_state_dict(network.state_dict())
    for mode in (True, False):
        assert torch.equal(network.train(mode)(x), other.train(mode)(x))


@every_kind
def test_deep_copy_is_equal_and_apart(spec):
    network = make_network()
    quantize_weights(network, spec)
    twin = copy.deepcopy(network)
    x = torch.randn(2, 2, 4, 4)
    assert torch.equal(network(x), twin(x))
    bake_weights(twin)
    assert names_of(network) == [
        n for n in names_of(network) if layer_quantizer(network.get_submodule(n)) is not None
    ]


@every_kind
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_silent_or_equal_weights_give_no_nan(spec, value):
    layer = nn.Linear(6, 4)
    nn.init.constant_(layer.weight, value)
    quantize_weights(layer, spec)
    for mode in (True, False):
        layer.train(mode)
        assert layer.weight.isfinite().all()
    layer.train()
    layer(torch.ones(1, 6)).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())
    codes, unit = layer_quantizer(layer).codes(layer.parametrizations.weight.original)
    assert torch.equal(codes * unit, layer.eval().weight)


KINDS = ("power_of_two", "additive_power_of_two", "uniform", "statistical", "mint", "sigmoid")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("bound", [3.0, 1.0])  # torch's layers: 1 / sqrt(fan in); Xavier: more
@pytest.mark.parametrize("fan_in", [7, 27, 288, 432, 1008, 1170, 1800])
def test_a_layer_does_not_begin_silent(kind, bits, bound, fan_in):
    torch.manual_seed(fan_in)
    weight = torch.empty(64, fan_in).uniform_(-bound, bound) * fan_in**-0.5
    quantized = weight_quantizer(weight, WeightSpec(kind=kind, bits=bits))(weight)
    assert quantized.count_nonzero() > 0.2 * weight.numel()


@every_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_is_kept(spec, dtype):
    after = nn.Linear(6, 4)
    quantize_weights(after, spec)
    before = nn.Linear(6, 4).to(dtype)
    quantize_weights(before, spec)
    for layer in (after.to(dtype), before):
        for mode in (True, False):
            assert layer.train(mode).weight.dtype == dtype
            assert layer.weight.isfinite().all()
        original = layer.parametrizations.weight.original
        codes, unit = layer_quantizer(layer).codes(original)
        assert torch.equal((codes * unit).to(dtype), layer.weight)


@every_kind
def test_compiles_without_a_break(spec):
    torch._dynamo.reset()
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 4), torch.randn(3, 8)
    quantize_weights(layer, spec)
    y = layer(x)
    y.square().sum().backward()
    expected = {name: p.grad.clone() for name, p in layer.named_parameters()}
    layer.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        actual = compiled(x)
    actual.square().sum().backward()
    torch.testing.assert_close(actual, y)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


def test_compiled_layer_is_not_compiled_anew_by_a_schedule():
    torch._dynamo.reset()
    layer, x = nn.Linear(8, 4), torch.randn(3, 8)
    quantize_weights(layer, SPECS["sigmoid 2"])
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    compiled(x)
    with torch.compiler.set_stance("fail_on_recompile"):
        for epoch in (1, 5, 9):
            set_weight_epoch(layer, epoch, epochs=10)
            torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.slow
def test_compiles_with_inductor():
    torch._dynamo.reset()
    layer, x = nn.Linear(8, 4), torch.randn(3, 8)
    quantize_weights(layer, SPECS["power_of_two"])
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))
