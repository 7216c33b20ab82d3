"""`MultiStep` on the kernel against the same neuron's loop."""

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import cpp
from qsnn_plugins.presets import spquant
from qsnn_plugins.snntorch import MultiStep, QuantLeaky, reset_net
from qsnn_plugins.snntorch.lapicque import QuantLapicque
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from tests.toolchain import needs_compiler

pytestmark = needs_compiler

SPECS = {
    "ternary": QuantSpec(),
    "clipped": QuantSpec(MembraneSpec(kind="clip")),
    "learned": QuantSpec(threshold=ThresholdSpec(gradient="ordinary")),
    "separate, a channel": QuantSpec(threshold=ThresholdSpec(gradient="separate", per="channel")),
    "4 bits, running": QuantSpec(MembraneSpec(kind="uniform", bits=4)),
    "spikes of 2 bits": QuantSpec(MembraneSpec(kind="float"), SpikeSpec(bits=2)),
    "threshold sent": QuantSpec(MembraneSpec(kind="float"), SpikeSpec(value="threshold")),
}


@pytest.fixture
def calls(monkeypatch):
    calls = []

    def counted(name):
        kernel = getattr(cpp, name)
        return lambda *arguments: (calls.append(name), kernel(*arguments))[1]

    for name in ("forward", "backward"):
        monkeypatch.setattr(cpp, name, counted(name))
    return calls


def results(node, x_seq):
    """Spikes, membrane and gradients of two sequences, one after the other."""
    x_seq = x_seq.clone().requires_grad_()
    spikes = torch.cat([node(x_seq), node(x_seq * 0.5)])
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1))
    ((spikes * weights).sum() + node.neuron.mem.square().sum()).backward()
    return spikes, node.neuron.mem, [x_seq.grad, *(p.grad for p in node.parameters())]


# of the four, any three meet in all of their values
CASES = [
    pytest.param(spec, how, delay, (number + place + delay) % 2 == 1, id=f"{name}-{how}-{delay}")
    for number, (name, spec) in enumerate(SPECS.items())
    for place, how in enumerate(("subtract", "zero", "none"))
    for delay in (False, True)
]


@pytest.mark.covering(2)
@pytest.mark.parametrize(("spec", "how", "delay", "learn_beta"), CASES)
def test_kernel_and_loop_agree_over_two_sequences(spec, how, delay, learn_beta, calls, monkeypatch):
    found = []
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        neuron = QuantLeaky(
            0.75, 0.9, init_hidden=True, reset_mechanism=how, reset_delay=delay, spec=spec,
            channels=5, graded_spikes_factor=1.5, learn_beta=learn_beta,
        )  # fmt: skip
        x_seq = torch.randn(6, 3, 5, 41, generator=torch.Generator().manual_seed(0)) + 0.3
        found.append(results(MultiStep(neuron), x_seq))
    assert calls == 2 * ["forward"] + 2 * ["backward"]
    (spikes, mem, gradients), (its_spikes, its_mem, its_gradients) = found
    assert 0.03 < (spikes > 0).float().mean() < 0.8
    assert torch.equal(spikes, its_spikes)
    assert torch.equal(mem, its_mem)
    torch.testing.assert_close(gradients, its_gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "neuron",
    [
        QuantLeaky(0.5, spec=QuantSpec()),
        QuantLeaky(0.5, init_hidden=True, output=True, spec=QuantSpec()),
        QuantLeaky(torch.rand(7, 7), init_hidden=True, spec=QuantSpec()),
        QuantLeaky(0.5, init_hidden=True, spec=QuantSpec.full_precision()),
        QuantLeaky(0.5, init_hidden=True, spec=QuantSpec(pruning=PruningSpec(0.4, block=2))),
        QuantLapicque(0.5, 0.5, init_hidden=True, spec=QuantSpec()),
    ],
    ids=["states", "output", "decays", "plain", "pruned in blocks", "lapicque"],
)
def test_what_no_kernel_covers_runs_in_the_loop(neuron, calls):
    MultiStep(neuron)(torch.randn(3, 2, 7, 7))
    assert calls == []


def test_a_hook_of_the_neuron_sees_every_step(calls):
    neuron, seen = QuantLeaky(0.5, init_hidden=True, spec=QuantSpec()), []
    neuron.register_forward_hook(lambda *_: seen.append(1))
    MultiStep(neuron)(torch.randn(4, 2, 7))
    assert (len(seen), calls) == (4, [])


def test_a_changed_decay_is_the_one_that_runs(calls):
    spec = QuantSpec(MembraneSpec(kind="clip", upper=9.0))
    neuron = QuantLeaky(0.5, init_hidden=True, reset_mechanism="none", spec=spec)
    node, x_seq = MultiStep(neuron), torch.full((2, 1, 1), 0.5)
    membranes = []
    for decay in (0.5, 0.25, 7.0):
        reset_net(node)
        neuron.beta.fill_(decay)
        node(x_seq)
        membranes.append(neuron.mem.item())
    assert membranes == [0.75, 0.625, 1.0]
    assert len(calls) == 3


@pytest.mark.covering(1)
@pytest.mark.parametrize(
    "spec", [spquant(), QuantSpec(pruning=PruningSpec(0.35, masked="membrane"))], ids=str
)
@pytest.mark.parametrize("how", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [False, True])
def test_masked_kernel_and_loop_agree_over_two_sequences(spec, how, delay, monkeypatch):
    found, calls, kernel = [], [], cpp.forward
    monkeypatch.setattr(cpp, "forward", lambda *a: (calls.append(1), kernel(*a))[1])
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        torch.manual_seed(3)
        neuron = QuantLeaky(
            0.75, 0.9, init_hidden=True, reset_mechanism=how, reset_delay=delay, spec=spec,
            channels=5, graded_spikes_factor=1.5, learn_beta=True,
        )  # fmt: skip
        x_seq = torch.randn(6, 3, 5, 41, generator=torch.Generator().manual_seed(0)) + 0.3
        node = MultiStep(neuron)
        found.append((*results(node, x_seq), neuron.pruning.sparsity()))
    assert len(calls) == 2
    (spikes, mem, gradients, shares), (its_spikes, its_mem, its_gradients, its_shares) = found
    assert 0.03 < (spikes > 0).float().mean() < 0.8
    assert torch.equal(spikes, its_spikes)
    assert torch.equal(mem, its_mem)
    assert shares == its_shares
    torch.testing.assert_close(gradients, its_gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("register", ["full_backward_hook", "full_backward_pre_hook"])
def test_a_hook_of_the_gradient_sees_every_step(register, calls):
    node, seen = MultiStep(QuantLeaky(0.9, init_hidden=True)), []
    getattr(node.neuron, f"register_{register}")(lambda *_: seen.append(1))
    node(torch.rand(3, 2, 4, requires_grad=True)).sum().backward()
    assert len(seen) == 3
    assert calls == []
