"""With nothing quantized our neuron is snnTorch's, bit for bit."""

import copy
import math

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch import surrogate

from qsnn_plugins.nn import Spike
from qsnn_plugins.snntorch import QuantLeaky
from qsnn_plugins.spec import MembraneSpec, QuantSpec

# wide enough never to clip: nothing is quantized, yet the whole of our own step runs
UNCLIPPED = QuantSpec(MembraneSpec(kind="clip", lower=-1e9, upper=1e9))


def run(neuron, x, upstream, passes_mem):
    """Outputs of all steps and the gradients of x and of the neuron's parameters."""
    leaf = x.clone().requires_grad_()
    mem, outputs = torch.zeros(0), []
    for step in leaf:
        result = neuron(step, mem) if passes_mem else neuron(step)
        spk, mem = result if isinstance(result, tuple) else (result, neuron.mem)
        outputs.append(torch.stack([spk, mem]))
    outputs = torch.stack(outputs)
    (outputs * upstream).sum().backward()
    # without a surrogate a threshold may get no gradient at all
    grads = {n: torch.zeros(1) if p.grad is None else p.grad for n, p in neuron.named_parameters()}
    return outputs, leaf.grad, grads


def assert_equal(ours, theirs):
    (out, grad_x, grads), (their_out, their_grad_x, their_grads) = ours, theirs
    assert torch.equal(out, their_out)
    assert torch.equal(grad_x, their_grad_x)
    assert grads.keys() == their_grads.keys()
    for name, grad in grads.items():
        assert torch.equal(grad, their_grads[name]), name
    return 0.02 < (out[:, 0] > 0).float().mean() < 0.9


ARGUMENTS = {
    "beta": st.floats(0.0, 1.0),
    "threshold": st.floats(0.25, 3.0),
    "learn_beta": st.booleans(),
    "learn_threshold": st.booleans(),
    "reset_mechanism": st.sampled_from(["subtract", "zero", "none"]),
    "init_hidden": st.booleans(),
    "output": st.booleans(),
    "graded_spikes_factor": st.sampled_from([1.0, 0.5, 1.7]),
    "learn_graded_spikes_factor": st.booleans(),
    "reset_delay": st.booleans(),
    "surrogate_disable": st.booleans(),
}


@given(
    arguments=st.fixed_dictionaries(ARGUMENTS),
    grad=st.sampled_from([surrogate.atan(), surrogate.fast_sigmoid(5), Spike("sigmoid", 4.0)]),
    passes_mem=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=150, deadline=None)
def test_full_precision_equals_leaky_exactly(arguments, grad, passes_mem, seed):
    if isinstance(grad, Spike):
        grad = Spike("sigmoid", 4.0, fires_at_zero=False)
    arguments = arguments | {"spike_grad": grad}
    passes_mem = passes_mem and not arguments["init_hidden"]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(7, 40, generator=generator) * arguments["threshold"] * 2
    upstream = torch.randn(7, 2, 40, generator=generator)
    ours = QuantLeaky(**arguments, spec=QuantSpec.full_precision())
    theirs = snntorch.Leaky(**copy.deepcopy(arguments))
    both = (run(ours, x, upstream, passes_mem), run(theirs, x, upstream, passes_mem))
    assert assert_equal(*both)


@given(
    arguments=st.fixed_dictionaries(ARGUMENTS),
    passes_mem=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=150, deadline=None)
def test_our_own_step_equals_leaky_where_it_stores_everything(arguments, passes_mem, seed):
    """Values exactly; gradients to rounding, for our reset is written as a product."""
    passes_mem = passes_mem and not arguments["init_hidden"]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(7, 40, generator=generator) * arguments["threshold"]
    if arguments["reset_mechanism"] == "subtract" and not arguments["reset_delay"]:
        # the host's own rule for a membrane still above the threshold is not ours
        x = x.clamp(max=(1.99 - arguments["beta"]) * arguments["threshold"])
    upstream = torch.randn(7, 2, 40, generator=generator)
    ours = QuantLeaky(**arguments, spike_grad=surrogate.atan(), spec=UNCLIPPED)
    theirs = snntorch.Leaky(**arguments, spike_grad=surrogate.atan())
    out, grad_x, grads = run(ours, x, upstream, passes_mem)
    their_out, their_grad_x, their_grads = run(theirs, x, upstream, passes_mem)
    assert torch.equal(out, their_out)
    torch.testing.assert_close(grad_x, their_grad_x, rtol=1e-5, atol=1e-5)
    assert grads.keys() == their_grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, their_grads[name], rtol=1e-4, atol=1e-4)
    assert (out[:, 0] > 0).any()


def test_the_comparison_can_fail():
    x, upstream = torch.randn(7, 40), torch.randn(7, 2, 40)
    ours = QuantLeaky(beta=0.9, spec=QuantSpec.full_precision())
    with pytest.raises(AssertionError):  # another surrogate: only gradients differ
        assert_equal(
            run(ours, x, upstream, False), run(snntorch.Leaky(beta=0.9), x, upstream, False)
        )


@pytest.mark.parametrize("inhibition", [False, True])
@pytest.mark.filterwarnings("ignore:Inhibition")
def test_inhibition_and_tensors_of_betas_and_thresholds_are_the_host_s(inhibition):
    torch.manual_seed(0)
    arguments = {
        "beta": torch.rand(40),
        "threshold": torch.rand(40) + 0.5,
        "spike_grad": surrogate.atan(),
        "inhibition": inhibition,
        "learn_beta": True,
    }
    x, upstream = torch.randn(7, 5, 40), torch.randn(7, 2, 5, 40)
    ours = QuantLeaky(**copy.deepcopy(arguments), spec=QuantSpec.full_precision())
    theirs = snntorch.Leaky(**copy.deepcopy(arguments))
    assert_equal(run(ours, x, upstream, True), run(theirs, x, upstream, True))


@pytest.mark.parametrize("output", [True, False])
@pytest.mark.parametrize("inhibition", [True, False])
def test_hooks_that_only_look_change_nothing(inhibition, output):
    """As summaries and debuggers register them; the steps stay the host's."""
    arguments = {"init_hidden": True, "inhibition": inhibition, "reset_delay": False}
    ours = QuantLeaky(0.9, output=output, spec=QuantSpec.full_precision(), **arguments)
    theirs, seen = snntorch.Leaky(0.9, output=True, **arguments), []
    for module in ours.modules():
        module.register_forward_hook(lambda module, _, out: seen.append((module, out)))
    for x in 3 * torch.rand(8, 4, 5, generator=torch.Generator().manual_seed(0)):
        result, (spikes, mem) = ours(x), theirs(x)
        assert torch.equal(result[0] if output else result, spikes)
        assert torch.equal(result[1] if output else ours.mem, mem)
        (stored,) = (out for module, out in seen if module is ours.membrane)
        assert torch.equal(stored, mem)
        seen.clear()


@pytest.mark.parametrize("reset_delay", [True, False])
def test_a_subtracting_reset_from_an_infinite_threshold_takes_nothing(reset_delay):
    """A readout integrates; the host's own steps subtract 0 of infinity, which is NaN."""
    readout = QuantLeaky(
        0.5, threshold=math.inf, reset_delay=reset_delay, spec=QuantSpec.full_precision()
    )
    x, mem = torch.tensor([[1.0], [-2.0], [3.0]], requires_grad=True), None
    for step in x:
        spikes, mem = readout(step, mem)
        assert spikes.item() == 0
    assert mem.item() == 0.25 - 1 + 3
    mem.sum().backward()
    assert x.grad.flatten().tolist() == [0.25, 0.5, 1.0]


def test_an_infinite_threshold_among_others_leaves_their_steps_to_the_host():
    arguments = {"threshold": torch.tensor([1.0, math.inf]), "reset_delay": False}
    ours = QuantLeaky(0.9, init_hidden=True, spec=QuantSpec.full_precision(), **arguments)
    theirs = snntorch.Leaky(0.9, init_hidden=True, **arguments)
    for x in 3 * torch.rand(30, 5, 2, generator=torch.Generator().manual_seed(0)):
        assert torch.equal(ours(x), theirs(x))
