"""States of float networks that are loaded into quantized ones."""

import warnings

import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from qsnn_plugins import allow_spec_changes, eject, inject, presets
from qsnn_plugins.nn import Uniform, weight_layers
from qsnn_plugins.spec import (
    QuantSpec,
    ThresholdSpec,
    WeightSpec,
)
from qsnn_plugins.spikingjelly import (
    QuantLIFNode,
    QuantParametricLIFNode,
)
from tests.nn.test_state import leaky, lif, net, quantized, refusal


def float_network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), neuron.LIFNode(), nn.Flatten(), nn.Linear(64, 3)
    )


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "spec",
    [
        "imsnn",
        presets.spquant(pruned=False),
        "qsnn",
        QuantSpec(weight=WeightSpec("uniform", per="channel")),
    ],
)
def test_a_float_state_loads_into_an_injected_network(spec, strict):
    trained, here = float_network(), float_network(seed=1)
    with torch.no_grad():
        trained[0].weight.mul_(5)
    inject(here, spec, example_input=torch.rand(2, 2, 6, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = here.load_state_dict(trained.state_dict(), strict=strict)
    assert not result.missing_keys
    assert not result.unexpected_keys
    inject(trained, spec, example_input=torch.rand(2, 2, 6, 6))
    x = torch.rand(5, 2, 6, 6)
    # as though it had been injected after its training: scales begin with the loaded weights
    assert torch.equal(here.eval()(x), trained.eval()(x))
    functional.reset_net(here)
    assert torch.equal(eject(here)[0].weight, eject(trained)[0].weight)


@pytest.mark.parametrize("weight", ["float", "ends"])
def test_float_weights_of_a_network_that_says_so_are_a_difference(weight):
    options = {"kind": "float"} if weight == "float" else {"kind": "uniform", "first_last": "float"}
    saved = net(QuantSpec(weight=WeightSpec(**options)))
    here = net(QuantSpec(weight=WeightSpec("uniform")))
    lines = refusal(here, saved.state_dict())
    names = (
        [*weight_layers(saved)]
        if weight == "float"
        else [[*weight_layers(saved)][i] for i in (0, -1)]
    )
    assert lines == [f"{name}.weight: kind is float in the state, Uniform here" for name in names]
    with allow_spec_changes():
        here.load_state_dict(saved.state_dict())
    original = here.get_submodule(names[0]).parametrizations.weight.original
    assert torch.equal(original, saved.get_submodule(names[0]).weight)


def test_an_ejected_network_loads_as_before():
    network = float_network()
    keys = list(network.state_dict())
    inject(network, "imsnn")
    eject(network)
    assert not network[0]._load_state_dict_pre_hooks
    assert list(network.state_dict()) == keys
    network.load_state_dict(float_network(seed=1).state_dict())


def test_a_float_state_of_snntorch_loads_too():
    import snntorch

    def make(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 3), snntorch.Leaky(0.5, threshold=0.7, init_hidden=True))

    trained, here = make(0), make(1)
    inject(here, presets.spquant(), example_input=torch.rand(2, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        here.load_state_dict(trained.state_dict())
    assert torch.allclose(here[1].threshold, torch.tensor(0.7))


def test_scales_start_anew_where_a_change_is_meant():
    coarse, fine = quantized(kind="uniform", bits=2, seed=1), quantized(kind="uniform", bits=8)
    with torch.no_grad():
        fine.parametrizations.weight.original.mul_(3)
        fine.parametrizations.weight[0].gamma.fill_(77.0)
    with allow_spec_changes():
        coarse.load_state_dict(fine.state_dict())
    weight = fine.parametrizations.weight.original
    assert torch.equal(coarse.parametrizations.weight.original, weight)
    assert torch.equal(coarse.parametrizations.weight[0].gamma, Uniform(weight, bits=2).gamma)
    # the same spec keeps the learned scale
    twin = quantized(kind="uniform", bits=8, seed=1)
    with allow_spec_changes():
        twin.load_state_dict(fine.state_dict())
    assert twin.parametrizations.weight[0].gamma == 77


def test_a_learned_threshold_goes_to_all_channels():
    spec = QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))
    saved, here = lif(threshold=ThresholdSpec("ordinary")), QuantLIFNode(spec=spec, channels=3)
    with torch.no_grad():
        saved.v_threshold.fill_(0.75)
    assert (
        "threshold.per is layer in the state, channel here" in refusal(here, saved.state_dict())[0]
    )
    with allow_spec_changes():
        here.load_state_dict(saved.state_dict())
    assert here.v_threshold.tolist() == [0.75] * 3


def test_a_reset_stays_where_a_change_is_meant():
    saved, here = leaky(), leaky(reset_mechanism="zero")
    with allow_spec_changes():
        here.load_state_dict(saved.state_dict())
    assert here.reset_mechanism == "zero"
    assert here.reset_mechanism_val == leaky(reset_mechanism="zero").reset_mechanism_val


def test_plif_keeps_its_own_parameters_strict():
    node = QuantParametricLIFNode()
    state = node.state_dict()
    del state["w"]
    assert "Missing key" in refusal(node, state)[0]
