"""What the tests of both hosts' neurons on the kernel share."""

import torch

from qsnn_plugins.ops.quantized_lif import cpp


def count_calls(monkeypatch):
    """A list that the C++ kernel's calls are added to, each as "forward" or "backward"."""
    calls = []

    def counted(name):
        kernel = getattr(cpp, name)
        return lambda *arguments: (calls.append(name), kernel(*arguments))[1]

    for name in ("forward", "backward"):
        monkeypatch.setattr(cpp, name, counted(name))
    return calls


def two_sequences(node, membrane, x_seq, run=None):
    """Spikes, membrane and gradients of two sequences, one after the other.

    `membrane` takes it from the node; `run` is called instead of the node.
    """
    x_seq, run = x_seq.clone().requires_grad_(), run or node
    spikes = torch.cat([run(x_seq), run(x_seq * 0.5)])
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1))
    ((spikes * weights).sum() + membrane(node).square().sum()).backward()
    return spikes, membrane(node), [x_seq.grad, *(p.grad for p in node.parameters())]


def assert_same(kernel, loop):
    """Equal spikes and membranes, and gradients up to rounding."""
    (spikes, membrane, gradients), (its_spikes, its_membrane, its_gradients) = kernel, loop
    assert torch.equal(spikes, its_spikes)
    assert torch.equal(membrane, its_membrane)
    torch.testing.assert_close(gradients, its_gradients, rtol=1e-4, atol=1e-4)
