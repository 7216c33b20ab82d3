"""What quantization changes: what is stored, when it is reset, what is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch import surrogate

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.functional.late_reset import keep_comparison
from qsnn_plugins.nn import Spike
from qsnn_plugins.snntorch import (
    KBitLeaky,
    MultiBitLeaky,
    QuantLapicque,
    QuantLeaky,
    TernaryLeaky,
    reset_net,
)
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from tests.snntorch.kinds import MEMBRANES, rate_is_alive, steps


def ternary(u):
    return np.where(u <= -0.5, -1.0, np.where(u <= 0.5, 0.0, 1.0))


@pytest.mark.parametrize("threshold", [0.75, 1.0, 1.3])
@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize("how", ["subtract", "zero", "none"])
def test_ternary_neuron_equals_a_numpy_simulation_with_the_spike_as_a_bit_of_its_own(
    how, delay, threshold
):
    """The simulation keeps the last spike beside the ternary state; the neuron keeps m alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.3, 1.0, (12, 500))  # no ties: what fired is a last place above +1
    lif = TernaryLeaky(beta=0.5, threshold=threshold, reset_mechanism=how, reset_delay=delay)
    lif = lif.double()
    m, q, last = torch.zeros(0), np.zeros(500), np.zeros(500)
    th, rate = float(lif.threshold), 0.0
    for step in x:
        spk, m = lif(torch.tensor(step), m)
        if delay and how == "zero":
            q = q * (1 - last)
        h = 0.5 * q + step - (last * th if delay and how == "subtract" else 0)
        last = (h > th) * 1.0
        r = h
        if not delay and how != "none":
            r = h - last * th if how == "subtract" else h * (1 - last)
        q = ternary(r)
        if delay and how != "none":  # +1 lies between the threshold and what fired
            q = np.where(last == 1, np.maximum(q, th), np.minimum(q, th))
        assert np.array_equal(spk.numpy(), last)
        np.testing.assert_allclose(m.numpy(), q, rtol=1e-15)
        rate += last.mean() / len(x)
    assert 0.05 < rate < 0.6


@given(
    membrane=st.sampled_from(MEMBRANES),
    threshold=st.floats(0.1, 3.0),
    how=st.sampled_from(["subtract", "zero"]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=150, deadline=None)
def test_a_delayed_reset_knows_the_spike_by_the_membrane_alone(
    membrane, threshold, how, dtype, seed
):
    torch.manual_seed(seed)
    lif = QuantLeaky(0.7, threshold, reset_mechanism=how, spec=QuantSpec(membrane))
    m = torch.zeros(0)
    for x in (torch.randn(6, 60) * threshold * 2).to(dtype):
        spk, m = lif(x, m)
        assert spk.dtype == m.dtype == dtype
        assert torch.equal(m > lif.threshold.to(dtype), spk == 1)
    assert spk.any()


def test_without_the_further_code_the_spike_would_be_lost():
    h = torch.tensor([0.75, 1.25])
    q = torch.tensor([1.0, 1.0])  # the nearest ternary levels
    assert not (q > 1.0).any()
    assert (keep_comparison(q, h > 1.0, torch.tensor(1.0)) > 1.0).tolist() == [False, True]


@pytest.mark.parametrize("how", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize("membrane", [m for m in MEMBRANES if m.scale == "fixed"], ids=str)
def test_what_is_stored_fits_the_bits_that_are_counted(membrane, delay, how):
    torch.manual_seed(0)
    lif = QuantLeaky(0.9, 1.0, reset_mechanism=how, reset_delay=delay, spec=QuantSpec(membrane))
    values = set()
    for x in torch.randn(30, 4000) * 2:
        values |= set(lif(x)[1].unique().tolist())
    if not membrane.level_table:
        assert lif.storage_bits == 32
        return
    further = delay and how != "none"
    assert len(values) <= len(membrane.level_table) + further <= 2**lif.storage_bits
    if not further:
        assert lif.storage_bits == membrane.storage_bits


def test_the_bits_by_name():
    assert TernaryLeaky(0.5).storage_bits == 2  # the fourth code is the spike
    assert KBitLeaky(0.5, bits=4).storage_bits == 4
    assert KBitLeaky(0.5, bits=1).storage_bits == 2
    assert KBitLeaky(0.5, bits=1, reset_delay=False).storage_bits == 1
    assert QuantLeaky(0.5, spec=QuantSpec(MembraneSpec(levels=RELEASED_LEVELS))).storage_bits == 3


@pytest.mark.parametrize("threshold", [0.3, 1.0, 1.7])
def test_the_threshold_lies_on_the_grid_of_k_bits(threshold):
    lif = KBitLeaky(beta=0.5, threshold=threshold, bits=4, reset_mechanism="none")
    assert lif(torch.tensor([9.0]))[1] == lif.threshold


def test_after_an_immediate_reset_the_membrane_is_quantized_again():
    lif = KBitLeaky(beta=0.5, bits=3, reset_delay=False)
    _, mem = lif(torch.tensor([1.4, 0.2]))
    assert mem.tolist() == [pytest.approx(1 / 3), pytest.approx(1 / 3)]


@pytest.mark.parametrize("how", ["subtract", "zero"])
@pytest.mark.parametrize("value", ["count", "threshold"])
@pytest.mark.parametrize("delay", [False, True])
def test_spikes_of_several_bits_against_numpy(delay, value, how):
    rng = np.random.default_rng(1)
    x = rng.normal(0.4, 1.5, (8, 300))
    lif = MultiBitLeaky(
        0.5, 0.75, reset_mechanism=how, reset_delay=delay, bits=2, value=value
    ).double()
    m, owed, seen = np.zeros(300), np.zeros(300), set()
    for step in x:
        spk = lif(torch.tensor(step))[0].numpy()
        if delay and how == "zero":
            m = np.where(owed > 0, 0.0, m)
        h = 0.5 * m + step - (owed * 0.75 if delay and how == "subtract" else 0)
        count = np.clip(np.ceil(h / 0.75) - 1, 0, 3)
        m, owed = h, count
        if not delay:
            m = h - count * 0.75 if how == "subtract" else np.where(count > 0, 0.0, h)
        assert np.array_equal(spk, count * (0.75 if value == "threshold" else 1))
        np.testing.assert_allclose(lif.mem.numpy(), m, atol=1e-12)
        seen |= set(count)
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize("membrane", MEMBRANES, ids=str)
def test_gradients_arrive_at_every_parameter(membrane, delay):
    torch.manual_seed(0)
    spec = QuantSpec(membrane, threshold=ThresholdSpec("separate"))
    lif = QuantLeaky(0.5, learn_beta=True, reset_delay=delay, spec=spec)
    x = (0.2 + torch.randn(6, 4, 50)).requires_grad_()
    spk, mem = steps(lif, x)
    assert rate_is_alive(spk)
    (spk.sum() + mem.sum()).backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
    for name, parameter in lif.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite(), name
        assert parameter.grad != 0, name


@pytest.mark.parametrize("gradient", ["ordinary", "separate"])
def test_a_channel_s_threshold_is_that_of_a_layer_alone(gradient):
    torch.manual_seed(0)
    spec = QuantSpec(threshold=ThresholdSpec(gradient, per="channel"))
    lif = QuantLeaky(0.5, reset_mechanism="zero", spec=spec, channels=3)
    with torch.no_grad():
        lif.threshold.copy_(torch.tensor([0.5, 1.0, 1.5]))
    x, upstream = torch.randn(5, 4, 3, 6, 6) + 0.5, torch.randn(5, 4, 3, 6, 6)
    spk, _ = steps(lif, x)
    (spk * upstream).sum().backward()
    for channel in range(3):
        layer = QuantSpec(threshold=ThresholdSpec(gradient))
        alone = QuantLeaky(0.5, lif.threshold[channel].item(), reset_mechanism="zero", spec=layer)
        theirs, _ = steps(alone, x[:, :, channel])
        assert rate_is_alive(theirs)
        assert torch.equal(theirs, spk[:, :, channel])
        (theirs * upstream[:, :, channel]).sum().backward()
        torch.testing.assert_close(alone.threshold.grad, lif.threshold.grad[channel])


def test_a_learned_threshold_stays_positive():
    lif = TernaryLeaky(beta=0.5, learn_threshold=True)
    lif.threshold.data.fill_(-3.0)
    spk, _ = lif(torch.tensor([0.0, 0.5]))
    assert spk.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("delay", [False, True])
def test_pruned_neurons_neither_fire_nor_store(delay):
    torch.manual_seed(0)
    pruning = PruningSpec(spatial_ratio=0.35, masked="membrane")
    spec = QuantSpec(MembraneSpec(kind="float"), pruning=pruning)
    lif = QuantLeaky(0.5, reset_delay=delay, spec=spec)
    spk, mem = steps(lif, 0.3 + torch.randn(6, 4, 3, 10, 10))
    assert ((spk == 0) & (mem == 0)).float().mean().item() == pytest.approx(0.35, abs=1e-6)
    assert lif.pruning.sparsity() == pytest.approx(0.35, abs=1e-6)
    lif.reset_mem()
    with pytest.raises(ArgumentError, match="steps=0"):
        lif.pruning.sparsity()


@pytest.mark.parametrize("init_hidden", [False, True])
@pytest.mark.parametrize("output", [False, True])
def test_return_values_are_the_host_s(init_hidden, output):
    lif = TernaryLeaky(0.5, init_hidden=init_hidden, output=output)
    result = lif(torch.rand(2, 3))
    assert isinstance(result, tuple) == (output or not init_hidden)
    if isinstance(result, tuple):
        assert result[1] is lif.mem


def test_graded_spikes_are_scaled_after_the_reset():
    one, graded = TernaryLeaky(0.5), TernaryLeaky(0.5, graded_spikes_factor=2.5)
    x = torch.randn(6, 300)
    (spk, mem), (their_spk, their_mem) = steps(one, x), steps(graded, x)
    assert torch.equal(2.5 * spk, their_spk)
    assert torch.equal(mem, their_mem)


def refused(match, make):
    with pytest.raises(ArgumentError, match=match):
        make()


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("beta=1.5", {"beta": 1.5}),
        ("beta=nan", {"beta": math.nan}),
        ("beta=-0.1", {"beta": -0.1}),
        ("threshold=0.0", {"threshold": 0.0}),
        ("reset_mechanism='hard'.*subtract, zero, none", {"reset_mechanism": "hard"}),
        ("threshold=tensor", {"threshold": torch.tensor([1.0, -1.0])}),
        ("state_quant=.*spec.membrane", {"state_quant": torch.round}),
        ("inhibition=True", {"inhibition": True}),
        (
            "spike_grad=",
            {"spike_grad": surrogate.atan(), "spec": QuantSpec(spike=SpikeSpec(bits=2))},
        ),
        (
            "surrogate_disable=True",
            {"surrogate_disable": True, "spec": QuantSpec(spike=SpikeSpec(bits=2))},
        ),
        ("reset_delay=True.*how often", {"spec": QuantSpec(spike=SpikeSpec(bits=2))}),
        ("channels=None", {"spec": QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))}),
    ],
)
def test_arguments_that_are_not_allowed_are_named(match, arguments):
    refused(match, lambda: QuantLeaky(**{"beta": 0.5} | arguments))


def test_inputs_that_cannot_be_right_are_named():
    lif = TernaryLeaky(0.5)
    refused("input_.dtype=torch.int64", lambda: lif(torch.zeros(2, 3, dtype=torch.int64)))
    refused("input_.device='meta'.*cpu", lambda: lif(torch.zeros(2, 3, device="meta")))
    passed = r"input_.shape=\[5, 2, 3\].*2 dimensions.*MultiStep"
    refused(passed, lambda: lif(torch.rand(5, 2, 3), torch.zeros(2, 3)))
    lif(torch.rand(2, 3))
    refused(passed, lambda: lif(torch.rand(5, 2, 3)))
    assert lif(torch.rand(4, 3))[0].shape == (4, 3)  # another batch begins anew, as in the host
    reset_net(lif)
    assert lif(torch.rand(5, 2, 3))[0].shape == (5, 2, 3)
    hidden = TernaryLeaky(0.5, init_hidden=True)
    refused("mem=.*init_hidden", lambda: hidden(torch.rand(2, 3), torch.zeros(2, 3)))
    with pytest.raises(TypeError, match="init_hidden"):  # as the host's
        hidden(torch.rand(2, 3), torch.zeros(2, 3))
    spec = QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))
    channels = QuantLeaky(0.5, spec=spec, channels=3)
    assert channels(torch.rand(2, 3, 4))[0].shape == (2, 3, 4)
    reset_net(channels)
    refused("input_.shape=.*C=3.*MultiStep", lambda: channels(torch.rand(5, 2, 3, 4)))


def test_a_spike_that_fires_at_the_threshold_can_be_asked_for():
    at = Spike(fires_at_zero=True)
    for arguments, fires in (({}, 0.0), ({"spike_grad": at}, 1.0)):
        spk, mem = TernaryLeaky(0.5, **arguments)(torch.tensor([1.0]))
        assert spk.item() == float(mem > 1.0) == fires


def test_a_learned_beta_beyond_its_range_is_clamped_as_in_the_host():
    lif = TernaryLeaky(0.5, learn_beta=True, reset_mechanism="none")
    lif.beta.data.fill_(1.7)
    assert lif(torch.tensor([-0.4]), torch.tensor([1.0]))[1].item() == 1.0  # 0.6, not 1.3
    assert lif(torch.tensor([-0.4]), torch.tensor([-1.0]))[1].item() == -1.0
    assert lif(torch.tensor([-1.4]), torch.tensor([1.0]))[1].item() == 0.0  # -0.4, not 0.3
    assert lif(torch.tensor([-1.55]), torch.tensor([1.0]))[1].item() == -1.0  # -0.55, not 0.15


def test_no_gradient_flows_through_a_delayed_reset():
    lif = MultiBitLeaky(0.5)
    x = torch.tensor([1.3, 0.4, 2.6], requires_grad=True)
    _, mem = lif(x)
    lif(torch.zeros(3), mem)[1].sum().backward()
    assert x.grad.tolist() == [0.5, 0.5, 0.5]


def test_the_dtype_is_the_input_s_whatever_the_surrogate_and_the_state():
    lif = TernaryLeaky(0.5, spike_grad=surrogate.atan())
    lif(torch.randn(5))
    spk, mem = lif(torch.randn(5, dtype=torch.bfloat16))  # goes on from a float32 state
    assert spk.dtype == mem.dtype == torch.bfloat16


@pytest.mark.parametrize("leak", [1.5, -0.5])
def test_a_learned_leak_of_lapicque_is_clamped_too(leak):
    lif = QuantLapicque(0.5, 0.5, learn_beta=True, spec=QuantSpec(MembraneSpec(kind="float")))
    lif.beta.data.fill_(leak)
    _, mem = lif(torch.zeros(1), torch.tensor([0.6]))
    assert mem.item() == pytest.approx(0.6 * (leak > 0))
