"""All steps of 16-bit input are computed in 32 bits, by the kernel and by the loop of each host."""

import pytest
import torch

from qsnn_plugins.snntorch import MultiStep, QuantLeaky
from qsnn_plugins.spec import QuantSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import QuantLIFNode
from tests.toolchain import needs_compiler

LEARNED = QuantSpec(threshold=ThresholdSpec("ordinary"))
THRESHOLD = 1.003  # which no 16 bits hold
NEURONS = {
    "LIFNode": lambda: QuantLIFNode(tau=1.7, step_mode="m"),
    "LIFNode, learned threshold": lambda: QuantLIFNode(
        tau=1.7, v_threshold=THRESHOLD, step_mode="m", spec=LEARNED
    ),
    "Leaky": lambda: MultiStep(QuantLeaky(0.9, init_hidden=True)),
    "Leaky, learned threshold": lambda: MultiStep(
        QuantLeaky(0.9, threshold=THRESHOLD, init_hidden=True, spec=LEARNED)
    ),
}


@needs_compiler
@pytest.mark.parametrize("build", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernel_and_loop_agree(dtype, build, monkeypatch):
    x_seq = (torch.rand(16, 64, 256, generator=torch.Generator().manual_seed(0)) * 1.3).to(dtype)
    found = []
    for backend in ("cpp", "reference"):
        monkeypatch.setenv("QSNN_BACKEND", backend)
        node = build()
        spikes = node(x_seq), node(x_seq)
        found.append((*spikes, node.v if isinstance(node, QuantLIFNode) else node.neuron.mem))
    for kernel, loop in zip(*found, strict=True):
        assert kernel.dtype == loop.dtype == dtype
        assert torch.equal(kernel, loop)
