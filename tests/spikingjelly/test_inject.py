"""Injection into networks that SpikingJelly has, and taking it back."""

import copy

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import sew_resnet, spiking_resnet, spiking_vgg
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import (
    MembraneSpec,
    PruningSpec,
    QuantSpec,
    SpikeSpec,
    ThresholdSpec,
    WeightSpec,
)
from qsnn_plugins.spikingjelly import (
    QuantIFNode,
    QuantLIFNode,
    QuantNode,
    QuantParametricLIFNode,
    TernaryLIFNode,
    eject,
    inject,
)
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

ARGUMENTS = {"surrogate_function": surrogate.ATan(), "detach_reset": True, "v_threshold": 0.5}


def vgg():
    net = spiking_vgg.spiking_vgg11_bn(
        spiking_neuron=neuron.LIFNode, num_classes=5, tau=2.0, **ARGUMENTS
    )
    net.avgpool = layer.AdaptiveAvgPool2d((1, 1))
    net.classifier = nn.Sequential(layer.Linear(512, 5))
    functional.set_step_mode(net, "m")
    return net, torch.randn(2, 2, 3, 32, 32)


def sew():
    net = sew_resnet.sew_resnet18(
        cnf="ADD", spiking_neuron=neuron.IFNode, num_classes=5, **ARGUMENTS
    )
    functional.set_step_mode(net, "m")
    return net, torch.randn(2, 2, 3, 16, 16)


def resnet():
    net = spiking_resnet.spiking_resnet18(
        spiking_neuron=neuron.ParametricLIFNode, num_classes=5, init_tau=2.5, **ARGUMENTS
    )
    functional.set_step_mode(net, "m")
    return net, torch.randn(2, 2, 3, 32, 32)


def spikformer():
    from spikingjelly.activation_based.model.spikformer import Spikformer

    net = Spikformer(
        T=2,
        img_size_h=16,
        img_size_w=16,
        in_channels=3,
        num_classes=5,
        embed_dims=32,
        num_heads=4,
        mlp_ratio=2.0,
        depths=1,
    )
    functional.set_step_mode(net, "m")
    return net, torch.randn(2, 2, 3, 16, 16)


NETWORKS = [
    vgg,
    sew,
    resnet,
    pytest.param(
        spikformer, marks=pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14 has no Spikformer")
    ),
]


def snapshot(network):
    """Everything that `eject` has to give back: identities and values, in order."""
    modules = [(name, id(module)) for name, module in network.named_modules()]
    parameters = [(name, id(p)) for name, p in network.named_parameters()]
    return modules, parameters, copy.deepcopy(list(network.state_dict().items()))


def assert_same(before, after):
    assert before[0] == after[0]
    assert before[1] == after[1]
    assert [name for name, _ in before[2]] == [name for name, _ in after[2]]
    for (name, value), (_, other) in zip(before[2], after[2], strict=True):
        assert torch.equal(value, other), name


def rates(network, x):
    """Share of entries above 0 that each neuron sends out."""
    found, handles = [], []
    for module in network.modules():
        if isinstance(module, QuantNode):
            handles.append(
                module.register_forward_hook(
                    lambda m, i, out: found.append((out > 0).float().mean().item())
                )
            )
    out = network(x)
    for handle in handles:
        handle.remove()
    return out, found


@pytest.mark.parametrize("spec", [presets.spquant(weight_bits=2, pruned=False)], ids=["spquant"])
@pytest.mark.parametrize("build", NETWORKS)
def test_networks_of_the_host(build, spec):
    torch.manual_seed(0)
    network, x = build()
    functional.reset_net(network)
    before = snapshot(network)
    neurons = sum(isinstance(m, neuron.BaseNode) for m in network.modules())
    unit = next(m.v_threshold for m in network.modules() if isinstance(m, neuron.BaseNode))
    report = inject(network, spec)
    assert len(report.replaced) == neurons
    assert report.left == ()
    assert {w.bits for w in report.weights} == {spec.weight.bits}
    assert sum(isinstance(m, QuantNode) for m in network.modules()) == neurons
    with pytest.raises(ArgumentError, match="not injected yet"):
        inject(network, spec)

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    out, firing = rates(network, x)
    assert len(firing) == neurons
    assert 0.05 < sum(firing) / len(firing) < 0.6
    out.sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    optimizer.step()
    for module in network.modules():
        if isinstance(module, QuantNode):
            assert set(module.v.unique().tolist()) <= {-unit, 0.0, unit}
    functional.reset_net(network)
    assert all(m.v == 0.0 for m in network.modules() if isinstance(m, QuantNode))

    twin, _ = build()
    inject(twin, spec)
    twin.load_state_dict(network.state_dict())
    network.eval(), twin.eval()
    with torch.no_grad():
        torch.testing.assert_close(twin(x), network(x), rtol=0, atol=0)
    functional.reset_net(network)
    network.train()

    learned = {n: p.detach().clone() for n, p in network.named_parameters()}
    assert eject(network) is network
    after = snapshot(network)
    assert before[:2] == after[:2]  # the same neurons and parameters, in the same order
    assert [name for name, _ in before[2]] == [name for name, _ in after[2]]
    for name, value in network.named_parameters():
        trained = learned.get(name, learned.get(parametrized(name)))
        assert torch.equal(value, trained), name
    network(x).sum().backward()
    with pytest.raises(ArgumentError, match="an injected one"):
        eject(network)


def parametrized(name):
    layer_name, _, key = name.rpartition(".")
    return f"{layer_name}.parametrizations.{key}.original"


@pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14 rounds the leak otherwise")
@pytest.mark.parametrize("build", NETWORKS)
def test_a_spec_that_quantizes_nothing_changes_nothing(build):
    torch.manual_seed(0)
    network, x = build()
    results = []
    for inject_it in (False, True):
        if inject_it:
            inject(network, QuantSpec.full_precision(), keep_surrogate=True)
        functional.reset_net(network)
        network.zero_grad()
        out = network(x)
        out.sum().backward()
        results.append([out.detach(), *(p.grad.clone() for p in network.parameters())])
    assert results[0][0].abs().sum() > 0
    for mine, theirs in zip(*results, strict=True):
        assert torch.equal(mine, theirs)


def mixed():
    shared = neuron.LIFNode(tau=3.0, decay_input=False, v_threshold=0.7, v_reset=None)
    return nn.Sequential(
        nn.Linear(4, 4),
        shared,
        nn.Sequential(nn.Linear(4, 4), shared),
        neuron.IFNode(v_threshold=0.5, v_reset=-0.25, store_v_seq=True, step_mode="m"),
        nn.ModuleDict({"p": neuron.ParametricLIFNode(init_tau=4.0, decay_input=False)}),
    )


def test_what_a_neuron_was_is_kept_and_shared_ones_stay_shared():
    network = mixed()
    w = network[4]["p"].w
    network[3].eval()
    calls = []
    handle = network[1].register_forward_hook(lambda *_: calls.append("after"))
    network[1].register_forward_pre_hook(lambda *_: calls.append("before"))
    report = inject(network, QuantSpec(weight=WeightSpec(kind="uniform", first_last="float")))
    assert report.replaced[0].names == ("1", "2.1")
    assert [type(network[i]) for i in (1, 3)] == [QuantLIFNode, QuantIFNode]
    assert network[2][1] is network[1]
    lif, if_, plif = network[1], network[3], network[4]["p"]
    assert (lif.tau, lif.decay_input, lif.v_threshold, lif.v_reset) == (3.0, False, 0.7, None)
    assert (if_.v_threshold, if_.v_reset, if_.store_v_seq, if_.step_mode) == (0.5, -0.25, True, "m")
    assert (lif.training, if_.training) == (True, False)
    assert isinstance(plif, QuantParametricLIFNode)
    assert plif.w is w
    lif(torch.rand(2, 4))
    assert calls == ["before", "after"]
    handle.remove()
    lif(torch.rand(2, 4))
    assert calls == ["before", "after", "before"]
    eject(network)
    assert network[2][1] is network[1]
    assert type(network[1]) is neuron.LIFNode


def test_the_surrogate_is_the_spec_s_unless_it_is_kept():
    theirs = surrogate.ATan(alpha=3.0)
    for keep, kept in ((False, False), (True, True)):
        network = nn.Sequential(nn.Linear(2, 2), neuron.IFNode(surrogate_function=theirs))
        report = inject(network, QuantSpec(), keep_surrogate=keep)
        assert (network[1].surrogate_function is theirs) is kept
        assert ("surrogate ATan -> triangle" in str(report)) is not keep
    refused = nn.Sequential(nn.Linear(2, 2), neuron.IFNode())
    with pytest.raises(ArgumentError, match=r"keep_surrogate=True .*: 1 cannot keep it"):
        inject(refused, QuantSpec(spike=SpikeSpec(bits=2)), keep_surrogate=True)


class OddLIF(neuron.LIFNode):
    pass


class OwnNode(neuron.BaseNode):
    pass


def test_what_is_left_alone_is_told_and_nothing_to_replace_raises():
    psn = neuron.PSN(T=4) if hasattr(neuron, "PSN") else neuron.QIFNode()
    network = nn.Sequential(nn.Linear(4, 4), psn, OddLIF(), neuron.LIFNode(), TernaryLIFNode())
    with pytest.warns(UserWarning, match="3 neurons left alone") as caught:
        report = inject(network, presets.imsnn())
    assert all(warning.filename == __file__ for warning in caught)
    assert [(r.names, r.kind) for r in report.left] == [
        (("1",), type(psn).__name__),
        (("2",), "OddLIF"),
        (("4",), "TernaryLIFNode"),
    ]
    lines = [line.split(maxsplit=3) for line in str(report).splitlines()]
    why = "32  a subclass of LIFNode, what it adds would be lost"
    assert ["left", "2", "OddLIF", why] in lines
    assert ["weight", "0", "Linear", "4  power_of_two"] in lines
    only = nn.Sequential(nn.Linear(4, 4), OddLIF())
    with pytest.raises(ArgumentError, match=r"1 \(OddLIF\) is left alone, a subclass of LIFNode"):
        inject(only, presets.imsnn())
    own = nn.Sequential(nn.Linear(4, 4), OwnNode())
    with pytest.raises(ArgumentError, match="LIFNode, IFNode and ParametricLIFNode can be"):
        inject(own, presets.imsnn())
    with pytest.raises(ArgumentError, match="weights alone"):
        inject(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), presets.imsnn())
    with pytest.raises(ArgumentError, match="a neuron alone cannot be replaced in place"):
        inject(neuron.LIFNode(), presets.imsnn())


def test_networks_and_specs_of_another_kind_are_refused():
    snntorch = pytest.importorskip("snntorch")
    network = nn.Sequential(nn.Linear(2, 2), snntorch.Leaky(0.9, init_hidden=True))
    with pytest.raises(ArgumentError, match=r"a neuron of snntorch: qsnn_plugins\.inject takes"):
        inject(network, presets.imsnn())
    with pytest.raises(ArgumentError, match="spec=WeightSpec"):
        inject(mixed(), WeightSpec(kind="uniform"))
    with pytest.raises(ArgumentError, match=r"a torch\.nn\.Module"):
        inject(lambda x: x, presets.imsnn())


@pytest.mark.parametrize("fault", ["integer weight", "channels", "part"])
def test_where_anything_is_refused_nothing_is_changed(fault):
    network = mixed()
    spec, message = presets.imsnn(), "floating point"
    if fault == "integer weight":
        network.append(nn.Linear(4, 4))
        weight = network[5].weight.to(torch.int32)
        del network[5]._parameters["weight"]
        network[5].weight = weight
    elif fault == "channels":
        spec, message = presets.spquant(), "example_input=None"
    else:
        inject(network[2], spec)
        message = "its part '2', that was not injected"
    before = snapshot(network)
    with pytest.raises(ArgumentError, match=message):
        inject(network, spec)
    assert_same(before, snapshot(network))


CHANNELS = QuantSpec(
    MembraneSpec(),
    threshold=ThresholdSpec("separate", per="channel"),
    pruning=PruningSpec(0.35, channel_threshold=0.47),
)


@pytest.mark.parametrize("build", NETWORKS)
def test_channels_are_seen_on_an_example_input(build):
    torch.manual_seed(0)
    network, x = build()
    before = snapshot(network)
    inject(network, CHANNELS, example_input=x)
    network(x).sum().backward()
    nodes = [module for module in network.modules() if isinstance(module, QuantNode)]
    assert all(node.v_threshold.shape == (node.channels,) for node in nodes)
    assert sum(node.pruning.sparsity() for node in nodes) > 0
    eject(network)
    assert before[:2] == snapshot(network)[:2]


@pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14's own neurons stop at a state of another shape")
def test_a_neuron_that_sees_two_numbers_of_channels_is_refused():
    shared = neuron.IFNode()
    network = nn.Sequential(nn.Linear(4, 3), shared, nn.Linear(3, 2), shared)
    with pytest.raises(ArgumentError, match=r"1 \(inputs\)=\[\(5, 2\), \(5, 3\)\] is not allowed"):
        inject(network, CHANNELS, example_input=torch.rand(5, 4))
    assert network[1] is shared


def test_reset_net_finds_the_new_neurons_after_it_has_run():
    network = nn.Sequential(nn.Linear(4, 4), neuron.LIFNode())
    functional.reset_net(network)
    inject(network, QuantSpec())
    network(torch.rand(2, 4))
    functional.reset_net(network)
    assert network[1].v == 0.0
    eject(network)
    network(torch.rand(2, 4))
    assert isinstance(network[1].v, torch.Tensor)
    functional.reset_net(network)
    assert network[1].v == 0.0
