"""What all weight quantizers share: each kind in a network, and out of it again."""

import copy
import dataclasses
import warnings
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import (
    Binary,
    PowerOfTwo,
    SigmoidQuantizer,
    Uniform,
    WeightQuantizer,
    bake_weights,
    layer_quantizer,
    quantize_weights,
    remove_quantizer,
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


def test_a_shared_module_is_quantized_once():
    layer = nn.Linear(3, 3)
    network = nn.Sequential(layer, layer)
    assert quantize_weights(network, SPECS["uniform 4"]) == ["0"]
    assert len(layer.parametrizations.weight) == 1


def test_layers_that_share_a_weight_share_its_quantizer():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    assert quantize_weights(network, SPECS["binary"]) == ["0", "1"]
    assert layer_quantizer(network[0]) is layer_quantizer(network[1])
    expected = network[0].weight.clone()
    assert bake_weights(network) == ["0", "1"]
    assert network[0].weight is network[1].weight
    assert torch.equal(network[1].weight, expected)


@pytest.mark.parametrize("reason", ["parametrized", "lazy", "int8", "empty"])
def test_nothing_is_changed_where_one_layer_is_refused(reason):
    network = make_network()
    if reason == "parametrized":
        nn.utils.parametrizations.weight_norm(network[3])
    elif reason == "lazy":
        network[3] = nn.LazyLinear(3)
    elif reason == "empty":
        network[3].weight = nn.Parameter(torch.ones(3, 0))
    else:
        network[3].weight = nn.Parameter(torch.ones(3, 16, dtype=torch.int8), requires_grad=False)
    before, keys = copy.deepcopy(network), list(network.state_dict())
    with pytest.raises(ArgumentError, match=r"3\.weight(\.shape)?="):
        quantize_weights(network, WeightSpec("uniform", 4))
    assert list(network.state_dict()) == keys
    assert type(network[0]) is nn.Conv2d
    assert torch.equal(network[0].weight, before[0].weight)


def test_nothing_is_changed_where_registering_fails_half_way(monkeypatch):
    network, register = make_network(), parametrize.register_parametrization
    weight = network[0].weight

    def fail_at_the_last(layer, *args):
        if layer is network[3]:
            raise RuntimeError("no")
        return register(layer, *args)

    monkeypatch.setattr(parametrize, "register_parametrization", fail_at_the_last)
    with pytest.raises(RuntimeError, match="no"):
        quantize_weights(network, SPECS["power_of_two"])
    assert type(network[0]) is nn.Conv2d
    assert network[0].weight is weight


@pytest.mark.parametrize(
    ("spec", "stays"),
    [
        (WeightSpec("power_of_two"), True),
        (WeightSpec("uniform", bits=2), True),
        (WeightSpec("uniform", bits=1), False),
        (WeightSpec("binary"), False),
        (WeightSpec("power_of_two", regulation="layer"), False),
    ],
)
def test_a_padding_token_stays_0_or_is_refused(spec, stays):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 2))
    with nullcontext() if stays else pytest.raises(ArgumentError, match=r"1\.padding_idx=0"):
        quantize_weights(network, spec)
    assert not network[1](torch.tensor([0])).any()


def test_quantizing_twice_is_refused():
    network = make_network()
    quantize_weights(network, SPECS["mint"])
    with pytest.raises(
        ArgumentError, match=r"0\.weight='quantized already'.*overrides=\{'0': None"
    ):
        quantize_weights(network, SPECS["mint"])


def test_foreign_parametrizations_are_left_alone():
    network = make_network()
    quantize_weights(network, WeightSpec("mint", 4, "float"))
    nn.utils.parametrizations.weight_norm(network[0])
    assert layer_quantizer(network[0]) is None
    assert bake_weights(network) == ["1"]
    assert parametrize.is_parametrized(network[0])


def test_quantizers_follow_the_mode_of_their_layer():
    network = make_network().eval()
    quantize_weights(network, SPECS["sigmoid 2"])
    assert network[0].weight.unique().numel() <= 3
    network.train()
    assert network[0].weight.unique().numel() > 3


def test_float_changes_nothing():
    network = make_network()
    assert quantize_weights(network, WeightSpec()) == []
    assert isinstance(weight_quantizer(network[0].weight, WeightSpec()), nn.Identity)
    assert not parametrize.is_parametrized(network[0])


def test_epoch_reaches_every_schedule():
    network = make_network()
    quantize_weights(network, SPECS["binary released"])
    set_weight_epoch(network, 10, epochs=10)
    assert all(isinstance(layer_quantizer(network[i]), Binary) for i in (0, 1, 3))
    assert [float(layer_quantizer(network[i]).t) for i in (0, 1, 3)] == [10, 10, 10]
    network = make_network()
    quantize_weights(network, SPECS["sigmoid 4 released"])
    set_weight_epoch(network, 3, epochs=10)
    assert isinstance(layer_quantizer(network[0]), SigmoidQuantizer)
    assert float(layer_quantizer(network[3]).temperature) == 20
    for epoch in (-1, 11):
        with pytest.raises(ArgumentError, match="epoch="):
            set_weight_epoch(network, epoch, epochs=10)


@pytest.mark.parametrize("undo", [bake_weights, lambda net: [remove_quantizer(net[0])]])
def test_undoing_a_copy_leaves_the_original_alone(undo):
    network = nn.Sequential(nn.Linear(3, 2))
    quantize_weights(network, WeightSpec(kind="uniform", bits=2))
    x = torch.rand(4, 3)
    expected = network(x)
    twin = copy.deepcopy(network)
    undo(twin)
    assert torch.equal(network(x), expected)
    assert type(twin[0]) is nn.Linear


def test_layers_by_name_have_their_own_spec():
    network = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)))
    specs = {
        "0": WeightSpec("uniform", bits=2, first_last="eight_bit"),
        "1": WeightSpec("mint", bits=3),
        "3": WeightSpec("uniform", bits=5),
    }
    assert quantize_weights(network, specs) == ["0", "1", "3"]
    assert [getattr(layer_quantizer(layer), "bits", None) for layer in network] == [8, 3, None, 5]
    with pytest.raises(ArgumentError, match=r"spec='4'.*among 0, 1, 2, 3"):
        quantize_weights(network, {"4": WeightSpec("mint")})


def test_a_layer_without_its_parametrization_loads_and_is_quantized_again():
    """Torch itself removes the quantizer, and leaves what loaded its state."""
    layer = nn.Linear(4, 2)
    quantize_weights(layer, WeightSpec(kind="uniform"))
    parametrize.remove_parametrizations(layer, "weight")
    layer.load_state_dict(layer.state_dict())
    quantize_weights(layer, WeightSpec(kind="mint"))
    layer.load_state_dict({"weight": torch.ones(2, 4), "bias": torch.zeros(2)})
    assert len(layer._load_state_dict_pre_hooks) == 1
    assert torch.equal(layer.parametrizations.weight.original, torch.ones(2, 4))


@pytest.mark.parametrize(
    "spec",
    [
        *(WeightSpec(kind=kind) for kind in ("power_of_two", "uniform", "binary", "statistical")),
        *(WeightSpec(kind="sigmoid", fidelity=fidelity) for fidelity in ("paper", "released")),
        WeightSpec(kind="mint"),
    ],
    ids=str,
)
def test_a_layer_without_values_can_be_quantized(spec):
    layer = nn.Linear(4, 2, device="meta")
    assert quantize_weights(nn.Sequential(layer), spec) == ["0"]
    assert layer(torch.ones(1, 4, device="meta")).shape == (1, 2)
    copied = layer.to_empty(device="cpu")
    copied.load_state_dict(nn.Linear(4, 2).state_dict())
    assert copied(torch.ones(1, 4)).isfinite().all()
