"""Quantizing the weights of a network: shared ones, refusals that change nothing, undoing it."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import (
    Binary,
    SigmoidQuantizer,
    bake_weights,
    layer_quantizer,
    quantize_weights,
    remove_quantizer,
    set_weight_epoch,
    weight_quantizer,
)
from qsnn_plugins.spec import WeightSpec
from tests.nn.test_weight import SPECS, make_network


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
