"""A readout of either host: its threshold is infinite, and its membrane is what is read."""

import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from qsnn_plugins import inject, presets
from qsnn_plugins.snntorch import MultiBitLeaky, MultiStep
from qsnn_plugins.spec import MembraneSpec
from qsnn_plugins.spikingjelly import MultiBitLIFNode


@pytest.mark.parametrize("step_mode", ["s", "m"])
@pytest.mark.parametrize("preset", ["bit_budget", presets.bit_budget(4, 2)], ids=["name", "bits"])
def test_an_injected_readout_integrates(preset, step_mode):
    network = nn.Sequential(
        nn.Linear(4, 4), neuron.LIFNode(), nn.Linear(4, 2), neuron.LIFNode(v_threshold=torch.inf)
    )
    functional.set_step_mode(network, step_mode)
    inject(network, preset)
    spikes = network(torch.rand(5, 3, 4))
    assert not spikes.any()
    assert network[-1].v.isfinite().all()
    assert network[-1].v.any()


@pytest.mark.parametrize("value", ["count", "threshold"])
@pytest.mark.parametrize("is_soft", [False, True])
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("backend", [None, "reference"])
def test_a_multi_step_readout_integrates(backend, bits, is_soft, value, monkeypatch):
    if backend:
        monkeypatch.setenv("QSNN_BACKEND", backend)
    how = {"bits": bits, "value": value, "membrane": MembraneSpec(kind="clip", upper=9.0)}
    node = MultiBitLIFNode(
        v_threshold=torch.inf, v_reset=None if is_soft else 0.0, step_mode="m", **how
    )
    late = {"reset_mechanism": "subtract" if is_soft else "zero", "reset_delay": False}
    leaky = MultiBitLeaky(0.5, torch.inf, init_hidden=True, **late, **how)
    for part, state in ((node, lambda: node.v), (MultiStep(leaky), lambda: leaky.mem)):
        x_seq = torch.tensor([[0.5], [4.0]]).requires_grad_()
        assert not part(x_seq).any()
        assert state().item() == 4.25
        state().sum().backward()
        assert x_seq.grad.flatten().tolist() == [0.5, 1.0]
