"""All steps of 16-bit input are computed in 32 bits, by the kernel and by the loop of each host."""

import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.snntorch import MultiStep, QuantLeaky
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, ThresholdSpec
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
        assert kernel.dtype == loop.dtype
        assert torch.equal(kernel, loop)
    assert found[0][0].dtype == dtype


THRESHOLDS = {"1": 1.0, "off the grid": 1.003, "each": torch.tensor([1.0, 1.003, 0.998, 1.1])}


@pytest.mark.parametrize("threshold", THRESHOLDS.values(), ids=THRESHOLDS)
@pytest.mark.parametrize("membrane", ["levels", "float"])
@pytest.mark.parametrize("reset_mechanism", ["subtract", "zero"])
@pytest.mark.parametrize("output", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_delayed_reset_is_that_of_one_call(dtype, output, reset_mechanism, membrane, threshold):
    how = {"reset_mechanism": reset_mechanism, "spec": QuantSpec(MembraneSpec(kind=membrane))}
    x_seq = (torch.rand(8, 64, 4, generator=torch.Generator().manual_seed(0)) * 2).to(dtype)
    found = []
    for steps in (8, 3):
        node = MultiStep(QuantLeaky(0.9, threshold, init_hidden=True, output=output, **how))
        parts = [node(part) for part in x_seq.split(steps)]
        if output:
            spikes, mems = (torch.cat(each) for each in zip(*parts, strict=True))
            assert mems.dtype == dtype
            limit = torch.as_tensor(threshold).to(dtype)
            assert torch.equal(mems > limit, spikes > 0)
            parts = [spikes]
        found.append(torch.cat(parts))
    assert 0.1 < found[0].float().mean() < 0.9
    assert torch.equal(*found)


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
def test_a_membrane_that_is_passed_in_another_dtype_tells_the_same(narrow):
    """A unit in the last place of float32 above the threshold is none of 16 bits."""
    for first, then in ((torch.float32, narrow), (narrow, torch.float32)):
        node = QuantLeaky(0.5)
        spikes, mem = node(torch.tensor([1.5, 0.75], dtype=first))
        assert spikes.tolist() == [1.0, 0.0]
        spikes, _ = node(torch.tensor([1.0, 0.75], dtype=then), mem)
        assert spikes.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bits", [1, 2])
def test_stored_sequences_change_no_spike(bits, dtype):
    x_seq = (torch.rand(16, 64, 256, generator=torch.Generator().manual_seed(0)) * 1.3).to(dtype)
    spec = QuantSpec(MembraneSpec(kind="float"), SpikeSpec(bits=bits, comparison="greater"))
    plain, storing = (
        QuantLIFNode(tau=1.7, step_mode="m", store_v_seq=stores, spec=spec)
        for stores in (False, True)
    )
    assert torch.equal(storing(x_seq), plain(x_seq))
    assert storing.v_seq.dtype == storing.v.dtype == dtype
    assert torch.equal(storing.v_seq[-1], plain.v)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("membrane", ["float", "tanh"])
def test_counts_that_the_dtype_does_not_hold_are_refused(membrane, dtype):
    spec = QuantSpec(MembraneSpec(kind=membrane), SpikeSpec(bits=12))
    nodes = [QuantLIFNode(step_mode="m", store_v_seq=stores, spec=spec) for stores in (False, True)]
    late = MultiStep(QuantLeaky(0.9, init_hidden=True, reset_delay=False, spec=spec))
    for node in (*nodes, late):
        with pytest.raises(ArgumentError, match="which hold all counts of spikes of 12 bits"):
            node(torch.full((1, 1, 3), 3001.0, dtype=dtype))
