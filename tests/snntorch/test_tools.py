"""Our neurons under the tools of snnTorch and of torch; networks side by side."""

import copy
import gc
import warnings
import weakref

import pytest
import snntorch
import torch
from snntorch import utils
from torch import nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.nn import MembranePruning
from qsnn_plugins.snntorch import (
    MultiStep,
    QuantLeaky,
    TernaryLeaky,
    build_neuron,
    reset_net,
)
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from tests.snntorch.kinds import rate_is_alive


def network(cls=TernaryLeaky):
    """A direct neuron and a nested one."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(8, 8), cls(beta=0.5, init_hidden=True))
    net = nn.Sequential(
        nn.Linear(6, 8), cls(beta=0.5, init_hidden=True), inner, nn.Linear(8, 4),
        cls(beta=0.5, init_hidden=True, output=True),
    )  # fmt: skip
    with torch.no_grad():
        for layer in (net[0], inner[0], net[3]):
            layer.weight.abs_().mul_(2)
    return net


def neurons(net):
    return [m for m in net.modules() if isinstance(m, snntorch.Leaky)]


def is_listed(neuron):
    # a proxy is compared by what it stands for
    return any(n is neuron or (n is not None and n.__repr__.__self__ is neuron)
               for n in snntorch.SpikingNeuron.instances)  # fmt: skip


def test_neurons_die_with_their_network():
    net = network()
    net(torch.rand(3, 6))
    assert all(map(is_listed, neurons(net)))
    watched = [weakref.ref(neuron) for neuron in neurons(net)]
    del net
    gc.collect()
    assert [ref() for ref in watched] == [None, None, None]
    survivor = TernaryLeaky(0.5)  # the list is tidied, and what is left in it is alive
    assert None not in snntorch.SpikingNeuron.instances
    utils.reset(nn.Sequential(survivor))


def test_the_host_s_neurons_do_not_die():
    watched = weakref.ref(snntorch.Leaky(0.5))
    gc.collect()
    assert watched() is not None


def test_a_neuron_that_refuses_its_arguments_leaves_nothing_behind():
    before = len(snntorch.SpikingNeuron.instances)
    with pytest.raises(ArgumentError):
        TernaryLeaky(beta=2.0)
    assert len(snntorch.SpikingNeuron.instances) == before


def test_utils_reset_resets_and_detaches():
    net = network()
    net(torch.rand(3, 6) + 1)
    assert all(neuron.mem.requires_grad and neuron.mem.any() for neuron in neurons(net))
    utils.reset(net)
    assert not any(neuron.mem.requires_grad or neuron.mem.any() for neuron in neurons(net))


@pytest.mark.parametrize("cls", [TernaryLeaky, snntorch.Leaky])
def test_reset_net_resets_nested_neurons_and_no_other_network(cls):
    one, other = network(cls), network(cls)
    x = torch.rand(3, 6) * 3
    first = one(x)
    other(x)
    kept = [neuron.mem.clone() for neuron in neurons(other)]
    reset_net(one)
    assert not any(neuron.mem.requires_grad or neuron.mem.any() for neuron in neurons(one))
    for neuron, mem in zip(neurons(other), kept, strict=True):
        assert torch.equal(neuron.mem, mem)
        assert mem.any()
    assert all(map(torch.equal, one(x), first))
    utils.reset(one)  # the host's resets the other network too
    assert not any(neuron.mem.any() for neuron in neurons(other))


def test_backprop_of_the_host_trains():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from snntorch import backprop
    net = network()
    before = copy.deepcopy(net.state_dict())
    data = [(torch.rand(10, 3, 6), torch.tensor([0, 1, 2])) for _ in range(2)]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = backprop.BPTT(net, data, optimizer, snntorch.functional.ce_rate_loss(), time_var=True)
    assert loss.isfinite()
    changed = [not torch.equal(v, before[k]) for k, v in net.state_dict().items() if "weight" in k]
    assert changed == [True, True, True]


def test_multi_step_equals_the_steps_and_goes_on():
    x = torch.randn(6, 4, 50) + 0.3
    wrapped = MultiStep(TernaryLeaky(0.5, init_hidden=True, output=True))
    single = TernaryLeaky(0.5)
    for part in (x[:4], x[4:]):
        spk, mem = wrapped(part)
        assert rate_is_alive(spk)
        for t, step in enumerate(part):
            assert all(map(torch.equal, single(step), (spk[t], mem[t])))


def test_multi_step_runs_the_host_s_neurons_too():
    x = torch.randn(6, 4, 50) + 0.3
    wrapped = MultiStep(snntorch.Synaptic(alpha=0.5, beta=0.5, init_hidden=True))
    single = snntorch.Synaptic(alpha=0.5, beta=0.5, init_hidden=True)
    assert torch.equal(wrapped(x), torch.stack([single(step) for step in x]))


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("neuron='Linear'", lambda: MultiStep(nn.Linear(2, 2))),
        ("neuron='MultiStep'", lambda: MultiStep(MultiStep(TernaryLeaky(0.5)))),
        ("decay_input='no'", lambda: build_neuron(QuantSpec(), decay_input="no")),
        (r"x_seq.shape=\[4\]", lambda: build_neuron(QuantSpec())(torch.rand(4))),
        (r"x_seq.shape=\[0, 3\]", lambda: build_neuron(QuantSpec())(torch.rand(0, 3))),
    ],
)
def test_what_is_no_sequence_or_no_neuron_is_named(match, call):
    with pytest.raises(ArgumentError, match=match):
        call()


def test_what_is_pruned_counts_anew_with_each_sequence():
    spec = QuantSpec(MembraneSpec(kind="float"), pruning=PruningSpec(spatial_ratio=0.5))
    wrapped = build_neuron(spec)
    wrapped(torch.zeros(6, 4, 10))
    wrapped(torch.randn(6, 4, 10))
    (pruning,) = (m for m in wrapped.modules() if isinstance(m, MembranePruning))
    assert pruning.sparsity() == pytest.approx(0.5)


SPECS = [
    QuantSpec(),
    QuantSpec(spike=SpikeSpec(bits=2), threshold=ThresholdSpec("separate")),
    QuantSpec(MembraneSpec(kind="uniform", bits=4)),
    QuantSpec(pruning=PruningSpec(spatial_ratio=0.35)),
    QuantSpec.full_precision(),
]


@pytest.mark.parametrize(
    "spec",
    # the last is the host's own forward
    [SPECS[0], *(pytest.param(spec, marks=pytest.mark.slow) for spec in SPECS[1:-1])],
    ids=str,
)
def test_the_multi_step_form_is_one_graph(spec):
    torch._dynamo.reset()
    x = torch.randn(3, 4, 8)
    eager, compiled = build_neuron(spec), build_neuron(spec)
    run = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    for _ in range(2):  # the second call goes on from the state
        assert torch.equal(run(x), eager(x))
    assert torch.equal(compiled.neuron.mem, eager.neuron.mem)
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    for net, inputs in ((run, leaf), (eager, other)):
        reset_net(compiled if net is run else eager)
        net(inputs).sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)


@pytest.mark.parametrize("make", [build_neuron, lambda s: MultiStep(QuantLeaky(0.5, spec=s))])
@pytest.mark.parametrize("spec", SPECS[:1] + SPECS[2:], ids=str)
def test_autocast_keeps_bfloat16(spec, make):
    net = nn.Sequential(nn.Linear(8, 30), make(spec))
    x = torch.randn(5, 3, 8) * 3
    full = net(x)  # leaves a float32 state behind
    reset_net(net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(x)
    spk, full = (o[0] if isinstance(o, tuple) else o for o in (out, full))
    assert spk.dtype == torch.bfloat16
    # the code of a late reset does not fit 16 bits; in floats the host's own steps run
    assert net[1].neuron.mem.dtype == torch.float32 or spec == QuantSpec.full_precision()
    assert (spk != full).float().mean() < 0.1
    spk.float().sum().backward()
    assert net[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_deep_copy_and_a_state_dict_give_the_same_network(spec):
    net = nn.Sequential(nn.Linear(8, 30), build_neuron(spec))
    x = torch.randn(5, 3, 8) * 3
    net(x)
    reset_net(net)
    twin, fresh = copy.deepcopy(net), nn.Sequential(nn.Linear(8, 30), build_neuron(spec))
    for module in (twin, fresh, net):
        module.eval()
    fresh.load_state_dict(net.state_dict())
    expected = net(x)
    assert torch.equal(twin(x), expected)
    assert torch.equal(fresh(x), expected)
    assert twin[1].neuron is not net[1].neuron
    reset_net(twin)
    assert net[1].neuron.mem.any()


def nir_like(call):
    """What nirtorch's tracer puts in the place of `nn.Module.__call__`."""

    def my_forward(module, *args, **kwargs):
        return call(module, *args, **kwargs)

    my_forward.__module__ = "nirtorch.graph"
    return my_forward


def test_nir_export_is_refused_where_it_would_drop_something(monkeypatch):
    net, x = network(), torch.rand(1, 6)
    net(x)
    monkeypatch.setattr(nn.Module, "__call__", nir_like(nn.Module.__call__))
    with pytest.raises(
        QSNNError, match="NIR export would silently lose the quantization of TernaryLeaky"
    ):
        net(x)
    plain = QuantLeaky(0.5, init_hidden=True, spec=QuantSpec.full_precision())
    nn.Sequential(nn.Linear(6, 8), plain)(x)


@pytest.mark.filterwarnings("ignore")
def test_nir_export_itself():
    pytest.importorskip("nirtorch", reason="nirtorch is not installed")
    from snntorch.export_nir import export_to_nir

    def layers(**how):
        four = torch.full((4,), 0.5)
        lif = QuantLeaky(four, torch.ones(4), init_hidden=True, **how)
        return nn.Sequential(nn.Linear(6, 4), lif)

    with pytest.raises(QSNNError, match="NIR export would silently lose"):
        export_to_nir(layers(), torch.rand(1, 6), ignore_dims=[0])
    plain = layers(spec=QuantSpec.full_precision())
    assert "1" in export_to_nir(plain, torch.rand(1, 6), ignore_dims=[0]).nodes
