"""Quantizers for snnTorch's own neurons."""

import pytest
import snntorch
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.snntorch import StateQuant
from qsnn_plugins.spec import MembraneSpec
from tests.snntorch.kinds import MEMBRANES, rate_is_alive, steps

ALLOWED = [m for m in MEMBRANES if m.kind != "tanh" and m.scale != "running"]


@pytest.mark.parametrize("membrane", ALLOWED, ids=str)
@pytest.mark.parametrize("delay", [False, True])
def test_the_host_s_neuron_stores_what_the_spec_says(membrane, delay):
    torch.manual_seed(0)
    lif = snntorch.Leaky(
        0.5, threshold=0.4, state_quant=StateQuant(membrane), reset_delay=delay,
        reset_mechanism="zero",
    )  # fmt: skip
    x = torch.randn(6, 4, 50).requires_grad_()
    spk, mem = steps(lif, x)
    assert rate_is_alive(spk)
    # the host does not quantize again after an immediate reset
    if membrane.scale != "step_max" and delay:
        torch.testing.assert_close(lif.state_quant(mem), mem)
    assert len(mem.unique()) < 20 or membrane.kind == "clip" or membrane.scale == "step_max"
    (spk.sum() + mem.sum()).backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("membrane", ALLOWED, ids=str)
def test_twice_is_once(membrane):
    quantize, u = StateQuant(membrane), torch.randn(1000) * 2
    once = quantize(u)
    torch.testing.assert_close(quantize(once), once, rtol=1e-6, atol=1e-6)


def test_a_learned_scale_is_the_neuron_s_parameter():
    membrane = MembraneSpec(kind="uniform", bits=3, scale="learned")
    lif = snntorch.Leaky(0.5, threshold=0.4, state_quant=StateQuant(membrane))
    assert "state_quant.quantizer.scale" in dict(lif.named_parameters())
    steps(lif, torch.randn(3, 50))[1].sum().backward()
    assert lif.state_quant.quantizer.scale.grad != 0


@pytest.mark.parametrize(
    ("match", "membrane"),
    [
        ("membrane.kind='tanh'", MembraneSpec(kind="tanh")),
        ("membrane.scale='running'", MembraneSpec(kind="uniform")),
    ],
)
def test_what_a_second_pass_would_change_is_refused(match, membrane):
    with pytest.raises(ArgumentError, match=match):
        StateQuant(membrane)
