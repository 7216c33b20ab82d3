"""SpikingJelly's tools on these neurons, as on its own."""

import copy
import itertools

import pytest
import torch
from spikingjelly.activation_based import functional, monitor, neuron, surrogate
from torch import fx, nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import (
    KBitIFNode,
    KBitLIFNode,
    MultiBitIFNode,
    MultiBitLIFNode,
    QuantIFNode,
    QuantLIFNode,
    QuantNode,
    QuantParametricLIFNode,
    TernaryIFNode,
    TernaryLIFNode,
    eject,
    inject,
)
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

NODES = [
    QuantLIFNode,
    QuantIFNode,
    QuantParametricLIFNode,
    TernaryLIFNode,
    TernaryIFNode,
    KBitLIFNode,
    KBitIFNode,
    MultiBitLIFNode,
    MultiBitIFNode,
]
# each kind of spec and each way to charge in both modes
COMPILED = [*zip(NODES, itertools.cycle("sm"), strict=False), (QuantParametricLIFNode, "m")]
only_new = pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14 has no such tool")


@pytest.fixture(params=NODES, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def network_of(kind, **arguments):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 8),
        kind(v_threshold=0.4, **arguments),
        nn.Linear(8, 8),
        kind(v_threshold=0.4, **arguments),
    )
    for layer in (network[0], network[2]):  # larger than usual: both layers are to fire
        nn.init.normal_(layer.weight, std=0.6)
    return network


def currents():
    return torch.rand(4, 3, 6, generator=torch.Generator().manual_seed(1)) * 2


def test_set_step_mode_reset_net_and_detach_net(kind):
    network, x = network_of(kind), currents()
    network.eval()  # the running scale of k bits stands still
    single = torch.stack([network(step) for step in x])
    assert 0.05 < (single > 0).float().mean() < 0.6
    functional.reset_net(network)
    assert network[1].v == network[3].v == 0.0
    functional.set_step_mode(network, "m")
    assert torch.equal(network(x), single)
    assert network[1].v.shape == (3, 8)
    assert network[1].v.requires_grad
    functional.detach_net(network)
    assert not network[1].v.requires_grad
    copy.deepcopy(network)


@only_new
def test_to_functional_forward(kind):
    from spikingjelly.activation_based import base

    network, x = network_of(kind, step_mode="m").eval(), currents()
    run = base.to_functional_forward(network)
    states = tuple(base.extract_memories(network))
    first = run((x[:2],), states)
    (second,), last = run((x[2:],), first[1])
    assert network[1].v == 0.0
    expected = network(x)
    assert torch.equal(torch.cat([first[0][0], second]), expected)
    assert torch.equal(last[0], network[1].v)


def test_attribute_monitor_sees_the_stored_membranes(kind):
    network = network_of(kind, step_mode="m", store_v_seq=True)
    watch = monitor.AttributeMonitor("v_seq", False, network, instance=QuantNode)
    network(currents())
    assert [name for name in watch.monitored_layers] == ["1", "3"]
    assert [record.shape for record in watch.records] == [(4, 3, 8), (4, 3, 8)]
    assert torch.equal(watch.records[0][-1], network[1].v)


def test_store_v_seq_does_not_change_the_spikes(kind):
    plain, storing = network_of(kind, step_mode="m"), network_of(kind, step_mode="m")
    for node in (storing[1], storing[3]):
        node.store_v_seq = True
    x = currents()
    assert torch.equal(plain(x), storing(x))
    assert torch.equal(plain[3].v, storing[3].v)
    storing[1].store_v_seq = False
    assert IS_LEGACY or storing[1].v_seq is None


@only_new
def test_operation_counters_run(kind):
    from spikingjelly.activation_based.op_counter import (
        DispatchCounterMode,
        NeuronStateCounter,
        SynOpCounter,
    )

    counters = [NeuronStateCounter(), SynOpCounter()]
    network = network_of(kind, step_mode="m")
    with DispatchCounterMode(counters), torch.no_grad():
        network(currents())
    assert counters[0].get_total() > 0


@only_new
@pytest.mark.parametrize("v_threshold", [0.5, 1.0])
def test_the_counter_of_states_sees_those_of_a_multi_step_neuron(v_threshold):
    """As in single-step mode, and as the host's neuron where nothing is quantized."""
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, NeuronStateCounter

    def counted(node, x):
        counter = NeuronStateCounter(enable_sparse_memory_estimation=False)
        with DispatchCounterMode([counter]), torch.no_grad():
            node(x)  # from here on there is a state
        counter.reset()
        with DispatchCounterMode([counter]), torch.no_grad():
            for step in [x] if node.step_mode == "m" else x:
                node(step)
        return counter.get_metric_counts()["Global"]

    x, options = torch.rand(4, 1, 8), {"v_threshold": v_threshold, "step_mode": "m"}
    host = counted(neuron.IFNode(**options), x)
    assert host["state_reads"] > 0
    assert host["state_writes"] > 0
    plain = QuantIFNode(
        **options, surrogate_function=surrogate.Sigmoid(), spec=QuantSpec.full_precision()
    )
    assert counted(plain, x) == host
    ours = counted(QuantIFNode(**options), x)
    assert ours["state_reads"] > host["state_reads"], "the stored membrane is compared with levels"
    assert ours["state_writes"] >= 4 * 8 * 4, "bytes, each neuron and step"


def test_autocast_to_bfloat16(kind):
    network, x = network_of(kind, step_mode="m"), currents()
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x)
    assert out.dtype == network[1].v.dtype == torch.bfloat16
    assert 0.02 < (out > 0).float().mean() < 0.7
    out.float().sum().backward()
    assert network[0].weight.grad.isfinite().all()
    assert network[0].weight.grad.abs().sum() > 0


@pytest.mark.slow  # tests/nn/test_cell.py compiles the steps themselves
@pytest.mark.parametrize(("kind", "step_mode"), COMPILED, indirect=["kind"])
def test_compiles_without_a_break(kind, step_mode):
    torch._dynamo.reset()
    eager, compiled = network_of(kind, step_mode=step_mode), network_of(kind, step_mode=step_mode)
    run = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    x = currents() if step_mode == "m" else currents()[0]
    for _ in range(2):  # the second time with a state
        out, expected = run(x), eager(x)
        torch.testing.assert_close(out, expected, rtol=0, atol=0)
    out.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(compiled[0].weight.grad, eager[0].weight.grad)


def test_deepcopy_and_state_dict(kind):
    network = network_of(kind, step_mode="m")
    network(currents())  # scales that run have run
    functional.reset_net(network)
    twin = copy.deepcopy(network)
    other = network_of(kind, step_mode="m")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(network.state_dict())
    for net in (network, twin, other):
        net.eval()
    x = currents()
    expected = network(x)
    assert torch.equal(twin(x), expected)
    assert torch.equal(other(x), expected)
    assert not any(key.rpartition(".")[2] == "v" for key in network.state_dict())


def test_a_symbolic_trace_is_refused_so_that_no_export_drops_the_quantization(kind):
    network = network_of(kind, step_mode="m")
    with pytest.raises(QSNNError, match=f"{kind.__name__} cannot be traced symbolically"):
        fx.symbolic_trace(network)


@only_new
def test_nir_export_is_refused_until_the_network_is_ejected():
    pytest.importorskip("nirtorch")
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    network = nn.Sequential(nn.Linear(6, 8), neuron.LIFNode(step_mode="s"))
    inject(network, QuantSpec())
    with pytest.raises(QSNNError, match="export would lose its quantization"):
        export_to_nir(network, torch.rand(1, 6))
    assert "LIF" in str(export_to_nir(eject(network), torch.rand(1, 6)))


def test_lava_export_does_not_take_them_for_its_own(kind):
    # it converts LIFNode, IFNode and their subclasses, and refuses whatever else it meets
    assert not issubclass(kind, neuron.LIFNode | neuron.IFNode)


CHANNELS = QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))


def test_inputs_that_do_not_fit_are_refused_in_one_sentence(kind):
    node = kind(step_mode="m")
    with pytest.raises(ArgumentError, match=r"x\.shape=\(5,\) is not allowed: give \[T, N"):
        node(torch.rand(5))
    with pytest.raises(ArgumentError, match=r"x\.shape=\(0, 5\) is not allowed"):
        node(torch.rand(0, 5))
    single = kind(step_mode="s")
    single(torch.rand(2, 5))
    with pytest.raises(ArgumentError, match=r"2 dimensions where step_mode='s', as before"):
        single(torch.rand(4, 2, 5))
    functional.reset_net(single)
    assert single(torch.rand(4, 2, 5)).shape == (4, 2, 5)


@pytest.mark.parametrize("step_mode", ["s", "m"])
def test_channels_and_devices_that_do_not_fit_are_refused(step_mode):
    node = QuantLIFNode(spec=CHANNELS, channels=3, step_mode=step_mode)
    steps = (4,) if step_mode == "m" else ()
    assert node(torch.rand(*steps, 2, 3, 5)).shape == (*steps, 2, 3, 5)
    functional.reset_net(node)
    with pytest.raises(ArgumentError, match=r"give 3 channels in place"):
        node(torch.rand(*steps, 2, 5, 3))
    with pytest.raises(ArgumentError, match=r"x\.device='meta' is not allowed: give cpu"):
        node(torch.rand(*steps, 2, 3, 5, device="meta"))


def test_a_batch_of_another_size_starts_at_rest_as_in_the_host(kind):
    host_s = [] if IS_LEGACY else [neuron.LIFNode(step_mode="m")]  # 0.0.0.0.14's own raises
    for node in (kind(step_mode="m"), *host_s):
        node.eval()
        node(torch.rand(4, 2, 5))
        again = torch.rand(4, 3, 5)
        out = node(again)
        functional.reset_net(node)
        assert torch.equal(node(again), out)


def test_the_named_kinds_are_their_specs():
    fixed = ThresholdSpec("separate")
    assert TernaryIFNode(smoothness=3.0, threshold_spec=fixed).quant_spec == QuantSpec(
        MembraneSpec(smoothness=3.0), threshold=fixed
    )
    membrane = MembraneSpec(kind="uniform", bits=5, scale="learned", gradient="straight_through")
    for k_bit in (KBitLIFNode, KBitIFNode):
        node = k_bit(bits=5, scale="learned", gradient="straight_through", threshold_spec=fixed)
        assert node.quant_spec == QuantSpec(membrane, threshold=fixed)
    for multi in (MultiBitLIFNode, MultiBitIFNode):
        node = multi(bits=3, value="threshold", membrane=membrane)
        assert node.quant_spec == QuantSpec(membrane, SpikeSpec(bits=3, value="threshold"))
    node = TernaryLIFNode(3.0, True, 0.5, None, step_mode="m")
    assert (node.tau, node.decay_input, node.v_threshold, node.v_reset) == (3.0, True, 0.5, None)
    with pytest.raises(TypeError, match="spec"):
        TernaryLIFNode(spec=QuantSpec())


@pytest.mark.parametrize("kind_of_it", [QuantIFNode, QuantParametricLIFNode])
def test_if_and_plif_store_prune_and_learn_as_lif_does(kind_of_it):
    torch.manual_seed(0)
    spec = QuantSpec(
        MembraneSpec(kind="uniform", bits=3),
        SpikeSpec(bits=2, value="threshold"),
        ThresholdSpec("separate", per="channel"),
        pruning=PruningSpec(0.3),
    )
    node = kind_of_it(step_mode="m", store_v_seq=True, v_threshold=0.7, spec=spec, channels=3)
    spikes = node(torch.randn(6, 4, 3, 8, 8) * 0.7)
    assert 0.05 < (spikes > 0).float().mean() < 0.6
    assert len(node.v_seq[-1].unique()) <= 7
    assert node.pruning.sparsity() == pytest.approx(0.3, abs=0.05)
    spikes.sum().backward()
    for name, parameter in node.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
