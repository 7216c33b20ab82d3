"""Every module is one graph for torch.compile, and gives what it gives without."""

import copy

import pytest
import torch

from qsnn_plugins.nn import (
    MeanCrossEntropyLoss,
    MembranePruning,
    RateMSELoss,
    Spike,
    TETLoss,
    WSDRLoss,
)
from qsnn_plugins.nn import membrane_quantizer as quantizer
from qsnn_plugins.spec import MembraneSpec, PruningSpec

MODULES = {
    "spike": lambda: Spike(),
    "spike of 2 bits": lambda: Spike(bits=2),
    "ternary": lambda: quantizer(MembraneSpec()),
    "pruned": lambda: quantizer(MembraneSpec(kind="pruned")),
    "clip": lambda: quantizer(MembraneSpec(kind="clip")),
    "threshold-centred": lambda: quantizer(MembraneSpec(kind="threshold_centred", bits=4)),
    "fixed": lambda: quantizer(MembraneSpec(kind="uniform", bits=4, scale="fixed")),
    "learned": lambda: quantizer(MembraneSpec(kind="uniform", bits=2, scale="learned")),
    "running": lambda: quantizer(MembraneSpec(kind="uniform", bits=4, scale="running")),
    "tanh": lambda: quantizer(MembraneSpec(kind="tanh", bits=4, scale="step_max")),
    "masks": lambda: MembranePruning(PruningSpec(spatial_ratio=0.35)),
}


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        *((name, "aot_eager") for name in MODULES),
        *(pytest.param(n, "inductor", marks=pytest.mark.slow) for n in ("ternary", "learned")),
    ],
)
def test_modules_are_one_graph(name, backend):
    torch._dynamo.reset()
    torch.manual_seed(0)
    eager = MODULES[name]()
    compiled = torch.compile(copy.deepcopy(eager), fullgraph=True, backend=backend)
    for _ in range(2):
        x = torch.randn(3, 6, 4)
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [module(leaf) for module, leaf in zip((eager, compiled), leaves, strict=True)]
        upstream = torch.randn_like(outputs[0])
        for output in outputs:
            output.backward(upstream)
        torch.testing.assert_close(*outputs, rtol=0, atol=0)
        torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(eager.buffers(), compiled.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [TETLoss(), RateMSELoss(), MeanCrossEntropyLoss(), WSDRLoss()],
    ids=lambda m: str(type(m)),
)
def test_losses_are_one_graph(loss):
    torch._dynamo.reset()
    arguments = [torch.randn(2, 3, 4), torch.tensor([0, 3, 1])]
    if isinstance(loss, WSDRLoss):
        arguments.append([torch.tensor(v) for v in (0.1, 0.3, 0.8)])
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*arguments), loss(*arguments))
