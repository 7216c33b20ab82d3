"""`MultiStep` on the kernel against the same neuron's loop."""

from operator import attrgetter

import pytest
import torch
from snntorch import surrogate

from qsnn_plugins.presets import spquant
from qsnn_plugins.snntorch import MultiStep, QuantLeaky, reset_net
from qsnn_plugins.snntorch.lapicque import QuantLapicque
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from tests.hosts.kernels import assert_same, count_calls, two_sequences
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
    return count_calls(monkeypatch)


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
    results = []
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        neuron = QuantLeaky(
            0.75, 0.9, init_hidden=True, reset_mechanism=how, reset_delay=delay, spec=spec,
            channels=5, graded_spikes_factor=1.5, learn_beta=learn_beta,
        )  # fmt: skip
        x_seq = torch.randn(6, 3, 5, 41, generator=torch.Generator().manual_seed(0)) + 0.3
        results.append(two_sequences(MultiStep(neuron), attrgetter("neuron.mem"), x_seq))
    assert calls == 2 * ["forward"] + 2 * ["backward"]
    assert 0.03 < (results[0][0] > 0).float().mean() < 0.8
    assert_same(*results)


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
def test_masked_kernel_and_loop_agree_over_two_sequences(spec, how, delay, calls, monkeypatch):
    results, shares = [], []
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        torch.manual_seed(3)
        neuron = QuantLeaky(
            0.75, 0.9, init_hidden=True, reset_mechanism=how, reset_delay=delay, spec=spec,
            channels=5, graded_spikes_factor=1.5, learn_beta=True,
        )  # fmt: skip
        x_seq = torch.randn(6, 3, 5, 41, generator=torch.Generator().manual_seed(0)) + 0.3
        results.append(two_sequences(MultiStep(neuron), attrgetter("neuron.mem"), x_seq))
        shares.append(neuron.pruning.sparsity())
    assert calls == 2 * ["forward"] + 2 * ["backward"]
    assert 0.03 < (results[0][0] > 0).float().mean() < 0.8
    assert shares[0] == shares[1]
    assert_same(*results)


@pytest.mark.parametrize("register", ["full_backward_hook", "full_backward_pre_hook"])
def test_a_hook_of_the_gradient_sees_every_step(register, calls):
    node, seen = MultiStep(QuantLeaky(0.9, init_hidden=True)), []
    getattr(node.neuron, f"register_{register}")(lambda *_: seen.append(1))
    node(torch.rand(3, 2, 4, requires_grad=True)).sum().backward()
    assert len(seen) == 3
    assert calls == []


def test_the_host_s_surrogates_run_over_time_and_learn():
    """They are functions, which have no hooks."""
    node = QuantLeaky(0.5, init_hidden=True, spike_grad=surrogate.fast_sigmoid())
    x = torch.rand(5, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    spikes = MultiStep(node)(x)
    spikes.sum().backward()
    node.reset_mem()
    assert spikes.any()
    assert torch.equal(spikes, torch.stack([node(step) for step in x]))
    assert x.grad.any()
