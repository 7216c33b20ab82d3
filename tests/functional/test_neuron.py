"""Charge and reset against their closed forms."""

import pytest
import torch

from qsnn_plugins.functional.neuron import leaky_charge, lif_charge, plif_charge, reset


def test_charge_equals_its_closed_form():
    x, v = torch.randn(2, 50, dtype=torch.float64)
    expected = {True: v * 0.75 + x * 0.25 + 0.3 * 0.25, False: v * 0.75 + x + 0.3 * 0.25}
    for decay_input, closed in expected.items():
        torch.testing.assert_close(lif_charge(x, v, 4.0, decay_input, 0.3), closed)
        decay = torch.tensor(0.25, dtype=torch.float64)
        torch.testing.assert_close(plif_charge(x, v, decay, decay_input, 0.3), closed)


def test_snntorch_s_leak_is_spikingjelly_s_at_beta_1_minus_1_over_tau():
    x, v = torch.randn(2, 50, dtype=torch.float64)
    torch.testing.assert_close(leaky_charge(x, v, 0.75), lif_charge(x, v, 4.0))
    torch.testing.assert_close(leaky_charge(x, v, 0.75, gain=0.25), lif_charge(x, v, 4.0, True))


@pytest.mark.parametrize("v_reset", [0.0, None, -0.5])
def test_charge_and_reset_pass_gradcheck(v_reset):
    h = torch.randn(6, dtype=torch.float64, requires_grad=True)
    s = torch.rand(6, dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor([0.8], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, v: lif_charge(h, v, 3.0, True, 0.2), (h, s))
    if v_reset is None:
        assert torch.autograd.gradcheck(lambda *a: reset(*a, v_reset=None), (h, s, threshold))
