"""The multi-step forward on the kernel against the same neuron's loop."""

from operator import attrgetter

import pytest
import torch
from spikingjelly.activation_based import functional, neuron, surrogate

from qsnn_plugins.ops.quantized_lif import Parameters, quantized_lif
from qsnn_plugins.presets import spquant
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import QuantLIFNode, QuantParametricLIFNode
from tests.hosts.kernels import assert_same, count_calls, two_sequences
from tests.toolchain import needs_compiler

pytestmark = needs_compiler

SPECS = {
    "ternary": QuantSpec(),
    "pruned": QuantSpec(MembraneSpec(kind="pruned")),
    "learned": QuantSpec(threshold=ThresholdSpec(gradient="ordinary")),
    "separate": QuantSpec(threshold=ThresholdSpec(gradient="separate")),
    "arctan": QuantSpec(spike=SpikeSpec(surrogate="arctan", sharpness=2.0)),
    "4 bits, running": QuantSpec(MembraneSpec(kind="uniform", bits=4)),
    "3 bits, step's maximum": QuantSpec(MembraneSpec(kind="uniform", bits=3, scale="step_max")),
    "2 bits, learned": QuantSpec(MembraneSpec(kind="uniform", scale="learned")),
    "spikes of 2 bits": QuantSpec(MembraneSpec(kind="float"), SpikeSpec(bits=2)),
    "thresholds per channel": QuantSpec(
        threshold=ThresholdSpec(gradient="separate", per="channel")
    ),
}


@pytest.fixture
def calls(monkeypatch):
    return count_calls(monkeypatch)


@pytest.mark.covering(1)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize(("v_reset", "detach_reset"), [(0.0, False), (None, True), (-0.25, False)])
def test_kernel_and_loop_agree_over_two_sequences(spec, v_reset, detach_reset, calls, monkeypatch):
    results = []
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        node = QuantLIFNode(
            tau=3.0,
            v_reset=v_reset,
            detach_reset=detach_reset,
            step_mode="m",
            spec=spec,
            channels=41,
        )
        x_seq = torch.randn(6, 5, 41, generator=torch.Generator().manual_seed(0)) + 0.3
        results.append(two_sequences(node, attrgetter("v"), x_seq))
    assert calls == 2 * ["forward"] + 2 * ["backward"]
    assert 0.05 < results[0][0].mean() < 0.6
    assert_same(*results)


def test_the_kernel_equals_lif_node_where_nothing_is_quantized():
    spike = SpikeSpec(surrogate="sigmoid", sharpness=4.0)
    parameters = Parameters(MembraneSpec(kind="float"), spike, tau=2.0, decay_input=True)
    theirs = neuron.LIFNode(step_mode="m", surrogate_function=surrogate.Sigmoid(alpha=4.0))
    x_seq, ours = torch.randn(7, 3, 33) * 2 + 0.5, []
    for run in (lambda x: quantized_lif(x, 0.0, 1.0, parameters, backend="cpp")[:2], theirs):
        leaf = x_seq.clone().requires_grad_()
        result = run(leaf)
        spikes, last = result if isinstance(result, tuple) else (result, theirs.v)
        (spikes.sum() + last.square().sum()).backward()
        ours.append((spikes, last, leaf.grad))
    assert torch.equal(ours[0][0], ours[1][0])
    assert torch.equal(ours[0][1], ours[1][1])
    torch.testing.assert_close(ours[0][2], ours[1][2], rtol=1e-5, atol=1e-5)


def test_four_bytes_a_neuron_and_step_are_saved_from_rest():
    node, saved = QuantLIFNode(step_mode="m"), []
    x_seq = torch.randn(5, 4, 50, requires_grad=True) * 1.0
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tensor.numel() * tensor.element_size()), lambda _: None
    ):
        node(x_seq)
    assert sum(saved) / x_seq.numel() == pytest.approx(4.0, abs=0.02)


def test_a_host_surrogate_runs_in_the_loop(calls):
    node = QuantLIFNode(step_mode="m", surrogate_function=surrogate.ATan())
    node(torch.randn(3, 2, 7))
    assert calls == []


@pytest.mark.parametrize("spec", [QuantSpec(), spquant()], ids=["ternary", "masked"])
def test_compiled_the_node_is_one_call_of_the_operator(spec):
    seen = []

    def backend(module, _):
        seen.extend(str(node.target) for node in module.graph.nodes if node.op == "call_function")
        return module

    node = QuantLIFNode(step_mode="m", spec=spec, channels=5)
    x_seq = torch.randn(4, 2, 5, 6)
    expected = node(x_seq)
    functional.reset_net(node)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(node, backend=backend)(x_seq), expected)
    assert seen.count("qsnn_plugins.quantized_lif.default") == 1


MASKED = {
    "spquant": spquant(),
    "membrane": QuantSpec(pruning=PruningSpec(0.35, masked="membrane")),
    "float": QuantSpec(MembraneSpec(kind="float"), pruning=spquant().pruning),
    "2 bits, learned": QuantSpec(
        MembraneSpec(kind="uniform", scale="learned"), pruning=spquant().pruning
    ),
}


@pytest.mark.covering(1)
@pytest.mark.parametrize("spec", MASKED.values(), ids=MASKED)
@pytest.mark.parametrize(("v_reset", "detach_reset"), [(0.0, False), (None, True), (-0.25, False)])
@pytest.mark.parametrize("shape", [(6, 5, 7), (6, 5, 7, 9, 5)], ids=["vectors", "maps"])
def test_masked_kernel_and_loop_agree_over_two_sequences(
    spec, v_reset, detach_reset, shape, calls, monkeypatch
):
    results, shares = [], []
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        torch.manual_seed(2)
        node = QuantLIFNode(
            tau=3.0,
            v_reset=v_reset,
            detach_reset=detach_reset,
            step_mode="m",
            spec=spec,
            channels=7,
        )
        x_seq = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 0.3

        def run(x_seq, node=node):
            spikes = node(x_seq)
            shares.append(node.pruning.sparsity())
            return spikes

        results.append(two_sequences(node, attrgetter("v"), x_seq, run))
    assert calls == 2 * ["forward"] + 2 * ["backward"]
    spikes, _, gradients = results[0]
    assert 0.02 < spikes.mean() < 0.6
    assert shares[:2] == shares[2:]
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    assert_same(*results)


@pytest.mark.covering(1)
@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize(("v_reset", "detach_reset"), [(0.0, False), (None, True), (-0.25, False)])
@pytest.mark.parametrize(
    "spec", [QuantSpec(), SPECS["4 bits, running"], spquant()], ids=["ternary", "4 bits", "masked"]
)
def test_a_learned_time_constant_learns_on_the_kernel(
    spec, v_reset, detach_reset, decay_input, monkeypatch
):
    results = []
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        torch.manual_seed(4)
        node = QuantParametricLIFNode(
            3.0, decay_input, 0.8, v_reset, None, detach_reset, "m", spec=spec, channels=7
        )
        x_seq = torch.randn(6, 5, 7, 9, generator=torch.Generator().manual_seed(0))
        x_seq = x_seq * (1 + 2 * decay_input) + 0.3
        results.append(two_sequences(node, attrgetter("v"), x_seq))
        assert node.w.grad.abs() > 0.01
    assert 0.02 < results[0][0].mean() < 0.6
    assert_same(*results)


@pytest.mark.parametrize(
    "spec",
    [QuantSpec(), spquant(), QuantSpec(pruning=PruningSpec(0.2))],
    ids=["ternary", "both masks", "spatial mask"],
)
def test_it_compiles_while_a_schedule_sharpens(spec):
    if spec == QuantSpec():  # the others are compiled beside it
        torch._dynamo.reset()
    node = QuantLIFNode(step_mode="m", spec=spec, channels=3)
    compiled = torch.compile(node, fullgraph=True, backend="aot_eager")
    x_seq = torch.randn(4, 2, 3, 6, requires_grad=True)
    for sharpness in (1.0, 1.5):
        node.surrogate_function.sharpness = sharpness
        results = []
        for run in (node, compiled):
            functional.reset_net(node)
            spikes = run(x_seq)
            results.append((spikes, *torch.autograd.grad(spikes.sum(), x_seq)))
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
