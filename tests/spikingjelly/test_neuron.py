import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, neuron, surrogate

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import QuantSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import QuantLIFNode, TernaryLIFNode
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY
from tests.functional.lif_simulation import CONVENTIONS, currents


def run(node, x, weight_s, weight_q):
    """Return spikes, stored states and dL/dx of a multi-step pass from rest."""
    x = torch.tensor(x, requires_grad=True)
    functional.reset_net(node)
    node.step_mode, node.store_v_seq = "m", True
    spikes = node(x)
    loss = (spikes * torch.tensor(weight_s) + node.v_seq * torch.tensor(weight_q)).sum()
    loss.backward()
    return spikes.detach().numpy(), node.v_seq.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("reference", CONVENTIONS, ids=str)
def test_ternary_node_equals_the_numpy_simulation(reference):
    x = currents(scale=reference.tau if reference.decay_input else 1.0, seed=2)
    rng = np.random.default_rng(3)
    weight_s, weight_q = rng.normal(size=x.shape), rng.normal(size=x.shape)
    node = TernaryLIFNode(
        tau=reference.tau,
        decay_input=reference.decay_input,
        v_threshold=reference.threshold,
        v_reset=reference.v_reset,
        detach_reset=reference.detach_reset,
        smoothness=reference.smoothness,
        threshold_spec=ThresholdSpec(gradient=reference.threshold_gradient),
    ).double()
    spikes, states, grad_x = run(node, x, weight_s, weight_q)
    _, s, _, q = reference.run(x)
    assert 0.05 < s.mean() < 0.6
    assert np.array_equal(spikes, s)
    assert np.array_equal(states, q)
    expected_x, expected_threshold = reference.gradients(x, weight_s, weight_q)
    np.testing.assert_allclose(grad_x, expected_x, rtol=1e-6, atol=1e-9)
    grad_threshold = node.v_threshold.grad.item()
    np.testing.assert_allclose(grad_threshold, expected_threshold, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_state_is_ternary_after_every_step_and_single_step_equals_multi_step(dtype):
    torch.manual_seed(0)
    x_seq = (0.3 + torch.randn(8, 4, 3, 5, 5)).to(dtype)
    multi = TernaryLIFNode(step_mode="m", store_v_seq=True)
    single = TernaryLIFNode(step_mode="s")
    spikes = multi(x_seq)
    assert 0.05 < spikes.float().mean() < 0.6
    assert spikes.dtype == multi.v.dtype == dtype
    differ = 0
    for t, x in enumerate(x_seq):
        differ += (single(x) != spikes[t]).sum().item()
        assert set(multi.v_seq[t].unique().tolist()) == {-1.0, 0.0, 1.0}
        assert set(single.v.unique().tolist()) == {-1.0, 0.0, 1.0}
        assert torch.equal(single.v, multi.v_seq[t]) or dtype.itemsize == 2
    assert torch.equal(multi.v_seq[-1], multi.v)
    # a single step of 16 bits charges in 16 bits, all steps at once in 32
    assert differ <= (0.01 * spikes.numel() if dtype.itemsize == 2 else 0)


def test_reset_forgets_and_a_second_batch_size_is_taken():
    node = TernaryLIFNode(step_mode="m")
    x = torch.rand(4, 3, 6)
    first = node(x)
    functional.reset_net(node)
    assert torch.equal(node(x), first)
    functional.reset_net(node)
    assert node(torch.rand(4, 5, 6)).shape == (4, 5, 6)


@pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14 rounds v (1 - 1 / tau) + x otherwise")
@given(
    tau=st.floats(1.05, 20.0),
    decay_input=st.booleans(),
    v_threshold=st.floats(0.1, 3.0),
    v_reset=st.none() | st.floats(-1.0, 0.09),
    detach_reset=st.booleans(),
    step_mode=st.sampled_from("sm"),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_full_precision_equals_lif_node_exactly(
    tau, decay_input, v_threshold, v_reset, detach_reset, step_mode, seed
):
    arguments = {
        "tau": tau,
        "decay_input": decay_input,
        "v_threshold": v_threshold,
        "v_reset": v_reset,
        "surrogate_function": surrogate.ATan(),
        "detach_reset": detach_reset,
        "step_mode": step_mode,
    }
    ours = QuantLIFNode(**arguments, spec=QuantSpec.full_precision())
    theirs = neuron.LIFNode(**copy.deepcopy(arguments))
    generator = torch.Generator().manual_seed(seed)
    scale = (v_threshold - (v_reset or 0.0)) * (tau if decay_input else 1.0)
    x = torch.randn(6, 32, generator=generator) * scale
    weights = torch.randn(x.shape, generator=generator)
    results = []
    for node in (ours, theirs):
        leaf = x.clone().requires_grad_()
        spikes = node(leaf) if step_mode == "m" else torch.stack([node(step) for step in leaf])
        (spikes * weights).sum().backward()
        results.append((spikes, node.v, leaf.grad))
    (spikes, v, grad), (their_spikes, their_v, their_grad) = results
    assert torch.equal(spikes, their_spikes)
    assert torch.equal(v, their_v)
    torch.testing.assert_close(grad, their_grad, rtol=1e-5, atol=1e-6)
    assert 0.05 < spikes.mean() < 0.6


@pytest.mark.parametrize(
    ("name", "value"), [("tau", 1.0), ("tau", float("nan")), ("v_threshold", 0.0)]
)
def test_bad_arguments_are_named(name, value):
    with pytest.raises(ArgumentError, match=f"{name}={value!r}".replace(".", r"\.")):
        QuantLIFNode(**{name: value})


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integers_are_taken_as_the_host_takes_them(dtype, mode):
    counts = (torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    own, same = (QuantLIFNode(step_mode=mode) for _ in range(2))
    assert torch.equal(own(counts), same(counts.float()))
