import pytest
import torch
from torch import nn

from qsnn_plugins import export, inject
from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.nodes import Span
from qsnn_plugins.export.reach import spans, sums
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec
from tests.export.networks import run_float
from tests.export.random_networks import random_chain, random_frames, random_network


@pytest.mark.parametrize("draw", [random_network, random_chain])
@pytest.mark.parametrize("seed", range(30))
def test_no_value_is_beyond_its_span(draw, seed):
    integer = draw(seed)
    found = spans(integer.nodes)
    for frame in random_frames(integer, seed):
        for place, (_, value) in enumerate(integer.step(frame, {})):
            span = found[place]
            assert span.low <= int(value.min()) <= int(value.max()) <= span.high


def test_a_negative_multiple_of_a_span_is_one():
    assert Span(-5, 10) * -1 == Span(-10, 5)
    assert Span(-5, 10) * 3 == Span(-15, 30)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (2, 9), (-5, -1), (-3, 7)])
def test_sums_reach_both_ends_and_no_further(low, high):
    codes = torch.randint(-9, 10, (3, 4), generator=torch.Generator().manual_seed(0))
    values = torch.tensor([low, high, 0])  # 0: what padding is
    inputs = torch.cartesian_prod(*[values] * 4)
    found = inputs @ codes.T
    assert sums(codes.to(torch.int8), Span(low, high)) == Span(int(found.min()), int(found.max()))


def one_layer(threshold, weight_scale, membrane_bits=6):
    from spikingjelly.activation_based import functional, layer, neuron

    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Linear(4, 8), neuron.LIFNode(v_threshold=threshold, decay_input=False),
        layer.Linear(8, 2),
    )  # fmt: skip
    membrane = MembraneSpec(kind="uniform", bits=membrane_bits, scale="fixed", scale_value=1.0)
    inject(net, QuantSpec(membrane, weight=WeightSpec(kind="uniform", bits=8)))
    net[0].parametrizations.weight.original.data.mul_(weight_scale)
    functional.set_step_mode(net, "m")
    return net.double().eval()


@pytest.mark.parametrize(("threshold", "scale"), [(1.0, 1.0), (1e4, 2e4), (1e7, 3.0)])
def test_membranes_far_beyond_their_input_fit(threshold, scale):
    net = one_layer(threshold, scale)
    x = torch.randint(0, 2, (30, 5, 4)).double()
    integer = export.to_integer(net, x[:1, :1])
    wide = integer.neurons["1"]
    assert bool((wide.charge.diff(dim=1) > 0).all())
    _, spikes = integer(x)
    _, sent = run_float(net, x, ["1"])
    assert torch.equal(spikes["1"].double(), sent["1"])


def test_sums_beyond_32_bits_are_refused_where_they_arise():
    net = nn.Sequential(nn.Linear(5000, 2))
    quantize_weights(net, WeightSpec(kind="uniform", bits=8))
    net[0].parametrizations.weight.original.data.fill_(1.0)
    with pytest.raises(ExportError, match="beyond 32 bits: fewer bits"):
        export.to_integer(net.eval(), torch.rand(1, 5000))
