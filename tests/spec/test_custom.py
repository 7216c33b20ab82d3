"""Quantizers of a user's own, from a spec to packed bytes, in networks of both hosts."""

import copy

import pytest
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import inject
from qsnn_plugins import snntorch as ours_snntorch
from qsnn_plugins import spikingjelly as ours_spikingjelly
from qsnn_plugins.cost import pack_membrane, pack_weights, report
from qsnn_plugins.errors import ArgumentError, BackendError
from qsnn_plugins.export import to_integer, verify
from qsnn_plugins.nn import (
    Uniform,
    bake_weights,
    layer_quantizer,
    quantize_weights,
    set_weight_epoch,
)
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec
from qsnn_plugins.spikingjelly import build_neuron

HERE = __name__


class DeadZone(nn.Module):
    """Ternary membrane with a dead zone; the gradient is straight through."""

    bits = 2
    levels = (-1, 0, 1)

    def __init__(self, edge: float = 0.5, height: float = 1.0) -> None:
        super().__init__()
        self.edge, self.height = edge, height

    def codes(self, u):
        return torch.sign(u).int() * (u.abs() > self.edge), torch.tensor(self.height)

    def forward(self, u):
        codes, unit = self.codes(u.detach())
        return (codes * unit).to(u.dtype) + (u - u.detach())


class RoundedDeadZone(DeadZone):
    """The straight-through gradient as most people write it, which rounds once more."""

    def forward(self, u):
        codes, unit = self.codes(u.detach())
        return u + ((codes * unit).to(u.dtype) - u).detach()


class Steps(nn.Module):
    """Weights in equal steps of a learned size."""

    def __init__(self, weight, bits=3) -> None:
        super().__init__()
        self.bits, self.epoch = bits, 0
        self.step = nn.Parameter(weight.detach().abs().max() / 2 ** (bits - 1))

    def codes(self, weight):
        most = 2 ** (self.bits - 1)
        return (weight / self.step).round().clamp(-most, most - 1).int(), self.step.detach()

    def forward(self, weight):
        codes, _ = self.codes(weight.detach())
        return codes * self.step + (weight - weight.detach())

    def set_epoch(self, epoch, epochs):
        self.epoch = epoch


class Signs(nn.Module):
    """Signs of a weight, one unit an output channel; built without the weight."""

    bits = 1

    def codes(self, weight):
        unit = weight.detach().abs().flatten(1).mean(1)
        return torch.where(weight < 0, -1, 1), unit.reshape(-1, *(1,) * (weight.dim() - 1))

    def forward(self, weight):
        codes, unit = self.codes(weight.detach())
        return codes * unit + (weight - weight.detach())


SPEC = QuantSpec(
    MembraneSpec(class_path=f"{HERE}.DeadZone", init_args={"edge": 0.3}),
    weight=WeightSpec(class_path=f"{HERE}.Steps", init_args={"bits": 3}),
)


def spikingjelly_network():
    return nn.Sequential(
        layer.Conv2d(2, 4, 3, step_mode="m"),
        neuron.LIFNode(step_mode="m"),
        layer.Flatten(step_mode="m"),
        layer.Linear(16, 5, step_mode="m"),
        neuron.LIFNode(step_mode="m"),
    )


def snntorch_network():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        snntorch.Leaky(beta=0.5, init_hidden=True),
        nn.Flatten(),
        nn.Linear(16, 5),
        snntorch.Leaky(beta=0.5, init_hidden=True),
    )


def reset(network):
    """Forget the states: they hold a graph, and such a network cannot be copied."""
    if hasattr(network[1], "step_mode"):
        functional.reset_net(network)
    else:
        ours_snntorch.reset_net(network)


def run(network, x_seq):
    reset(network)
    if hasattr(network[1], "step_mode"):
        return network(x_seq)
    return torch.stack([network(x) for x in x_seq])


HOSTS = [
    pytest.param(spikingjelly_network, ours_spikingjelly, id="spikingjelly"),
    pytest.param(snntorch_network, ours_snntorch, id="snntorch"),
]


@pytest.mark.parametrize(("build", "host"), HOSTS)
def test_a_network_is_injected_trained_packed_and_ejected(build, host):
    torch.manual_seed(0)
    network = build()
    for place in (0, 3):
        nn.init.normal_(network[place].weight)  # so that both layers fire
    state = {key: value.clone() for key, value in network.state_dict().items()}
    injected = host.inject(network, SPEC)
    assert [w.bits for w in injected.weights] == [3, 3]
    x_seq = torch.rand(6, 3, 2, 4, 4) * 3
    spikes = run(network, x_seq)
    assert 0 < spikes.mean() < 1
    spikes.sum().backward()
    for name, parameter in network.named_parameters():
        if "weight" in name or name.endswith("step"):
            assert parameter.grad.abs().sum() > 0, name

    reset(network)
    twin = copy.deepcopy(network)
    assert torch.equal(run(twin, x_seq), spikes)
    set_weight_epoch(twin, 3, epochs=10)
    assert layer_quantizer(twin[0]).epoch == 3

    for place in (0, 3):
        packed = pack_weights(network)[str(place)]
        assert packed.bits == 3
        assert torch.equal(packed.unpack(), network[place].weight)
    baked = copy.deepcopy(network)
    weight = baked[0].weight.clone()
    assert bake_weights(baked) == ["0", "3"]
    assert torch.equal(baked[0].weight, weight)

    host.eject(network)
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert type(network[1]) is type(build()[1])


@pytest.mark.parametrize(("build", "host"), HOSTS)
def test_costs_are_those_of_the_modules(build, host):
    shape, how = (4, 1, 2, 4, 4), "s" if host is ours_snntorch else "m"
    planned = report(build(), SPEC, shape, step_mode=how)
    network = build()
    host.inject(network, SPEC)
    cost = report(network, None, shape, step_mode=how)
    for account in (planned, cost):
        assert {neuron.membrane_bits for neuron in account.neurons} == {2}
        assert {neuron.levels for neuron in account.neurons} == {3}
        assert {synapse.weight_bits for synapse in account.synapses} == {3}
    rows = {(p.layer, p.role): (p.count, p.bits) for p in cost.parameters}
    assert rows["0", "weights"] == (72, 3)
    assert rows["0", "scales"] == (1, 32)
    assert rows == {(p.layer, p.role): (p.count, p.bits) for p in planned.parameters}


def test_membranes_are_packed():
    node = build_neuron(QuantSpec(MembraneSpec.custom(DeadZone, edge=0.25, height=0.7)))
    node(torch.randn(4, 3, 7))
    packed = pack_membrane(node.membrane, node.v)
    assert packed.packed.numel() == 6  # 21 membranes of 2 bits
    assert torch.equal(packed.unpack(), node.v)
    assert node.v.unique().numel() == 3
    with pytest.raises(ArgumentError, match="membranes that this quantizer stored"):
        pack_membrane(node.membrane, node.v + 0.1)


class KeptZone(DeadZone):
    """Its unit has dimensions, as a parameter that was made for maps."""

    def codes(self, u):
        codes, unit = super().codes(u)
        return codes, unit.reshape(1, 1, 1, 1)

    def forward(self, u):
        codes, unit = self.codes(u.detach())
        return codes * unit.item() + (u - u.detach())


def test_membranes_are_packed_whatever_dimensions_their_unit_has():
    node = build_neuron(QuantSpec(MembraneSpec.custom(KeptZone, height=0.7)))
    node(torch.randn(4, 3, 7))
    assert torch.equal(pack_membrane(node.membrane, node.v).unpack(), node.v)


def test_a_straight_through_gradient_that_rounds_once_more_is_taken():
    node = build_neuron(QuantSpec(MembraneSpec.custom(RoundedDeadZone, edge=0.25, height=0.7)))
    node(torch.randn(4, 3, 700))
    unpacked = pack_membrane(node.membrane, node.v).unpack()
    assert not torch.equal(unpacked, node.v), "nothing was rounded: the test shows nothing"
    assert unpacked.unique().numel() == 3
    torch.testing.assert_close(unpacked, node.v, rtol=1e-5, atol=1e-5)


def test_the_fused_operator_leaves_it_to_the_loop(monkeypatch):
    x_seq = torch.rand(5, 3, 4) * 2
    node = build_neuron(QuantSpec(SPEC.membrane))
    spikes = node(x_seq)
    node.reset()
    single = build_neuron(QuantSpec(SPEC.membrane))
    single.step_mode = "s"
    assert torch.equal(spikes, torch.stack([single(x) for x in x_seq]))
    monkeypatch.setenv("QSNN_BACKEND", "cpp")
    with pytest.raises(BackendError, match="the membrane is 'custom'"):
        node(x_seq)


@pytest.mark.parametrize(
    ("first_last", "kinds"),
    [
        ("same", [Steps] * 3),
        ("float", [None, Steps, None]),
        ("eight_bit", [Uniform, Steps, Uniform]),
    ],
)
def test_first_and_last_layers(first_last, kinds):
    network = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    quantize_weights(network, WeightSpec.custom(Steps, first_last=first_last, bits=2))
    quantizers = [layer_quantizer(linear) for linear in network]
    assert [quantizer and type(quantizer) for quantizer in quantizers] == kinds
    assert network[1].weight.unique().numel() <= 4


def test_a_quantizer_that_takes_no_weight_has_its_scales_counted():
    spec = WeightSpec.custom(Signs)
    assert spec.storage_bits == 1
    linear = nn.Linear(5, 3)
    quantize_weights(linear, spec)
    quantizer = layer_quantizer(linear)
    assert (quantizer.levels, quantizer.scale_count, quantizer.scale_bits) == ((-1, 1), 3, 32)
    assert torch.equal(pack_weights(linear)[""].unpack(), linear.weight)
    assert "levels" not in vars(Signs)


class Quarters(nn.Module):
    """Weights in whole quarters: the unit is a number."""

    bits = 4

    def codes(self, weight):
        return (4 * weight.detach()).round().clamp(-8, 7).int(), 0.25

    def forward(self, weight):
        codes, unit = self.codes(weight)
        return codes * unit + (weight - weight.detach())


class KeptQuarters(Quarters):
    """Their unit has the dimensions of the weight."""

    def codes(self, weight):
        codes, unit = super().codes(weight)
        return codes, torch.full([1] * weight.dim(), unit)


@pytest.mark.parametrize("quantizer", [Quarters, KeptQuarters])
def test_a_unit_may_be_a_number_or_have_one_in_all_dimensions(quantizer):
    network = nn.Sequential(
        nn.ConvTranspose2d(2, 4, 3, groups=2), snntorch.Leaky(beta=0.5, init_hidden=True)
    )
    inject(network, QuantSpec(weight=WeightSpec.custom(quantizer)))
    assert torch.equal(pack_weights(network)["0"].unpack(), network[0].weight)
    network[0] = nn.Conv2d(2, 4, 3)
    quantize_weights(network, WeightSpec.custom(quantizer))
    frames = torch.ones(3, 1, 2, 4, 4)
    assert verify(network, to_integer(network, frames), [frames]).differ == 0


class CountedSigns(Signs):
    scale_count = 1


def test_scales_whose_width_is_not_said_are_floats():
    linear = nn.Linear(5, 3)
    quantize_weights(linear, WeightSpec.custom(CountedSigns))
    assert (layer_quantizer(linear).scale_count, layer_quantizer(linear).scale_bits) == (1, 32)


def test_specs_of_a_class_hold_its_path_and_come_back():
    membrane = MembraneSpec.custom(DeadZone, edge=0.3)
    assert membrane == SPEC.membrane
    assert membrane.kind == "custom"
    assert (membrane.storage_bits, membrane.level_count) == (2, 3)
    assert WeightSpec.custom(Steps, bits=3) == SPEC.weight
    assert SPEC.to_dict() == {
        "membrane": {
            "kind": "custom",
            "class_path": f"{HERE}.DeadZone",
            "init_args": {"edge": 0.3},
        },
        "weight": {"kind": "custom", "class_path": f"{HERE}.Steps", "init_args": {"bits": 3}},
    }
    assert QuantSpec.from_dict(SPEC.to_dict()) == SPEC
    assert hash(QuantSpec.from_dict(SPEC.to_dict())) == hash(SPEC)
    assert str(SPEC).splitlines()[0] == f"membrane   {HERE}.DeadZone(edge=0.3)"
    assert not SPEC.is_plain


def test_a_spec_shares_no_arguments_with_its_maker():
    arguments = {"edge": 0.3}
    spec = MembraneSpec(class_path=f"{HERE}.DeadZone", init_args=arguments)
    arguments["edge"] = 0.9
    spec.to_dict()["init_args"]["edge"] = 0.9
    assert spec.init_args == {"edge": 0.3}


def test_what_is_packed_has_no_gradient():
    layer_ = nn.Linear(4, 2)
    quantize_weights(layer_, WeightSpec(class_path=f"{HERE}.Learned"))
    packed = pack_weights(layer_)[""]
    assert not packed.unit.requires_grad
    assert torch.equal(packed.unpack(), layer_.weight)


class Learned(nn.Module):
    """Two-bit weight whose unit is learned."""

    bits = 2

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.tensor(0.25))

    def codes(self, weight):
        return (weight / self.unit).round().clamp(-2, 1).int(), self.unit

    def forward(self, weight):
        codes, unit = self.codes(weight)
        return codes * unit
