import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spikingjelly import MultiBitIFNode, QuantNode, TernaryLIFNode
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

if IS_LEGACY:
    pytest.skip("0.0.0.0.14 has no memopt", allow_module_level=True)

from spikingjelly.activation_based import functional, memopt

from qsnn_plugins.spikingjelly.memopt import LevelCompressor


@given(
    bits=st.integers(1, 16),
    shape=st.lists(st.integers(0, 5), min_size=0, max_size=4),
    factor=st.sampled_from([1.0, 0.3, 1e-3]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_what_is_packed_comes_back_in_the_bits_that_were_asked_for(
    bits, shape, factor, dtype, seed
):
    generator = torch.Generator().manual_seed(seed)
    levels = torch.arange(2**bits) - 2 ** (bits - 1)
    places = torch.randint(len(levels), shape, generator=generator)
    x = (levels[places] * factor).to(dtype)
    packed = LevelCompressor(bits).compress(x)
    assert packed.codes.numel() == -(-x.numel() * bits // 8)
    assert packed.codes.dtype == torch.uint8
    again = LevelCompressor(bits).decompress(packed)
    assert again.dtype == dtype
    assert torch.equal(again, x)


def test_more_values_than_the_bits_hold_are_refused_and_the_host_s_would_change_them():
    x = torch.tensor([-1.0, 0.0, 1.0])
    with pytest.raises(ArgumentError, match=r"\(different values\)=3 is not allowed"):
        LevelCompressor(bits=1).compress(x)
    theirs = memopt.BitSpikeCompressor()
    assert not torch.equal(theirs.decompress(theirs.compress(x)), x)
    with pytest.raises(ArgumentError, match="bits=0"):
        LevelCompressor(bits=0)


def results(network, x):
    functional.reset_net(network)
    network.zero_grad()
    leaf = x.clone().requires_grad_()
    out = network(leaf)
    out.square().sum().backward()
    return [out.detach(), leaf.grad, *(p.grad.clone() for p in network.parameters())]


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_checkpointed_layer_computes_the_same_from_packed_spikes(chunks):
    torch.manual_seed(0)
    front = MultiBitIFNode(bits=2, v_threshold=0.4, step_mode="m")
    back = nn.Sequential(nn.Linear(6, 6), TernaryLIFNode(v_threshold=0.3, step_mode="m"))
    x = torch.rand(4, 3, 6)
    expected = results(nn.Sequential(front, back), x)
    assert (expected[0] > 0).float().mean() > 0.05
    packed = []

    class Watched(LevelCompressor):
        def compress(self, tensor):
            packed.append(tensor.unique().tolist())
            return super().compress(tensor)

    wrapped = memopt.checkpoint_module(back, compressor=Watched(2), chunks=chunks)
    for mine, theirs in zip(results(nn.Sequential(front, wrapped), x), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
    assert len(packed) == chunks
    assert max(map(max, packed)) > 1


@pytest.mark.parametrize("level", [0, 1])
def test_optimize_memory_keeps_the_results(level):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 8),
        TernaryLIFNode(v_threshold=0.3, step_mode="m"),
        nn.Linear(8, 4),
        TernaryLIFNode(v_threshold=0.3, step_mode="m"),
    )
    x = torch.rand(4, 3, 6)
    expected = results(network, x)
    optimized = memopt.optimize_memory(network, (QuantNode,), lambda net: net(x), level=level)
    for mine, theirs in zip(results(optimized, x), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
