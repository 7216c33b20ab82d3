"""Attention matrices of SpikingJelly's Spikformer, limited to the bits of a spike."""

import copy

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer
from torch import nn

from qsnn_plugins import eject, inject, presets
from qsnn_plugins.cost import report as cost_report
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import HostedNet
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

pytestmark = pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14 has no Spikformer")


def seen_of(attention, x):
    """Spikes that an attention multiplies and what it hands to the neuron behind, as numpy."""
    seen = {}
    handles = [
        attention.qkv_lif.register_forward_hook(lambda *a: seen.update(qkv=a[-1])),
        attention.attn_lif.register_forward_pre_hook(lambda *a: seen.update(out=a[-1][0])),
    ]
    attention(x)
    for handle in handles:
        handle.remove()
    return seen["qkv"].detach().double().numpy(), seen["out"].detach().double().numpy()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_attention_matrix_has_the_bits_of_a_spike(bits):
    torch.manual_seed(bits)
    heads, channels, tokens = 2, 8, 5
    network = nn.Sequential(layer.SpikingSelfAttention(channels, heads))
    functional.set_step_mode(network, "m")
    result = inject(network, presets.bit_budget(4, bits))
    assert [(row.bits, row.what) for row in result.limited] == [(bits, "attention matrix")]
    nn.init.constant_(network[0].qkv_conv_bn[1].weight, 2.0 ** (bits + 1))
    x = torch.rand(3, 2, channels, tokens)
    qkv, out = seen_of(network[0], x)
    # channels are ordered q, k, v, then heads, then the channels of a head
    q, k, v = qkv.reshape(3, 2, 3, heads, channels // heads, tokens).transpose(2, 0, 1, 3, 4, 5)
    matrix = np.einsum("tnhdi,tnhdj->tnhij", q, k)
    expected = 0.125 * np.einsum("tnhij,tnhdj->tnhdi", np.minimum(matrix, 2**bits - 1), v)
    assert (matrix > 2**bits - 1).any()
    assert np.array_equal(out, expected)
    network(x).sum().backward()
    functional.reset_net(network)
    copied = copy.deepcopy(network)
    functional.reset_net(eject(network))
    qkv, out = seen_of(network[0], x)
    q, k, v = qkv.reshape(3, 2, 3, heads, channels // heads, tokens).transpose(2, 0, 1, 3, 4, 5)
    matrix = np.einsum("tnhdi,tnhdj->tnhij", q, k)
    np.testing.assert_allclose(out, 0.125 * np.einsum("tnhij,tnhdj->tnhdi", matrix, v))
    assert not hasattr(network[0], "sum_limit")
    assert hasattr(copied[0], "sum_limit")


def test_kernels_that_are_not_known_are_told():
    network = nn.Sequential(layer.QKAttention(8, 2))
    functional.set_step_mode(network, "m")
    with pytest.warns(UserWarning, match=r"attention matrix of 0 \(QKAttention\) is not limited"):
        assert inject(network, "bit_budget").limited == ()

    class Other(layer.SpikingSelfAttention):
        @staticmethod
        def _ssa_kernel_torch(qkv, scale):
            return qkv[:, :, 0] * scale

    with pytest.warns(UserWarning, match=r"0 \(Other\) is not limited: it multiplies otherwise"):
        inject(nn.Sequential(Other(8, 2)), "bit_budget")


def test_networks_of_the_recipes_are_limited_everywhere():
    spec = presets.bit_budget(4, 2)
    spikformer = HostedNet("spikformer_2_384", width=0.25, spec=spec)
    assert [row.names[0] for row in spikformer.report.limited] == [
        f"blocks.host.blocks.{i}.attn" for i in range(2)
    ]
    assert spikformer.report.notes == ()
    # the matrix is multiplied out first: 64 x 64 places, 96 channels, two products, two blocks
    products = cost_report(spikformer, None, (1, 1, 3, 32, 32)).product_macs
    assert products == 2 * 2 * 64 * 64 * 96
    sew = HostedNet("sew_resnet34", input_size=(32, 32), spec=spec)
    assert len(sew.report.limited) == 16
    greatest = []
    for block in (m for m in sew.modules() if hasattr(m, "cnf")):
        block.register_forward_hook(lambda *a: greatest.append(a[-1].max().item()))
    with torch.no_grad():
        sew(torch.rand(1, 2, 3, 32, 32) * 8)
    assert len(greatest) == 16
    assert max(greatest) == 3


def test_more_than_sixteen_bits_are_refused():
    with pytest.raises(ArgumentError, match="spike_bits=17"):
        presets.bit_budget(1, 17)
