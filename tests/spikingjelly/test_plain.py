"""Neurons without quantization: the fused operator runs them and sends the host's spikes."""

import pytest
import torch
from spikingjelly.activation_based import neuron

from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spikingjelly import QuantLIFNode


@pytest.mark.parametrize("v_reset", [0.0, None, 0.3])
@pytest.mark.parametrize(("tau", "decay_input"), [(2.0, True), (1.5, False)])
def test_the_fused_steps_are_the_host_s(tau, decay_input, v_reset, monkeypatch):
    def unused(*_):
        pytest.fail("the host's loop ran")

    monkeypatch.setattr(QuantLIFNode, "host_steps", unused)
    options = {"tau": tau, "decay_input": decay_input, "v_reset": v_reset, "step_mode": "m"}
    ours = QuantLIFNode(**options, spec=QuantSpec.full_precision())
    host = neuron.LIFNode(**options, surrogate_function=ours.surrogate_function)
    x = torch.randn(6, 4, 3, 5, 5) * 1.5
    weights = torch.randn_like(x)
    found = []
    for node in (ours, host):
        currents = x.clone().requires_grad_()
        spikes = node(currents)
        (gradient,) = torch.autograd.grad((spikes * weights).sum(), currents)
        found.append((spikes.detach(), node.v.detach(), gradient))
    (spikes, v, gradient), (expected, expected_v, expected_gradient) = found
    assert 0 < expected.mean() < 1
    assert torch.equal(spikes, expected)
    assert torch.equal(v, expected_v)
    torch.testing.assert_close(gradient, expected_gradient)
