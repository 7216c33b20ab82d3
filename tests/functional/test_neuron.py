import numpy as np
import pytest
import torch

from qsnn_plugins.functional import (
    distance,
    heaviside,
    lif_charge,
    multi_step,
    nearest_level,
    reset,
    step,
)
from tests.functional.lif_simulation import CONVENTIONS, Lif, currents


def simulate(neuron, x, threshold):
    learned_by_reset = threshold if neuron.threshold_gradient == "ordinary" else threshold.detach()
    return multi_step(
        x,
        torch.full(x.shape[1:], neuron.v_reset or 0.0, dtype=x.dtype),
        charge=lambda x, v: lif_charge(x, v, neuron.tau, neuron.decay_input, neuron.v_reset or 0.0),
        fire=lambda h: heaviside(distance(h, threshold, neuron.threshold_gradient)),
        reset=lambda h, s: reset(h, s, learned_by_reset, neuron.v_reset, neuron.detach_reset),
        store=lambda r: nearest_level(r, smoothness=neuron.smoothness),
    )


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
    spikes, states = simulate(neuron, x_torch, threshold)
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


def test_charge_equals_its_closed_form():
    x, v = torch.randn(2, 50, dtype=torch.float64)
    expected = {True: v * 0.75 + x * 0.25 + 0.3 * 0.25, False: v * 0.75 + x + 0.3 * 0.25}
    for decay_input, closed in expected.items():
        torch.testing.assert_close(lif_charge(x, v, 4.0, decay_input, 0.3), closed)


@pytest.mark.parametrize("v_reset", [0.0, None, -0.5])
def test_charge_and_reset_pass_gradcheck(v_reset):
    h = torch.randn(6, dtype=torch.float64, requires_grad=True)
    s = torch.rand(6, dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor([0.8], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, v: lif_charge(h, v, 3.0, True, 0.2), (h, s))
    if v_reset is None:
        assert torch.autograd.gradcheck(lambda *a: reset(*a, v_reset=None), (h, s, threshold))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtype_is_kept(dtype):
    x = torch.tensor(currents(4, 20), dtype=dtype)
    neuron = Lif()
    spikes, states = simulate(neuron, x, torch.tensor(1.0, dtype=dtype))
    assert spikes.dtype == states.dtype == dtype


def test_multi_step_is_a_loop_over_step():
    x = torch.tensor(currents(5, 40))
    parts = {
        "charge": lif_charge,
        "fire": lambda h: heaviside(h - 1),
        "reset": reset,
        "store": nearest_level,
    }
    spikes, states = multi_step(x, torch.zeros(40, dtype=x.dtype), **parts)
    q = torch.zeros(40, dtype=x.dtype)
    for t in range(5):
        s, q = step(x[t], q, **parts)
        assert torch.equal(s, spikes[t])
        assert torch.equal(q, states[t])
