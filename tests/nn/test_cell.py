"""The neuron's step against numpy, and what a reset in the next step changes."""

import numpy as np
import pytest
import torch

from qsnn_plugins.functional.neuron import leaky_charge, lif_charge
from qsnn_plugins.nn import Cell, Spike, membrane_quantizer
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, ThresholdSpec
from tests.functional.lif_simulation import CONVENTIONS, Lif, currents


def cell_of(neuron, threshold):
    """Return the cell under the conventions of a simulated neuron."""
    spec = QuantSpec(
        MembraneSpec(smoothness=neuron.smoothness),
        threshold=ThresholdSpec(neuron.threshold_gradient),
    )
    rest = neuron.v_reset or 0.0
    return Cell(
        spec,
        threshold,
        charge=lambda x, v: lif_charge(x, v, neuron.tau, neuron.decay_input, rest),
        fire=Spike.from_spec(spec.spike),
        store=membrane_quantizer(spec.membrane),
        v_reset=neuron.v_reset,
        detach_reset=neuron.detach_reset,
    )


def steps(cell, x_seq, q):
    """Spikes and stored membranes of every step."""
    spikes, states = [], []
    for x in x_seq:
        spike, q = cell.step(x, q)
        spikes.append(spike)
        states.append(q)
    return torch.stack(spikes), torch.stack(states)


@pytest.mark.parametrize("neuron", CONVENTIONS, ids=str)
def test_ternary_lif_and_its_gradients_equal_the_numpy_simulation(neuron):
    x = currents(scale=neuron.tau if neuron.decay_input else 1.0)
    _, s, r, q = neuron.run(x)
    assert 0.05 < s.mean() < 0.6
    assert {-1.0, 0.0, 1.0} == set(np.unique(q))
    assert (np.abs(r) == 0.5).any() or neuron.tau == 4.0  # ties are met
    rng = np.random.default_rng(1)
    weight_s, weight_q = rng.normal(size=x.shape), rng.normal(size=x.shape)

    x_torch = torch.tensor(x, requires_grad=True)
    threshold = torch.tensor(neuron.threshold, dtype=torch.float64, requires_grad=True)
    first = torch.full(x.shape[1:], neuron.v_reset or 0.0, dtype=torch.float64)
    spikes, states = steps(cell_of(neuron, threshold), x_torch, first)
    assert np.array_equal(spikes.detach().numpy(), s)
    assert np.array_equal(states.detach().numpy(), q)

    (spikes * torch.tensor(weight_s) + states * torch.tensor(weight_q)).sum().backward()
    grad_x, grad_threshold = neuron.gradients(x, weight_s, weight_q)
    assert np.abs(grad_x).max() > 0.5
    np.testing.assert_allclose(x_torch.grad.numpy(), grad_x, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(threshold.grad.item(), grad_threshold, rtol=1e-6)


def test_the_simulation_has_the_gradient_of_a_smooth_neuron():
    """Without spikes and in the middle of a level's slope, BPTT is a product of slopes."""
    neuron = Lif(threshold=1e9, smoothness=2.0)
    x = np.array([[0.3], [0.1]])
    weight_q = np.array([[0.0], [1.0]])
    grad_x, grad_th = neuron.gradients(x, np.zeros_like(x), weight_q)

    def slope(r):
        return sum(2 * np.exp(-2 * (r - m)) / (1 + np.exp(-2 * (r - m))) ** 2 for m in (-0.5, 0.5))

    assert grad_x[1, 0] == pytest.approx(slope(0.1))  # the first step stores 0
    assert grad_x[0, 0] == pytest.approx(slope(0.1) * 0.5 * slope(0.3))
    assert grad_th == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_run_is_a_loop_over_step_and_keeps_the_dtype(dtype):
    x_seq = torch.tensor(currents(5, 40), dtype=dtype)
    cell = cell_of(Lif(), torch.tensor(1.0, dtype=dtype))
    spikes, last = cell.run(x_seq, torch.zeros(40, dtype=dtype))
    each, states = steps(cell, x_seq, torch.zeros(40, dtype=dtype))
    assert spikes.dtype == last.dtype == dtype
    assert torch.equal(spikes, each)
    assert torch.equal(last, states[-1])


FLOAT = MembraneSpec(kind="float")


def late(reset_time, v_reset, membrane=FLOAT, spike=None, threshold=0.75):
    spec = QuantSpec(membrane, spike or SpikeSpec())
    return Cell(
        spec,
        threshold,
        charge=lambda x, m: leaky_charge(x, m, 0.5),
        fire=Spike.from_spec(spec.spike, fires_at_zero=False),
        store=membrane_quantizer(membrane),
        v_reset=v_reset,
        reset_time=reset_time,
    )


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("reset_time", ["now", "before_charge", "after_charge", "never"])
def test_the_time_of_the_reset_against_numpy(reset_time, v_reset, bits):
    x, q, count = currents(8, 300, scale=1.5), np.zeros(300), np.zeros(300)
    cell = late(reset_time, v_reset, spike=SpikeSpec(bits=bits))
    spikes, states = steps(cell, torch.tensor(x), torch.zeros(300, dtype=torch.float64))

    def reset(membrane):
        return membrane - count * 0.75 if v_reset is None else membrane * (count == 0)

    for t in range(len(x)):
        h = 0.5 * (reset(q) if reset_time == "before_charge" else q) + x[t]
        if reset_time == "after_charge":
            h = reset(h)
        count = np.clip(np.ceil(h / 0.75) - 1, 0, 2**bits - 1)
        q = reset(h) if reset_time == "now" else h
        assert np.array_equal(spikes[t].numpy(), count)
        assert np.array_equal(states[t].numpy(), q)
    assert len(spikes.unique()) == 2**bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("is_tensor", [False, True])
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("reset_time", ["now", "before_charge", "after_charge", "never"])
def test_an_infinite_threshold_leaves_what_was_charged(reset_time, v_reset, bits, is_tensor, dtype):
    """The readout of SpikingJelly's networks."""
    threshold = torch.tensor(torch.inf, dtype=dtype) if is_tensor else torch.inf
    spike = SpikeSpec(bits=bits, value="threshold")
    cell = late(reset_time, v_reset, spike=spike, threshold=threshold)
    x_seq = torch.tensor([[0.5, -1.0], [0.5, 3.0]], dtype=dtype, requires_grad=True)
    spikes, last = cell.run(x_seq, torch.zeros(2, dtype=dtype))
    assert spikes.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert last.tolist() == [0.75, 2.5]
    (spikes.sum() + last.sum()).backward()
    assert x_seq.grad.tolist() == [[0.5, 0.5], [1.0, 1.0]]


@pytest.mark.parametrize("reset_time", ["now", "before_charge", "after_charge", "never"])
def test_a_quantized_membrane_tells_a_late_reset_of_the_spike(reset_time):
    h = torch.tensor([0.7, 0.8, 1.4])  # the second alone is stored on the other side of 0.75
    cell = late(reset_time, 0.0, MembraneSpec(kind="levels"))
    spikes, q = cell.step(h, torch.zeros(3))
    is_late = reset_time in ("before_charge", "after_charge")
    assert spikes.tolist() == [0.0, 1.0, 1.0]
    assert torch.equal(q > 0.75, spikes > 0) is is_late


def test_a_separate_path_is_the_whole_gradient_of_the_threshold():
    """A sharpness of 1e-6 leaves next to nothing of the paths through the spike itself."""
    spike, found = Spike(sharpness=1e-6), {}
    for gradient in ("ordinary", "separate"):
        spec = QuantSpec(FLOAT, SpikeSpec(value="threshold"), ThresholdSpec(gradient))
        threshold = torch.tensor(1.0, requires_grad=True)
        cell = Cell(spec, threshold, lif_charge, spike, lambda r: r, v_reset=None)
        sent, r = cell.step(torch.tensor([2.0]), torch.zeros(1))
        grads = [torch.autograd.grad(y, threshold, retain_graph=True)[0] for y in (sent, r)]
        found[gradient] = [round(grad.item(), 3) for grad in grads]
    assert found == {"ordinary": [1.0, -1.0], "separate": [0.0, 0.0]}


@pytest.mark.parametrize("reset_time", ["now", "before_charge"])
def test_its_steps_are_one_graph(reset_time):
    torch._dynamo.reset()
    parts = vars(late(reset_time, 0.0, MembraneSpec()))
    parts = {name: part for name, part in parts.items() if not name.startswith("_")}

    def run(x_seq, q):
        return Cell(**parts).run(x_seq, q)

    x_seq, q = torch.randn(3, 40), torch.zeros(40)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for ours, theirs in zip(compiled(x_seq, q), run(x_seq, q), strict=True):
        assert torch.equal(ours, theirs)
